"""What must happen although nobody waits for it: renewals, retries, and the ends of lost streams.

One daemon thread per process renews the holds of open calls (R6), settles streams whose last reference
was dropped (their finalizers only put a job on a queue: they may run anywhere, even inside a lock, R13),
and tries again what a store could not write: of a remote store what its journal holds (R14), of others what
is kept here. What is left is done at the interpreter's exit.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from allowance.calls import journal
from allowance.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from allowance.calls.call import Call
    from allowance.stores.base import Store

__all__ = ["catch_up", "closed", "drain", "later", "opened", "retry", "wake"]

log = logging.getLogger("allowance")

WAKE_EVERY = 60.0
"""Seconds between two rounds. Holds live for minutes, so a round or two may be missed."""

_OPEN_ROOMS = (
    *("allowance.calls.block", "allowance.calls.budgeted", "allowance.calls.call", "allowance.calls.edges"),
    *("allowance.calls.follow", "allowance.calls.raw", "allowance.calls.sdk_meter"),
    *("allowance.calls.shortage", "allowance.calls.standins", "allowance.calls.strategies"),
    *("allowance.calls.streams", "allowance.calls.threads", "allowance.sdks."),
)
"""Where the code of users and SDKs is run: no lock is held there. A test holds that these rooms exist."""

MOST_RETRIES = 10_000
"""How many costs are kept for a file that cannot be written; beyond it the oldest are given up, loudly."""

LAST_ATTEMPT = 2.0
"""Seconds for which remote stores are tried once more at the end; what is left then stays in the journal."""


class _Lifeline:
    """The state of one process; a forked child begins with an empty one."""

    def __init__(self) -> None:
        self.open: dict[str, weakref.ref[Call]] = {}
        self.jobs: deque[Callable[[], None]] = deque()
        self.wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.working = threading.RLock()  # held while jobs are done, so that `drain` can wait for them
        self.unwritten: list[tuple[Store, Callable[[], object]]] = []
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, name="allowance-lifeline", daemon=True)
                self.thread.start()

    def run(self) -> None:
        renew_at = time.monotonic() + WAKE_EVERY
        while True:
            with contextlib.suppress(queue.Empty):
                self.wake.get(timeout=max(0.0, min(renew_at, journal.next_at()) - time.monotonic()))
            with self.working:
                self.unfailing(self.work)
            self.unfailing(journal.work)
            if time.monotonic() >= renew_at:
                self.unfailing(self.renew)
                self.unfailing(self.rewrite)
                renew_at = time.monotonic() + WAKE_EVERY

    @staticmethod
    def unfailing(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException:  # a hook may raise SystemExit, a store of the user's own anything: it goes on
            what = getattr(task, "__name__", task)
            log.exception("The lifeline could not %s; a hold that this leaves is charged at its term.", what)

    def work(self) -> None:
        while True:
            try:
                job = self.jobs.popleft()
            except IndexError:
                return
            run_job(job)

    def renew(self) -> None:
        holds: dict[tuple[Store, int], list[str]] = {}
        for call_id, reference in list(self.open.items()):
            call = reference()
            if call is None:
                self.open.pop(call_id, None)  # an interrupt came between its end and `closed`
            elif (charge := call.charge) is not None:
                for store in charge.stores():
                    holds.setdefault((store, charge.books.policy.ttl), []).extend(charge.hold_ids())
        for (store, ttl), ids in holds.items():
            try:
                store.renew(ids, ttl)
            except Exception as error:  # noqa: BLE001  # be it a key that was revoked: there are other stores
                log.warning("%d open holds in %s could not be renewed: %s", len(ids), store.url, error)

    def rewrite(self) -> None:
        with self.lock:
            waiting, self.unwritten = self.unwritten, []
        left: list[tuple[Store, Callable[[], object]]] = []
        down: dict[int, StoreError] = {}
        for store, write in waiting:
            if id(store) in down:
                left.append((store, write))
                continue
            try:
                write()
            except StoreUnavailableError as error:
                down[id(store)] = error
                left.append((store, write))
            except Exception:
                log.exception("A cost could not be written, and cannot be; it is given up.")
        if left:
            with self.lock:
                self.unwritten = left + self.unwritten
            reasons = " ".join(map(str, down.values()))
            log.warning("%d costs wait for a store that does not answer: %s", len(left), reasons)


_lifeline = _Lifeline()


def opened(call_id: str, call: Call) -> None:
    """Keep this call's holds alive until it is `closed`, or the call itself is gone."""
    _lifeline.open[call_id] = weakref.ref(call)
    if _lifeline.thread is None:
        _lifeline.start()


def closed(call_id: str) -> None:
    """Its holds are no more."""
    _lifeline.open.pop(call_id, None)


def later(job: Callable[[], None]) -> None:
    """Have a job done soon by the lifeline's thread. Safe in finalizers: no lock is taken, no I/O done."""
    _lifeline.jobs.append(job)
    _lifeline.wake.put(None)


def wake() -> None:
    """Have the lifeline's thread look what there is to do."""
    if _lifeline.thread is None:
        with contextlib.suppress(RuntimeError):  # the interpreter ends: what is left is done there
            _lifeline.start()
    _lifeline.wake.put(None)


def retry(store: Store, write: Callable[[], object]) -> None:
    """Keep a write that a store did not take, and try it again each round and at exit."""
    with _lifeline.lock:
        _lifeline.unwritten.append((store, write))
        given_up = len(_lifeline.unwritten) - MOST_RETRIES
        if given_up > 0:
            del _lifeline.unwritten[:given_up]
            log.error("%d costs were given up: their store has not answered for too long.", given_up)
    if _lifeline.thread is None:
        _lifeline.start()


def is_interrupted() -> bool:
    """Whether code of ours that may hold a lock is waiting for this code to return: a finalizer's, then."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the one way to see who waits
    while frame is not None:
        room = frame.f_globals.get("__name__", "")
        if room.startswith("allowance.") and not room.startswith(_OPEN_ROOMS):
            return True
        frame = frame.f_back
    return False


def run_job(job: Callable[[], None]) -> None:
    """Run one job; nobody waits for it, so what it raises is logged."""
    try:
        job()
    except Exception:
        log.exception("A call's end could not be written; its hold will be charged at its term.")


def catch_up() -> None:
    """Settle now, in this thread, the calls that were lost; costs nothing where there are none."""
    if _lifeline.jobs and _lifeline.working.acquire(blocking=False):
        try:
            _lifeline.work()
        finally:
            _lifeline.working.release()


def drain() -> None:
    """Do now all that waits, and wait for what is being done: ends of lost calls, then failed writes."""
    with _lifeline.working:
        _lifeline.work()
    _lifeline.rewrite()
    journal.drain(LAST_ATTEMPT)
    journal.rest()


def _at_exit() -> None:
    # Streams that are still open are settled for what was seen of them. Calls that are still being made
    # by daemon threads are not: nobody knows what they cost, so their holds run to their term.
    for reference in list(_lifeline.open.values()):
        call = reference()
        if call is not None and call.tally is not None:
            run_job(call.lost)
    drain()


def _after_fork() -> None:
    # The parent's calls are the parent's to settle (R13).
    global _lifeline
    _lifeline = _Lifeline()


journal.on_work(wake)
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
