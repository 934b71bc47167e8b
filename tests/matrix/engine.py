"""The engine of the matrix: makes the call of a row under a budget that comes to it in one of three ways."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import warnings
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from typing import Any, NamedTuple

import allowance
from allowance import budget, budgeted
from allowance.calls import process
from allowance.stores.memory import MemoryStore
from tests.calls.support import PROJECT, books, key, usd
from tests.matrix.row import Endpoint, Row, Sdk
from tests.provider import Provider
from tests.provider.clients import aclose_litellm

__all__ = ["WAYS", "Bench", "Cell", "cells"]

WAYS = ("decorated", "block", "process cap")
USER = "alice"


class Cell(NamedTuple):
    """One row in one colour."""

    sdk: Sdk
    endpoint: Endpoint
    row: Row
    colour: str

    @property
    def name(self) -> str:
        return f"{self.sdk.name} {self.endpoint.name} {self.row.form} {self.colour}"


def cells(sdks: tuple[Sdk, ...]) -> list[Cell]:
    """Every row of these SDKs, in every colour that it has."""
    return [
        Cell(sdk, endpoint, row, colour)
        for sdk in sdks
        for endpoint in sdk.endpoints
        for row in endpoint.rows
        for colour in row.colours
    ]


class Bench:
    """The provider, and the clients of all SDKs: made at their first call, and closed at the end."""

    def __init__(self) -> None:
        self.provider = Provider()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stack = ExitStack()
        self._astack = AsyncExitStack()
        self._clients: dict[str, tuple[Any, Any]] = {}

    def close(self) -> None:
        self._runner.run(self._aclose())
        self._stack.close()
        self._runner.close()
        self.provider.close()
        self._clients.clear()
        with warnings.catch_warnings():  # LiteLLM's Router leaves connections to the collector
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    async def _aclose(self) -> None:
        await aclose_litellm()
        await self._astack.aclose()

    def prepare(self, row: Row, store: MemoryStore, *, priced: bool = True) -> None:
        """Forget the test before; answer as the row says."""
        self.provider.forget()
        self.provider.reply(**row.reply)
        if row.first is not None:
            self.provider.then(**row.first)
        if row.prices and priced:
            allowance.configure(store=store, project=PROJECT, prices=dict(row.prices))

    def make(self, cell: Cell, way: str, limit: float) -> None:
        """Make the call under a budget of so many dollars, and read its reply to the end."""
        sync, asynchronous = self.clients_of(cell.sdk)
        if cell.colour == "sync":
            _run(way, cell, sync, limit)
        else:
            self.run(_arun(way, cell, asynchronous, limit))

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it in the loop that the asynchronous clients are used in."""
        self._runner.run(coroutine, context=contextvars.copy_context())

    def clients_of(self, sdk: Sdk) -> tuple[Any, Any]:
        """The synchronous and the asynchronous one; None where an SDK has none."""
        made = self._clients.get(sdk.name)
        if made is None:
            made = self._clients[sdk.name] = sdk.clients(self.provider.url, self._stack, self._astack)
        return made

    def check(self, way: str, store: MemoryStore, nanos: int, requests: int) -> None:
        """So much was charged, for so many requests; nothing is held, and the books balance."""
        assert self.provider.count == requests, [call.path for call in self.provider.calls]
        assert process.current_cost() == usd(nanos)
        if way == "process cap":
            assert process.STORE.audit() == []
            account = process.STORE.account(process.KEY)
            assert account is not None
            assert (account.spent, account.held) == (nanos, 0)
        elif store.account(key(USER)) is None:  # a first call that was refused leaves not even a budget
            assert nanos == 0
            assert store.audit() == []
        else:
            assert books(store, USER) == (nanos, 0)


def _run(way: str, cell: Cell, client: Any, limit: float) -> None:
    def ask() -> Any:
        return cell.row.call(cell.endpoint.of(client))

    if way == "decorated":  # the reply is read where the decorated function has returned
        _finish(cell.row, budgeted(user=USER, limit=limit)(ask)())
    elif way == "block":
        with budget(USER, limit=limit):
            _finish(cell.row, ask())
    else:
        if way == "process cap":
            allowance.max_budget = limit
        _finish(cell.row, ask())


async def _arun(way: str, cell: Cell, client: Any, limit: float) -> None:
    def ask() -> Any:
        return cell.row.call(cell.endpoint.of(client))

    if way == "decorated":
        await _afinish(cell.row, budgeted(user=USER, limit=limit)(ask)())
    elif way == "block":
        async with budget(USER, limit=limit):
            await _afinish(cell.row, ask())
    else:
        if way == "process cap":
            allowance.max_budget = limit
        await _afinish(cell.row, ask())


def _finish(row: Row, reply: Any) -> None:
    if _is_manager(reply, "__enter__"):
        with reply as entered:
            _drain(entered if row.read is None else row.read(entered))
    else:
        _drain(reply if row.read is None else row.read(reply))


async def _afinish(row: Row, reply: Any) -> None:
    if inspect.isawaitable(reply):
        reply = await reply
    if _is_manager(reply, "__aenter__"):
        async with reply as entered:
            await _adrain(entered if row.read is None else row.read(entered))
    else:
        await _adrain(reply if row.read is None else row.read(reply))


def _is_manager(reply: Any, enter: str) -> bool:
    """Whether it must be entered; streams only can. A proxy's ``__class__`` is that of the SDK's own."""
    step = "__next__" if enter == "__enter__" else "__anext__"
    return hasattr(reply.__class__, enter) and not hasattr(reply.__class__, step)


def _drain(reply: Any) -> None:
    if hasattr(reply.__class__, "__next__") or hasattr(reply.__class__, "get_initial_response"):
        assert list(reply), "the stream was empty"


async def _adrain(reply: Any) -> None:
    if inspect.isawaitable(reply):
        reply = await reply
    if hasattr(reply.__class__, "__anext__"):
        assert [item async for item in reply], "the stream was empty"
    else:
        _drain(reply)
