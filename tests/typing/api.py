"""The public surface as type checkers see it: mypy and pyright read this file, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type

import allowance
from allowance import (
    Block,
    BudgetExceededError,
    BudgetManager,
    BudgetStatus,
    Event,
    Price,
    Quote,
    Usage,
    budget,
    budgeted,
    clamp,
    downgrade,
    wait,
)
from allowance import ask as ask_allowance

Messages = Sequence[dict[str, str]]


# A decorated function keeps its parameters and its result.
@budgeted(user="alice", limit=5, duration="monthly")
def ask(messages: Messages, model: str = "gpt-4o", *, max_tokens: int = 100) -> bytes:
    return b""


assert_type(ask([], "gpt-4o", max_tokens=5), bytes)
ask([], maximum=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # no such argument


@budgeted(user=lambda messages, **_: "alice", limit="0.50", uncapped="clamp")
async def ask_async(messages: Messages) -> bytes:
    return b""


@budgeted()
def tell(messages: Messages) -> Iterator[str]:
    yield ""


@budgeted(on_exceeded=lambda error: error.user, on_event=lambda event: event.kind, warn_at=0.5)
async def tell_async(messages: Messages) -> AsyncIterator[str]:
    yield ""


async def granted(error: BudgetExceededError) -> Decimal:
    return error.projected


@budgeted(
    user="alice",
    on_exceeded=[
        downgrade("gpt-4o-mini"),
        clamp(min_tokens=16),
        wait(60),
        ask_allowance(granted),
        lambda error: b"",
    ],
)
async def ask_on(messages: Messages, model: str = "gpt-4o") -> bytes:
    return b""


budget("alice", on_exceeded=downgrade("gpt-4o-mini", "gpt-4.1-nano"))
budget("alice", on_exceeded=(clamp(), ask_allowance(lambda error: "0.50", reason="asked")))
budget("alice", on_exceeded=lambda error: b"")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no reply
downgrade(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no model


class Client:
    @budgeted(user=1234, kind="team", project="search")
    def ask(self, messages: Messages) -> bytes:
        return b""


async def results() -> None:
    assert_type(await ask_async([]), bytes)
    assert_type(await ask_on([], model="gpt-4o"), bytes)
    assert_type(tell([]), Iterator[str])
    assert_type(tell_async([]), AsyncIterator[str])
    assert_type(Client().ask([]), bytes)
    async with budget("alice") as block:
        assert_type(await block.arefresh(), Block)


def several_budgets() -> None:
    with budget("alice", limit=100, duration="monthly", label="month", tags="search") as block:
        assert_type(block.label, str)
    with budget("alice", limit=5, models=("gpt-4o*", "o3*"), tags=("search", "beta")):
        budgeted(user="alice", limit=5, models="gpt-4o*", tags=["search"])
    budget(limit=1, models={"gpt-4o*"})


def figures() -> None:
    with budget("alice", limit=None, align="calendar", timezone="Europe/Berlin") as block:
        assert_type(block, Block)
        assert_type(block.spent, Decimal)
        assert_type(block.remaining, Decimal | None)
        assert_type(block.limit, Decimal | None)
        assert_type(block.resets_at, datetime | None)
    allowance.max_budget = 10
    allowance.max_budget = "0.001"
    allowance.max_budget = None
    assert_type(allowance.current_cost, Decimal)


def on_event(event: Event) -> None:
    assert_type(event.amount, Decimal)
    assert_type(event.limit, Decimal | None)
    assert_type(event.label, str)


def questions(reply: object) -> None:
    assert_type(allowance.quote(model="gpt-4o", messages=[], max_tokens=5), Quote)
    assert_type(allowance.cost_of(reply), Decimal)
    assert_type(allowance.usage_of(reply), Usage)
    allowance.configure(on_event=on_event, prices={"local/*": Price(input=0, output=0)})


def refused(error: BudgetExceededError) -> None:
    assert_type(error.projected, Decimal)
    assert_type(error.remaining, Decimal)
    assert_type(error.resets_at, datetime | None)
    assert_type(error.status_code, int)
    assert_type(error.label, str)
    assert_type(error.models, tuple[str, ...])


budget("alice", uncapped="squeeze")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no such policy
budget("alice", models=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no pattern
budgeted(user=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a user is no float


async def a_manager() -> None:
    """Methods and their async twins, and what is bound to a manager's store."""
    manager = BudgetManager("shop", client_type="memory")
    assert_type(manager.create_budget(10, user="alice", duration="daily"), dict[str, Any])
    assert_type(await manager.acreate_budget(10, user="alice", duration="daily"), dict[str, Any])
    assert_type(manager.get_current_cost("alice"), float)
    assert_type(await manager.aget_current_cost("alice"), float)
    assert_type(await manager.astatus("alice"), tuple[BudgetStatus, ...])
    assert_type(await manager.astatuses(kind="team"), list[BudgetStatus])
    await manager.aget_current_cost()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    @manager.budgeted(user="alice")
    def ask(messages: list[str], model: str = "gpt-4o") -> int:
        return len(messages) + len(model)

    assert_type(ask(["x"]), int)
    ask(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with manager.budget("alice") as block:
        assert_type(block.spent, Decimal)
