"""Both local stores and a plain model live through the same histories, and give the same replies.

``ALLOWANCE_TEST_HISTORIES`` sets how many histories are tried; each has up to 50 steps. The store in
PostgreSQL does the same in a file of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from allowance.errors import ConfigurationError, HoldConflictError, UnknownUserError
from allowance.ledger.records import (
    AccountKey,
    Ask,
    Declaration,
    Denial,
    Grant,
    HoldState,
    Posting,
    Scope,
    Terms,
)
from allowance.stores.contract.bench import DAY, MINUTE, START, ManualClock
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.stores.model import ConflictError, MisuseError, Model, UnknownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.stores.base import Store

MAIN = [AccountKey("p", "user", "a"), AccountKey("p", "user", "b"), AccountKey("q", "team", "c")]
LABELLED = [MAIN[0]._replace(label="m"), MAIN[0]._replace(label="x"), MAIN[2]._replace(label="x")]
KEYS = [*MAIN, *LABELLED]
IDS = [f"h{number}" for number in range(12)]

key = st.sampled_from(KEYS)
hold_id = st.sampled_from(IDS)
amount = st.integers(0, 60)
model = st.sampled_from([None, "gpt-4", "eu/GPT-4", "o/claude"])
adjustment_id = st.sampled_from([None, None, "x", "y"])
TERMS: dict[str, Any] = {
    "limit": st.sampled_from([None, 0, 50, 100]),
    "duration": st.sampled_from([None, None, "daily", "1h", "monthly", "forever"]),
    "align": st.sampled_from([None, None, "created", "calendar"]),
    "timezone": st.sampled_from([None, None, "UTC", "Europe/Berlin"]),
    "uncapped": st.sampled_from([None, "shrink", "clamp", "reserve", "refuse"]),
    "creates": st.booleans(),
    "created_at": st.sampled_from([None, None, None, START - 3 * DAY, START]),
}
MODELS = [None, None, (), ("gpt*",), ("o/*", "claude")]


def sensible(given: Declaration) -> bool:
    return given.creates or given.limit is None


main_terms = st.builds(Declaration, **TERMS).filter(sensible)
labelled_terms = st.builds(Declaration, **TERMS, models=st.sampled_from(MODELS)).filter(sensible)
default = st.none() | st.builds(
    Terms, limit=st.sampled_from([None, 80]), duration=st.sampled_from([None, "1h"])
)
scope = st.builds(Scope, st.sampled_from(MAIN), st.none() | main_terms, default) | st.builds(
    Scope, st.sampled_from(LABELLED), st.none() | labelled_terms, default
)
scopes = st.lists(scope, min_size=1, max_size=3, unique_by=lambda s: s.key).map(tuple)
defined = st.tuples(st.sampled_from(MAIN), main_terms) | st.tuples(st.sampled_from(LABELLED), labelled_terms)


class Histories(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        # Memory for a disk: the disk's own promises are another test's matter.
        shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.directory = tempfile.mkdtemp(dir=shared)
        self.clock = ManualClock()
        self.model = Model()
        self.stores: list[Store] = [
            MemoryStore(clock=self.clock),
            SQLiteStore(f"{self.directory}/a.db", clock=self.clock),
        ]
        self.asks: dict[str, Ask] = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.directory)

    def compare(self, expected: Callable[[], Any], actual: Callable[[Store], Any]) -> None:
        self.model.tick(self.clock.now)
        wanted = _outcome(expected)
        for store in self.stores:
            assert _outcome(lambda store=store: actual(store)) == wanted, store.url

    @rule(
        hold_id=hold_id,
        scopes=scopes,
        amounts=st.tuples(amount, amount, amount).map(sorted),
        capped=st.booleans(),
        expected=amount,
        bounded=st.booleans(),
        ttl=st.sampled_from([MINUTE, 15 * MINUTE, 3 * DAY]),
        replacing=st.none() | hold_id,
        model=model,
    )
    def reserve(
        self,
        hold_id: str,
        scopes: tuple[Scope, ...],
        amounts: list[int],
        capped: bool,
        expected: int,
        bounded: bool,
        ttl: int,
        replacing: str | None,
        model: str | None,
    ) -> None:
        floor, middle, ceiling = [amounts[1]] * 3 if capped else amounts
        ask = Ask(hold_id, scopes, floor, middle, ceiling, expected, bounded, ttl, replacing, model)
        self.asks.setdefault(hold_id, ask)
        self.compare(lambda: self.model.reserve(ask), lambda store: _reserved(store.reserve(ask)))

    @rule(hold_id=hold_id)
    def reserve_again(self, hold_id: str) -> None:
        ask = self.asks.get(hold_id)
        if ask is not None:
            self.compare(lambda: self.model.reserve(ask), lambda store: _reserved(store.reserve(ask)))

    @rule(
        hold_id=hold_id,
        amount=amount,
        scopes=st.just(()) | scopes,
        model=model,
        earlier=st.sampled_from([None, None, 0, MINUTE, DAY, 40 * DAY]),
    )
    def settle(
        self, hold_id: str, amount: int, scopes: tuple[Scope, ...], model: str | None, earlier: int | None
    ) -> None:
        at = None if earlier is None else self.clock.now - earlier
        posting = Posting(hold_id, amount, scopes, model, at=at)
        self.compare(lambda: self.model.settle(posting), lambda store: _settled(store, posting))

    @rule(hold_id=hold_id)
    def release(self, hold_id: str) -> None:
        self.compare(lambda: self.model.release(hold_id), lambda store: _released(store, hold_id))

    @rule(hold_ids=st.lists(hold_id, max_size=3), ttl=st.sampled_from([MINUTE, 30 * MINUTE]))
    def renew(self, hold_ids: list[str], ttl: int) -> None:
        self.compare(lambda: self.model.renew(hold_ids, ttl), lambda store: store.renew(hold_ids, ttl))

    @rule(what=defined, declared=st.booleans())
    def define(self, what: tuple[AccountKey, Declaration], declared: bool) -> None:
        key, given = what

        def defined(store: Store) -> None:
            store.define(key, given, declared=declared)

        self.compare(lambda: self.model.define(key, given, declared), defined)

    @rule(
        key=key,
        amount=st.none() | st.integers(-40, 40),
        adjustment_id=adjustment_id,
    )
    def adjust(self, key: AccountKey, amount: int | None, adjustment_id: str | None) -> None:
        def adjusted(store: Store) -> None:
            store.adjust(key, amount, reason="test", adjustment_id=adjustment_id)

        self.compare(lambda: self.model.adjust(key, amount, adjustment_id), adjusted)

    @rule(
        key=key,
        amount=st.integers(1, 40),
        later=st.sampled_from([None, None, MINUTE, DAY, 31 * DAY]),
        adjustment_id=adjustment_id,
    )
    def extend(self, key: AccountKey, amount: int, later: int | None, adjustment_id: str | None) -> None:
        self.model.tick(self.clock.now)
        until = None if later is None else self.model.now + later

        def extended(store: Store) -> None:
            store.extend(key, amount, until=until, reason="test", adjustment_id=adjustment_id)

        self.compare(lambda: self.model.extend(key, amount, until, adjustment_id), extended)

    @rule(key=key)
    def remove(self, key: AccountKey) -> None:
        def removed(store: Store) -> None:
            store.remove(key)

        self.compare(lambda: self.model.remove(key), removed)

    @rule(micros=st.sampled_from([1, MINUTE, 15 * MINUTE, 60 * MINUTE, DAY, 31 * DAY, -DAY]))
    def advance(self, micros: int) -> None:
        self.clock.now = max(START, self.clock.now + micros)

    @invariant()
    def figures_agree(self) -> None:
        for key in (*KEYS, *[key for key in self.model.budgets if key.kind == "deleted"]):
            self.compare(lambda key=key: self.model.figures(key), lambda store, key=key: _figures(store, key))

    @invariant()
    def holds_agree(self) -> None:
        wanted = {
            (hold_id, call.state, call.amount, call.charged, call.expires)
            for hold_id, call in self.model.calls.items()
            if call.state in ("held", "expired")
        }
        for store in self.stores:
            found = {(h.hold_id, str(h.state), h.amount, h.charged, h.expires_at) for h in store.holds()}
            assert found == wanted, store.url

    @invariant()
    def entries_agree(self) -> None:
        wanted = Counter(self.model.posted)
        for store in self.stores:
            assert Counter((e.key, e.amount, e.at, e.model) for e in store.entries()) == wanted, store.url

    @invariant()
    def books_balance(self) -> None:
        for store in self.stores:
            assert store.audit() == [], store.url


def _outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (ConflictError, HoldConflictError):
        return "conflict"
    except (UnknownError, UnknownUserError):
        return "unknown"
    except (MisuseError, ConfigurationError):
        return "misuse"


def _reserved(outcome: Grant | Denial) -> tuple[Any, ...]:
    if isinstance(outcome, Denial):
        return "denied", outcome.account.key, outcome.amount
    flags = (outcome.shrunk, outcome.clamped, outcome.bound, outcome.replaced)
    return "granted", outcome.amount, *flags, outcome.expires_at


def _settled(store: Store, posting: Posting) -> tuple[Any, ...]:
    settlement = store.settle(posting)
    return settlement.posted, settlement.held, settlement.overrun, settlement.repeated


def _released(store: Store, hold_id: str) -> tuple[Any, ...] | None:
    hold = store.release(hold_id)
    if hold is None:
        return None
    assert isinstance(hold.state, HoldState)
    return str(hold.state), hold.amount, hold.charged


def _figures(store: Store, key: AccountKey) -> tuple[Any, ...] | None:
    account = store.account(key)
    if account is None:
        return None
    return account.spent, account.held, account.limit, store.model_costs(key)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=int(os.environ.get("ALLOWANCE_TEST_HISTORIES", "60")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
