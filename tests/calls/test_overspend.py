"""The headline: however many callers race, cold, for a budget, capped calls never overspend it.

Fifty callers with 0.0125 US dollars each on 0.10: eight go out, 0.10 is spent, forty-two are refused.
"""

# ruff: noqa: SIM117, PT012, PT017  # blocks, and what is raised inside them, are what this is about

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import books, outcome, race, thousand_tokens, usd
from tests.provider import Provider, clients

DIME = 100_000_000
ANSWER = {"input_tokens": 1_000, "usage": "cap"}


EIGHT = Counter(sent=8, refused=42)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, store: MemoryStore, tmp_path: Path) -> Iterator[Any]:
    """The race over both stores."""
    if request.param == "memory":
        yield store
        return
    file = SQLiteStore(str(tmp_path / "budgets.db"))
    allowance.configure(store=file)
    yield file
    file.close()


@pytest.fixture
def arguments() -> dict[str, Any]:
    return thousand_tokens()


def test_fifty_threads_over_a_decorated_function(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=usd(DIME))
        def ask(**kwargs: Any) -> Any:
            return client.chat.completions.create(**kwargs)

        assert race(lambda: ask(**arguments)) == EIGHT
    assert provider.billed == [("gpt-4o", 1_000, 1_000)] * 8
    assert books(store, "alice") == (DIME, 0)


def test_fifty_threads_over_a_client_in_one_block(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    with clients.openai_sync(provider) as client, budget("alice", limit=usd(DIME)) as b:
        assert race(lambda: client.chat.completions.create(**arguments)) == EIGHT
        assert (b.spent, b.held, b.remaining, b.cost) == (usd(DIME), 0, 0, usd(DIME))
    assert provider.count == 8
    assert books(store, "alice") == (DIME, 0)


def test_fifty_threads_while_none_has_settled(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    gate = threading.Event()
    provider.reply(**ANSWER, gate=gate)
    with clients.openai_sync(provider) as client, budget("alice", limit=usd(DIME)) as b:
        refused = threading.Semaphore(0)

        def call() -> None:
            try:
                client.chat.completions.create(**arguments)
            except BudgetExceededError as error:
                assert error.temporary
                refused.release()

        threads = [threading.Thread(target=call) for _ in range(50)]
        for thread in threads:
            thread.start()
        for _ in range(42):
            assert refused.acquire(timeout=30)
        provider.wait_for_calls(8)
        assert (b.spent, b.held) == (0, usd(DIME))
        gate.set()
        for thread in threads:
            thread.join()
    assert provider.count == 8
    assert books(store, "alice") == (DIME, 0)


def test_fifty_threads_under_the_process_cap(provider: Provider, arguments: dict[str, Any]) -> None:
    provider.reply(**ANSWER)
    allowance.max_budget = usd(DIME)
    with clients.openai_sync(provider) as client:
        assert race(lambda: client.chat.completions.create(**arguments)) == EIGHT
    assert allowance.current_cost == usd(DIME)
    assert provider.count == 8


async def _gather(call: Callable[[], Any]) -> Counter[str]:
    async def one() -> str:
        try:
            await call()
        except BudgetExceededError:
            return "refused"
        return "sent"

    return Counter(await asyncio.gather(*(one() for _ in range(50))))


async def test_gather_of_fifty_over_a_decorated_coroutine(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    async with clients.openai_async(provider) as client:

        @budgeted(user="alice", limit=usd(DIME))
        async def ask(**kwargs: Any) -> Any:
            return await client.chat.completions.create(**kwargs)

        assert await _gather(lambda: ask(**arguments)) == EIGHT
    assert provider.count == 8
    assert books(store, "alice") == (DIME, 0)


async def test_gather_of_fifty_over_a_client_in_one_block(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=usd(DIME)) as b:
            assert await _gather(lambda: client.chat.completions.create(**arguments)) == EIGHT
            assert b.cost == usd(DIME)
    assert provider.count == 8
    assert books(store, "alice") == (DIME, 0)


async def test_a_task_group(provider: Provider, store: MemoryStore, arguments: dict[str, Any]) -> None:
    provider.reply(**ANSWER)
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=usd(DIME)):
            with pytest.raises(ExceptionGroup) as group:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(9):
                        tasks.create_task(client.chat.completions.create(**arguments))
    assert group.value.subgroup(BudgetExceededError)
    spent, held = books(store, "alice")
    assert held == 0
    assert spent <= DIME
    assert provider.count <= 8


def test_an_executor_made_before_the_block(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    with ThreadPoolExecutor(16) as pool, clients.openai_sync(provider) as client:
        list(pool.map(lambda _: None, range(64)))  # its workers exist, and know no budget
        with budget("alice", limit=usd(DIME)):
            jobs = [
                pool.submit(outcome, lambda: client.chat.completions.create(**arguments)) for _ in range(25)
            ]
            mapped = pool.map(
                lambda _: outcome(lambda: client.chat.completions.create(**arguments)), range(25)
            )
            assert Counter([job.result() for job in jobs]) + Counter(mapped) == EIGHT
    assert books(store, "alice") == (DIME, 0)


def test_an_executors_worker_keeps_no_budget_of_an_earlier_job(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    with ThreadPoolExecutor(1) as pool, clients.openai_sync(provider) as client:
        with budget("alice", limit=usd(DIME)):
            pool.submit(client.chat.completions.create, **arguments).result()
        pool.submit(client.chat.completions.create, **arguments).result()
    assert provider.count == 2
    assert len(list(store.entries())) == 1


async def test_to_thread_and_the_loops_executor(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    loop = asyncio.get_running_loop()
    with clients.openai_sync(provider) as client:

        def call() -> str:
            return outcome(lambda: client.chat.completions.create(**arguments))

        async with budget("alice", limit=usd(DIME)):
            jobs = [asyncio.to_thread(call) for _ in range(25)]
            jobs += [loop.run_in_executor(None, call) for _ in range(25)]  # type: ignore[misc]  # futures too
            assert Counter(await asyncio.gather(*jobs)) == EIGHT
    assert books(store, "alice") == (DIME, 0)


def test_threads_begun_by_threads_and_timers_are_charged(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    provider.reply(**ANSWER)
    outcomes: list[str] = []

    class Mine(threading.Thread):
        def run(self) -> None:
            outcomes.append(outcome(lambda: client.chat.completions.create(**arguments)))

    def begin() -> None:
        inner = Mine()
        inner.start()
        inner.join()

    with clients.openai_sync(provider) as client:
        with budget("alice", limit=usd(DIME)):
            timer = threading.Timer(0, begin)
            timer.start()
        timer.join()  # after the block has closed: begun inside, it stays charged to it
    assert outcomes == ["sent"]
    assert books(store, "alice") == (12_500_000, 0)


def test_a_thread_begun_outside_is_not_charged(
    provider: Provider, store: MemoryStore, arguments: dict[str, Any]
) -> None:
    go = threading.Event()
    with clients.openai_sync(provider) as client:

        def call() -> None:
            go.wait()
            client.chat.completions.create(**arguments)

        thread = threading.Thread(target=call)
        thread.start()
        with budget("alice", limit=usd(DIME)):
            go.set()
            thread.join()
    assert provider.count == 1
    assert not list(store.entries())


def test_an_uncapped_call_of_the_sdk_raises_openais_own_errors_unchanged(provider: Provider) -> None:
    provider.reply(status=400, error="no such thing")
    with clients.openai_sync(provider) as client, budget("alice", limit=1):
        with pytest.raises(openai.BadRequestError, match="no such thing"):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
