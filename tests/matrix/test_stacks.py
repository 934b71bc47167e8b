"""Budgets and SDKs on top of one another: one request is one charge, to each budget over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted
from allowance.calls import process
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, CLAUDE, SONNET_CALL, books, key, lines, usd
from tests.matrix.engine import Bench
from tests.matrix.rows import anthropic, litellm, openai
from tests.matrix.rows.litellm import ASKED, GPT

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _fresh(bench: Bench) -> None:
    bench.provider.forget()


def plain(reply: Any) -> Any:
    return reply


STACKED: dict[str, tuple[dict[str, Any], Callable[[Any], Any], int]] = {
    "plain": ({}, plain, CALL),
    "stream": (ASKED, list, CALL),
    "stream, its usage not asked for": ({"stream": True}, list, CALL),
}


@pytest.mark.parametrize("name", STACKED)
def test_a_call_through_a_decorator_litellm_and_openai_is_charged_once(
    name: str, bench: Bench, store: MemoryStore
) -> None:
    more, read, nanos = STACKED[name]
    completion = budgeted(user="alice", limit=1)(bench.clients_of(litellm.SDK)[0].openai.completion)
    allowance.max_budget = 1
    with budget("red", kind="team", limit=1) as team:
        read(completion(**GPT, **more))
    assert bench.provider.count == 1
    assert books(store, "alice") == (nanos, 0)
    assert len(lines(store, "alice")) == len(list(store.entries(key("red", "team")))) == 1
    assert team.cost == team.spent == process.current_cost() == usd(nanos)
    assert process.STORE.account(process.KEY).held == 0  # type: ignore[union-attr]  # it was charged


@pytest.mark.parametrize("name", STACKED)
def test_an_async_call_through_them_is_charged_once(name: str, bench: Bench, store: MemoryStore) -> None:
    more, _, nanos = STACKED[name]
    completion = budgeted(user="alice", limit=1)(bench.clients_of(litellm.SDK)[1].openai.completion)
    allowance.max_budget = 1

    async def ask() -> None:
        async with budget("red", kind="team", limit=1) as team:
            reply = await completion(**GPT, **more)
            if more:
                assert [chunk async for chunk in reply]
        assert team.cost == team.spent == usd(nanos)

    bench.run(ask())
    assert bench.provider.count == 1
    assert books(store, "alice") == (nanos, 0)
    assert process.current_cost() == usd(nanos)


@pytest.mark.parametrize("short", ["decorator", "block", "process cap"])
def test_r4_each_of_them_can_refuse_it_and_the_others_pay_nothing(
    short: str, bench: Bench, store: MemoryStore
) -> None:
    def limit(name: str) -> float:
        return 1e-9 if name == short else 1

    completion = bench.clients_of(litellm.SDK)[0].openai.completion
    allowance.max_budget = limit("process cap")
    with (
        budget("red", kind="team", limit=limit("block")) as team,
        pytest.raises(BudgetExceededError) as refusal,
    ):
        budgeted(user="alice", limit=limit("decorator"))(completion)(**GPT)
    assert refusal.value.user == {"decorator": "alice", "block": "red"}.get(short, refusal.value.user)
    assert bench.provider.count == 0
    assert team.spent == team.held == process.current_cost() == 0
    assert store.audit() == process.STORE.audit() == []


def test_a_block_in_a_block_in_a_block_pays_once_each(bench: Bench, store: MemoryStore) -> None:
    client = bench.clients_of(openai.SDK)[0].openai
    with budget("red", kind="team", limit=1) as team, budget("alice", limit=1) as outer:
        client.chat.completions.create(**CHAT)
        with budget("alice", limit=1) as inner, budget(limit=1) as own:
            client.chat.completions.create(**CHAT)
    assert books(store, "alice") == (2 * CALL, 0)
    assert (team.cost, outer.cost) == (usd(2 * CALL), usd(2 * CALL))
    assert inner.cost == own.cost == own.spent == usd(CALL)
    assert process.current_cost() == usd(2 * CALL)


def test_two_sdks_share_a_block(bench: Bench, store: MemoryStore) -> None:
    gpt, claude = bench.clients_of(openai.SDK)[0].openai, bench.clients_of(anthropic.SDK)[0].anthropic
    with budget("alice", limit=1) as b, claude.messages.stream(**CLAUDE) as first:
        second = gpt.chat.completions.create(**CHAT, stream=True)
        for _ in zip(first, second, strict=False):
            pass
        list(second)
        first.until_done()
    assert books(store, "alice") == (CALL + SONNET_CALL, 0)
    assert b.cost == usd(CALL + SONNET_CALL)
    assert [line.model for line in lines(store, "alice")] == ["gpt-4o", "claude-sonnet-4-5"]
