"""Writes to a store that must not fail the caller: what a store does not take is tried again later."""

from __future__ import annotations

import logging
import signal
import traceback
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Final, cast

from allowance.calls import lifeline
from allowance.calls.journal import REMOTE, LetGo, Post, Ticket, journal_of, leave_again
from allowance.errors import ConfigurationError, StoreCorruptError, StoreUnavailableError

if TYPE_CHECKING:
    from allowance.calls.journal import Operation
    from allowance.ledger.records import Hold, Posting, Settlement
    from allowance.stores.base import Store

__all__ = ["post", "release", "settle"]

log = logging.getLogger("allowance")

_LATER: Final = object()
"""In place of an answer: the store has not given one."""


def settle(store: Store, posting: Posting) -> Settlement | None:
    """Post a cost now; None where that could not be done. A store that is down gets it later (R14)."""
    outcome = _write(store, Post(posting))
    return None if outcome is _LATER else cast("Settlement", outcome)


def post(store: Store, posting: Posting) -> Settlement | None:
    """The same, for one who waits to hear of it: what the store refuses to take is raised."""
    outcome = _write(store, Post(posting), raising=True)
    return None if outcome is _LATER else cast("Settlement", outcome)


def release(store: Store, hold_id: str, *, reason: str = "") -> bool:
    """Let a hold go now; False where that could not be done. A store that is down hears of it later."""
    return _write(store, LetGo(hold_id, reason)) is not _LATER


def _write(store: Store, operation: Operation, *, raising: bool = False) -> Settlement | Hold | object | None:
    if store.rank == REMOTE:
        return _journaled(store, operation, raising=raising)
    try:
        return operation.perform(store)
    except StoreUnavailableError as error:
        log.warning("%s did not take a write; it will be tried again. %s", store.url, error)
        lifeline.retry(store, partial(operation.perform, store))
    except BaseException as error:
        if isinstance(error, Exception) and not _is_of_a_signal(error):
            if raising:
                raise
            # Whatever it is (a store may be the user's own), the reply was paid for.
            log.exception("%s refused to write what a paid call cost.", store.url)
            return _LATER
        # Interrupted (Ctrl-C), so whether it was written is not known: once more changes nothing (R3). But
        # what a memory store does is not undone by halves, so there the hold goes at its term.
        if store.blocking:
            lifeline.retry(store, partial(operation.perform, store))
        raise
    return _LATER


def _journaled(store: Store, operation: Operation, *, raising: bool) -> Settlement | Hold | object | None:
    """The same for a store on another machine: it is written down here before the store is asked."""
    journal, ticket = journal_of(store), Ticket(store, operation)
    try:
        journal.begin(ticket)
        if journal.is_down():
            journal.keep(ticket)
            leave_again(store)
            return _LATER
        outcome = operation.perform(store)
        journal.done(ticket)
    except StoreUnavailableError as error:
        journal.keep(ticket, error)
        leave_again(store)
    except BaseException as error:
        if not isinstance(error, Exception) or _is_of_a_signal(error):
            journal.keep(ticket)
            raise
        if raising:
            journal.done(ticket)
            raise
        if isinstance(error, (ConfigurationError, StoreCorruptError)):
            journal.keep(ticket, error)  # a key that was revoked, say: which the replay finds out
        else:
            journal.refuse(ticket, error)
    else:
        journal.answered()
        return outcome
    return _LATER


def _is_of_a_signal(error: Exception) -> bool:
    """Whether a signal's handler raised it (an alarm's): it is the program's own, and goes through (R12)."""
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _code(handler: object) -> CodeType | None:
    if not callable(handler):
        return None  # SIG_DFL, SIG_IGN, or none of Python's
    code = getattr(handler, "__code__", None) or getattr(handler.__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None
