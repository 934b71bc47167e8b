"""Batches do what their operations would, one after another: by the verbs, one by one, and all together."""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from allowance.errors import BudgetError
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Grant, Posting, Scope, Settlement
from allowance.stores.contract.bench import ALICE, BOB, MINUTE, TEAM, ManualClock, budget
from allowance.stores.postgres import PostgresStore
from tests.postgres import emptied, forgetful, fresh_database, needs_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = [*(AccountKey("app", "user", f"u{number}") for number in range(6)), TEAM]


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, psycopg.Connection[Any]]]:
    with ExitStack() as kept:
        servers = {}
        for url in [kept.enter_context(fresh_database()) for _ in range(3)]:
            with closing(PostgresStore(url)) as store:
                store.sweep()  # makes the tables
            servers[url] = kept.enter_context(psycopg.connect(url, autocommit=True))
            forgetful(servers[url])
        yield servers


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stores(
    databases: dict[str, psycopg.Connection[Any]], clock: ManualClock
) -> Iterator[list[PostgresStore]]:
    """By the verbs; one by one; all together."""
    with ExitStack() as kept:
        opened = []
        for url, server in databases.items():
            emptied(server)
            opened.append(kept.enter_context(closing(PostgresStore(url, pool_size=1, clock=clock))))
        opened[0]._calls.hot = False
        opened[1]._calls.few = 10**6
        opened[2]._calls.few = 0
        yield opened
        for store in opened:
            assert store.audit() == []


def ask(hold_id: str, *scopes: Scope, amount: int = 10, **more: Any) -> Ask:
    return Ask(hold_id, scopes or (budget(),), amount, amount, amount, amount, True, 15 * MINUTE)._replace(
        **more
    )


def kinds(outcomes: list[Any]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


def said(outcome: Any) -> str:
    if isinstance(outcome, BudgetError):
        return f"{type(outcome).__name__}: {outcome}"
    if isinstance(outcome, (Grant, Denial)):
        outcome = outcome._replace(expired=())  # who of a batch is told first is not fixed
    return repr(outcome)


@needs_postgres
@pytest.mark.parametrize("seed", range(6))
def test_r4_batches_give_the_same_answers_on_every_way(
    stores: list[PostgresStore], clock: ManualClock, seed: int
) -> None:
    dice = random.Random(seed)
    for key in KEYS:
        terms = Declaration(
            limit=dice.choice([50, 200, 1000, None]),
            creates=True,
            duration=dice.choice([None, "daily", "5m"]),
            uncapped=dice.choice(["shrink", "clamp", "reserve", "refuse"]),
        )
        part = Declaration(limit=dice.choice([40, 400]), creates=True, models=dice.choice([None, ("gpt*",)]))
        defined, labelled = dice.random() < 0.8, dice.random() < 0.3
        for store in stores:
            if defined:
                store.define(key, terms)
            if labelled:
                store.define(key._replace(label="x"), part)
    ids: list[str] = []
    for _ in range(6):
        batch = [_any(dice, ids) for _ in range(dice.randint(1, 24))]
        told = [[said(outcome) for outcome in store.many(batch)] for store in stores]
        assert told[1] == told[0]
        assert told[2] == told[0]
        clock.advance(dice.choice([0, 1, MINUTE, 6 * MINUTE]))
    books = [
        (
            [repr(account) for account in store.accounts()],
            [repr(hold) for hold in store.holds()],
            [store.model_costs(key) for key in KEYS if store.account(key)],
            sorted(repr(entry._replace(seq=0)) for entry in store.entries()),
        )
        for store in stores
    ]
    assert books[1] == books[0]
    assert books[2] == books[0]


def _any(dice: random.Random, ids: list[str]) -> Ask | Posting:
    model = dice.choice([None, "gpt-4o", "claude"])
    if ids and dice.random() < 0.45:
        known = dice.choice(ids) if dice.random() < 0.3 else ids.pop()
        scopes = dice.choice([(), (Scope(dice.choice(KEYS)),)])
        return Posting(known, dice.choice([0, 3, 10, 60]), scopes, model, tags=dice.choice([(), ("t",)]))
    new = f"h{dice.randint(0, 10**6)}" if dice.random() < 0.95 or not ids else dice.choice(ids)
    ids.append(new)
    amount = dice.choice([0, 1, 5, 10, 30])
    scopes = tuple(
        Scope(
            key._replace(label=dice.choice(["", "", "", "x"])),
            dice.choice([None, None, Declaration(limit=100, creates=True)]),
        )
        for key in dice.sample(KEYS, dice.choice([1, 1, 1, 2, 3]))
    )
    return ask(
        new,
        *scopes,
        amount=amount,
        floor=min(amount, dice.choice([0, 3])),
        ceiling=amount + dice.choice([0, 0, 20]),
        bounded=dice.random() < 0.8,
        model=model,
        ttl=dice.choice([1, 15]) * MINUTE,
        replacing=dice.choice(ids) if dice.random() < 0.05 else None,
    )


@needs_postgres
def test_what_is_plain_is_done_together_whatever_else_is_in_the_batch(
    stores: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One denial and one first sight; and no statement of the verbs for any other."""
    slow: list[str] = []
    for store in stores:
        for key in KEYS[:3]:
            store.define(key, Declaration(limit=100, creates=True))
    real = stores[2]._calls._by_the_verbs

    def counted(asked: Any) -> Any:
        slow.extend(one.hold_id for one in asked)
        return real(asked)

    monkeypatch.setattr(stores[2]._calls, "_by_the_verbs", counted)
    batch = [
        ask("a", Scope(KEYS[0]), amount=60),
        ask("b", Scope(KEYS[1]), amount=60),
        ask("c", Scope(KEYS[0]), amount=60),
        ask("d", Scope(KEYS[3], Declaration(limit=5, creates=True)), amount=1),
        ask("e", Scope(KEYS[1]), Scope(KEYS[2]), amount=40),
        ask("f", Scope(KEYS[2]), amount=60),
    ]
    for store in stores:
        assert kinds(store.many(batch)) == ["Grant", "Grant", "Denial", "Grant", "Grant", "Grant"]
    assert slow == ["d"]


@needs_postgres
def test_r3_an_ask_that_is_misuse_never_touches_the_hold_that_has_its_id(stores: list[PostgresStore]) -> None:
    for store in stores:
        store.reserve(ask("a"))
        outcomes = store.many([ask("a", amount=-1), ask("b", budget(BOB))])
        assert kinds(outcomes) == ["HoldConflictError", "Grant"]
        assert store.settle(Posting("a", 3)).posted == 3


@needs_postgres
def test_r3_of_one_id_in_a_batch_each_sees_what_the_one_before_it_did(stores: list[PostgresStore]) -> None:
    for store in stores:
        outcomes = store.many([Posting("a", 3), ask("a"), Posting("a", 4), Posting("a", 4), Posting("a", 5)])
        wanted = ["UnknownUserError", "Grant", "Settlement", "Settlement", "HoldConflictError"]
        assert kinds(outcomes) == wanted
        assert isinstance(outcomes[3], Settlement)
        assert outcomes[3].repeated


@needs_postgres
def test_what_waits_is_itself_waited_for(stores: list[PostgresStore]) -> None:
    for store in stores:
        for key in (ALICE, BOB, TEAM):
            store.define(key, Declaration(limit=100, creates=True))
        store.reserve(ask("outer", Scope(ALICE), amount=100))
        outcomes = store.many(
            [
                ask("inner", Scope(ALICE), amount=10, replacing="outer"),  # slow
                ask("both", Scope(ALICE), Scope(BOB), amount=60),  # waits for it
                ask(
                    "bob", Scope(BOB), amount=60
                ),  # and so does this one, else it would take the other's room
                ask("team", Scope(TEAM), amount=60),
            ]
        )
        assert kinds(outcomes) == ["Grant", "Grant", "Denial", "Grant"]
