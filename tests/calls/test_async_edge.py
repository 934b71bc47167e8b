"""Where async callers meet a store that does I/O: the loop is not blocked, and a cancel leaves no hold."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted
from allowance.calls import lifeline
from tests.calls.support import CALL, HELD, MESSAGES, Flaky, books, key, lines, reply, usd


class Slow(Flaky):
    """A store whose reserve waits for a gate, as a file's may for its disk."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.threads: list[str] = []

    def reserve(self, ask: Any) -> Any:
        self.threads.append(threading.current_thread().name)
        self.reached.set()
        self.gate.wait(10)
        return super().reserve(ask)

    def settle(self, posting: Any) -> Any:
        self.threads.append(threading.current_thread().name)
        return super().settle(posting)


@pytest.fixture
def slow() -> Slow:
    made = Slow()
    allowance.configure(store=made)
    return made


async def _ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    await asyncio.sleep(0)
    return reply()


async def test_a_store_that_does_io_is_asked_in_worker_threads(slow: Slow) -> None:
    await budgeted(user="alice", limit=1)(_ask)(MESSAGES)
    assert len(slow.threads) == 2
    assert all(name.startswith("allowance") for name in slow.threads)


async def test_the_loop_goes_on_while_the_store_is_asked(slow: Slow) -> None:
    slow.gate.clear()
    task = asyncio.create_task(budgeted(user="alice", limit=1)(_ask)(MESSAGES))
    while not slow.reached.is_set():  # were the loop blocked, it would not come here before the gate opens
        await asyncio.sleep(0.001)
    assert not task.done()
    slow.gate.set()
    await task
    assert books(slow, "alice") == (CALL, 0)


async def test_a_cancel_while_reserving_leaves_no_hold(slow: Slow) -> None:
    slow.gate.clear()
    ran = []

    @budgeted(user="alice", limit=1)
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        ran.append(True)

    task = asyncio.create_task(ask(MESSAGES))
    await asyncio.to_thread(slow.reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow.gate.set()
    for _ in range(1_000):
        if "release" in slow.asked:
            break
        await asyncio.sleep(0.005)
    time.sleep(0)
    for _ in range(1_000):
        if books(slow, "alice") == (0, 0):
            break
        await asyncio.sleep(0.005)
    assert books(slow, "alice") == (0, 0)
    assert not ran
    assert not lifeline._lifeline.open


async def test_a_cancel_while_settling_does_not_stop_it(slow: Slow) -> None:
    gate = threading.Event()
    reached = threading.Event()
    settle = slow.settle

    def waiting(posting: Any) -> Any:
        reached.set()
        gate.wait(10)
        return settle(posting)

    slow.settle = waiting  # type: ignore[method-assign]
    task = asyncio.create_task(budgeted(user="alice", limit=1)(_ask)(MESSAGES))
    await asyncio.to_thread(reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    for _ in range(1_000):
        if lines(slow, "alice"):
            break
        await asyncio.sleep(0.005)
    assert books(slow, "alice") == (CALL, 0)


def test_without_an_asyncio_loop_everything_is_done_once_and_here(slow: Slow) -> None:
    """As under trio: a coroutine that is driven by hand."""
    with pytest.raises(StopIteration) as done:
        budgeted(user="alice", limit=1)(_plain)(MESSAGES).send(None)
    assert done.value.value == reply()
    assert slow.asked.count("reserve") == slow.asked.count("settle") == 1
    assert set(slow.threads) == {threading.current_thread().name}
    assert books(slow, "alice") == (CALL, 0)


async def _plain(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


async def test_a_coroutine_that_is_closed_in_mid_call_is_settled(slow: Slow) -> None:
    @budgeted(user="alice", limit=1)
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        await _Forever()

    coroutine = ask(MESSAGES)
    # Driven by hand until it waits in the function itself.
    while True:
        waited = coroutine.send(None)
        if waited == "forever":
            break
        while not waited.done():
            await asyncio.sleep(0.001)
        waited.result()
    coroutine.close()
    (entry,) = lines(slow, "alice")
    assert (entry.amount, entry.unconfirmed) == (HELD, True)


class _Forever:
    def __await__(self) -> Any:
        yield "forever"


async def test_async_generators_over_such_a_store(slow: Slow) -> None:
    @budgeted(user="alice", limit=1)
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        yield reply()

    assert [chunk async for chunk in ask(MESSAGES)] == [reply()]
    assert books(slow, "alice") == (CALL, 0)


async def test_a_refusal_through_such_a_store(slow: Slow) -> None:
    async with budget("alice", limit=usd(HELD - 1)) as b:
        with pytest.raises(BudgetExceededError):
            await budgeted()(_ask)(MESSAGES)
        await b.arefresh()
        assert (b.spent, b.held) == (0, 0)


# -- a hold that is gone before its call ends ----------------------------------------------------------------


def test_r5_a_call_whose_hold_was_released_by_hand_is_counted_all_the_same() -> None:
    store = Flaky()
    allowance.configure(store=store)

    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        (hold,) = store.holds(key("alice"))
        store.release(hold.hold_id, reason="an operator thought it was dead")
        return reply()

    ask(MESSAGES)
    assert books(store, "alice") == (CALL, 0)


def test_r5_a_refused_inner_call_over_two_stores_loses_no_cost_of_the_outer() -> None:
    file = Flaky()
    allowance.configure(store=file)
    inner = budgeted()(lambda messages, model, max_tokens: reply())

    @budgeted(user="alice", limit=usd(HELD))
    def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        with pytest.raises(BudgetExceededError):
            inner(messages, model, 51)  # the block admits it, and alice's budget does not
        return reply()

    with budget(limit=1) as b:
        outer(MESSAGES)
        assert (b.spent, b.held, b.cost) == (usd(CALL), 0, usd(CALL))
    assert books(file, "alice") == (CALL, 0)
