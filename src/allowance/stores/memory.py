"""The store in this process's memory: for tests, for single processes, for a block's own budget."""

from __future__ import annotations

import os
import threading
import time
from bisect import insort
from collections import deque
from heapq import merge, nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakSet

from allowance.errors import StoreUnavailableError
from allowance.ledger import verbs
from allowance.ledger.accounts import turn
from allowance.ledger.names import DELETED
from allowance.ledger.pruning import Pruning, summed
from allowance.ledger.records import Entry, EntryKind, HoldState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from allowance.ledger.holds import HoldRow
    from allowance.ledger.records import (
        Account,
        AccountKey,
        Ask,
        Declaration,
        Denial,
        Grant,
        Hold,
        Posting,
        Settlement,
    )
    from allowance.ledger.tables import Adjustment

__all__ = ["MemoryStore", "system_clock"]

KEPT_LINES: Final = 1_000
"""Entries that are kept one by one for each account; older ones are folded, by window."""

KEPT_IDS: Final = 10_000
"""Holds that are over, and ids of adjustments, which are remembered."""

_NEVER: Final = 2**63
_CARRIED: Final = EntryKind.CARRIED


def system_clock() -> int:
    """This machine's clock, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


class MemoryStore:
    """A store that ends with its process, and belongs to it alone.

    Its memory is bounded but for the number of accounts and models: of each account the last thousand
    entries at least are kept one by one, older ones of a window and a model are summed up in one of the kind
    ``CARRIED``, so that the books still balance (R2); after a change of duration such a sum counts where its
    newest part lies. The last 10,000 holds that are over are remembered: what comes for an older one is new.

    Args:
        clock: gives the time in microseconds; when it steps back the store's time stands still (R15).
        on_fork: what a forked child finds: ``"closed"``, every verb raises `StoreUnavailableError`, for
            a budget must not be doubled by a fork; ``"empty"``, a store without accounts, for what
            counts one process.
    """

    rank = 0
    blocking = False

    def __init__(
        self,
        *,
        clock: Callable[[], int] = system_clock,
        on_fork: Literal["closed", "empty"] = "closed",
        url: str = "memory://",
    ) -> None:
        self.url = url
        self._clock = clock
        self._on_fork = on_fork
        self._closed = ""
        self._last = 0
        self._lock = threading.Lock()
        self._tables = _MemoryTables()
        _stores.add(self)

    def reserve(self, ask: Ask) -> Grant | Denial:
        """See `Store.reserve`."""
        with self._lock:
            return verbs.reserve(self._tables, ask, self._now())

    def settle(self, posting: Posting) -> Settlement:
        """See `Store.settle`."""
        with self._lock:
            return verbs.settle(self._tables, posting, self._now())

    def release(self, hold_id: str, *, reason: str = "") -> Hold | None:
        """See `Store.release`."""
        with self._lock:
            return verbs.release(self._tables, hold_id, reason, self._now())

    def renew(self, hold_ids: Sequence[str], ttl: int) -> None:
        """See `Store.renew`."""
        with self._lock:
            verbs.renew(self._tables, hold_ids, ttl, self._now())

    def define(self, key: AccountKey, terms: Declaration, *, declared: bool = False) -> Account:
        """See `Store.define`."""
        with self._lock:
            return verbs.define(self._tables, key, terms, declared, self._now())

    def account(self, key: AccountKey) -> Account | None:
        """See `Store.account`."""
        with self._lock:
            return verbs.look(self._tables, key, self._now())

    def family(self, key: AccountKey) -> list[Account]:
        """See `Store.family`."""
        with self._lock:
            return verbs.family(self._tables, key, self._now())

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        """See `Store.accounts`. All are as they stood together, at one moment."""
        with self._lock:
            now = self._now()
            verbs.sweep(self._tables, now)
            known = self._tables.accounts
            keys = sorted([key for key in known if project in (None, key.project) and key.kind != DELETED])
            keys = keys if after is None else [key for key in keys if key > after]
            return iter([turn(known[key], now) for key in keys])

    def model_costs(self, key: AccountKey) -> dict[str | None, int]:
        """See `Store.model_costs`."""
        with self._lock:
            return verbs.model_costs(self._tables, key, self._now())

    def adjust(
        self, key: AccountKey, amount: int | None, *, reason: str, adjustment_id: str | None = None
    ) -> Account:
        """See `Store.adjust`."""
        with self._lock:
            return verbs.adjust(self._tables, key, amount, reason, adjustment_id, self._now())

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
        with self._lock:
            return verbs.extend(self._tables, key, amount, until, reason, adjustment_id, self._now())

    def remove(self, key: AccountKey) -> list[Account]:
        """See `Store.remove`."""
        with self._lock:
            return verbs.remove(self._tables, key, self._now())

    def entries(
        self,
        key: AccountKey | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hold_id: str | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """See `Store.entries`. Entries that were folded are found by key and time only."""
        with self._lock:
            self._now()
            lines = self._tables.lines
            wanted = lines.values() if key is None else [lines.get(key, ())]
            found = list(merge(*wanted))
        return iter(
            [
                entry
                for entry in found
                if entry.seq > after
                and (since is None or since <= entry.at)
                and (until is None or entry.at < until)
                and (hold_id is None or entry.hold_id == hold_id)
            ]
        )

    def hold(self, hold_id: str) -> Hold | None:
        """See `Store.hold`."""
        with self._lock:
            self._now()
            row = self._tables.hold(hold_id)
            return row.record() if row is not None and row.windows else None

    def holds(self, key: AccountKey | None = None) -> Iterator[Hold]:
        """See `Store.holds`."""
        with self._lock:
            self._now()
            rows = self._tables.holds.values()
            listed = (HoldState.HELD, HoldState.EXPIRED)
            found = [
                row.record()
                for row in rows
                if row.state in listed and (key is None or any(key == named for named, _ in row.windows))
            ]
        return iter(sorted(found, key=lambda hold: (hold.reserved_at, hold.hold_id)))

    def sweep(self) -> list[Hold]:
        """See `Store.sweep`."""
        with self._lock:
            return list(verbs.sweep(self._tables, self._now()))

    def prune(self, before: int) -> int:
        """See `Store.prune`. Others wait meanwhile, for a moment."""
        with self._lock:
            pruning, now = Pruning(before, page=_NEVER), self._now()
            verbs.sweep(self._tables, now)
            while pruning.step(self._tables, now):
                pass
            return pruning.folded

    def audit(self) -> list[str]:
        """See `Store.audit`."""
        with self._lock:
            self._now()
            tables = self._tables
            return [
                line for account in tables.accounts.values() for line in verbs.difference(tables, account)
            ]

    def close(self) -> None:
        """Forget everything; the verbs raise `StoreUnavailableError` from now on."""
        with self._lock:
            self._closed = "This memory store was closed. Make a new one, or close it later."
            self._tables = _MemoryTables()

    def _now(self) -> int:
        """The store's time: the clock's, but never earlier than it was."""
        if self._closed:
            raise StoreUnavailableError(self._closed)
        now = self._clock()
        if now > self._last:
            self._last = now
        return self._last

    def _forked(self) -> None:
        self._lock = threading.Lock()  # a thread that is not in the child may have held it
        self._tables = _MemoryTables()
        if self._on_fork == "closed":
            self._closed = (
                "This budget is kept in the memory of the process that forked this one, and a copy would "
                "spend it twice. Use a file store, sqlite:///allowance.db, which processes share, or make "
                "the budget after the fork."
            )


class _MemoryTables:
    """The rows. See `Tables`."""

    def __init__(self) -> None:
        self.accounts: dict[AccountKey, Account] = {}
        self.holds: dict[str, HoldRow] = {}
        self.lines: dict[AccountKey, list[Entry]] = {}
        self.adjustments: dict[str, Adjustment] = {}
        # Two verbs of `Tables` are these dictionaries' own; each call asks four times.
        self.account: Callable[[AccountKey], Account | None] = self.accounts.get
        self.hold: Callable[[str], HoldRow | None] = self.holds.get
        self._open: dict[str, HoldRow] = {}
        self._over: deque[str] = deque()
        self._next_due = _NEVER
        self._seq = 0
        self._labelled: dict[AccountKey, list[AccountKey]] = {}
        self._costs: dict[AccountKey, tuple[int, dict[str | None, int]]] = {}

    def family(self, key: AccountKey) -> Sequence[Account]:
        main = key.main if key.label else key
        account = self.accounts.get(main)
        first = () if account is None else (account,)
        labelled = self._labelled and self._labelled.get(main)
        return [*first, *[self.accounts[key] for key in labelled]] if labelled else first

    def keep(self, account: Account) -> None:
        key = account.key
        if key.label and key not in self.accounts:
            insort(self._labelled.setdefault(key.main, []), key)
        self.accounts[key] = account

    def rename(self, old: AccountKey, new: AccountKey) -> None:
        if old.label:
            self._labelled[old.main].remove(old)
            if not self._labelled[old.main]:
                del self._labelled[old.main]
        self.keep(self.accounts.pop(old)._replace(key=new))
        self.lines[new] = [line._replace(key=new) for line in self.lines.pop(old, ())]
        if old in self._costs:
            self._costs[new] = self._costs.pop(old)
        for adjustment_id, adjustment in self.adjustments.items():
            if adjustment.key == old:
                self.adjustments[adjustment_id] = adjustment._replace(key=new)
        for row in self.holds.values():
            if row.state in (HoldState.HELD, HoldState.EXPIRED):
                row.windows = tuple([(new if key == old else key, start) for key, start in row.windows])

    def projects(self, kind: str, name: str) -> list[str]:
        return sorted({key.project for key in self.accounts if key.kind == kind and key.name == name})

    def add_hold(self, row: HoldRow) -> None:
        self.holds[row.hold_id] = row
        if row.state is HoldState.HELD:
            self._open[row.hold_id] = row
            if row.expires_at < self._next_due:
                self._next_due = row.expires_at
        else:
            self._remember(row)

    def keep_hold(self, row: HoldRow) -> None:
        if row.state is not HoldState.HELD and self._open.pop(row.hold_id, None) is not None:
            self._remember(row)

    def _remember(self, row: HoldRow) -> None:
        self._over.append(row.hold_id)
        if len(self._over) > KEPT_IDS:
            del self.holds[self._over.popleft()]

    def due(self, now: int) -> list[HoldRow]:
        # The next term is a lower bound: a hold that was settled or renewed meanwhile leaves it standing.
        if now < self._next_due:
            return []
        over = [row for row in self._open.values() if row.expires_at <= now]
        terms = [row.expires_at for row in self._open.values() if row.expires_at > now]
        self._next_due = min(terms, default=_NEVER)
        return sorted(over, key=lambda row: (row.expires_at, row.hold_id))

    def costs(self, key: AccountKey, start: int, end: int | None) -> dict[str | None, int]:
        costs: dict[str | None, int] = {}
        for line in self.lines.get(key, ()):
            if start <= line.at and (end is None or line.at < end):
                costs[line.model] = costs.get(line.model, 0) + line.amount
        return costs

    def model_costs(self, account: Account) -> dict[str | None, int]:
        start, costs = self._costs.get(account.key, (None, {}))
        return dict(costs) if start == account.window_start else {}

    def add_cost(self, account: Account, model: str | None, amount: int) -> None:
        start, costs = self._costs.get(account.key, (None, None))
        if costs is None or start != account.window_start:
            costs = {}
            self._costs[account.key] = (account.window_start, costs)
        costs[model] = costs.get(model, 0) + amount

    def keep_costs(self, account: Account, costs: Mapping[str | None, int]) -> None:
        self._costs[account.key] = (account.window_start, dict(costs))

    def held(self, key: AccountKey, start: int, end: int | None) -> int:
        return sum(
            row.amount
            for row in self._open.values()
            if start <= row.reserved_at
            and (end is None or row.reserved_at < end)
            and any(key == named for named, _ in row.windows)
        )

    def adjustment(self, adjustment_id: str) -> Adjustment | None:
        return self.adjustments.get(adjustment_id)

    def add_adjustment(self, adjustment_id: str, adjustment: Adjustment) -> None:
        self.adjustments[adjustment_id] = adjustment
        if len(self.adjustments) > KEPT_IDS:
            del self.adjustments[next(iter(self.adjustments))]

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
        self._seq += 1
        hold_id, _, _, model, input_tokens, output_tokens, unconfirmed, counted, reason, tags, _ = about
        line = Entry(
            self._seq,
            key,
            kind,
            amount,
            at,
            posted_at,
            window_start,
            hold_id or None,
            model,
            input_tokens,
            output_tokens,
            unconfirmed,
            counted,
            reason,
            tags,
        )
        lines = self.lines.get(key)
        if lines is None:
            self.lines[key] = [line]
            return
        lines.append(line)
        # A look at one line in the middle: where many models' sums pile up, they are not folded each time.
        if len(lines) > 2 * KEPT_LINES and lines[-KEPT_LINES * 3 // 2].kind is not _CARRIED:
            lines[:-KEPT_LINES] = _folded(lines[:-KEPT_LINES])

    # -- for pruning; see `PruningTables` ------------------------------------------------------------

    def holds_after(self, hold_id: str, count: int) -> list[HoldRow]:
        known = nsmallest(count, [one for one in self.holds if one > hold_id])
        return [self.holds[one] for one in known]

    def forget_hold(self, hold_id: str) -> None:
        del self.holds[hold_id]
        self._over.remove(hold_id)

    def accounts_after(self, project: str | None, last: AccountKey, count: int) -> list[Account]:
        keys = [key for key in self.accounts if key > last and project in (None, key.project)]
        return [self.accounts[key] for key in nsmallest(count, keys)]

    def old_lines(self, key: AccountKey, until: int, after: tuple[int, int], count: int) -> list[Entry]:
        lines = [
            line
            for line in self.lines.get(key, ())
            if line.at < until and (line.at, line.seq) > after and line.hold_id not in self.holds
        ]
        return nsmallest(count, lines, key=attrgetter("at", "seq"))

    def lines_of(self, numbers: Sequence[int]) -> list[Entry]:
        wanted = set(numbers)
        return [line for lines in self.lines.values() for line in lines if line.seq in wanted]

    def lines_of_hold(self, row: HoldRow) -> list[Entry]:
        return [
            line for key, _ in row.windows for line in self.lines.get(key, ()) if line.hold_id == row.hold_id
        ]

    def replace_lines(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        key, numbers = gone[0].key, {line.seq for line in gone}
        self.lines[key] = sorted([*[line for line in self.lines[key] if line.seq not in numbers], *new])


def _folded(lines: list[Entry]) -> list[Entry]:
    """A line for each model in each window; if short windows pile up, the older half loses the windows."""
    folded = summed(lines, attrgetter("window_start", "model"))
    if len(folded) > KEPT_LINES // 2:
        half = len(folded) // 2
        newest = max([line.window_start for line in folded])
        older = summed(folded[:half], lambda line: (line.window_start == newest, line.model))
        folded = sorted([*older, *folded[half:]])
    return folded


_stores: WeakSet[MemoryStore] = WeakSet()


def _forked() -> None:
    for store in list(_stores):
        store._forked()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
