"""Decorated functions that are cancelled or closed at each of their awaits, in each phase of a call."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import allowance
from allowance import ask, budget, budgeted, wait
from allowance.ledger.records import EntryKind
from allowance.stores.base import Store
from allowance.stores.sqlite import SQLiteStore
from tests.calls.interrupting import interrupted, one_worker, settled
from tests.calls.support import (
    CALL,
    GPT_4O_IN,
    GPT_4O_OUT,
    HELD,
    MESSAGES,
    PROJECT,
    books,
    key,
    lines,
    reply,
    usd,
)

INPUT = 9 * GPT_4O_IN
LONG = " hello" * 1_000


@pytest.fixture(autouse=True)
def _one_worker() -> Iterator[None]:
    with one_worker():
        yield


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Iterator[Store]:
    """A memory store, which is asked in place, and a file's, which is asked in worker threads."""
    made = SQLiteStore(tmp_path / "budgets.db") if request.param == "file" else store
    allowance.configure(store=made, project=PROJECT)
    yield made
    if made is not store:
        made.close()


def plain(user: str) -> Coroutine[Any, Any, Any]:
    @budgeted(user=user, limit=1)
    async def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return reply()

    return call(MESSAGES)


async def stream(user: str) -> None:
    @budgeted(user=user, limit=1)
    async def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        yield {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}
        await asyncio.sleep(0)
        yield reply()

    async for _ in call(MESSAGES):
        await asyncio.sleep(0)


async def scope(user: str) -> None:
    @budgeted(user=user, limit=1)
    async def outer() -> Any:
        await asyncio.sleep(0)
        await plain(user)
        await asyncio.sleep(0)

    await outer()


async def taken_over(user: str) -> None:
    @budgeted(user=user, limit=1)
    async def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return await plain(user)

    await outer(MESSAGES)


async def short(user: str) -> None:
    """Refused, waited for, and asked about, by a coroutine function each."""

    async def grant(_: Any) -> bool:
        await asyncio.sleep(0)
        return True

    @budgeted(user=user, limit=usd(1_000), on_exceeded=[wait(1, sleep=asyncio.sleep), ask(grant)])
    async def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        await asyncio.sleep(0)
        return reply()

    await call(MESSAGES)


async def topped_up(user: str) -> None:
    """A stream that costs more than it held, and is given more at several of its chunks."""

    @budgeted(user=user, limit=1)
    async def call(messages: Any, model: str = "gpt-4o") -> AsyncIterator[Any]:
        for _ in range(6):
            await asyncio.sleep(0)
            yield {"choices": [{"index": 0, "delta": {"content": LONG}}]}
        yield reply(9, 6_000)

    async for _ in call(MESSAGES):
        pass


async def two_stores(user: str) -> None:
    async with budget(limit=1):
        await plain(user)


WAYS: dict[str, tuple[Callable[[str], Any], int]] = {
    "a coroutine": (plain, CALL),
    "an async generator": (stream, CALL),
    "a scope": (scope, CALL),
    "a hold that is taken over": (taken_over, CALL),
    "a short budget": (short, CALL),
    "a stream that is given more": (topped_up, INPUT + 6_000 * GPT_4O_OUT),
    "two stores": (two_stores, CALL),
}


@pytest.mark.parametrize("how", ["cancelled", "late", "closed"])
@pytest.mark.parametrize("way", WAYS)
async def test_r12_an_interruption_at_every_await(way: str, how: str, ledger: Store) -> None:
    make, cost = WAYS[way]
    partly = way in ("an async generator", "a stream that is given more")
    await make("warm")
    charged: list[int] = []
    error: object = None
    for at in itertools.count():
        user = f"user {at}"
        reached, error = await interrupted(_awaited(make(user)), at, how)
        await settled(ledger)
        spent, held = (0, 0) if ledger.account(key(user)) is None else books(ledger, user)
        assert held == 0
        assert len([entry for entry in lines(ledger, user) if entry.kind is not EntryKind.ADJUSTMENT]) <= 1
        likely = (HELD, INPUT + 5 * GPT_4O_OUT)  # the latter as soon as replies have shown how long they are
        assert spent in (0, cost, *likely) or (partly and spent < 1.01 * cost)
        charged.append(spent)
        if not reached:
            break
        assert error is asyncio.CancelledError
        await make(user)  # the next one works
        await settled(ledger)
        assert books(ledger, user) == (spent + cost, 0)
    assert error is None
    assert charged[-1] == cost
    assert len(charged) >= 3
    if ledger.blocking:
        assert charged[0] == 0  # while it was reserved for: not sent


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


# -- what else interrupts -----------------------------------------------------------------------------------


async def waiting(user: str, begun: asyncio.Event) -> None:
    @budgeted(user=user, limit=1)
    async def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        begun.set()
        await asyncio.sleep(60)

    await call(MESSAGES)


async def test_r12_a_timeout_of_asyncios(ledger: Store) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await waiting("alice", asyncio.Event())
    await settled(ledger)
    assert books(ledger, "alice") == (HELD, 0)
    await plain("alice")
    await settled(ledger)
    assert books(ledger, "alice") == (HELD + CALL, 0)


async def test_r12_a_sibling_in_a_task_group_fails(ledger: Store) -> None:
    begun = asyncio.Event()

    async def fail() -> None:
        await begun.wait()
        raise LookupError("mine")

    async def siblings() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waiting("alice", begun))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        await siblings()
    assert [type(error) for error in raised.value.exceptions] == [LookupError]
    await settled(ledger)
    assert books(ledger, "alice") == (HELD, 0)


async def test_r12_a_cancel_scope_of_anyios(ledger: Store) -> None:
    """It cancels again and again, as long as anything in it is awaited: the cost is written all the same."""
    begun = asyncio.Event()
    with anyio.CancelScope() as cancelled:
        async with anyio.create_task_group() as group:
            group.start_soon(waiting, "alice", begun)
            await begun.wait()
            cancelled.cancel()
    assert cancelled.cancelled_caught
    await settled(ledger)
    assert books(ledger, "alice") == (HELD, 0)
    with anyio.move_on_after(0.05):
        await waiting("ben", asyncio.Event())
    await settled(ledger)
    assert books(ledger, "ben") == (HELD, 0)


async def test_r12_a_task_that_takes_its_cancellation_back_goes_on(ledger: Store) -> None:
    begun = asyncio.Event()

    async def stubborn() -> str:
        with pytest.raises(asyncio.CancelledError, match="by the test"):
            await waiting("alice", begun)
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        await plain("alice")
        return "done"

    task = asyncio.create_task(stubborn())
    await begun.wait()
    task.cancel("by the test")
    assert await task == "done"
    await settled(ledger)
    assert books(ledger, "alice") == (HELD + CALL, 0)
