"""The store in a file: one machine, any number of processes and threads."""

from __future__ import annotations

import os
from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from allowance.errors import BudgetError, ConfigurationError, StoreUnavailableError
from allowance.ledger import verbs
from allowance.ledger.accounts import turn
from allowance.ledger.names import DELETED
from allowance.ledger.pruning import Pruning
from allowance.ledger.records import AccountKey, Ask, HoldState
from allowance.stores.memory import system_clock
from allowance.stores.sqlite.engine import engine_for, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from allowance.ledger.records import (
        Account,
        Declaration,
        Denial,
        Entry,
        Grant,
        Hold,
        Posting,
        Settlement,
    )
    from allowance.stores.sqlite.tables import SQLiteTables

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_PAGE: Final = 500
_IN_URLS: Final = "/:\\~@!$'()*+,;="


class SQLiteStore:
    """A store that any number of this machine's processes and threads share.

    What a verb has returned survives ``kill -9`` and the loss of power: each commit waits for the disk.
    The file must lie on a disk of this machine, for network file systems do not lock well enough. It is
    made, with its directory, for this user alone; ``PATH-wal``, ``PATH-shm`` and ``PATH.lock`` belong
    to it. A fork is met by closing before it; child and parent open the file anew when they need it.
    A file of an earlier version is migrated by whoever opens it first, be it only to read: whole, or not at
    all. A process that still runs the earlier version on it fails closed from then on.

    Args:
        path: the file; its missing directories are made.
        clock: gives the time in microseconds. The store's time never runs backwards, across all
            processes on the file (R15).

    Raises:
        ConfigurationError: the path is a directory, a link, or in a place that anyone may write.
        StoreUnavailableError: the file cannot be made, opened or locked.
        StoreCorruptError: it is no ledger, or a later version's; it is left as it is.
    """

    rank = 1
    blocking = True

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], int] = system_clock) -> None:
        text = os.fspath(path)
        if not text or "\0" in text or text == ":memory:":
            raise ConfigurationError(
                f"A file store needs the path of a file, not {text!r:.80}. For a store in memory: memory://"
            )
        self.path = os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))
        self.url = f"sqlite:///{quote(self.path, safe=_IN_URLS)}"
        self._clock = clock
        self._closed = False
        self._engine = engine_for(self.path)
        try:
            self._run(lambda *_: None)
        except BaseException:
            self.close()
            raise

    def reserve(self, ask: Ask) -> Grant | Denial:
        """See `Store.reserve`."""
        return self._run(lambda tables, now: verbs.reserve(tables, ask, now))

    def settle(self, posting: Posting) -> Settlement:
        """See `Store.settle`."""
        return self._run(lambda tables, now: verbs.settle(tables, posting, now))

    def many(self, operations: Sequence[Ask | Posting]) -> list[Grant | Denial | Settlement | BudgetError]:
        """See `Batching.many`: one transaction for all."""
        self._refuse_closed()
        outcomes = self._engine.run_each([_verb_of(operation) for operation in operations], self._clock)
        found: list[Grant | Denial | Settlement | BudgetError] = []
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, BudgetError):
                raise outcome
            found.append(outcome)
        return found

    def release(self, hold_id: str, *, reason: str = "") -> Hold | None:
        """See `Store.release`."""
        return self._run(lambda tables, now: verbs.release(tables, hold_id, reason, now))

    def renew(self, hold_ids: Sequence[str], ttl: int) -> None:
        """See `Store.renew`."""
        self._run(lambda tables, now: verbs.renew(tables, hold_ids, ttl, now))

    def define(self, key: AccountKey, terms: Declaration, *, declared: bool = False) -> Account:
        """See `Store.define`."""
        return self._run(lambda tables, now: verbs.define(tables, key, terms, declared, now))

    def account(self, key: AccountKey) -> Account | None:
        """See `Store.account`."""
        return self._run(lambda tables, now: verbs.look(tables, key, now))

    def family(self, key: AccountKey) -> list[Account]:
        """See `Store.family`."""
        return self._run(lambda tables, now: verbs.family(tables, key, now))

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        """See `Store.accounts`. They are read in pages of 500, each at one moment of its own."""
        self.sweep()
        last = after or AccountKey("", "", "")
        if project is not None and last.project != project:
            if last.project > project:
                return
            last = AccountKey("", "", "")
        while True:
            page = self._run(partial(_page_of_accounts, project, last))
            yield from (account for account in page if account.key.kind != DELETED)
            if len(page) < _PAGE:
                return
            last = page[-1].key

    def model_costs(self, key: AccountKey) -> dict[str | None, int]:
        """See `Store.model_costs`."""
        return self._run(lambda tables, now: verbs.model_costs(tables, key, now))

    def adjust(
        self, key: AccountKey, amount: int | None, *, reason: str, adjustment_id: str | None = None
    ) -> Account:
        """See `Store.adjust`."""
        return self._run(lambda tables, now: verbs.adjust(tables, key, amount, reason, adjustment_id, now))

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
            lambda tables, now: verbs.extend(tables, key, amount, until, reason, adjustment_id, now)
        )

    def remove(self, key: AccountKey) -> list[Account]:
        """See `Store.remove`."""
        return self._run(lambda tables, now: verbs.remove(tables, key, now))

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
            found = self._run(lambda tables, _: _entries_of_hold(tables, hold_id))
            yield from (
                entry
                for entry in found
                if entry.seq > after
                and (key is None or entry.key == key)
                and (since is None or since <= entry.at)
                and (until is None or entry.at < until)
            )
        elif key is not None:
            numbers = self._run(lambda tables, _: tables.entry_numbers(key, since, until))
            numbers = numbers[bisect_right(numbers, after) :]
            for start in range(0, len(numbers), _PAGE):
                chunk = numbers[start : start + _PAGE]
                yield from self._run(partial(_entries_of, chunk))
        else:
            yield from self._all_entries(since, until, after)

    def _all_entries(self, since: int | None, until: int | None, last: int) -> Iterator[Entry]:
        while True:
            page = self._run(partial(_page_of_entries, last, since, until))
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].seq

    def hold(self, hold_id: str) -> Hold | None:
        """See `Store.hold`."""
        row = self._run(lambda tables, _: tables.hold(hold_id))
        return row.record() if row is not None and row.windows else None

    def holds(self, key: AccountKey | None = None) -> Iterator[Hold]:
        """See `Store.holds`."""
        rows = self._run(lambda tables, _: tables.unsettled())
        return iter(
            [row.record() for row in rows if key is None or any(key == named for named, _ in row.windows)]
        )

    def sweep(self) -> list[Hold]:
        """See `Store.sweep`."""
        return list(self._run(lambda tables, now: verbs.sweep(tables, now)))

    def prune(self, before: int) -> int:
        """See `Store.prune`. Each step is a transaction of its own, of at most some hundred rows."""
        pruning = Pruning(before)
        self.sweep()
        while self._run(pruning.step):
            pass
        return pruning.folded

    def audit(self) -> list[str]:
        """See `Store.audit`; also what SQLite itself finds wrong with the file. Others wait meanwhile."""
        return self._run(lambda tables, _: _audit(tables))

    def close(self) -> None:
        """See `Store.close`. The verbs raise `StoreUnavailableError` from now on."""
        if not self._closed:
            self._closed = True
            leave(self._engine)

    def _run(self, verb: Callable[[SQLiteTables, int], T]) -> T:
        self._refuse_closed()
        return self._engine.run(verb, self._clock)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailableError(
                f"The store {self.path} was closed. Open it again: SQLiteStore(path)."
            )


def _verb_of(operation: Ask | Posting) -> Callable[[SQLiteTables, int], Grant | Denial | Settlement]:
    if isinstance(operation, Ask):
        return lambda tables, now: verbs.reserve(tables, operation, now)
    return lambda tables, now: verbs.settle(tables, operation, now)


def _page_of_accounts(project: str | None, last: AccountKey, tables: SQLiteTables, now: int) -> list[Account]:
    return [turn(account, now) for account in tables.accounts_after(project, last, _PAGE)]


def _page_of_entries(
    last: int, since: int | None, until: int | None, tables: SQLiteTables, _: int
) -> list[Entry]:
    return tables.entries_after(last, since, until, _PAGE)


def _entries_of(numbers: Sequence[int], tables: SQLiteTables, _: int) -> list[Entry]:
    return tables.entries_of(numbers)


def _entries_of_hold(tables: SQLiteTables, hold_id: str) -> list[Entry]:
    row = tables.hold(hold_id)
    if row is None or row.state is HoldState.HELD:
        return []
    at = row.reserved_at
    keys = [key for key, _ in row.windows]
    # The row of a hold that is over still names the accounts that were removed since.
    keys += [account.key for key in keys for account in tables.family(key._replace(kind=DELETED))]
    numbers = {number for key in keys for number in tables.entry_numbers(key, at, at + 1)}
    return [entry for entry in tables.entries_of(sorted(numbers)) if entry.hold_id == hold_id]


def _audit(tables: SQLiteTables) -> list[str]:
    found = tables.damage()
    last = AccountKey("", "", "")
    while page := tables.accounts_after(None, last, _PAGE):
        for account in page:
            found += verbs.difference(tables, account)
        last = page[-1].key
    return found + tables.misposted()
