"""One budget's past, read from its end: the latest lines, and the windows before the present one."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.errors import ConfigurationError
from allowance.ledger.windows import window_at
from allowance.manager.sums import Sum

if TYPE_CHECKING:
    from allowance.ledger.records import Account, Entry
    from allowance.stores.base import Store

__all__ = ["LINES", "Window", "lines_of", "windows_of"]

LINES: Final = 50
_REACHES: Final = tuple(60_000_000 * 12**power for power in range(7))  # a minute to five years
_WINDOWS: Final = 12
_READ_AT_MOST: Final = 20_000


class Window(NamedTuple):
    """One window and what was spent in it, in nano-dollars."""

    start: int
    end: int | None
    spent: int
    calls: int
    current: bool


def lines_of(store: Store, account: Account, now: int) -> list[Entry]:
    """The latest lines, the newest first: a long ledger is not read from its beginning.

    A reset stands at the start of its window, however late it was made: that moment is read besides.
    """
    key, start = account.key, account.window_start
    resets = deque(store.entries(key, since=start, until=start + 1), maxlen=LINES)
    lines = {entry.seq: entry for entry in resets}
    found: deque[Entry] = deque()
    for reach in (*_REACHES, None):
        since = None if reach is None else max(0, now - reach)
        found = deque(store.entries(key, since=since), maxlen=LINES)
        if len(found) == LINES:
            break
    lines |= {entry.seq: entry for entry in found}
    return [lines[seq] for seq in sorted(lines, reverse=True)[:LINES]]


def windows_of(store: Store, account: Account) -> tuple[list[Window], bool]:
    """The present window and those before it, the newest first; and whether some were too long to read.

    A window is the time between its ends by the terms of today; what it spent is the sum of its entries.
    """
    windows = [Window(account.window_start, account.window_end, account.spent, 0, current=True)]
    left = _READ_AT_MOST
    first: int = account.window_start
    while account.window_end is not None and first > account.created_at and len(windows) <= _WINDOWS:
        try:
            start, end = window_at(account.terms, account.created_at, first - 1)
        except ConfigurationError:
            break
        total = Sum()
        for entry in islice(store.entries(account.key, since=start, until=first), left + 1):
            total.add(entry)
            left -= 1
        if left < 0:
            return windows, True
        windows.append(Window(start, end, total.spent, total.calls, current=False))
        first = start
    return windows, False
