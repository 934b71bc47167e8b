"""Whose budgets a job in a thread is charged to: those of whoever submitted it, and nobody else's."""

from __future__ import annotations

import _thread
import asyncio
import gc
import queue
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from multiprocessing.dummy import Pool
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest

from allowance import BudgetExceededError, budget, budgeted
from allowance.calls.stack import frames_in_force
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, books, reply, thousand_tokens, usd
from tests.provider import Provider, clients

MESSAGES = [{"role": "user", "content": "hi"}]


def ask(*_: Any, name: str = "") -> str:
    """A call of CALL nano-dollars, by whatever budget is in force; who is to pay, where anyone is."""
    frames = frames_in_force()
    if not frames:
        return "nobody"

    @budgeted()
    def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 5) -> Any:
        return reply()

    call(MESSAGES)
    payers = [frame.payer[0].key.name for frame in frames if frame.payer is not None]
    return "+".join(payers)


JOBS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "apply": (1, lambda pool: [pool.apply(ask)]),
    "apply_async": (1, lambda pool: [pool.apply_async(func=ask, kwds={"name": "x"}).get()]),
    "map": (3, lambda pool: pool.map(ask, range(3))),
    "map_async": (3, lambda pool: pool.map_async(ask, range(3), chunksize=2).get()),
    "starmap": (3, lambda pool: pool.starmap(ask, [(1, 2)] * 3)),
    "starmap_async": (3, lambda pool: pool.starmap_async(ask, iterable=[(1, 2)] * 3).get()),
    "imap": (3, lambda pool: list(pool.imap(ask, range(3)))),
    "imap in chunks": (3, lambda pool: list(pool.imap(ask, range(3), chunksize=2))),
    "imap_unordered": (3, lambda pool: list(pool.imap_unordered(func=ask, iterable=iter(range(3))))),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_thread_pools_job_is_charged_to_whoever_submits_it(name: str, store: MemoryStore) -> None:
    calls, submit = JOBS[name]
    with budget("maker", limit=1):
        pool = ThreadPool(2)
    with pool:
        assert submit(pool) == ["nobody"] * calls
        with budget("alice", limit=1):
            assert submit(pool) == ["alice"] * calls
        with budget("ben", limit=1):
            assert submit(pool) == ["ben"] * calls
        assert submit(pool) == ["nobody"] * calls
    pool.join()
    assert books(store, "alice") == books(store, "ben") == (calls * CALL, 0)
    assert {entry.key.name for entry in store.entries()} == {"alice", "ben"}


def test_what_a_thread_pool_reads_and_calls_back_is_charged_to_whoever_submits_it() -> None:
    seen: list[str] = []
    failed: list[str] = []

    def items() -> Generator[int, None, None]:
        seen.append(ask())
        yield 1
        seen.append(ask())

    with budget("maker", limit=1):
        pool = Pool(1)  # multiprocessing.dummy's: a ThreadPool too
    with pool, budget("alice", limit=1):
        pool.apply_async(ask, (), {}, lambda _: seen.append(ask())).wait()
        pool.map_async(ask, [1], callback=lambda _: seen.append(ask())).wait()
        pool.apply_async(lambda: 1 / 0, error_callback=lambda _: failed.append(ask())).wait()
        with budget("ben", limit=1):
            list(pool.imap(ask, items()))
    pool.join()
    assert seen == ["alice", "alice", "alice+ben", "alice+ben"]
    assert failed == ["alice"]


def test_a_thread_pool_raises_and_refuses_as_it_does_without_us() -> None:
    with ThreadPool(1) as pool, budget("alice", limit=1):
        with pytest.raises(TypeError, match="not iterable"):
            pool.map(ask, 3)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(TypeError, match="not iterable"):
            list(pool.imap(ask, 3))  # type: ignore[arg-type]  # that is the point
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'func'"):
            pool.apply_async()  # type: ignore[call-arg]  # that is the point
        with pytest.raises(ZeroDivisionError):
            pool.apply(lambda: 1 / 0)
    pool.join()


def test_a_thread_pools_initializer_is_charged_to_whoever_made_the_pool() -> None:
    seen: list[str] = []
    with budget("maker", limit=1):
        pool = ThreadPool(2, initializer=lambda: seen.append(ask()))
    with pool, budget("alice", limit=1):
        assert pool.apply(ask) == "alice"
    pool.join()
    assert seen == ["maker"] * 2


def test_a_done_callback_is_charged_to_whoever_adds_it() -> None:
    go = threading.Event()
    seen: list[str] = []

    def later(future: Future[Any]) -> None:
        seen.append(ask())

    with ThreadPoolExecutor(1) as pool:
        with budget("alice", limit=1):
            job = pool.submit(go.wait, 10)
            job.add_done_callback(later)
        with budget("ben", limit=1):
            job.add_done_callback(fn=later)
        job.add_done_callback(later)
        go.set()
    with budget("carl", limit=1):
        job.add_done_callback(later)  # it is done: called at once
    assert seen == ["alice", "ben", "nobody", "carl"]


# -- every way into a thread -------------------------------------------------------------------------------


class Asking(threading.Thread):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tell = tell

    def run(self) -> None:
        self.tell(ask())


def in_a_thread(tell: Callable[[str], None]) -> None:
    thread = threading.Thread(target=lambda: tell(ask()))
    thread.start()
    thread.join()


def in_a_subclass(tell: Callable[[str], None]) -> None:
    thread = Asking(tell)
    thread.start()
    thread.join()


def in_a_timer(tell: Callable[[str], None]) -> None:
    timer = threading.Timer(0, lambda: tell(ask()))
    timer.start()
    timer.join()


def in_a_bare_thread(tell: Callable[[str], None]) -> None:
    done = threading.Event()

    def work(name: str, *, end: threading.Event) -> None:
        tell(ask(name))
        end.set()

    _thread.start_new_thread(work, ("x",), {"end": done})
    assert done.wait(10)


def in_an_executor(tell: Callable[[str], None]) -> None:
    tell(EXECUTOR.submit(ask).result())


def mapped_by_an_executor(tell: Callable[[str], None]) -> None:
    tell(*set(EXECUTOR.map(ask, range(3))))


def in_a_thread_of_a_thread(tell: Callable[[str], None]) -> None:
    in_a_thread(lambda _: in_an_executor(lambda _: in_a_timer(tell)))


def in_a_copied_context(tell: Callable[[str], None]) -> None:
    tell(copy_context().run(ask))


def in_a_copied_context_elsewhere(tell: Callable[[str], None]) -> None:
    context = copy_context()
    with ThreadPoolExecutor(1) as pool:
        tell(pool.submit(context.run, ask).result())


def in_another_loop(tell: Callable[[str], None]) -> None:
    async def aask() -> str:
        return await asyncio.to_thread(ask)

    tell(EXECUTOR.submit(asyncio.run, aask()).result())


EXECUTOR = ThreadPoolExecutor(1, thread_name_prefix="tests")
INTO_THREADS = [
    *(in_a_thread, in_a_subclass, in_a_timer, in_a_bare_thread, in_an_executor, mapped_by_an_executor),
    *(in_a_thread_of_a_thread, in_a_copied_context, in_a_copied_context_elsewhere, in_another_loop),
]


@pytest.mark.parametrize("way", INTO_THREADS)
def test_work_in_a_thread_is_charged_to_whoever_begins_it(
    way: Callable[..., None], store: MemoryStore
) -> None:
    seen: list[str] = []
    with budget("maker", limit=1):
        EXECUTOR.submit(int).result()  # the worker is there, and may have been made here
    way(seen.append)
    with budget("alice", limit=1):
        way(seen.append)
    with budget("ben", limit=1):
        way(seen.append)
    way(seen.append)
    assert seen == ["nobody", "alice", "ben", "nobody"]
    assert store.audit() == []


def test_a_thread_that_is_begun_in_a_block_stays_charged_to_it_when_the_block_is_left() -> None:
    go = threading.Event()
    seen: list[str] = []

    def work() -> None:
        go.wait(10)
        seen.append(ask())

    with budget("alice", limit=1):
        threads = [threading.Thread(target=work), threading.Timer(0, work)]
        for thread in threads:
            thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert seen == ["alice"] * 2


def test_the_workers_of_a_queue_are_charged_to_whoever_started_them() -> None:
    """Who puts a job in cannot be known: where each pays, the job opens a block, or goes to an executor."""
    jobs: queue.Queue[bool] = queue.Queue()
    seen: list[str] = []

    def work() -> None:
        while jobs.get():
            seen.append(ask())
            jobs.task_done()

    with budget("starter", limit=1):
        worker = threading.Thread(target=work)
        worker.start()
    for name in ("alice", "ben"):
        with budget(name, limit=1):
            jobs.put(True)
            jobs.join()
    jobs.put(False)
    worker.join()
    assert seen == ["starter"] * 2


def test_a_thread_is_left_as_it_was() -> None:
    """Its ``run`` is its class's again, and it is freed when nobody holds on to it."""

    class Own(threading.Thread):
        pass

    own: list[str] = []
    patched = Own()
    patched.run = lambda: own.append(ask())  # type: ignore[method-assign]  # as some libraries do
    run = patched.run
    with budget("alice", limit=1):
        thread = Own(target=ask)
        for each in (thread, patched):
            each.start()
            each.join()
    assert "run" not in vars(thread)
    assert patched.run is run
    assert own == ["alice"]
    reference = weakref.ref(thread)
    del thread, each
    gc.disable()
    try:
        assert reference() is None
    finally:
        gc.enable()


def test_a_bare_thread_is_started_and_refused_as_without_us() -> None:
    with budget("alice", limit=1):
        with pytest.raises(TypeError):
            _thread.start_new_thread()  # type: ignore[call-overload]  # that is the point
        with pytest.raises(TypeError, match="callable"):
            _thread.start_new_thread(3, ())  # type: ignore[call-overload]  # that is the point
        with pytest.raises(TypeError, match="tuple"):
            _thread.start_new_thread(ask, [])  # type: ignore[call-overload]  # that is the point


def test_two_blocks_in_two_threads_never_see_each_other(store: MemoryStore) -> None:
    both = threading.Barrier(2)
    seen: list[tuple[str, str]] = []

    def work(name: str) -> None:
        both.wait()
        with budget(name, limit=1) as b:
            both.wait()  # both blocks are open
            seen.append((name, ask()))
            both.wait()
            assert b.cost == b.spent == usd(CALL)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("alice", "ben")]
    for thread in threads:
        thread.start()
    assert ask() == "nobody"
    for thread in threads:
        thread.join()
    assert sorted(seen) == [("alice", "alice"), ("ben", "ben")]
    assert books(store, "alice") == books(store, "ben") == (CALL, 0)


def test_a_block_in_a_thread_lies_within_the_one_that_the_thread_was_begun_in() -> None:
    seen: list[str] = []

    def work(name: str) -> None:
        with budget(name, limit=1):
            seen.append(ask())
        seen.append(ask())

    with budget("team", limit=1):
        threads = [threading.Thread(target=work, args=(name,)) for name in ("alice", "ben")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen.append(ask())
    assert Counter(seen) == {"team+alice": 1, "team+ben": 1, "team": 3}


async def test_tasks_and_the_loops_threads_carry_the_budget_of_whoever_begins_them() -> None:
    loop = asyncio.get_running_loop()

    async def aask() -> str:
        await asyncio.sleep(0)
        return ask()

    async def all_ways() -> set[str]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(aask())
            thread = group.create_task(asyncio.to_thread(ask))
            executor = loop.run_in_executor(None, ask)
            later: asyncio.Future[str] = loop.create_future()
            loop.call_soon(lambda: later.set_result(ask()))
            safe = asyncio.run_coroutine_threadsafe(aask(), loop)
        return {
            task.result(),
            thread.result(),
            await executor,
            await later,
            await asyncio.wrap_future(safe),
            *await asyncio.gather(aask(), aask()),
        }

    async def as_user(name: str) -> set[str]:
        async with budget(name, limit=1):
            return await all_ways()

    users = ["alice", "ben", "carl"]
    assert await asyncio.gather(*map(as_user, users)) == [{user} for user in users]
    assert await all_ways() == {"nobody"}


def test_under_uvloop_a_suspended_generators_block_does_not_leak_into_a_task() -> None:
    uvloop = pytest.importorskip("uvloop", reason="there is none for this platform")

    def suspended() -> Generator[None, None, None]:
        with budget("alice", limit=1):
            yield

    async def aask() -> str:
        return ask()

    async def main() -> list[str]:
        generator = suspended()
        next(generator)
        stray = await asyncio.create_task(aask())
        with budget("ben", limit=1):
            own = await asyncio.create_task(aask())
        generator.close()
        return [stray, own]

    assert uvloop.run(main()) == ["nobody", "ben"]


def test_fifty_plain_threads_in_one_block_on_a_dime_send_eight_calls(
    provider: Provider, store: MemoryStore
) -> None:
    """Four calls each: 200 went out under every budget that goes by a context variable alone."""
    provider.reply(input_tokens=1_000, usage="cap")
    arguments = thousand_tokens()
    outcomes: Counter[str] = Counter()
    with clients.openai_sync(provider) as client, budget("alice", limit="0.10") as b:

        def work() -> None:
            for _ in range(4):
                try:
                    client.chat.completions.create(**arguments)
                    outcomes["sent"] += 1
                except BudgetExceededError:
                    outcomes["refused"] += 1

        threads = [threading.Thread(target=work) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (b.spent, b.held, b.remaining) == (usd(100_000_000), 0, 0)
    assert outcomes == Counter(sent=8, refused=192)
    assert provider.count == 8
    assert books(store, "alice") == (100_000_000, 0)
