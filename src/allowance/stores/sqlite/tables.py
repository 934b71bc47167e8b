"""The rows, in SQLite. See `allowance.ledger.tables.Tables`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from allowance.ledger.holds import HoldRow, fingerprint
from allowance.ledger.records import Account, AccountKey, Ask, Entry, EntryKind
from allowance.ledger.tables import Adjustment
from allowance.stores.rows import (
    as_text,
    dump_declaration,
    dump_tags,
    dump_windows,
    read_account,
    read_entry,
    read_hold,
)
from allowance.stores.sqlite import sql
from allowance.stores.sqlite.schema import GUARD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from allowance.ledger.records import Posting

__all__ = ["SQLiteTables"]


class SQLiteTables:
    """Rows of one connection; used within a transaction only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._ids: dict[AccountKey, int] = {}
        self._soonest: int | None = None  # no open hold's term is over before; None where that is not known

    def begin(self) -> int:
        """Begin a transaction; the latest time that one before it saw."""
        self._ids.clear()  # another process may have renamed an account, and made a new one of its name
        self._soonest = None
        row = self._execute(sql.CLOCK).fetchone()
        return int(row[0])

    def keep_clock(self, now: int) -> None:
        """Remember the time that this transaction saw."""
        self._execute(sql.KEEP_CLOCK, (now,))

    def account(self, key: AccountKey) -> Account | None:
        row = self._execute(sql.ACCOUNT, key).fetchone()
        if row is None:
            return None
        self._ids[key] = row[0]
        return read_account(row)

    def family(self, key: AccountKey) -> list[Account]:
        accounts = []
        for row in self._execute(sql.FAMILY, key[:3]):
            account = read_account(row)
            self._ids[account.key] = row[0]
            accounts.append(account)
        return accounts

    def keep(self, account: Account) -> None:
        terms, declared = account.terms, account.declared
        row = (
            *(terms.limit, terms.duration, terms.align, terms.timezone, terms.uncapped),
            json.dumps(terms.models) if terms.models else None,
            None if declared is None else dump_declaration(declared),
            *(account.created_at, account.window_start, account.window_end),
            *(account.spent, account.held, account.version),
            json.dumps(account.extras) if account.extras else None,
        )
        number = self._number(account.key)
        if number is None:
            added = self._execute(sql.ADD_ACCOUNT, (*account.key, *row))
            self._ids[account.key] = int(added.lastrowid or 0)
        else:
            self._execute(sql.KEEP_ACCOUNT, (*row, number))

    def rename(self, old: AccountKey, new: AccountKey) -> None:
        number = self._id(old)
        self._execute(sql.RENAME, (*new, number))
        del self._ids[old]
        self._ids[new] = number
        for row in self.unsettled():
            if any(key == old for key, _ in row.windows):
                windows = [(new if key == old else key, start) for key, start in row.windows]
                self._execute(sql.KEEP_WINDOWS, (dump_windows(tuple(windows)), row.hold_id))

    def projects(self, kind: str, name: str) -> Sequence[str]:
        rows = self._execute(sql.PROJECTS, (kind, name))
        return [project for (project,) in rows]

    def hold(self, hold_id: str) -> HoldRow | None:
        row = self._execute(sql.HOLD, (hold_id,)).fetchone()
        return None if row is None else read_hold(row)

    def add_hold(self, row: HoldRow) -> None:
        if self._soonest is not None and row.expires_at < self._soonest:
            self._soonest = row.expires_at
        content = fingerprint(row.content) if isinstance(row.content, Ask) else row.content
        self._execute(
            sql.ADD_HOLD,
            (
                *(row.hold_id, str(row.state), row.amount, row.expected, row.bound),
                *(dump_windows(row.windows), as_text(row.model)),
                *(row.reserved_at, row.expires_at, row.charged),
                *(row.shrunk, row.clamped, row.replaced, content),
                *(dump_tags(row.tags), as_text(row.owner)),
            ),
        )

    def keep_hold(self, row: HoldRow) -> None:
        self._execute(sql.KEEP_HOLD, (str(row.state), row.expires_at, row.charged, row.hold_id))

    def due(self, now: int) -> list[HoldRow]:
        soonest = self._soonest
        if soonest is None:
            soonest = self._soonest = int(self._execute(sql.SOONEST).fetchone()[0])
        if now < soonest:
            return []
        self._soonest = None
        return [read_hold(row) for row in self._execute(sql.DUE, (now,))]

    def unsettled(self) -> list[HoldRow]:
        """Open and expired holds, oldest first."""
        rows = [read_hold(row) for row in (*self._execute(sql.OPEN), *self._execute(sql.EXPIRED))]
        return sorted(rows, key=lambda row: (row.reserved_at, row.hold_id))

    def costs(self, key: AccountKey, start: int, end: int | None) -> dict[str | None, int]:
        return dict(self._execute(sql.COSTS, (self._id(key), start, end, end)))

    def model_costs(self, account: Account) -> dict[str | None, int]:
        return dict(self._execute(sql.MODEL_COSTS, (self._id(account.key), account.window_start)))

    def add_cost(self, account: Account, model: str | None, amount: int) -> None:
        number = self._id(account.key)
        self._execute(sql.ADD_COST, (number, as_text(model), account.window_start, amount))

    def keep_costs(self, account: Account, costs: Mapping[str | None, int]) -> None:
        self._execute(sql.DROP_COSTS, (self._id(account.key),))
        for model, amount in costs.items():
            self.add_cost(account, model, amount)

    def held(self, key: AccountKey, start: int, end: int | None) -> int:
        rows = [read_hold(row) for row in self._execute(sql.OPEN)]
        return sum(
            row.amount
            for row in rows
            if start <= row.reserved_at
            and (end is None or row.reserved_at < end)
            and any(key == named for named, _ in row.windows)
        )

    def adjustment(self, adjustment_id: str) -> Adjustment | None:
        row = self._execute(sql.ADJUSTMENT, (adjustment_id,)).fetchone()
        return None if row is None else Adjustment(AccountKey(*row[:4]), *row[4:])

    def add_adjustment(self, adjustment_id: str, adjustment: Adjustment) -> None:
        self._execute(
            sql.ADD_ADJUSTMENT,
            (adjustment_id, self._id(adjustment.key), adjustment.amount, adjustment.until),
        )

    def add_entry(
        self,
        key: AccountKey,
        kind: EntryKind,
        amount: int,
        at: int,
        posted_at: int,
        window_start: int,
        about: Posting,
    ) -> None:
        self._execute(
            sql.ADD_ENTRY,
            (
                *(self._id(key), str(kind), amount, at, posted_at, window_start),
                *(about.hold_id or None, as_text(about.model), about.input_tokens, about.output_tokens),
                *(about.unconfirmed, about.counted, as_text(about.reason), dump_tags(about.tags)),
            ),
        )

    def accounts_after(self, project: str | None, last: AccountKey, count: int) -> list[Account]:
        """The next accounts, of a project or of all, in order of their keys."""
        if project is None:
            rows = self._execute(sql.ACCOUNTS_AFTER, (*last, count))
        else:
            rows = self._execute(sql.ACCOUNTS_OF_PROJECT_AFTER, (project, *last[1:], count))
        return [read_account(row) for row in rows]

    def entries_after(self, last: int, since: int | None, until: int | None, count: int) -> list[Entry]:
        """The next entries of all accounts in the order in which they were posted."""
        rows = self._execute(
            sql.ENTRIES_AFTER,
            (last, since, since, until, until, count),
        )
        return [read_entry(row) for row in rows]

    def entry_numbers(self, key: AccountKey, since: int | None, until: int | None) -> list[int]:
        """The numbers of an account's entries in the order in which they were posted."""
        account = self._number(key)
        if account is None:
            return []
        rows = self._execute(
            sql.ENTRY_NUMBERS,
            (account, -(2**62) if since is None else since, until, until),
        )
        return sorted([number for (number,) in rows])

    def entries_of(self, numbers: Sequence[int]) -> list[Entry]:
        """The entries of these numbers."""
        rows = self._execute(sql.ENTRIES, (json.dumps(numbers),))
        return [read_entry(row) for row in rows]

    # -- for pruning; see `PruningTables` ------------------------------------------------------------

    def holds_after(self, hold_id: str, count: int) -> list[HoldRow]:
        return [read_hold(row) for row in self._execute(sql.HOLDS_AFTER, (hold_id, count))]

    def forget_hold(self, hold_id: str) -> None:
        self._execute(sql.FORGET_HOLD, (hold_id,))

    def old_lines(self, key: AccountKey, until: int, after: tuple[int, int], count: int) -> list[Entry]:
        at, seq = after
        return [
            read_entry(row)
            for row in self._execute(sql.OLD_LINES, (self._id(key), at, at, seq, until, count))
        ]

    def lines_of(self, numbers: Sequence[int]) -> list[Entry]:
        return self.entries_of(numbers)

    def lines_of_hold(self, row: HoldRow) -> list[Entry]:
        accounts = [number for key, _ in row.windows if (number := self._number(key)) is not None]
        return [
            read_entry(found)
            for account in accounts
            for found in self._execute(sql.LINES_OF_HOLD, (account, row.reserved_at, row.hold_id))
        ]

    def replace_lines(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        # Lines are never deleted but here: what guards them is away for this one transaction.
        account = self._id(gone[0].key)
        self._execute(sql.UNGUARD)
        self._execute(sql.DROP_LINES, (json.dumps([line.seq for line in gone]),))
        for line in new:
            self._execute(
                sql.CARRY_LINE,
                (
                    *(line.seq, account, str(line.kind), line.amount, line.at, line.posted_at),
                    *(line.window_start, as_text(line.model), line.input_tokens, line.output_tokens),
                    line.reason,
                ),
            )
        self._execute(GUARD)

    def misposted(self) -> list[str]:
        """Holds whose entries do not add up to what they were charged, in words."""
        rows = self._execute(sql.MISPOSTED)
        wrong = [f"hold {row[0]}: entries add up to {row[1]}, it was charged {row[2]}" for row in rows]
        missing = self._execute(sql.UNPOSTED)
        return wrong + [f"hold {hold_id}: it was charged, and has no entry" for (hold_id,) in missing]

    def damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        found = [str(line) for (line,) in self._execute(sql.INTEGRITY)]
        return [] if found == ["ok"] else found

    def _number(self, key: AccountKey) -> int | None:
        """The account's number in the other tables, or None where there is no such account."""
        number = self._ids.get(key)
        if number is None:
            row = self._execute(sql.ACCOUNT_ID, key).fetchone()
            if row is not None:
                number = self._ids[key] = int(row[0])
        return number

    def _id(self, key: AccountKey) -> int:
        number = self._number(key)
        if number is None:
            raise LookupError(f"The account {key} was not kept before it was written about.")
        return number

    def forget(self) -> None:
        """Drop what is remembered of rows: a transaction that may have made some was undone."""
        self._ids.clear()
