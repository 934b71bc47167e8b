"""The store in PostgreSQL: many machines, your own database. Needs ``pip install 'allowance[postgres]'``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from allowance.errors import ConfigurationError
from allowance.ledger import verbs
from allowance.ledger.accounts import turn
from allowance.ledger.names import DELETED
from allowance.stores.rows import read_account, read_hold

try:
    from allowance.stores.postgres import reading, sql
    from allowance.stores.postgres.address import conninfo_of, shown
    from allowance.stores.postgres.calls import Calls
    from allowance.stores.postgres.engine import Engine
    from allowance.stores.postgres.locks import stripe_of
    from allowance.stores.postgres.pool import Pool
    from allowance.stores.postgres.pruning import prune
except ModuleNotFoundError as missing:
    if missing.name is None or not missing.name.startswith("psycopg"):
        raise
    raise ConfigurationError(
        "A store in PostgreSQL needs psycopg, which is not installed: pip install 'allowance[postgres]'."
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from allowance.errors import BudgetError
    from allowance.ledger.records import (
        Account,
        AccountKey,
        Ask,
        Declaration,
        Denial,
        Entry,
        Grant,
        Hold,
        Posting,
        Settlement,
    )
    from allowance.stores.postgres.tables import PostgresTables

__all__ = ["PostgresStore"]

T = TypeVar("T")


class PostgresStore:
    """A store that any number of machines share, in the schema ``allowance`` of a PostgreSQL database.

    A reserve is one round trip, over any number of budgets, and so is a settle; `many` does a batch in one.
    What a verb has returned is on the server's disk. Nothing is connected before the first verb, which
    makes the tables where they are missing; once they are there, a role without rights to make any will do.
    A fork is met by connecting anew in the child. It works through a pooler in transaction mode (PgBouncer).

    Args:
        url: ``postgresql://user:password@host:5432/database``, with libpq's parameters, such as ``sslmode``.
        pool_size: connections that this process uses at most at one time.
        clock: gives the time in microseconds; without it the server's clock does. Either way the store's
            time never runs backwards, across all who share the database (R15).

    Raises:
        ConfigurationError: the URL is none, or psycopg is not installed.
    """

    rank = 2
    blocking = True

    def __init__(self, url: str, *, pool_size: int = 8, clock: Callable[[], int] | None = None) -> None:
        if type(pool_size) is not int or not 0 < pool_size <= 1000:
            raise ConfigurationError(
                f"pool_size is a number of connections, 1 to 1000, not {pool_size!r:.40}."
            )
        conninfo = conninfo_of(url)
        self.url = shown(conninfo)
        self._pool = Pool(conninfo, self.url, pool_size)
        self._engine = Engine(self._pool, self.url, clock)
        self._calls = Calls(self._engine, self.sweep)

    def reserve(self, ask: Ask) -> Grant | Denial:
        """See `Store.reserve`."""
        return self._calls.one(ask)  # type: ignore[return-value]  # an ask has no settlement

    def settle(self, posting: Posting) -> Settlement:
        """See `Store.settle`."""
        return self._calls.one(posting)  # type: ignore[return-value]  # a posting has nothing else

    def many(self, operations: Sequence[Ask | Posting]) -> list[Grant | Denial | Settlement | BudgetError]:
        """See `Batching.many`: one transaction, and one round trip, for each 256 in the common case."""
        return self._calls.many(operations)

    def release(self, hold_id: str, *, reason: str = "") -> Hold | None:
        """See `Store.release`."""
        return self._run(lambda tables, now: verbs.release(tables, hold_id, reason, now), hold_ids=[hold_id])

    def renew(self, hold_ids: Sequence[str], ttl: int) -> None:
        """See `Store.renew`."""
        if ttl <= 0:
            raise ConfigurationError(f"A hold is renewed for a time above zero, not {ttl} microseconds.")
        for _ in range(10):
            ((renewed,),) = self._engine.ask(sql.RENEW, (list(hold_ids), ttl, self._engine.given()))
            if renewed:
                return
            self.sweep()
        self._run(lambda tables, now: verbs.renew(tables, hold_ids, ttl, now), hold_ids=hold_ids)

    def define(self, key: AccountKey, terms: Declaration, *, declared: bool = False) -> Account:
        """See `Store.define`."""
        return self._run(lambda tables, now: verbs.define(tables, key, terms, declared, now), key)

    def account(self, key: AccountKey) -> Account | None:
        """See `Store.account`. It takes no locks."""
        now = self._now()
        rows = self._engine.ask(sql.ACCOUNT, key)
        return turn(read_account(rows[0][:19]), now) if rows else None

    def family(self, key: AccountKey) -> list[Account]:
        """See `Store.family`. It takes no locks."""
        now = self._now()
        return [turn(read_account(row[:19]), now) for row in self._engine.ask(sql.FAMILY, key[:3])]

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        """See `Store.accounts`. They are read in pages of 500, each at one moment of its own."""
        now = self._now()
        for row in reading.accounts(self._engine, project, after):
            account = turn(read_account(row[:19]), now)
            if account.key.kind != DELETED:
                yield account

    def model_costs(self, key: AccountKey) -> dict[str | None, int]:
        """See `Store.model_costs`."""
        return self._run(lambda tables, now: verbs.model_costs(tables, key, now), key)

    def adjust(
        self, key: AccountKey, amount: int | None, *, reason: str, adjustment_id: str | None = None
    ) -> Account:
        """See `Store.adjust`."""
        return self._run(
            lambda tables, now: verbs.adjust(tables, key, amount, reason, adjustment_id, now),
            key,
            repeatable=adjustment_id is not None,
        )

    def extend(
        self,
        key: AccountKey,
        amount: int,
        *,
        until: int | None = None,
        reason: str = "",
        adjustment_id: str | None = None,
    ) -> Account:
        """See `Store.extend`."""
        return self._run(
            lambda tables, now: verbs.extend(tables, key, amount, until, reason, adjustment_id, now),
            key,
            repeatable=adjustment_id is not None,
        )

    def remove(self, key: AccountKey) -> list[Account]:
        """See `Store.remove`."""
        grave = key._replace(kind=DELETED)
        return self._run(lambda tables, now: verbs.remove(tables, key, now), key, grave, repeatable=False)

    def entries(
        self,
        key: AccountKey | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hold_id: str | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """See `Store.entries`. They are read in pages of 500; entries are never edited meanwhile."""
        if hold_id is not None:
            found = reading.entries_of_hold(self._engine, hold_id, since, until, after)
            return (entry for entry in found if key is None or entry.key == key)
        if key is not None:
            return reading.entries_of(self._engine, key, since, until, after)
        return reading.entries(self._engine, since, until, after)

    def hold(self, hold_id: str) -> Hold | None:
        """See `Store.hold`."""
        rows = self._engine.ask(sql.HOLD, (hold_id,))
        return read_hold(rows[0]).record() if rows and rows[0][5] is not None else None

    def holds(self, key: AccountKey | None = None) -> Iterator[Hold]:
        """See `Store.holds`."""
        found = [read_hold(row).record() for row in self._engine.ask(sql.UNSETTLED, ())]
        return iter([hold for hold in found if key is None or any(key == named for named, _ in hold.windows)])

    def sweep(self) -> list[Hold]:
        """See `Store.sweep`. They are charged in transactions of 500 each."""
        swept: list[Hold] = []
        while part := self._run(verbs.sweep):
            swept += part
        return swept

    def prune(self, before: int) -> int:
        """See `Store.prune`. Each step is a transaction of its own, of at most a hundred rows."""
        self.sweep()
        return prune(self._engine, before)

    def audit(self) -> list[str]:
        """See `Store.audit`. It looks at one moment, and nobody waits for it."""
        return reading.audit(self._engine)

    def close(self) -> None:
        """See `Store.close`. The verbs raise `StoreUnavailableError` from now on."""
        self._pool.close()

    def _run(
        self,
        verb: Callable[[PostgresTables, int], T],
        *keys: AccountKey,
        hold_ids: Sequence[str] = (),
        repeatable: bool = True,
    ) -> T:
        stripes = [stripe_of(key) for key in keys]
        return self._engine.transact(verb, stripes=stripes, hold_ids=hold_ids, repeatable=repeatable)

    def _now(self) -> int:
        """The store's time, when every hold whose term is over has been charged."""
        for _ in range(10):
            ((now,),) = self._engine.ask(sql.PRESENT, (self._engine.given(),))
            if now >= 0:
                return int(now)
            self.sweep()
        return self._run(lambda _, now: now)
