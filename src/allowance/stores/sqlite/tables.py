"""The rows, in SQLite. See `allowance.ledger.tables.Tables`."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import StoreCorruptError
from allowance.ledger.holds import HoldRow, fingerprint
from allowance.ledger.records import (
    Account,
    AccountKey,
    Ask,
    Declaration,
    Entry,
    EntryKind,
    Extra,
    HoldState,
    Terms,
)
from allowance.ledger.tables import Adjustment
from allowance.stores.sqlite import sql

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from allowance.ledger.records import Posting

__all__ = ["SQLiteTables"]

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder each time


class SQLiteTables:
    """Rows of one connection; used within a transaction only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._ids: dict[AccountKey, int] = {}

    def begin(self) -> int:
        """Begin a transaction; the latest time that one before it saw."""
        self._ids.clear()  # another process may have renamed an account, and made a new one of its name
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
        return _account(row)

    def family(self, key: AccountKey) -> list[Account]:
        accounts = []
        for row in self._execute(sql.FAMILY, key[:3]):
            account = _account(row)
            self._ids[account.key] = row[0]
            accounts.append(account)
        return accounts

    def keep(self, account: Account) -> None:
        terms, declared = account.terms, account.declared
        row = (
            *(terms.limit, terms.duration, terms.align, terms.timezone, terms.uncapped),
            json.dumps(terms.models, ensure_ascii=False) if terms.models else None,
            None if declared is None else _dump_declaration(declared),
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
                self._execute(sql.KEEP_WINDOWS, (_dump_windows(windows), row.hold_id))

    def projects(self, kind: str, name: str) -> Sequence[str]:
        rows = self._execute(sql.PROJECTS, (kind, name))
        return [project for (project,) in rows]

    def hold(self, hold_id: str) -> HoldRow | None:
        row = self._execute(sql.HOLD, (hold_id,)).fetchone()
        return None if row is None else _hold(row)

    def add_hold(self, row: HoldRow) -> None:
        content = fingerprint(row.content) if isinstance(row.content, Ask) else row.content
        self._execute(
            sql.ADD_HOLD,
            (
                *(row.hold_id, str(row.state), row.amount, row.expected, row.bound),
                *(_dump_windows(row.windows), _text(row.model)),
                *(row.reserved_at, row.expires_at, row.charged),
                *(row.shrunk, row.clamped, row.replaced, content),
                *(_dump_tags(row.tags), _text(row.owner)),
            ),
        )

    def keep_hold(self, row: HoldRow) -> None:
        self._execute(sql.KEEP_HOLD, (str(row.state), row.expires_at, row.charged, row.hold_id))

    def due(self, now: int) -> list[HoldRow]:
        return [_hold(row) for row in self._execute(sql.DUE, (now,))]

    def unsettled(self) -> list[HoldRow]:
        """Open and expired holds, oldest first."""
        rows = [_hold(row) for row in (*self._execute(sql.OPEN), *self._execute(sql.EXPIRED))]
        return sorted(rows, key=lambda row: (row.reserved_at, row.hold_id))

    def costs(self, key: AccountKey, start: int, end: int | None) -> dict[str | None, int]:
        return dict(self._execute(sql.COSTS, (self._id(key), start, end, end)))

    def model_costs(self, account: Account) -> dict[str | None, int]:
        return dict(self._execute(sql.MODEL_COSTS, (self._id(account.key), account.window_start)))

    def add_cost(self, account: Account, model: str | None, amount: int) -> None:
        number = self._id(account.key)
        self._execute(sql.ADD_COST, (number, _text(model), account.window_start, amount))

    def keep_costs(self, account: Account, costs: Mapping[str | None, int]) -> None:
        self._execute(sql.DROP_COSTS, (self._id(account.key),))
        for model, amount in costs.items():
            self.add_cost(account, model, amount)

    def held(self, key: AccountKey, start: int, end: int | None) -> int:
        rows = [_hold(row) for row in self._execute(sql.OPEN)]
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
                *(about.hold_id or None, _text(about.model), about.input_tokens, about.output_tokens),
                *(about.unconfirmed, about.counted, _text(about.reason), _dump_tags(about.tags)),
            ),
        )

    def accounts_after(self, project: str | None, last: AccountKey, count: int) -> list[Account]:
        """The next accounts, of a project or of all, in order of their keys."""
        if project is None:
            rows = self._execute(sql.ACCOUNTS_AFTER, (*last, count))
        else:
            rows = self._execute(sql.ACCOUNTS_OF_PROJECT_AFTER, (project, *last[1:], count))
        return [_account(row) for row in rows]

    def entries_after(self, last: int, since: int | None, until: int | None, count: int) -> list[Entry]:
        """The next entries of all accounts in the order in which they were posted."""
        rows = self._execute(
            sql.ENTRIES_AFTER,
            (last, since, since, until, until, count),
        )
        return [_entry(row) for row in rows]

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
        return [_entry(row) for row in rows]

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


def _text(text: str | None) -> str | None:
    """A text that UTF-8 can say: half a surrogate pair, in a model's name, must not cost the entry."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def _account(row: tuple[Any, ...]) -> Account:
    try:
        return Account(
            AccountKey(*row[1:5]),
            _terms(*row[5:11]),
            None if row[11] is None else _load_declaration(row[11]),
            *(*row[12:18], _load_extras(row[18])),
        )
    except (ValueError, TypeError) as error:
        raise _unreadable("account", "/".join(row[1:5])) from error


def _hold(row: tuple[Any, ...]) -> HoldRow:
    try:
        return HoldRow(
            hold_id=row[0],
            state=HoldState(row[1]),
            amount=row[2],
            expected=row[3],
            bound=bool(row[4]),
            windows=tuple([(AccountKey(*key), start) for *key, start in json.loads(row[5])]),
            model=row[6],
            reserved_at=row[7],
            expires_at=row[8],
            charged=row[9],
            shrunk=bool(row[10]),
            clamped=bool(row[11]),
            replaced=bool(row[12]),
            content=row[13],
            tags=_load_tags(row[14]),
            owner=row[15],
        )
    except (ValueError, TypeError) as error:
        raise _unreadable("hold", row[0]) from error


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, project, kind, name, label, why, *rest = row
    try:
        rest[8:12] = [bool(rest[8]), bool(rest[9]), rest[10], _load_tags(rest[11])]
        return Entry(seq, AccountKey(project, kind, name, label), EntryKind(why), *rest)
    except (ValueError, TypeError) as error:
        raise _unreadable("entry", str(seq)) from error


def _dump_windows(windows: Sequence[tuple[AccountKey, int]]) -> str:
    return _encode([[*key, start] for key, start in windows])


@lru_cache(maxsize=1024)
def _dump_tags(tags: tuple[str, ...]) -> str | None:
    return json.dumps(tags) if tags else None


@lru_cache(maxsize=1024)
def _load_tags(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(json.loads(text))


def _load_extras(text: str | None) -> tuple[Extra, ...]:
    return () if text is None else tuple([Extra(*extra) for extra in json.loads(text)])


@lru_cache(maxsize=1024)
def _terms(*columns: Any) -> Terms:
    *terms, models = columns
    return Terms(*(*terms, () if models is None else tuple(json.loads(models))))


@lru_cache(maxsize=1024)
def _dump_declaration(declared: Declaration) -> str:
    return json.dumps([getattr(declared, name) for name in Declaration.__slots__])


@lru_cache(maxsize=1024)
def _load_declaration(text: str) -> Declaration:
    declared = Declaration(*json.loads(text))
    return declared if declared.models is None else replace(declared, models=tuple(declared.models))


def _unreadable(what: str, name: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"The {what} {name:.80} of this ledger cannot be read: something else wrote to the file. Nothing was "
        "changed. Restore the file from a copy, or move it away to begin anew."
    )
