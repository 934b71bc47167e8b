"""The journals of this process: one for each remote store that a call has to do with (R14)."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from allowance.calls.journal.journal import Journal, Ticket
from allowance.calls.journal.operations import LetGo, Operation, Post

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.stores.base import Store

__all__ = [
    "REMOTE",
    "Journal",
    "LetGo",
    "Operation",
    "Post",
    "Ticket",
    "drain",
    "full",
    "journal_of",
    "leave",
    "leave_again",
    "next_at",
    "on_work",
    "rest",
    "work",
]

log = logging.getLogger("allowance")

REMOTE: Final = 2
"""The rank of stores that have a journal: a server may be away while this process goes on."""

_ADOPT_EVERY: Final = 60.0

_journals: dict[int, Journal] = {}
_left: WeakSet[Store] = WeakSet()
_lock = threading.RLock()


def _nobody() -> None:
    pass


_wake: Callable[[], None] = _nobody


def on_work(wake: Callable[[], None]) -> None:
    """Have this called when there is something to do before `next_at` said so."""
    global _wake
    _wake = wake


def journal_of(store: Store) -> Journal:
    """The journal of a store. With its first use the lifeline takes over what dead processes left for it."""
    journal = _journals.get(id(store))
    if journal is None or journal.store() is not store:
        with _lock:
            journal = _journals.get(id(store))
            if journal is None or journal.store() is not store:
                journal = _journals[id(store)] = Journal(store, lambda: _wake())
        _wake()
    return journal


def full(store: Store, most: int) -> str | None:
    """Why no further call should be made on this store: its journal is full. None where it is not."""
    journal = journal_of(store)
    if journal.size < most:
        return None
    return (
        f"{store.url} has not answered for so long that what calls have cost fills the journal in "
        f"{journal.directory} ({journal.size / 1e6:,.1f} MB). Calls go on once it answers; "
        "journal_megabytes sets how much is kept."
    )


def next_at() -> float:
    """When (monotonic) there is something to do; infinity where nothing is."""
    return min((journal.next_at() for journal in list(_journals.values())), default=math.inf)


def work() -> None:
    """Do what is due: take over what dead processes left, and try again what a store did not take."""
    for journal in list(_journals.values()):
        now = time.monotonic()
        if journal.adopt_at <= now:
            journal.adopt_at = now + _ADOPT_EVERY
            _forget(journal)
            journal.adopt()
        if journal.next_at() <= time.monotonic():
            journal.replay()


def _forget(journal: Journal) -> None:
    journal.rest()
    if journal.store() is None and not journal.waiting():
        with _lock:
            for number, known in list(_journals.items()):
                if known is journal:
                    del _journals[number]


def drain(seconds: float) -> None:
    """Try once more all that waits, for so long at most; what is left is told, and stays on disk.

    What dead processes left is tried too: a program may be over before the lifeline has come to it.
    """
    until = time.monotonic() + seconds
    for journal in list(_journals.values()):
        journal.adopt_once()
        if journal.waiting():
            journal.replay(until)
        if waiting := journal.waiting():
            log.warning(
                "%d costs and holds that %s has not taken stay in %s: a process of this user that uses the "
                "store posts them.",
                waiting,
                journal.url,
                journal.directory,
            )


def leave(store: Store) -> None:
    """The store is closed: what it has not taken is left on disk, for whoever uses it next."""
    with suppress(TypeError):  # a user's own, with __slots__
        _left.add(store)
    journal = _journals.get(id(store))
    if journal is not None and journal.store() is store:
        with _lock:
            _journals.pop(id(store), None)
        journal.leave()
        for other in list(_journals.values()):
            if other.url == journal.url:
                other.adopt_at = 0.0  # of another manager of this process: it need not wait for its round
        _wake()


def leave_again(store: Store) -> None:
    """The same for what ended after the store was closed: a stream, say, that was read further."""
    with suppress(TypeError):
        if store in _left:
            leave(store)


def rest() -> None:
    """Remove the files in which nothing is left to do; further ones are made as they are needed."""
    for journal in list(_journals.values()):
        journal.rest()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    for journal in _journals.values():
        journal.forked()
    _journals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
