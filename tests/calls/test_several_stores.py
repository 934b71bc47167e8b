"""One call on budgets of several stores: a block in memory, users in files, teams on a server."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest

import allowance
from allowance import (
    BudgetExceededError,
    BudgetManager,
    Event,
    StoreUnavailableError,
    UnknownModelError,
    budget,
    budgeted,
)
from allowance.calls import lifeline
from allowance.calls.settled import was_settled
from allowance.ledger.records import Ask, Scope
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, GPT_4O_IN, HELD, MESSAGES, Clock, Flaky, books, key, reply, usd


class File(Flaky):
    """A store that is asked like a file; it notes which threads ask."""

    def __init__(self, rank: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.rank = rank
        self.blocking = True
        self.threads: set[int] = set()

    def _reach(self, verb: str) -> None:
        super()._reach(verb)
        self.threads.add(threading.get_ident())


@pytest.fixture
def file() -> File:
    """Where named budgets lie; a block without a user lies in memory."""
    made = File()
    allowance.configure(store=made)
    return made


def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return {"id": f"chatcmpl-{uuid4()}", **reply()}  # what other tests settled is another reply


async def test_one_that_does_io_is_asked_in_a_worker_thread_whichever_comes_first(file: File) -> None:
    @budgeted()
    async def later(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    allowance.max_budget = 1
    async with budget(limit=1), budget("alice", limit=1):
        file.threads.clear()
        await later()
    assert file.threads
    assert threading.get_ident() not in file.threads
    assert books(file, "alice") == (CALL, 0)


@pytest.mark.parametrize("limited", ["block", "alice"])
def test_r10_a_limit_in_either_refuses_a_model_without_a_price(limited: str, file: File) -> None:
    limits = {name: 1 if name == limited else None for name in ("block", "alice")}
    with budget(limit=limits["block"]) as block, budget("alice", limit=limits["alice"]):
        with pytest.raises(UnknownModelError):
            budgeted()(ask)(model="nobody-knows")
        assert (block.spent, block.held) == (0, 0)
    assert books(file, "alice") == (0, 0)


def test_r7_the_one_that_refuses_is_not_asked_to_release_what_it_never_held(file: File) -> None:
    with budget(limit=1), budget("alice", limit=usd(HELD - 1)), pytest.raises(BudgetExceededError):
        budgeted()(ask)()
    assert file.asked.count("reserve") >= 1
    assert "release" not in file.asked


def test_r3_a_reply_is_charged_once_to_each_who_paid_for_it(file: File) -> None:
    server = File(rank=2)
    managers = [BudgetManager("shop", store=store) for store in (file, server)]
    for manager, names in zip(managers, (("alice", "bob"), ("carol", "dave")), strict=True):
        for name in names:
            manager.create_budget(1, name)
    files, servers = managers
    with files.budget("alice"), servers.budget("carol"), files.budget("bob"), servers.budget("dave"):
        got = budgeted()(ask)()
    for manager, names in ((files, ("alice", "bob")), (servers, ("carol", "dave"))):
        for name in names:
            manager.update_cost(name, got)
            assert manager.status(name)[0].spent == usd(CALL)
            assert was_settled(got, manager.store.account(manager._key(name)).key, manager.store)
    assert not was_settled(got, key("alice"), server)


def test_events_are_told_of_all_once_all_are_charged(file: File) -> None:
    told: list[tuple[str, str]] = []
    seen: list[int] = []

    def hear(event: Event) -> None:
        told.append((event.kind, event.user if event.user in ("alice", "carol") else "block"))
        if event.kind == "settled":
            seen.append(sum(store.account(key(name)).spent for store, name in stores))

    server = File(rank=2)
    stores = ((file, "alice"), (server, "carol"))
    with budget(limit=usd(HELD), on_event=hear, warn_at=0.1), budget("alice", limit=usd(HELD)):
        allowance.configure(store=server)
        with budget("carol", limit=usd(HELD)):
            budgeted()(ask)()
    assert told[:3] == [("reserved", "block"), ("reserved", "alice"), ("reserved", "carol")]
    assert [one for one in told if one[0] == "settled"] == [
        ("settled", name) for name in ("block", "alice", "carol")
    ]
    assert seen == [2 * CALL] * 3
    assert ("threshold", "block") in told


def test_r6_what_a_refused_call_holds_in_a_store_that_went_away_goes_when_it_is_back(file: File) -> None:
    server = File(rank=2)
    with budget("alice", limit=1):
        allowance.configure(store=server)
        with budget("carol", limit=usd(HELD - 1)):
            file.down.add("release")
            with pytest.raises(BudgetExceededError):
                budgeted()(ask)()
            assert books(file, "alice") == (0, HELD)
            file.down.clear()
            lifeline.drain()
    assert books(file, "alice") == (0, 0)


def test_each_is_warned_at_its_own_part(file: File) -> None:
    told: list[tuple[str, str]] = []

    def hear(event: Event) -> None:
        if event.kind == "threshold":
            told.append((event.user, str(event.spent)))

    alice = budget("alice", limit=usd(HELD + CALL), on_event=hear, warn_at=0.2)
    with alice, budget("bob", limit=1, warn_at=0.00005):
        budgeted()(ask)()
        assert told == [("bob", str(usd(CALL)))]
        budgeted()(ask)()
        assert told == [("bob", str(usd(CALL))), ("alice", str(usd(2 * CALL)))]


@pytest.mark.parametrize("tight", ["block", "alice"])
def test_clamp_caps_to_what_the_tightest_can_afford(tight: str, file: File) -> None:
    room = 9 * GPT_4O_IN + 20 * 10_000
    limits = {name: usd(room) if name == tight else 1 for name in ("block", "alice")}
    capped: list[int | None] = []

    @budgeted()
    def uncapped(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int | None = None) -> Any:
        capped.append(max_tokens)
        return reply()

    with (
        budget(limit=limits["block"], uncapped="clamp"),
        budget("alice", limit=limits["alice"], uncapped="clamp"),
    ):
        uncapped()
    assert capped == [20]


@pytest.mark.parametrize("tight", ["block", "alice"])
def test_a_call_that_takes_no_cap_is_refused_by_the_tightest(tight: str, file: File) -> None:
    limits = {name: usd(HELD) if name == tight else usd(2 * HELD) for name in ("block", "alice")}
    uncappable = budgeted()(lambda messages, model="gpt-4o": reply())
    with budget(limit=limits["block"], uncapped="clamp") as block, budget("alice", limit=limits["alice"]):
        with pytest.raises(BudgetExceededError) as refused:
            uncappable(MESSAGES)
        assert refused.value.limit == limits[tight]
        assert block.held == 0
    assert books(file, "alice") == (0, 0)


def test_what_expired_elsewhere_is_told_though_the_call_is_refused() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    allowance.configure(store=store)
    told: list[tuple[str, str]] = []
    with budget("alice", limit=usd(4 * HELD)), budget("bob", limit=usd(HELD)), budget("carol", limit=1):
        budgeted()(ask)()
    scopes = tuple(Scope(key(name)) for name in ("alice", "bob"))
    amounts = (HELD - CALL, HELD - CALL, HELD - CALL, HELD - CALL)
    store.reserve(Ask("lost", scopes, *amounts, True, 1))
    clock.forward(minutes=1)
    hear = budget("bob", on_event=lambda event: told.append((event.kind, event.user)))
    with budget("carol"), budget("alice"), hear, pytest.raises(BudgetExceededError):
        budgeted()(ask)()
    assert told == [("expired", "bob"), ("expired", "alice"), ("denied", "bob")]


def test_an_inner_call_takes_over_the_outer_hold_where_both_have_one(file: File) -> None:
    held: list[tuple[int, int]] = []

    @budgeted(user="alice")
    def inner(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        held.append((books(file, "alice")[1], block.refresh().held))
        return reply()

    @budgeted()
    def outer(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        held.append((books(file, "alice")[1], block.refresh().held))
        return inner()

    told: list[str] = []
    alice = budget("alice", limit=usd(2 * HELD - 1), on_event=lambda event: told.append(event.kind))
    with alice, budget(limit=usd(2 * HELD - 1)) as block:
        outer()
        assert held == [(HELD, usd(HELD))] * 2
        assert (block.spent, block.held, block.cost) == (usd(CALL), 0, usd(CALL))
    assert books(file, "alice") == (CALL, 0)
    assert told == ["reserved"] * 4 + ["settled"] * 2  # the outer hold was not released: it was replaced


def test_an_inner_call_leaves_the_outer_hold_where_it_pays_nothing_itself(file: File) -> None:
    """A store in which the inner call has no budget still has the outer one's hold, which goes at its end."""
    server = File(rank=2)
    manager = BudgetManager("shop", store=server)
    manager.create_budget(1, "carol")

    def inner(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    @budgeted(user="alice", limit=1)
    def outer(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return manager.budgeted(user="carol")(inner)()

    outer()
    assert books(file, "alice") == (CALL, 0)
    assert manager.status("carol")[0].spent == usd(CALL)
    assert manager.holds() == []


def test_the_process_counts_a_call_once_however_many_stores_it_is_in(file: File) -> None:
    allowance.max_budget = 1
    with budget(limit=1), budget("alice", limit=1):
        budgeted()(ask)()
    assert allowance.current_cost == usd(CALL)
    allowance.max_budget = None
    with budget(limit=1), budget("alice", limit=1):
        budgeted()(ask)()
    assert allowance.current_cost == usd(2 * CALL)


def test_r14_a_memory_that_is_gone_stops_calls_even_where_a_store_that_is_down_would_not() -> None:
    for rank in (0, 1):
        store = File(rank)
        allowance.configure(store=store, on_store_error="open")
        with budget("alice", limit=1):
            store.down.add("reserve")
            if rank:
                budgeted()(ask)()
                continue
            with pytest.raises(StoreUnavailableError):
                budgeted()(ask)()
