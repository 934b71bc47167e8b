"""Folding what is old, in PostgreSQL. See `allowance.ledger.pruning`."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from allowance.ledger.pruning import Pruning
from allowance.stores.postgres import sql
from allowance.stores.postgres.locks import STRIPES
from allowance.stores.postgres.tables import PostgresTables, storable
from allowance.stores.rows import read_account, read_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.ledger.holds import HoldRow
    from allowance.ledger.records import Account, AccountKey, Entry
    from allowance.stores.postgres.engine import Engine

__all__ = ["prune"]

_PAGE = 100


def prune(engine: Engine, before: int) -> int:
    """Fold in steps of a hundred rows, each a transaction; while one runs, all others wait. How many went."""
    done = Pruning(before, page=_PAGE)

    def step(tables: _PruningTables, now: int) -> tuple[Pruning, bool]:
        tried = deepcopy(done)  # a transaction that fails begins again, from where the last one ended
        more = tried.step(tables, now)
        return tried, more

    more = True
    while more:
        done, more = engine.transact(step, stripes=range(STRIPES), kind=_PruningTables)
    return done.folded


class _PruningTables(PostgresTables):
    def holds_after(self, hold_id: str, count: int) -> Sequence[HoldRow]:
        return self._holds(self._all(sql.HOLDS_AFTER, (hold_id, count)))

    def forget_hold(self, hold_id: str) -> None:
        self._connection.execute(sql.FORGET_HOLD, (hold_id,))

    def accounts_after(self, project: str | None, last: AccountKey, count: int) -> Sequence[Account]:
        if project is None:
            rows = self._all(sql.ACCOUNTS_AFTER, (*last, count))
        else:
            rows = self._all(sql.ACCOUNTS_OF_PROJECT_AFTER, (project, *last[1:], count))
        return [read_account(row[:19]) for row in rows]

    def old_lines(self, key: AccountKey, until: int, after: tuple[int, int], count: int) -> Sequence[Entry]:
        at, seq = after
        return [
            read_entry(row) for row in self._all(sql.OLD_LINES, (self._id(key), at, at, seq, until, count))
        ]

    def lines_of(self, numbers: Sequence[int]) -> Sequence[Entry]:
        return [read_entry(row) for row in self._all(sql.ENTRIES, (list(numbers),))]

    def lines_of_hold(self, row: HoldRow) -> Sequence[Entry]:
        numbers = [self._id(key) for key, _ in row.windows]
        lines = self._all(sql.ENTRIES_OF_HOLD, (numbers, row.reserved_at, row.hold_id))
        return [read_entry(line) for line in lines]

    def replace_lines(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        # Lines are never deleted but here: what guards them lets this one transaction pass.
        number = self._id(gone[0].key)
        self._connection.execute(sql.UNGUARD)
        self._connection.execute(sql.DROP_LINES, ([line.seq for line in gone],))
        for line in new:
            self._connection.execute(
                sql.CARRY_LINE,
                (
                    *(line.seq, number, str(line.kind), line.amount, line.at, line.posted_at),
                    *(line.window_start, storable(line.model), line.input_tokens, line.output_tokens),
                    line.reason,
                ),
            )
