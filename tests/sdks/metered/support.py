"""What the tests of metered SDKs share: how a budget comes to a call, and what it was charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import allowance
from allowance import budget, budgeted
from allowance.calls import process
from allowance.stores.memory import MemoryStore
from tests.calls.support import books, usd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.provider import Provider

WAYS = ("decorated", "block", "process cap")


def run(way: str, ask: Callable[[], Any], limit: float = 1) -> Any:
    """Make a call under a budget of so many dollars that comes to it in this way."""
    if way == "decorated":
        return budgeted(user="alice", limit=limit)(ask)()
    if way == "block":
        with budget("alice", limit=limit):
            return ask()
    allowance.max_budget = limit
    return ask()


async def arun(way: str, ask: Callable[[], Awaitable[Any]], limit: float = 1) -> Any:
    """`run` for what is awaited."""

    async def asked() -> Any:
        return await ask()

    if way == "decorated":
        return await budgeted(user="alice", limit=limit)(asked)()
    if way == "block":
        async with budget("alice", limit=limit):
            return await ask()
    allowance.max_budget = limit
    return await ask()


def check(way: str, store: MemoryStore, provider: Provider, nanos: int, calls: int = 1) -> None:
    """So much was charged, once, for so many requests, and nothing is held any more."""
    assert provider.count == calls
    if way == "process cap":
        assert process.current_cost() == usd(nanos)
        assert process.STORE.audit() == []
        assert process.STORE.account(process.KEY).held == 0  # type: ignore[union-attr]
    else:
        assert books(store, "alice") == (nanos, 0)
        assert process.current_cost() == usd(nanos)
