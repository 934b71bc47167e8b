"""Recent refusals: a bounded list, for people to see why calls were refused. Best effort; nobody waits."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import func, select

from allowance.errors import StoreError
from allowance.server.state.schema import refusal

if TYPE_CHECKING:
    from collections.abc import Collection

    from allowance.server.state.database import Database

__all__ = ["Refusal", "Refusals"]

KEPT: Final = 10_000
"""Refusals that are kept; the oldest go first."""

_WAITING: Final = 2_000
_PAUSE: Final = 0.5


class Refusal(NamedTuple):
    """A call that a budget did not cover. Amounts are nano-dollars."""

    seq: int
    at: int
    project: str
    kind: str
    name: str
    label: str
    model: str | None
    projected: int
    remaining: int
    limit: int


class Refusals:
    """What was refused is gathered in memory, and written every half second by a thread of its own.

    What cannot be written is dropped, and so is what exceeds 2,000 in between: a flood of refusals must
    cost neither memory nor the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[Refusal] = deque(maxlen=_WAITING)
        self._writer: threading.Thread | None = None
        self._closing = threading.Event()

    def add(self, refused: Refusal) -> None:
        """Note one; nothing is waited for."""
        if self._pid != os.getpid():
            self._begin_anew()  # the parent writes its own, and its thread is not here
        self._waiting.append(refused)
        if self._writer is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._writer is None and not self._closing.is_set():
                self._writer = threading.Thread(target=self._write_on, name="allowance-refusals", daemon=True)
                self._writer.start()

    def listed(self, projects: Collection[str] | None, after: int | None, limit: int) -> list[Refusal]:
        """The newest first; with ``after`` those of higher numbers, the oldest first."""
        self.flush()
        order = refusal.c.seq if after is not None else refusal.c.seq.desc()
        wanted = select(refusal).order_by(order).limit(limit)
        if after is not None:
            wanted = wanted.where(refusal.c.seq > after)
        if projects is not None:
            wanted = wanted.where(refusal.c.project.in_(sorted(projects)))
        with self._database.read() as connection:
            return [Refusal(*row) for row in connection.execute(wanted)]

    def flush(self) -> None:
        """Write what waits; what the database does not take is dropped."""
        batch: list[Refusal] = []
        while self._waiting and len(batch) < _WAITING:
            try:
                batch.append(self._waiting.popleft())
            except IndexError:  # another thread took it
                break
        if not batch:
            return
        rows = [{name: value for name, value in one._asdict().items() if name != "seq"} for one in batch]
        try:
            with self._database.write() as connection:
                connection.execute(refusal.insert(), rows)
                newest = select(func.max(refusal.c.seq) - KEPT).scalar_subquery()
                connection.execute(refusal.delete().where(refusal.c.seq <= newest))
        except StoreError:
            return

    def close(self) -> None:
        """Write what waits, and stop the thread."""
        self._closing.set()
        if self._writer is not None and self._pid == os.getpid():
            self._writer.join()
        self.flush()

    def _write_on(self) -> None:
        while not self._closing.wait(_PAUSE):
            self.flush()
