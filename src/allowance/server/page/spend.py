"""What was spent by day and by model: each line of the ledger is read once, and then only new ones."""

from __future__ import annotations

import threading
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.ledger.records import EntryKind
from allowance.stores.memory import system_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.ledger.records import Entry
    from allowance.stores.base import Store

__all__ = ["DAYS", "Day", "ModelSum", "Spend", "SpendView", "day_name"]

DAYS: Final = 30
"""Days that are shown, today's included."""

_DAY: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
_AGAIN: Final = 2.0  # seconds for which what was read is new enough
_OVERLAP: Final = 1_000  # lines that are read again: a database may commit them out of order
_KINDS_OF_SUM: Final = 2_000  # (project, model) in one day; models are whatever callers name
_OTHERS: Final = "(others)"


class Day(NamedTuple):
    """One day in UTC; ``amount`` in nano-dollars."""

    day: date
    amount: int
    calls: int


class ModelSum(NamedTuple):
    """One model in all days that are shown; ``""`` is what names none."""

    name: str
    amount: int
    calls: int


class SpendView(NamedTuple):
    """Sums for one reader. ``complete`` is False while the ledger is still being read for the first time."""

    days: list[Day]
    models: list[ModelSum]
    amount: int
    calls: int
    complete: bool
    lines: int


class Spend:
    """Sums of the last days, kept in this process.

    A ledger may have ten million lines. So the first line that counts is found by halving, each view reads on
    for a short time at most, and what was read is kept as sums: of at most so many models and projects a day.
    What is shown is what calls have cost; resets and refunds by hand are left out. A call that counted on
    several budgets of a project (a team's, a user's) counts once.
    """

    def __init__(self, store: Store, *, hidden: str, clock: Callable[[], int] = system_clock) -> None:
        self._store = store
        self._hidden = hidden
        self._clock = clock
        self._lock = threading.Lock()
        self._days: dict[int, dict[tuple[str, str], list[int]]] = {}
        self._last: int | None = None
        self._lines = 0
        self._complete = False
        self._read_at = float("-inf")
        self._seen: dict[int, None] = {}
        self._calls: dict[tuple[str, str, EntryKind, int], None] = {}

    def view(self, sees: Callable[[str], bool], project: str = "", *, patience: float = 0.3) -> SpendView:
        """The sums of the projects that a reader sees, or of one of them."""
        self._read_on(patience)
        with self._lock:
            return self._view(lambda name: sees(name) and project in ("", name))

    def _view(self, wanted: Callable[[str], bool]) -> SpendView:
        today = self._clock() // _DAY
        days = []
        models: dict[str, list[int]] = {}
        for number in range(today - DAYS + 1, today + 1):
            amount = calls = 0
            for (project, model), (cost, count) in self._days.get(number, {}).items():
                if wanted(project):
                    amount, calls = amount + cost, calls + count
                    total = models.setdefault(model, [0, 0])
                    total[0] += cost
                    total[1] += count
            days.append(Day(_EPOCH + timedelta(days=number), amount, calls))
        sums = [ModelSum(name, cost, count) for name, (cost, count) in models.items()]
        sums.sort(key=lambda one: (-one.amount, one.name))
        amount, calls = sum(day.amount for day in days), sum(day.calls for day in days)
        return SpendView(days, sums, amount, calls, self._complete, self._lines)

    def _read_on(self, patience: float) -> None:
        """Take in what is new, for a time; where another thread is at it, wait for it as long at most."""
        if not self._lock.acquire(timeout=patience):
            return
        try:
            now = time.monotonic()
            if now - self._read_at < _AGAIN:
                return
            if self._last is None:
                self._last = self._before_first(self._first_day() * _DAY)
            again = _OVERLAP if self._complete else 0
            if self._take(self._store.entries(after=max(0, self._last - again)), now + patience):
                self._complete = True
                self._read_at = time.monotonic()
            self._forget()
        finally:
            self._lock.release()

    def _take(self, lines: Iterator[Entry], deadline: float) -> bool:
        """Add lines up; whether they came to their end before the deadline."""
        first = self._first_day()
        for number, entry in enumerate(lines, 1):
            if number % 256 == 0 and time.monotonic() > deadline:
                return False
            if entry.seq not in self._seen:
                self._seen[entry.seq] = None
                self._last = max(self._last or 0, entry.seq)
                self._lines += 1
                if entry.at // _DAY >= first:
                    self._add(entry)
        return True

    def _add(self, entry: Entry) -> None:
        key, kind = entry.key, entry.kind
        if kind is EntryKind.ADJUSTMENT or key.project == self._hidden:
            return
        if kind is EntryKind.CARRIED and self._complete:
            return  # it stands for lines that were taken in when they came
        if entry.hold_id is not None:
            call = (key.project, entry.hold_id, kind, entry.posted_at)
            if call in self._calls:
                return
            self._calls[call] = None
        day = self._days.setdefault(entry.at // _DAY, {})
        names = (key.project, entry.model or "")
        if names not in day and len(day) >= _KINDS_OF_SUM:
            names = (key.project if len(day) < 2 * _KINDS_OF_SUM else "", _OTHERS)
        total = day.setdefault(names, [0, 0])
        total[0] += entry.amount
        total[1] += kind in (EntryKind.CALL, EntryKind.EXPIRY)

    def _forget(self) -> None:
        first, last = self._first_day(), self._last or 0
        for number in [number for number in self._days if number < first]:
            del self._days[number]
        if len(self._seen) > 4 * _OVERLAP:
            self._seen = {seq: None for seq in self._seen if seq > last - _OVERLAP}
        for call in list(self._calls)[: max(0, len(self._calls) - 4 * _OVERLAP)]:
            del self._calls[call]

    def _first_day(self) -> int:
        return self._clock() // _DAY - DAYS + 1

    def _before_first(self, since: int) -> int:
        """A number before the first line that was posted since a time: lines are in order of posting."""
        if (found := self._line_after(0)) is None or found.posted_at >= since:
            return 0
        low, high = found.seq, 2 * found.seq + _OVERLAP
        while (found := self._line_after(high)) is not None and found.posted_at < since:
            low, high = found.seq, 2 * found.seq
        while high - low > _OVERLAP:
            middle = (low + high) // 2
            found = self._line_after(middle)
            if found is not None and found.posted_at < since:
                low = found.seq
            else:
                high = middle
        return low

    def _line_after(self, seq: int) -> Entry | None:
        return next(iter(self._store.entries(after=seq)), None)


def day_name(day: date) -> str:
    """``"22 Nov"``."""
    return f"{day.day} {day:%b}"
