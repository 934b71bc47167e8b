"""`with budget(...)`: what a block shows, how blocks nest, and where they neither leak nor get lost."""

# ruff: noqa: SIM117  # blocks inside blocks are what this is about

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest
from fastapi import Depends, FastAPI

import allowance
from allowance import BudgetExceededError, UnknownUserError, budget, budgeted
from allowance.calls.stack import frames_in_force
from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.ledger.records import Declaration
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, HELD, MESSAGES, Clock, Flaky, books, key, reply, usd
from tests.provider import Provider, clients


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


@pytest.fixture
def call() -> Callable[[], Any]:
    """A call that is charged to whatever budget encloses it."""

    @budgeted()
    def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    return ask


# -- what a block shows ----------------------------------------------------------------------------------


def test_what_a_block_shows(client: openai.OpenAI) -> None:
    with budget("alice", limit=5, duration="monthly") as b:
        client.chat.completions.create(**CHAT)
        assert (b.user, b.spent, b.held, b.cost) == ("alice", usd(CALL), 0, usd(CALL))
        assert (b.limit, b.remaining) == (5, 5 - usd(CALL))
        assert b.resets_at is not None
        assert b.resets_at.tzinfo is not None
        assert b.resets_at > datetime.now(UTC)
        assert "alice" in repr(b)
        assert "0.000075" in repr(b)
    assert b.spent == usd(CALL)  # after it was closed too


def test_held_is_seen_while_a_call_is_open(store: MemoryStore) -> None:
    with budget("alice", limit=5) as b:

        @budgeted()
        def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            assert (b.spent, b.held, b.remaining, b.cost) == (0, usd(b_held()), 5 - usd(b_held()), 0)
            return reply()

        def b_held() -> int:
            return books(store, "alice")[1]

        ask(MESSAGES)
        assert (b.held, b.spent) == (0, usd(CALL))


def test_a_block_without_a_user_is_a_budget_of_its_own(call: Callable[[], Any], store: MemoryStore) -> None:
    with budget(limit=usd(HELD)) as first:
        call()
        with pytest.raises(BudgetExceededError, match="block"):
            call()
    with budget(limit=usd(HELD)) as second:
        call()
    assert first.cost == second.cost == usd(CALL)
    assert not list(store.accounts())


def test_a_block_needs_a_user_or_a_limit() -> None:
    with pytest.raises(ConfigurationError, match="limit=1"):
        budget()
    with budget(limit=None) as b:
        budgeted()(lambda messages, model, max_tokens: reply())(MESSAGES, "gpt-4o", 50)
        assert (b.spent, b.limit, b.remaining) == (usd(CALL), None, None)


def test_cost_is_of_this_entry_and_spent_of_the_account(call: Callable[[], Any]) -> None:
    with budget("alice", limit=1) as first:
        call()
    with budget("alice") as second:
        call()
        call()
        assert (first.cost, second.cost) == (usd(CALL), usd(2 * CALL))
        assert first.spent == second.spent == usd(3 * CALL)


def test_refresh_asks_the_store() -> None:
    file = Flaky()
    file.blocking = True  # type: ignore[misc]  # one instance's: then reading it is I/O
    allowance.configure(store=file)
    with budget("alice", limit=5) as b:
        file.adjust(key("alice"), 1_000_000_000, reason="by another process")
        file.asked.clear()
        assert b.spent == 0
        assert not file.asked
        assert b.refresh() is b
        assert (b.spent, b.remaining) == (1, 4)
        file.adjust(key("alice"), 1_000_000_000, reason="by another process")
        assert asyncio.run(b.arefresh()) is b
        assert b.spent == 2
        file.down = {"account"}
        with pytest.raises(StoreUnavailableError):
            b.refresh()
        assert b.spent == 2


# -- terms ---------------------------------------------------------------------------------------------


def test_entering_writes_only_what_changed() -> None:
    file = Flaky()
    allowance.configure(store=file)
    with budget("alice", limit=5):
        pass
    assert file.asked == ["define"]
    for _ in range(3):
        with budget("alice", limit=5), budget("alice"):
            pass
    assert file.asked == ["define"]
    with budget("alice", limit=6):
        pass
    assert file.asked == ["define", "define"]


def test_an_operators_change_survives_what_code_declares(store: MemoryStore, call: Callable[[], Any]) -> None:
    with budget("alice", limit=5):
        call()
    store.define(key("alice"), Declaration(limit=7_000_000_000, creates=True))
    with budget("alice", limit=5) as b:
        call()
        assert b.limit == 7
    budgeted(user="alice", limit=5)(lambda messages, model, max_tokens: reply())(MESSAGES, "gpt-4o", 50)
    assert b.limit == 7
    with budget("alice", limit=4) as b:  # what code declares now is new
        assert b.limit == 4


def test_an_operators_change_is_seen_by_blocks_that_are_open(
    store: MemoryStore, call: Callable[[], Any]
) -> None:
    with budget("alice", limit=5) as b:
        call()
        store.define(key("alice"), Declaration(limit=0, creates=True))
        with pytest.raises(BudgetExceededError) as refused:
            call()
        assert (refused.value.limit, b.limit) == (0, 0)


def test_an_unknown_user_is_an_error_that_names_other_projects() -> None:
    with budget("alice", limit=1, project="elsewhere"):
        pass
    with pytest.raises(UnknownUserError, match="elsewhere") as unknown:
        with budget("alice"):
            pass
    assert unknown.value.projects == ("elsewhere",)
    assert not frames_in_force()


def test_projects_and_kinds_are_apart(store: MemoryStore, call: Callable[[], Any]) -> None:
    with budget("alice", limit=1), budget("alice", limit=1, kind="team") as team:
        with budget("alice", limit=1, project="other") as other:
            call()
        call()
    assert books(store, "alice") == (2 * CALL, 0)
    assert team.spent == usd(2 * CALL)
    assert other.spent == usd(CALL)


def test_a_window_that_turned_is_empty_again(call: Callable[[], Any]) -> None:
    clock = Clock()
    allowance.configure(store=MemoryStore(clock=clock))
    with budget("alice", limit=usd(HELD), duration="daily") as b:
        call()
        with pytest.raises(BudgetExceededError) as refused:
            call()
        assert refused.value.resets_at == b.resets_at
        clock.forward(days=1)
        assert (b.spent, b.remaining) == (0, usd(HELD))
        call()
        assert (b.spent, b.cost) == (usd(CALL), usd(2 * CALL))


# -- nesting -------------------------------------------------------------------------------------------


def test_nested_blocks_must_all_admit_and_all_pay(store: MemoryStore, call: Callable[[], Any]) -> None:
    with budget("red", kind="team", limit=1) as team, budget("alice", limit=usd(HELD)) as alice:
        call()
        assert (team.cost, alice.cost) == (usd(CALL), usd(CALL))
        with pytest.raises(BudgetExceededError) as refused:
            call()
        assert refused.value.user == "alice"
    assert team.spent == alice.spent == usd(CALL)
    call_after_is_refused(call)


def call_after_is_refused(call: Callable[[], Any]) -> None:
    assert not frames_in_force()
    with pytest.raises(ConfigurationError, match="no budget"):
        call()


def test_one_account_named_twice_is_charged_once(store: MemoryStore, call: Callable[[], Any]) -> None:
    with budget("alice", limit=usd(HELD)) as outer, budget("alice") as inner:
        call()
        assert (outer.cost, inner.cost) == (usd(CALL), usd(CALL))
    assert books(store, "alice") == (CALL, 0)
    assert len(list(store.entries())) == 1


def test_one_object_entered_many_times_at_once(store: MemoryStore, call: Callable[[], Any]) -> None:
    shared = budget("alice", limit=1)
    inside = threading.Barrier(8)
    costs = []

    def work(calls: int) -> None:
        with shared as b:
            inside.wait()
            for _ in range(calls):
                call()
            inside.wait()
            costs.append((calls, b.cost))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(costs) == [(number, usd(number * CALL)) for number in range(8)]
    assert books(store, "alice") == (28 * CALL, 0)


def test_one_object_entered_within_itself(store: MemoryStore, call: Callable[[], Any]) -> None:
    shared = budget("alice", limit=1)
    with shared as outer:
        call()
        with shared as inner:
            call()
        call()
    assert (outer.cost, inner.cost) == (usd(3 * CALL), usd(CALL))
    assert books(store, "alice") == (3 * CALL, 0)
    call_after_is_refused(call)


async def test_one_object_in_many_tasks(call: Callable[[], Any]) -> None:
    shared = budget("alice", limit=1)

    async def work(calls: int) -> Any:
        async with shared as b:
            for _ in range(calls):
                await asyncio.sleep(0)
                call()
            return b.cost

    assert await asyncio.gather(*map(work, range(5))) == [usd(number * CALL) for number in range(5)]
    call_after_is_refused(call)


def test_blocks_may_be_left_in_any_order(call: Callable[[], Any]) -> None:
    first, second = budget("alice", limit=1), budget("bob", limit=1)
    a = first.__enter__()
    b = second.__enter__()
    first.__exit__(None, None, None)
    call()
    assert (a.cost, b.cost) == (0, usd(CALL))
    second.__exit__(None, None, None)
    call_after_is_refused(call)
    with pytest.raises(ConfigurationError, match="more often than it was entered"):
        second.__exit__(None, None, None)


def test_an_exception_leaves_the_block(call: Callable[[], Any]) -> None:
    ours = ValueError("ours")
    with pytest.raises(ValueError) as raised, budget("alice", limit=1):
        raise ours
    assert raised.value is ours
    call_after_is_refused(call)


def test_exit_stacks(call: Callable[[], Any]) -> None:
    with contextlib.ExitStack() as stack:
        alice = stack.enter_context(budget("alice", limit=1))
        bob = stack.enter_context(budget("bob", limit=1))
        call()
    assert (alice.cost, bob.cost) == (usd(CALL), usd(CALL))
    call_after_is_refused(call)


async def test_async_exit_stacks(call: Callable[[], Any]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(budget("alice", limit=1))
        bob = stack.enter_context(budget("bob", limit=1))
        call()
    assert (alice.cost, bob.cost) == (usd(CALL), usd(CALL))
    call_after_is_refused(call)


# -- generators ----------------------------------------------------------------------------------------


def test_a_block_in_a_generator_is_in_force_inside_it_only(call: Callable[[], Any]) -> None:
    shown = []

    def agent() -> Iterator[int]:
        with budget("alice", limit=1) as b:
            shown.append(b)
            for number in range(3):
                call()
                yield number

    for _ in agent():
        call_after_is_refused(call)
    assert shown[0].cost == usd(3 * CALL)
    call_after_is_refused(call)


def test_two_interleaved_generators(store: MemoryStore, call: Callable[[], Any]) -> None:
    def agent(user: str, calls: int) -> Iterator[None]:
        with budget(user, limit=1):
            for _ in range(calls):
                call()
                yield

    with budget("outer", limit=1) as outer:
        first, second = agent("alice", 3), agent("bob", 2)
        next(first)
        next(second)
        next(first)
        next(second)
        call()
        next(first)
        assert list(second) == []  # bob's is left first, though alice's was entered first
        call()
        assert list(first) == []
        call()
    assert books(store, "alice") == (3 * CALL, 0)
    assert books(store, "bob") == (2 * CALL, 0)
    assert outer.cost == usd(8 * CALL)
    call_after_is_refused(call)


async def test_two_interleaved_async_generators(store: MemoryStore, call: Callable[[], Any]) -> None:
    async def agent(user: str, calls: int) -> AsyncIterator[None]:
        async with budget(user, limit=1):
            for _ in range(calls):
                await asyncio.sleep(0)
                call()
                yield

    async with budget("outer", limit=1) as outer:
        first, second = agent("alice", 3), agent("bob", 2)
        await anext(first)
        await anext(second)
        await anext(first)
        await anext(second)
        call()
        await anext(first)
        assert [item async for item in second] == []
        assert [item async for item in first] == []
        call()
    assert books(store, "alice") == (3 * CALL, 0)
    assert books(store, "bob") == (2 * CALL, 0)
    assert outer.cost == usd(7 * CALL)
    call_after_is_refused(call)


async def test_interleaved_async_generators_that_begin_tasks(
    store: MemoryStore, call: Callable[[], Any]
) -> None:
    async def acall() -> None:
        call()

    async def agent(user: str) -> AsyncGenerator[None]:
        async with budget(user, limit=1):
            while True:
                await asyncio.create_task(acall())
                await asyncio.gather(acall(), asyncio.to_thread(call))
                yield

    first, second = agent("alice"), agent("bob")
    for _ in range(2):
        await anext(first)
        await asyncio.wait_for(anext(second), 10)
        with pytest.raises(ConfigurationError, match="no budget"):
            await asyncio.create_task(acall())  # the consumer's own
    await first.aclose()
    await second.aclose()
    assert books(store, "alice") == (6 * CALL, 0)
    assert books(store, "bob") == (6 * CALL, 0)
    call_after_is_refused(call)


def test_a_generator_that_is_dropped_leaves_its_block(call: Callable[[], Any]) -> None:
    def agent() -> Iterator[None]:
        with budget("alice", limit=1):
            call()
            yield

    stream = agent()
    next(stream)
    del stream
    gc.collect()
    call_after_is_refused(call)


async def test_an_async_generator_that_the_loop_finalizes_elsewhere(call: Callable[[], Any]) -> None:
    async def agent() -> AsyncIterator[None]:
        async with budget("alice", limit=1):
            call()
            yield

    async for _ in agent():
        break
    gc.collect()
    for _ in range(3):
        await asyncio.sleep(0)
    call_after_is_refused(call)


async def test_an_async_generator_that_is_passed_from_task_to_task(
    store: MemoryStore, call: Callable[[], Any]
) -> None:
    async def agent() -> AsyncGenerator[None]:
        async with budget("alice", limit=1):
            while True:
                call()
                yield

    stream = agent()
    for _ in range(3):
        await asyncio.wait_for(anext(stream), 10)  # until Python 3.12 it makes a task
        await asyncio.create_task(stream.asend(None))
        call_after_is_refused(call)
    await stream.aclose()
    call_after_is_refused(call)
    assert books(store, "alice") == (6 * CALL, 0)


def test_a_context_manager_made_of_a_generator(call: Callable[[], Any]) -> None:
    @contextlib.contextmanager
    def paid_by(user: str) -> Iterator[allowance.Block]:
        with budget(user, limit=1) as b:
            yield b

    with paid_by("alice") as b:
        call()
        with paid_by("bob") as inner:
            call()
        call()
    assert (b.cost, inner.cost) == (usd(3 * CALL), usd(CALL))
    call_after_is_refused(call)


async def test_an_async_context_manager_made_of_a_generator(call: Callable[[], Any]) -> None:
    @contextlib.asynccontextmanager
    async def paid_by(user: str) -> AsyncIterator[allowance.Block]:
        async with budget(user, limit=1) as b:
            yield b

    @contextlib.asynccontextmanager
    async def twice(user: str) -> AsyncIterator[allowance.Block]:
        async with paid_by(user) as b:
            yield b

    async with twice("alice") as b:
        call()
        await asyncio.gather(*[asyncio.to_thread(call) for _ in range(2)])
    assert b.cost == usd(3 * CALL)
    call_after_is_refused(call)


def test_a_context_manager_entered_by_an_exit_stack_in_a_generator(call: Callable[[], Any]) -> None:
    def agent() -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            b = stack.enter_context(budget("alice", limit=1))
            call()
            yield b
            call()
            yield b

    blocks = []
    for b in agent():
        call_after_is_refused(call)
        blocks.append(b)
    assert blocks[0].cost == usd(2 * CALL)


@pytest.fixture
def block_of_a_fixture() -> Iterator[allowance.Block]:
    with budget("fixture", limit=1) as b:
        yield b


def test_a_block_opened_by_a_fixture_is_for_the_test(
    block_of_a_fixture: allowance.Block, call: Callable[[], Any]
) -> None:
    call()
    assert block_of_a_fixture.cost == usd(CALL)


# -- work that outlives the block ------------------------------------------------------------------------


async def test_tasks_begun_inside_stay_charged_after_it_is_closed(
    provider: Provider, store: MemoryStore
) -> None:
    gate = threading.Event()
    provider.reply(gate=gate)
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=1) as b:
            task = asyncio.create_task(client.chat.completions.create(**CHAT))
            await asyncio.to_thread(provider.wait_for_calls, 1)
        assert books(store, "alice")[1] > 0
        gate.set()
        await task
    assert b.cost == usd(CALL)
    assert books(store, "alice") == (CALL, 0)


def test_a_stream_begun_inside_stays_charged_after_it_is_closed(
    client: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=1) as b:
        stream = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    list(stream)
    assert b.cost == usd(CALL)
    assert books(store, "alice") == (CALL, 0)


# -- FastAPI ---------------------------------------------------------------------------------------------


def _app(client: openai.OpenAI, aclient: openai.AsyncOpenAI) -> FastAPI:
    app = FastAPI()

    def paid(user: str) -> Iterator[allowance.Block]:
        with budget(user, limit=1) as b:
            yield b

    async def apaid(user: str) -> AsyncIterator[allowance.Block]:
        async with budget(user, limit=1) as b:
            yield b

    for name, dependency in (("sync", paid), ("async", apaid)):

        @app.get(f"/{name}/sync")
        def endpoint(b: Any = Depends(dependency)) -> str:  # noqa: B008  # FastAPI's way
            client.chat.completions.create(**CHAT)
            return str(b.cost)

        @app.get(f"/{name}/async")
        async def aendpoint(b: Any = Depends(dependency)) -> str:  # noqa: B008  # FastAPI's way
            await aclient.chat.completions.create(**CHAT)
            return str(b.cost)

    @app.get("/none")
    async def none() -> int:
        return len(frames_in_force())

    @app.get("/none-sync")
    def none_sync() -> int:
        return len(frames_in_force())

    return app


@pytest.mark.parametrize("endpoint", ["sync", "async"])
@pytest.mark.parametrize("dependency", ["sync", "async"])
async def test_fastapis_yield_dependencies(
    dependency: str, endpoint: str, provider: Provider, store: MemoryStore, client: openai.OpenAI
) -> None:
    async with clients.openai_async(provider) as aclient:
        transport = httpx.ASGITransport(_app(client, aclient))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            path = f"/{dependency}/{endpoint}"
            users = [f"user{number}" for number in range(6)]
            answers = await asyncio.gather(*[http.get(path, params={"user": user}) for user in users])
            assert [answer.json() for answer in answers] == [str(usd(CALL))] * 6
            assert (await http.get("/none")).json() == 0
            assert (await http.get("/none-sync")).json() == 0
    assert [books(store, user) for user in users] == [(CALL, 0)] * 6
    assert provider.count == 6
    assert not frames_in_force()
