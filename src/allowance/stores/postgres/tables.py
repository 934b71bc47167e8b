"""The rows, in PostgreSQL. See `allowance.ledger.tables.Tables`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from allowance.ledger.holds import HoldRow, fingerprint
from allowance.ledger.records import Account, AccountKey, Ask, EntryKind
from allowance.ledger.tables import Adjustment
from allowance.stores.postgres import sql
from allowance.stores.postgres.locks import stripe_of
from allowance.stores.rows import as_text, dump_declaration, dump_tags, read_account, read_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from psycopg import Connection

    from allowance.ledger.records import Posting

__all__ = ["AgainError", "PostgresTables", "storable"]


def storable(text: str | None) -> str | None:
    """A text that PostgreSQL can keep: what it cannot, in a model's name, must not cost the entry."""
    kept = as_text(text)
    return kept if kept is None or "\0" not in kept else kept.replace("\0", "\ufffd")


class AgainError(Exception):
    """The transaction must begin again: with more locks, or at a later time. Nothing is kept of it."""

    def __init__(self, stripes: Iterable[int] = (), earliest: int = 0) -> None:
        self.stripes = frozenset(stripes)
        self.earliest = earliest
        super().__init__()


class PostgresTables:
    """Rows as one transaction sees them, which has taken the locks of these families before it began to read.

    What it reads of others, it could read too early: `AgainError` then says which locks it needs. ``seen`` is
    told the JSON of each account's declaration and globs, by its key.
    """

    def __init__(
        self,
        connection: Connection[Any],
        stripes: frozenset[int],
        now: int,
        seen: Callable[[AccountKey, str | None, str | None], None],
    ) -> None:
        self._connection = connection
        self._stripes = stripes
        self._now = now
        self._seen = seen
        self._ids: dict[AccountKey, int] = {}

    def account(self, key: AccountKey, /) -> Account | None:
        self._lock([key])
        row = self._one(sql.ACCOUNT, key)
        return None if row is None else self._read(row)

    def family(self, key: AccountKey, /) -> list[Account]:
        self._lock([key])
        return [self._read(row) for row in self._all(sql.FAMILY, key[:3])]

    def keep(self, account: Account) -> None:
        terms, extras = account.terms, account.extras
        declared = None if account.declared is None else dump_declaration(account.declared)
        models = json.dumps(terms.models) if terms.models else None
        row = (
            *(terms.limit, terms.duration, terms.align, terms.timezone, terms.uncapped, models, declared),
            *(account.created_at, account.window_start, account.window_end),
            *(account.spent, account.held, account.version, json.dumps(extras) if extras else None),
            sum([extra.amount for extra in extras]),
            min([extra.until for extra in extras if extra.until is not None], default=None),
            self._now,
        )
        number = self._number(account.key)
        if number is None:
            made = self._one(sql.ADD_ACCOUNT, (*account.key, stripe_of(account.key), *row))
            self._ids[account.key] = made[0] if made else 0
        else:
            self._connection.execute(sql.KEEP_ACCOUNT, (*row, number))
        self._seen(account.key, declared, models)

    def rename(self, old: AccountKey, new: AccountKey) -> None:
        self._lock([new])
        number = self._ids[new] = self._id(old)
        del self._ids[old]
        self._connection.execute(sql.RENAME, (*new, stripe_of(new), number))

    def projects(self, kind: str, name: str) -> Sequence[str]:
        return [project for (project,) in self._all(sql.PROJECTS, (kind, name))]

    def hold(self, hold_id: str, /) -> HoldRow | None:
        row = self._one(sql.HOLD, (hold_id,))
        return None if row is None else self._holds([row])[0]

    def add_hold(self, row: HoldRow) -> None:
        content = fingerprint(row.content) if isinstance(row.content, Ask) else row.content
        self._connection.execute(
            sql.ADD_HOLD,
            (
                *(row.hold_id, str(row.state), row.amount, row.expected, row.bound),
                *([self._id(key) for key, _ in row.windows], [start for _, start in row.windows]),
                *(storable(row.model), row.reserved_at, row.expires_at, row.charged),
                *(row.shrunk, row.clamped, row.replaced, content, dump_tags(row.tags)),
                storable(row.owner),
            ),
        )

    def keep_hold(self, row: HoldRow) -> None:
        self._connection.execute(sql.KEEP_HOLD, (str(row.state), row.expires_at, row.charged, row.hold_id))

    def due(self, now: int) -> list[HoldRow]:
        return self._holds(self._all(sql.DUE, (now,)))

    def costs(self, key: AccountKey, start: int, end: int | None) -> dict[str | None, int]:
        return dict(self._all(sql.COSTS, (self._id(key), start, end, end)))

    def model_costs(self, account: Account) -> dict[str | None, int]:
        return dict(self._all(sql.MODEL_COSTS, (self._id(account.key), account.window_start)))

    def add_cost(self, account: Account, model: str | None, amount: int) -> None:
        named = "" if model is None else f"={storable(model)}"
        self._connection.execute(sql.ADD_COST, (self._id(account.key), named, account.window_start, amount))

    def keep_costs(self, account: Account, costs: Mapping[str | None, int]) -> None:
        self._connection.execute(sql.DROP_COSTS, (self._id(account.key),))
        for model, amount in costs.items():
            self.add_cost(account, model, amount)

    def held(self, key: AccountKey, start: int, end: int | None) -> int:
        row = self._one(sql.HELD, (self._id(key), start, end, end))
        return 0 if row is None else int(row[0])

    def adjustment(self, adjustment_id: str) -> Adjustment | None:
        row = self._one(sql.ADJUSTMENT, (adjustment_id,))
        return None if row is None else Adjustment(AccountKey(*row[:4]), *row[4:])

    def add_adjustment(self, adjustment_id: str, adjustment: Adjustment) -> None:
        row = (adjustment_id, self._id(adjustment.key), adjustment.amount, adjustment.until)
        self._connection.execute(sql.ADD_ADJUSTMENT, row)

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
        self._connection.execute(
            sql.ADD_ENTRY,
            (
                *(self._id(key), str(kind), amount, at, posted_at, window_start),
                *(about.hold_id or None, storable(about.model), about.input_tokens, about.output_tokens),
                *(about.unconfirmed, about.counted, storable(about.reason), dump_tags(about.tags)),
            ),
        )

    def suspects(self) -> list[Account]:
        """The accounts whose figures are not what their entries and holds add up to."""
        found = [self.account(AccountKey(*row)) for row in self._all(sql.SUSPECTS, ())]
        return [account for account in found if account is not None]

    def misposted(self) -> list[str]:
        """Holds whose entries do not add up to what they were charged, in words."""
        rows = self._all(sql.MISPOSTED, ())
        wrong = [f"hold {row[0]}: entries add up to {row[1]}, it was charged {row[2]}" for row in rows]
        missing = self._all(sql.UNPOSTED, ())
        return wrong + [f"hold {hold_id}: it was charged, and has no entry" for (hold_id,) in missing]

    def _lock(self, keys: Iterable[AccountKey]) -> None:
        needed = {stripe_of(key) for key in keys}
        if not needed <= self._stripes:
            raise AgainError(needed)

    def _read(self, row: tuple[Any, ...]) -> Account:
        account = read_account(row[:19])
        if row[19] > self._now:
            raise AgainError(earliest=row[19])  # the server's clock was set back a moment ago
        self._ids[account.key] = row[0]
        self._seen(account.key, row[11], row[10])
        return account

    def _holds(self, rows: Sequence[tuple[Any, ...]]) -> list[HoldRow]:
        holds = [read_hold((*row[:5], row[5] or "[]", *row[6:])) for row in rows]
        self._lock(key for hold in holds for key, _ in hold.windows)
        return holds

    def _number(self, key: AccountKey) -> int | None:
        """The account's number in the other tables, or None where there is no such account."""
        number = self._ids.get(key)
        if number is None:
            row = self._one(sql.ACCOUNT_ID, key)
            if row is not None:
                number = self._ids[key] = int(row[0])
        return number

    def _id(self, key: AccountKey) -> int:
        number = self._number(key)
        if number is None:
            raise LookupError(f"The account {key} was not kept before it was written about.")
        return number

    def _one(self, statement: Any, values: Sequence[Any]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
        return row

    def _all(self, statement: Any, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()
