"""LiteLLM's cache: what it answers costs nothing, and it never keeps what a short budget made of a call."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from allowance import BudgetExceededError, budget, budgeted, clamp, downgrade
from tests.calls.support import CALL, GPT_4O_IN, GPT_4O_OUT, HELD, MESSAGES, books, lines, usd
from tests.provider import Provider, clients

from .support import WAYS, arun, check, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

MINI_CALL = 10 * 150 + 5 * 600
USAGE = {"include_usage": True}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # LiteLLM's cache imports parts of its proxy, and these a package that only its proxy declares.
    monkeypatch.setitem(sys.modules, "soundfile", types.ModuleType("soundfile"))
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    yield
    clients.close_litellm()


@pytest.fixture
def chat(provider: Provider) -> dict[str, Any]:
    return {
        "model": "openai/gpt-4o",
        "messages": MESSAGES,
        "max_tokens": 50,
        **clients.litellm_kwargs(provider),
    }


@pytest.fixture
def router(provider: Provider) -> litellm.Router:
    to = {"model": "openai/gpt-4o", **clients.litellm_kwargs(provider)}
    models = [{"model_name": "gpt-4o", "litellm_params": to}]
    return litellm.Router(model_list=models, cache_responses=True)


def plain(chat: dict[str, Any]) -> Any:
    return litellm.completion(**chat).choices[0].message.content


def stream(chat: dict[str, Any]) -> Any:
    chunks = list(litellm.completion(**chat, stream=True, stream_options=USAGE))
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


SYNC: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": plain,
    "stream": stream,
    "asked for": lambda chat: plain({**chat, "caching": True}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SYNC)
def test_r12_a_hit_costs_nothing(
    name: str, way: str, chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    texts = {run(way, lambda: SYNC[name](chat)) for _ in range(3)}
    assert texts == {"Hello, how can I help?"}
    check(way, store, provider, CALL)


async def aplain(chat: dict[str, Any]) -> Any:
    reply = await litellm.acompletion(**chat)
    await stored()
    return reply.choices[0].message.content


async def astream(chat: dict[str, Any]) -> Any:
    made: Any = await litellm.acompletion(**chat, stream=True, stream_options=USAGE)
    texts = [chunk.choices[0].delta.content or "" async for chunk in made if chunk.choices]
    await stored()
    return "".join(texts)


async def stored(replies: int = 1) -> None:
    """LiteLLM fills its cache in a task of its own."""
    for _ in range(40):
        await asyncio.sleep(0.005)
        if len(litellm.cache.cache.cache_dict) >= replies:  # type: ignore[union-attr]
            return


ASYNC: dict[str, Callable[[dict[str, Any]], Any]] = {"plain": aplain, "stream": astream}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ASYNC)
async def test_r12_an_async_hit_costs_nothing(
    name: str, way: str, chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    texts = {await arun(way, lambda: ASYNC[name](chat)) for _ in range(3)}
    assert texts == {"Hello, how can I help?"}
    check(way, store, provider, CALL)
    await clients.aclose_litellm()


def test_r12_a_hit_costs_nothing_where_the_function_itself_is_decorated(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    ask = budgeted(user="alice", limit=1)(litellm.completion)
    for _ in range(3):
        ask(**chat)
    check("decorated", store, provider, CALL)


async def test_r12_an_async_hit_costs_nothing_where_the_function_itself_is_decorated(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    ask = budgeted(user="alice", limit=1)(litellm.acompletion)
    for _ in range(3):
        await ask(**chat)
        await stored()
    check("decorated", store, provider, CALL)
    await clients.aclose_litellm()


async def test_r12_a_hit_through_a_router_costs_nothing(
    router: litellm.Router, provider: Provider, store: MemoryStore
) -> None:
    asked: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 50}
    with budget("alice", limit=1):
        router.completion(**asked)
        router.completion(**asked)
    budgeted(user="alice")(router.completion)(**asked)
    check("block", store, provider, CALL)
    with budget("alice", limit=1):  # a Router keeps what it answered asynchronously by itself
        for _ in range(3):
            await router.acompletion(**asked)
            await stored(2)
    check("block", store, provider, 2 * CALL, calls=2)
    await clients.aclose_litellm()


def test_a_hit_is_answered_under_a_budget_that_is_spent(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    litellm.completion(**chat)
    with budget("alice", limit=0):
        assert plain(chat) == "Hello, how can I help?"
        with pytest.raises(BudgetExceededError):
            plain({**chat, "max_tokens": 51})
    assert books(store, "alice") == (0, 0)
    assert provider.count == 1


@pytest.mark.parametrize("name", SYNC)
def test_what_a_cheaper_model_said_is_not_kept_as_the_dearer_ones(
    name: str, chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    with budget("poor", limit=usd(HELD - 1), on_exceeded=downgrade("openai/gpt-4o-mini")):
        SYNC[name](chat)
        SYNC[name](chat)
    assert books(store, "poor") == (2 * MINI_CALL, 0)
    with budget("rich", limit=1):
        SYNC[name](chat)
        SYNC[name](chat)
    assert books(store, "rich") == (CALL, 0)
    assert [call.model for call in provider.calls] == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]


@pytest.mark.parametrize("name", ASYNC)
async def test_what_a_cheaper_model_said_is_not_kept_as_the_dearer_ones_in_async_calls(
    name: str, chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    with budget("poor", limit=usd(HELD - 1), on_exceeded=downgrade("openai/gpt-4o-mini")):
        await ASYNC[name](chat)
    with budget("rich", limit=1):
        await ASYNC[name](chat)
        await ASYNC[name](chat)
    assert books(store, "rich") == (CALL, 0)
    assert [call.model for call in provider.calls] == ["gpt-4o-mini", "gpt-4o"]
    await clients.aclose_litellm()


def test_a_reply_that_was_cut_short_is_not_kept_as_a_whole_one(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    provider.reply(input_tokens=9, usage="cap")
    with budget("poor", limit=usd(9 * GPT_4O_IN + 20 * GPT_4O_OUT), on_exceeded=clamp()):
        litellm.completion(**chat)
    with budget("rich", limit=1):
        litellm.completion(**chat)
    assert [call.body["max_tokens"] for call in provider.calls] == [20, 50]
    assert books(store, "rich") == (HELD, 0)


def test_a_call_changed_above_the_cache_is_kept_under_its_own_name(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    ask = budgeted(user="poor", limit=usd(HELD - 1), on_exceeded=downgrade("openai/gpt-4o-mini"))
    ask(litellm.completion)(**chat)
    ask(litellm.completion)(**chat)
    assert provider.count == 1
    assert [entry.model for entry in lines(store, "poor")] == ["gpt-4o-mini"]
