"""`Journal`: what must still reach one store, kept on disk until the store has answered (R14)."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from allowance.calls.journal import place
from allowance.calls.journal.backoff import Backoff
from allowance.calls.journal.files import JournalFile, read_file
from allowance.calls.journal.frames import framed
from allowance.calls.journal.helpers import together
from allowance.calls.journal.refusals import is_final, keep_refused
from allowance.errors import (
    BudgetError,
    ConfigurationError,
    StoreCorruptError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.calls.journal.operations import Operation
    from allowance.stores.base import Store

__all__ = ["Journal", "Ticket"]

log = logging.getLogger("allowance")

LEFT_ALONE: Final = 600.0
"""Seconds for which a dead process's file is left, that this one cannot post."""

_BETWEEN_COMPLAINTS: Final = 60.0

ROUND: Final = 10.0
"""Seconds after which the lifeline looks what else there is to do, holds to renew above all."""

SHORTEST_OFF: Final = 1.0
LONGEST_OFF: Final = 60.0
"""Seconds for which a record is put off that the store does not take, though it takes others."""

MOST_HELPERS: Final = 7
WORTH_A_HELPER: Final = 32
"""Threads that post what waits beside the one that began, and for how much of it each is worthwhile."""


class Ticket:
    """One operation on its way. ``file`` and ``mark`` say where it is written; None: in memory alone."""

    __slots__ = ("at", "file", "mark", "number", "operation", "size", "store")

    def __init__(self, store: Store, operation: Operation) -> None:
        self.store = store
        self.operation = operation
        self.at = time.time_ns() // 1000
        self.number = 0
        self.mark = 0
        self.size = 0
        self.file: JournalFile | None = None


class Journal:
    """The operations on one store that it has not answered yet.

    Each is written before the store is asked, and marked once it has answered, so that a process that dies
    in between leaves it to the next one of its user. Whatever is done twice that way changes nothing (R3).
    Every method may be used by any thread, and none raises for a disk that does not take it: then memory
    alone has to do.

    Attributes:
        size: bytes of what is not done yet.
        adopt_at: when (monotonic) to look for what dead processes have left.

    Args:
        wake: called where there may be something to do before `next_at` said so.
    """

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.url = store.url
        self.directory = place.directory_of(store.url)
        self.size = 0
        self.adopt_at = 0.0
        self._store = _reference(store)
        # A signal's handler may make a call in the midst of another's: each step leaves things whole.
        self._lock = threading.RLock()
        self._replaying = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, Ticket] = {}
        self._waiting: dict[int, Ticket] = {}
        self._put_off: dict[int, Ticket] = {}
        self._off_until = 0.0
        self._off_for = SHORTEST_OFF
        self._files: list[JournalFile] = []
        self._own: JournalFile | None = None
        self._adopting = threading.RLock()
        self._adopted = False
        self._is_left = False
        self._left_alone: dict[str, float] = {}
        self._disk_again_at = 0.0
        self._backoff = Backoff()

    def store(self) -> Store | None:
        """The store, while anybody uses it."""
        return self._store()

    # -- one operation -------------------------------------------------------------------------------

    def begin(self, ticket: Ticket) -> None:
        """Write it down: the store is about to be asked."""
        ticket.number = ticket.mark = next(self._numbers)
        try:
            line = framed({"n": ticket.number, "at": ticket.at, "store": self.url, **ticket.operation.dump()})
        except BudgetError:  # what no wire can carry, the store itself will have something to say about
            line = b""
        with self._lock:
            self._open[ticket.number] = ticket
            ticket.size = len(line)
            self.size += ticket.size
            if line and time.monotonic() >= self._disk_again_at:
                self._write(ticket, line)

    def _write(self, ticket: Ticket, line: bytes) -> None:
        try:
            file = self._file()
            file.write(line)
        except OSError as error:
            self._disk_again_at = time.monotonic() + _BETWEEN_COMPLAINTS
            log.warning(
                "The journal in %s cannot be written (%s): until that is mended, what %s does not take is "
                "kept in memory alone, and lost with this process.",
                self.directory,
                error.strerror or error,
                self.url,
            )
        else:
            ticket.file = file

    def _file(self) -> JournalFile:
        file = self._own
        if file is None or (file.left and file.is_full()):
            place.make_directory(self.directory)
            name = f"{os.getpid()}-{os.urandom(4).hex()}"
            file = self._own = JournalFile(*place.make_file(self.directory, name))
            self._files.append(file)
        return file

    def done(self, ticket: Ticket) -> None:
        """The store has answered."""
        with self._lock:
            if self._open.pop(ticket.number, None) is None:
                return
            self._waiting.pop(ticket.number, None)
            self._put_off.pop(ticket.number, None)
            self.size -= ticket.size
            file = ticket.file
            if file is None:
                return
            file.done(ticket.mark)
            if not file.left and file is not self._own:
                self._files.remove(file)
                file.discard()

    def keep(self, ticket: Ticket, error: BudgetError | None = None) -> None:
        """The store has not answered, or was not asked: it is tried again later."""
        if not ticket.number:
            self.begin(ticket)  # which was interrupted
        with self._lock:
            if ticket.number in self._open:
                self._waiting[ticket.number] = ticket
        if error is not None:
            self.failed(error)
        self._wake()

    def refuse(self, ticket: Ticket, error: BaseException) -> None:
        """The store will never take it: it goes to the file of refused records, and is told."""
        keep_refused(self.directory, self.url, ticket.operation, error)
        self.done(ticket)

    # -- whether the store answers -------------------------------------------------------------------

    def answered(self) -> None:
        """It did: what waits is to be tried now."""
        if self._backoff.failures or self._waiting:
            self._backoff.answered()
            self._wake()

    def failed(self, error: BudgetError) -> bool:
        """It did not answer; whether that is news, and was told."""
        is_news = self._backoff.failed(getattr(error, "retry_after", None))
        if is_news:
            log.warning(
                "%s does not answer; what calls have cost is kept in %s, and posted once it does. %s",
                self.url,
                self.directory,
                error,
            )
        return is_news

    def is_down(self) -> bool:
        """Whether it is known not to answer just now, so that nobody should wait for it."""
        return self._backoff.is_down()

    def next_at(self) -> float:
        """When (monotonic) there is something to do."""
        moments = [self.adopt_at]
        if self._waiting:
            moments.append(self._backoff.again_at)
        if self._put_off:
            moments.append(max(self._off_until, self._backoff.again_at))
        return min(moments)

    def waiting(self) -> int:
        """How many operations wait for the store."""
        return len(self._waiting) + len(self._put_off)

    # -- later ---------------------------------------------------------------------------------------

    def replay(self, until: float | None = None) -> None:
        """Try what waits, the oldest first, as long as the store answers; ``until`` (monotonic) at most.

        Without it this is one of many rounds, and what was put off is left until its time.
        """
        last = until is not None
        limit = time.monotonic() + ROUND if until is None else until
        if not self._replaying.acquire(timeout=max(0.0, limit - time.monotonic()) if last else 0.0):
            return  # another thread is at it
        try:
            self._take_up(everything=last)
            tickets = deque(sorted(self._waiting.values(), key=lambda ticket: ticket.number))
            number = len(tickets)
            together(partial(self._next, tickets, limit), min(MOST_HELPERS, number // WORTH_A_HELPER))
            if number and not self.waiting():
                log.info("All that waited for %s has reached it: %d costs and holds.", self.url, number)
        finally:
            self._replaying.release()

    def _take_up(self, *, everything: bool) -> None:
        """Have what was put off tried again, if it is time."""
        with self._lock:
            if not self._put_off:
                self._off_for = SHORTEST_OFF
            elif everything or time.monotonic() >= self._off_until:
                self._waiting.update(self._put_off)
                self._put_off.clear()

    def _next(self, tickets: deque[Ticket], until: float) -> bool:
        """Try the next one; False where there is none, or no time, or the store does not answer."""
        if time.monotonic() >= until:
            return False
        try:
            ticket = tickets.popleft()
        except IndexError:
            return False
        if ticket.number in self._waiting and not self._attempt(ticket, until):
            tickets.clear()
            return False
        return True

    def _attempt(self, ticket: Ticket, until: float, *, again: bool = False) -> bool:
        """Try one; False where the store takes nothing now."""
        try:
            ticket.operation.perform(ticket.store)
        except (StoreUnavailableError, StoreCorruptError) as error:
            if again:
                self._off(ticket, error)
                return True
            if time.monotonic() >= until or _takes_nothing(ticket.store, ticket.operation):
                self.failed(error)
                return False
            return self._attempt(ticket, until, again=True)  # it may have come back in between
        except ConfigurationError as error:
            if _takes_nothing(ticket.store, ticket.operation):
                self.failed(StoreUnavailableError(str(error), retry_after=_BETWEEN_COMPLAINTS))
                return False
            self._refused(ticket, error)
        except Exception as error:  # noqa: BLE001  # a store may be the user's own; it is logged there
            self._refused(ticket, error)
        else:
            self._backoff.answered()
            self.done(ticket)
        return True

    def _off(self, ticket: Ticket, error: BudgetError) -> None:
        """Put one off that is not taken, though the store answers: those behind it need not wait for it."""
        self._backoff.answered()
        with self._lock:
            if self._waiting.pop(ticket.number, None) is None:
                return
            if not self._put_off:
                self._off_until = time.monotonic() + self._off_for
                self._off_for = min(2 * self._off_for, LONGEST_OFF)
            self._put_off[ticket.number] = ticket
        log.warning("%s does not take %s, and is asked again later. %s", self.url, ticket.operation, error)

    def _refused(self, ticket: Ticket, error: Exception) -> None:
        self._backoff.answered()
        file = ticket.file
        if file is not None and file.foreign and not is_final(error, ticket.at):
            self._leave(file, error)
        else:
            self.refuse(ticket, error)

    def _leave(self, file: JournalFile, error: Exception) -> None:
        # Another of the user's programs may have had another key, which sees what this one's does not.
        log.warning(
            "%s is left for a process that may post it: %s refuses it here. %s", file.path, self.url, error
        )
        with self._lock:
            self._left_alone[file.path] = time.monotonic() + LEFT_ALONE
            for ticket in [ticket for ticket in list(self._open.values()) if ticket.file is file]:
                self._open.pop(ticket.number)
                self._waiting.pop(ticket.number, None)
                self._put_off.pop(ticket.number, None)
                self.size -= ticket.size
            self._files.remove(file)
            file.let_go()

    def adopt(self) -> None:
        """Take over what dead processes of this user have left for the store."""
        with self._adopting:
            self._adopt()

    def adopt_once(self) -> None:
        """The same, where this process has not done it yet; one that is about to end waits for it here."""
        with self._adopting:
            if not self._adopted:
                self._adopt()

    def _adopt(self) -> None:
        store = self._store()
        if store is None or self._is_left:
            return
        self._adopted = True
        for path, descriptor in place.abandoned(self.directory):
            file = JournalFile(path, descriptor, foreign=True)
            if self._left_alone.get(path, 0.0) > time.monotonic():
                file.let_go()
                continue
            try:
                records = read_file(file)
            except OSError as error:
                log.warning("The journal %s cannot be read: %s", path, error.strerror)
                file.let_go()
                continue
            if not records:
                file.discard()
                continue
            log.info("A process that is gone has left %d records for %s.", len(records), self.url)
            with self._lock:
                self._files.append(file)
                for record in records:
                    ticket = Ticket(store, record.operation)
                    ticket.at, ticket.mark, ticket.file = record.at, record.number, file
                    ticket.number = next(self._numbers)
                    self._open[ticket.number] = self._waiting[ticket.number] = ticket

    def rest(self) -> None:
        """Hold no file open while there is nothing to keep."""
        with self._lock:
            file = self._own
            if file is not None and not file.left:
                self._own = None
                self._files.remove(file)
                file.discard()

    def leave(self) -> None:
        """Leave all that waits to whoever uses the store next: this store is closed."""
        with self._adopting, self._lock:
            self._is_left = True
            for file in self._files:
                if file.left:
                    file.let_go()
                else:
                    file.discard()
            lost = [ticket for ticket in self._open.values() if ticket.file is None]
            if lost:
                log.error("%d costs and holds that %s has not taken are lost.", len(lost), self.url)
            self._files.clear()
            self._own = None
            self._open.clear()
            self._waiting.clear()
            self._put_off.clear()
            self.size = 0

    def forked(self) -> None:
        """In a forked child: close, and neither write nor unlock, what is the parent's."""
        for file in self._files:
            file.let_go()
        self._files.clear()


def _takes_nothing(store: Store, operation: Operation) -> bool:
    """Whether it is the key or the address that is refused, and not this operation."""
    hold_id = operation.hold_id
    try:
        store.hold(hold_id)
    except Exception:  # noqa: BLE001  # whatever it is, the store answers nothing
        return True
    return False


def _reference(store: Store) -> Callable[[], Store | None]:
    try:
        return weakref.ref(store)
    except TypeError:  # a user's own, with __slots__
        return lambda: store
