"""Calls that are left in the midst: collected, closed, broken off by the user's own code or a closed loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import allowance
from allowance import budget, budgeted
from allowance.calls import lifeline
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import (
    CALL,
    CHAT,
    GPT_4O_IN,
    GPT_4O_OUT,
    HELD,
    MESSAGES,
    PROJECT,
    books,
    lines,
    python,
    reply,
)
from tests.provider import Provider, clients

PATIENCE = 30
"""Seconds after which a test gives up: a guard, not a measure."""

INPUT = 9 * GPT_4O_IN
SEEN = INPUT + 3 * GPT_4O_OUT
"""Of "Hello, how can I help?" the first piece of three, "Hello, h"."""
PARTLY = {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}


class _Forever:
    def __await__(self) -> Any:
        yield "forever"


@budgeted(user="alice", limit=1)
async def waits(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    await _Forever()


@budgeted(user="alice", limit=1)
def streams(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
    yield PARTLY
    yield reply()


def reads(messages: Any) -> Iterator[Any]:
    """A user's generator that reads a stream, in a block of its own."""
    with budget("alice", limit=1):
        yield from streams(messages)


def begun(coroutine: Any) -> Any:
    coroutine.send(None)
    return coroutine


OPEN: dict[str, Callable[[], Any]] = {
    "a coroutine": lambda: begun(waits(MESSAGES)),
    "a generator": lambda: begun(streams(MESSAGES)),
    "a generator in a block": lambda: begun(reads(MESSAGES)),
}


class _Circle:
    def __init__(self, it: Any) -> None:
        self.it = it
        self.me = self


class _Strict:
    """A lock that says so where its own thread would wait for it for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.owner = 0

    def __enter__(self) -> None:
        if self.owner == threading.get_ident():
            raise RuntimeError("a thread waits for itself")
        self._lock.acquire()
        self.owner = threading.get_ident()

    def __exit__(self, *exc: object) -> None:
        self.owner = 0
        self._lock.release()


@pytest.mark.parametrize("kind", OPEN)
def test_r13_what_is_collected_inside_a_store_takes_no_lock(
    kind: str, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_lock", _Strict())
    clock = store._clock

    def collecting() -> int:
        gc.collect()
        return clock()

    gc.disable()
    try:
        _Circle(OPEN[kind]())
        with monkeypatch.context() as patch:
            patch.setattr(store, "_clock", collecting)
            (hold,) = store.holds()
    finally:
        gc.enable()
    lifeline.drain()
    (line,) = lines(store, "alice")
    assert line.hold_id == hold.hold_id
    assert line.amount == (HELD if kind == "a coroutine" else INPUT + GPT_4O_OUT)
    assert books(store, "alice") == (line.amount, 0)


@pytest.mark.parametrize("kind", OPEN)
def test_r12_what_is_closed_is_charged_at_once(kind: str, store: MemoryStore) -> None:
    OPEN[kind]().close()
    (line,) = lines(store, "alice")
    assert line.amount == (HELD if kind == "a coroutine" else INPUT + GPT_4O_OUT)
    assert books(store, "alice") == (line.amount, 0)


def test_r13_a_coroutine_that_is_closed_while_it_reserves_holds_nothing() -> None:
    store = Gated()
    allowance.configure(store=store, project=PROJECT)
    sent: list[bool] = []

    @budgeted(user="alice", limit=1)
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        sent.append(True)

    async def main() -> None:
        asking = ask(MESSAGES)
        asking.send(None)
        store.reached.wait(PATIENCE)
        asking.close()

    asyncio.run(main())
    store.gate.set()
    until = time.monotonic() + PATIENCE
    while (not store.granted or list(store.holds())) and time.monotonic() < until:
        time.sleep(0.002)
        lifeline.drain()
    assert store.granted
    assert books(store, "alice") == (0, 0)
    assert not lines(store, "alice")
    assert not sent


class Gated(MemoryStore):
    """A store that is asked like a file, and grants when its gate is opened."""

    rank = 1
    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.reached = threading.Event()
        self.granted = 0

    def reserve(self, ask: Any) -> Any:
        self.reached.set()
        self.gate.wait(PATIENCE)
        grant = super().reserve(ask)
        self.granted += 1
        return grant


# -- loops that end early, and loops that were closed -------------------------------------------------------


class MineError(Exception):
    """The user's own."""


def test_r12_an_exception_in_the_users_loop_is_unchanged(store: MemoryStore) -> None:
    mine = MineError()
    with pytest.raises(MineError) as raised:
        read("loop", streams(MESSAGES), mine, at=0)
    assert raised.value is mine
    assert mine.__cause__ is mine.__context__ is None
    del raised, mine
    gc.collect()
    lifeline.drain()
    assert books(store, "alice") == (INPUT + GPT_4O_OUT, 0)
    assert list(streams(MESSAGES)) == [PARTLY, reply()]
    assert books(store, "alice")[1] == 0


async def test_r12_an_exception_in_the_users_async_loop_is_unchanged(store: MemoryStore) -> None:
    mine = MineError()

    async def aread() -> None:
        async with contextlib.aclosing(cast("Any", astreams(MESSAGES))) as chunks:
            async for _ in chunks:
                raise mine

    with pytest.raises(MineError) as raised:
        await aread()
    assert raised.value is mine
    assert books(store, "alice") == (INPUT + GPT_4O_OUT, 0)


@budgeted(user="alice", limit=1)
async def astreams(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
    yield PARTLY
    await asyncio.sleep(0)
    yield reply()


@pytest.mark.parametrize("kind", ["loop", "with"])
def test_r12_an_exception_in_the_body_of_an_sdks_stream(
    kind: str, provider: Provider, store: MemoryStore
) -> None:
    mine = MineError()
    with clients.openai_sync(provider) as client, budget("alice", limit=1):
        with pytest.raises(MineError) as raised:
            read(kind, client.chat.completions.create(**CHAT, stream=True), mine)
        assert raised.value is mine
        del raised
        mine.__traceback__ = None
        lifeline.drain()
        assert books(store, "alice") == (SEEN, 0)
        client.chat.completions.create(**CHAT)
    assert books(store, "alice") == (SEEN + CALL, 0)


def read(kind: str, stream: Any, error: Exception, at: int = 1) -> None:
    with stream if kind == "with" else contextlib.nullcontext():
        for number, _ in enumerate(stream):
            if number == at:
                raise error


@pytest.mark.parametrize("kept", [False, True])
def test_r12_a_stream_that_is_half_read_as_its_loop_is_closed(kept: bool, tmp_path: Path) -> None:
    """Collected after the loop, or alive until the interpreter ends: charged for what was seen, once."""
    path = tmp_path / "budgets.db"
    python(
        f"""
        import asyncio, gc, warnings
        warnings.simplefilter("ignore")  # the SDK's sockets are left to the collector
        import allowance
        from allowance import budget
        from tests.calls.support import CHAT
        from tests.provider import Provider, clients

        allowance.configure(store="sqlite:///" + {str(path)!r}, project="tests")
        provider = Provider()

        async def main():
            client = clients.openai_async(provider)
            async with budget("alice", limit=1):
                stream = await client.chat.completions.create(**CHAT, stream=True)
                await anext(stream)
                await anext(stream)
            return stream if {kept} else None

        stream = asyncio.run(main())
        gc.collect()
        """,
        HOME=str(tmp_path),
    )
    file = SQLiteStore(path)
    assert [entry.amount for entry in lines(file, "alice")] == [SEEN]
    assert books(file, "alice")[1] == 0
    file.close()
