"""Folding what is old: many lines of a closed window become one for each model, and the sums stay (R2)."""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

from allowance.errors import ConfigurationError
from allowance.ledger.accounts import turn
from allowance.ledger.records import AccountKey, Entry, EntryKind, HoldState
from allowance.ledger.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from allowance.ledger.holds import HoldRow
    from allowance.ledger.records import Account

__all__ = ["KEPT", "Pruning", "PruningTables", "check_before", "foldable_until", "folded", "summed"]

KEPT: Final = 8 * 86_400_000_000
"""What is younger is left alone: eight days, in which a call that is told twice is known again."""

STEP: Final = 500
"""Rows that one step looks at, so that nobody waits long."""

_MOST_GROUPS: Final = 1_000
_CARRIED: Final = EntryKind.CARRIED
_OVER: Final = (HoldState.SETTLED, HoldState.RELEASED)
_FIRST: Final = AccountKey("", "", "")
_EARLIEST: Final = (-(2**62), 0)


class PruningTables(Tables, Protocol):
    """The rows, and what folding them needs besides."""

    def holds_after(self, hold_id: str, count: int) -> Sequence[HoldRow]:
        """Holds in whatever state whose ids follow this one, in order of their ids."""
        ...

    def forget_hold(self, hold_id: str) -> None:
        """Forget a hold: its id is a new one from now on."""
        ...

    def accounts_after(self, project: str | None, last: AccountKey, count: int) -> Sequence[Account]:
        """The next accounts, those that were removed among them, in order of their keys."""
        ...

    def old_lines(self, key: AccountKey, until: int, after: tuple[int, int], count: int) -> Sequence[Entry]:
        """An account's lines with ``at < until`` of which no hold is kept, in order of ``at`` and ``seq``."""
        ...

    def lines_of(self, numbers: Sequence[int]) -> Sequence[Entry]:
        """The lines of these ``seq``, as far as they are still there."""
        ...

    def lines_of_hold(self, row: HoldRow) -> Sequence[Entry]:
        """The lines that bear a hold's id."""
        ...

    def replace_lines(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        """Put lines in the place of others of the same account, each with the ``seq`` that it bears."""
        ...


def check_before(before: int, now: int) -> None:
    """Refuse to fold what is too young.

    Raises:
        ConfigurationError: ``before`` is not eight days ago at least.
    """
    if type(before) is not int or not 0 <= before <= now - KEPT:
        raise ConfigurationError(
            f"Only what is older than {KEPT // 86_400_000_000} days may be folded, for until then a call "
            f"that is told twice must be known again: before {now - KEPT} microseconds since 1970, not "
            f"{before!r:.60}."
        )


def foldable_until(account: Account, before: int) -> int:
    """Before when an account's lines may be folded: of closed windows; where none ends, all old ones."""
    return before if account.window_end is None else min(before, account.window_start)


def folded(account: Account, lines: Iterable[Entry]) -> list[Entry]:
    """A line for each model in each window; none stands for lines in and out of the present window."""
    start = account.window_start
    return summed(lines, lambda line: (line.window_start, line.model, line.at >= start))


def summed(lines: Iterable[Entry], by: Callable[[Entry], Hashable]) -> list[Entry]:
    """A line for those that are alike, in the order of the last of each."""
    runs: dict[Hashable, list[Entry]] = {}
    for line in lines:
        runs.setdefault(by(line), []).append(line)
    return sorted([run[0] if len(run) == 1 else _carried(run) for run in runs.values()])


def _carried(run: list[Entry]) -> Entry:
    last = max(run)
    return Entry(
        seq=last.seq,
        key=last.key,
        kind=_CARRIED,
        amount=sum([line.amount for line in run]),
        at=max([line.at for line in run]),
        posted_at=last.posted_at,
        window_start=last.window_start,
        model=last.model,
        input_tokens=sum([line.input_tokens for line in run]),
        output_tokens=sum([line.output_tokens for line in run]),
        reason="older entries, summed up",
    )


class Pruning:
    """One run over all holds and accounts, in steps that are a transaction each. ``folded`` lines have gone.

    Holds that are over go first, and then the lines of which no hold is kept: between any two steps the
    books balance.
    """

    def __init__(self, before: int, page: int = STEP) -> None:
        self.folded = 0
        self._page = page
        self._before = before
        self._checked = False
        self._hold: str | None = ""
        self._last = _FIRST
        self._keys: deque[AccountKey] = deque()
        self._after = _EARLIEST
        self._carried: list[int] = []

    def step(self, tables: PruningTables, now: int) -> bool:
        """Go on for some hundred rows; whether there is more to do."""
        if not self._checked:
            check_before(self._before, now)
            self._checked = True
        if self._hold is not None:
            self._hold = self._forget_holds(tables, self._hold)
            return True
        return self._fold(tables, now)

    def _forget_holds(self, tables: PruningTables, last: str) -> str | None:
        rows = tables.holds_after(last, self._page)
        for row in rows:
            if row.state in _OVER and row.reserved_at < self._before and self._is_old(tables, row):
                tables.forget_hold(row.hold_id)
        return rows[-1].hold_id if len(rows) == self._page else None

    def _is_old(self, tables: PruningTables, row: HoldRow) -> bool:
        """Whether nothing was posted for it of late: word of an expired call may come after weeks."""
        return all(line.posted_at < self._before for line in tables.lines_of_hold(row))

    def _fold(self, tables: PruningTables, now: int) -> bool:
        room = self._page
        while room > 0:
            if not self._keys and not self._more_keys(tables):
                return False
            account = tables.account(self._keys[0])
            lines: Sequence[Entry] = ()
            if account is not None:  # else it was removed since, and its lines come with its new key
                account = turn(account, now)
                until = foldable_until(account, self._before)
                lines = tables.old_lines(account.key, until, self._after, room)
                if lines:
                    self._fold_lines(tables, account, lines)
            if len(lines) < room:
                self._keys.popleft()
                self._after, self._carried = _EARLIEST, []
            room -= len(lines) + 1
        return True

    def _more_keys(self, tables: PruningTables) -> bool:
        self._keys.extend([account.key for account in tables.accounts_after(None, self._last, self._page)])
        if self._keys:
            self._last = self._keys[-1]
        return bool(self._keys)

    def _fold_lines(self, tables: PruningTables, account: Account, lines: Sequence[Entry]) -> None:
        """Fold lines, together with what the step before made of the same windows."""
        self._after = (lines[-1].at, lines[-1].seq)
        # Read anew: another process may have folded them since.
        carried = tables.lines_of(self._carried) if self._carried else ()
        carried = [line for line in carried if line.key == account.key]
        together = {line.seq: line for line in (*carried, *lines)}
        new = {line.seq: line for line in folded(account, together.values())}
        gone = [line for line in together.values() if new.get(line.seq) != line]
        made = [line for line in new.values() if together[line.seq] != line]
        if gone:
            tables.replace_lines(gone, made)
            self.folded += len(gone) - len(made)
        latest = sorted(new.values(), key=attrgetter("window_start"))[-_MOST_GROUPS:]
        self._carried = [line.seq for line in latest]
