"""Deadlines, the queue, and what becomes of a batch in which one operation fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from allowance.errors import BudgetError, StoreUnavailableError, UnknownUserError
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Grant, Posting, Scope, Settlement
from allowance.server.batches import Batcher
from allowance.stores.base import Batching
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.server.running import inside

TTL = 900_000_000
ALICE = AccountKey("p", "user", "alice")


def ask(hold_id: str, amount: int = 10, limit: int | None = 1_000) -> Ask:
    declared = None if limit is None else Declaration(limit=limit, creates=True)
    return Ask(hold_id, (Scope(ALICE, declared),), amount, amount, amount, amount, True, TTL)


class Slow(MemoryStore):
    """A store whose batches wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.batches: list[int] = []

    def many(self, operations: Sequence[Ask | Posting]) -> list[Grant | Denial | Settlement | BudgetError]:
        self.batches.append(len(operations))
        self.gate.wait(30)
        found: list[Grant | Denial | Settlement | BudgetError] = []
        for operation in operations:
            do: Callable[[Any], Any] = self.reserve if isinstance(operation, Ask) else self.settle
            try:
                found.append(do(operation))
            except BudgetError as error:
                found.append(error)
        return found


async def test_what_waits_goes_together() -> None:
    store = Slow()
    batcher = Batcher(store, threads=1, most=4)
    first = asyncio.ensure_future(batcher.reserve(ask("h0")))
    await asyncio.sleep(0.01)
    others = [asyncio.ensure_future(batcher.reserve(ask(f"h{number}"))) for number in range(1, 11)]
    await asyncio.sleep(0.01)
    store.gate.set()
    granted = await asyncio.gather(first, *others)
    assert store.batches == [1, 4, 4, 2]
    assert [grant.hold_id for grant in granted if isinstance(grant, Grant)] == [f"h{n}" for n in range(11)]
    batcher.close()


async def test_an_error_goes_to_whom_it_concerns() -> None:
    store = Slow()
    store.gate.set()
    batcher = Batcher(store, threads=1)
    good, unknown, settled, over = await asyncio.gather(
        batcher.reserve(ask("a")),
        batcher.settle(Posting("never", 5)),
        batcher.settle(Posting("a", 7)),
        batcher.reserve(ask("b", 5_000)),
        return_exceptions=True,
    )
    assert isinstance(good, Grant)
    assert isinstance(unknown, UnknownUserError)
    assert isinstance(settled, Settlement)
    assert isinstance(over, Denial)
    assert store.batches == [4]
    batcher.close()


async def test_a_reserve_whose_deadline_is_over_is_not_done() -> None:
    store = Slow()
    batcher = Batcher(store, threads=1)
    first = asyncio.ensure_future(batcher.reserve(ask("first")))
    await asyncio.sleep(0.01)
    late = asyncio.ensure_future(batcher.reserve(ask("late"), time.monotonic() + 0.05))
    in_time = asyncio.ensure_future(batcher.reserve(ask("in time"), time.monotonic() + 60))
    await asyncio.sleep(0.1)
    store.gate.set()
    await asyncio.gather(first, in_time)
    with pytest.raises(StoreUnavailableError, match="deadline was over") as caught:
        await late
    assert caught.value.retry_after is not None
    assert store.hold("late") is None
    assert store.hold("in time") is not None
    batcher.close()


async def test_what_nobody_waits_for_any_more_is_not_held_but_settled() -> None:
    store = Slow()
    batcher = Batcher(store, threads=1)
    first = asyncio.ensure_future(batcher.reserve(ask("first")))
    await asyncio.sleep(0.01)
    given_up = asyncio.ensure_future(batcher.reserve(ask("given up")))
    settling = asyncio.ensure_future(batcher.settle(Posting("paid", 3, (Scope(ALICE),))))
    await asyncio.sleep(0.01)
    given_up.cancel()
    settling.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    await first
    last = await batcher.settle(Posting("first", 1))
    assert store.hold("given up") is None
    assert last.accounts[0].spent == 4
    batcher.close()


async def test_a_full_queue_refuses_at_once() -> None:
    store = Slow()
    batcher = Batcher(store, threads=1, queue=2)
    waiting = [asyncio.ensure_future(batcher.reserve(ask("h0")))]
    await asyncio.sleep(0.01)
    waiting += [asyncio.ensure_future(batcher.reserve(ask(f"h{number}"))) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError, match="busy"):
        await batcher.reserve(ask("one too many"))
    store.gate.set()
    await asyncio.gather(*waiting)
    assert store.hold("one too many") is None
    batcher.close()


async def test_whoever_waits_is_told_when_a_whole_batch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Slow()
    monkeypatch.setattr(store, "many", lambda operations: 1 / 0)
    batcher = Batcher(store, threads=1)
    found = await asyncio.gather(*(batcher.reserve(ask(f"h{n}")) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [ZeroDivisionError] * 3
    batcher.close()


async def test_a_store_without_batches_gets_threads() -> None:
    store = MemoryStore()
    assert not isinstance(store, Batching)
    batcher = Batcher(store, threads=2)
    found = await asyncio.gather(*(batcher.reserve(ask(f"h{n}")) for n in range(50)))
    assert len([one for one in found if isinstance(one, Grant)]) == 50
    batcher.close()


def test_the_file_store_does_each_operation_of_a_batch_alone(tmp_path: Any) -> None:
    store = SQLiteStore(tmp_path / "a.db")
    assert isinstance(store, Batching)
    found = store.many(
        [ask("a", 600), ask("b", 600), Posting("nobody", 5), Posting("a", 500), ask("c", 400), ask("a", 600)]
    )
    kinds = [type(one) for one in found]
    assert kinds == [Grant, Denial, UnknownUserError, Settlement, Grant, Grant]
    account = store.account(ALICE)
    assert account is not None
    assert (account.spent, account.held) == (500, 400)
    assert store.audit() == []
    store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.many([ask("d")])


def test_r3_a_release_that_comes_before_its_reserve_wins(tmp_path: Any) -> None:
    with inside(f"sqlite:///{tmp_path}/a.db") as server:
        key = server.mint("app", ["spend"], projects=["p"])
        assert server.ask("/v1/release", {"hold_id": "given-up"}, key=key).body == {"hold": None}
        scope = {"key": list(ALICE)[:3], "declared": {"limit": 100, "creates": True}}
        body = {"hold_id": "given-up", "scopes": [scope], "amount": 5, "ttl": TTL, "deadline_ms": 5_000}
        refused = server.ask("/v1/reserve", body, key=key)
        assert (refused.status, refused.body["code"]) == (409, "hold_conflict")
        assert server.ask("/v1/reserve", {**body, "hold_id": "fresh"}, key=key).status == 200
