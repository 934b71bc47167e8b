"""Streams that are made inside a block and begun outside it are charged to the block they were made in."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, nullcontext
from typing import Any

import groq
import pytest

from allowance import BudgetExceededError, budget
from allowance.calls import lifeline
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, CLAUDE, GEMINI, GEMINI_CALL, SONNET_CALL, books, lines
from tests.provider import Provider, clients

RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
LLAMA: dict[str, Any] = {**CHAT, "model": "llama-3.3-70b-versatile"}
LLAMA_CALL = 10 * 590 + 5 * 790


def made(gpt: Any, claude: Any, llama: Any) -> dict[str, tuple[Callable[[], Any], int]]:
    """Managers, of either colour, each with what its call costs."""
    return {
        "chat": (lambda: gpt.chat.completions.stream(**CHAT), CALL),
        "beta chat": (lambda: gpt.beta.chat.completions.stream(**CHAT), CALL),
        "responses": (lambda: gpt.responses.stream(**RESPONSE), CALL),
        "openai raw": (lambda: gpt.chat.completions.with_streaming_response.create(**CHAT), CALL),
        "messages": (lambda: claude.messages.stream(**CLAUDE), SONNET_CALL),
        "beta messages": (lambda: claude.beta.messages.stream(**CLAUDE), SONNET_CALL),
        "anthropic raw": (lambda: claude.messages.with_streaming_response.create(**CLAUDE), SONNET_CALL),
        "groq raw": (lambda: llama.chat.completions.with_streaming_response.create(**LLAMA), LLAMA_CALL),
    }


NAMES = sorted(made(None, None, None))


@pytest.fixture
def each(provider: Provider) -> Iterator[dict[str, tuple[Callable[[], Any], int]]]:
    http = groq.DefaultHttpxClient(trust_env=False)
    llama = groq.Groq(api_key="k", base_url=provider.url, max_retries=0, http_client=http)
    with clients.openai_sync(provider) as gpt, clients.anthropic_sync(provider) as claude, llama:
        yield made(gpt, claude, llama)


@pytest.fixture
async def aeach(provider: Provider) -> AsyncIterator[dict[str, tuple[Callable[[], Any], int]]]:
    http = groq.DefaultAsyncHttpxClient(trust_env=False)
    llama = groq.AsyncGroq(api_key="k", base_url=provider.url, max_retries=0, http_client=http)
    async with (
        clients.openai_async(provider) as gpt,
        clients.anthropic_async(provider) as claude,
        llama,
    ):
        yield made(gpt, claude, llama)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("around", [nullcontext(), budget("bob", limit=1)], ids=["outside", "another block"])
def test_a_manager_is_charged_to_the_block_it_was_made_in(
    name: str, around: Any, each: Any, store: MemoryStore, provider: Provider
) -> None:
    make, cost = each[name]
    with budget("alice", limit=1):
        manager = make()
    assert provider.count == 0
    with around, manager as entered:
        list(entered if hasattr(entered, "__iter__") else entered.iter_lines())
    assert books(store, "alice") == (cost, 0)
    assert lines(store, "bob") == []


@pytest.mark.parametrize("name", NAMES)
async def test_an_async_manager_is_charged_to_the_block_it_was_made_in(
    name: str, aeach: Any, store: MemoryStore, provider: Provider
) -> None:
    make, cost = aeach[name]
    async with budget("alice", limit=1):
        manager = make()
    assert provider.count == 0
    async with budget("bob", limit=1), manager as entered:
        pieces = entered if hasattr(entered, "__aiter__") else entered.iter_lines()
        assert [piece async for piece in pieces]
    assert books(store, "alice") == (cost, 0)
    assert lines(store, "bob") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_manager_is_refused_by_the_block_it_was_made_in(name: str, each: Any, provider: Provider) -> None:
    with budget("alice", limit=0):
        manager = each[name][0]()
    with pytest.raises(BudgetExceededError), manager:
        pass
    assert provider.count == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_manager_that_is_never_entered_costs_nothing(
    name: str, each: Any, store: MemoryStore, provider: Provider
) -> None:
    with budget("alice", limit=1) as b:
        manager = each[name][0]()
        assert b.held == 0
        del manager
    gc.collect()
    lifeline.drain()
    assert b.cost == 0
    assert list(store.holds()) == []
    assert provider.count == 0


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # the SDK's own, as ever
@pytest.mark.parametrize("name", NAMES)
async def test_an_async_manager_that_is_never_entered_costs_nothing(
    name: str, aeach: Any, store: MemoryStore, provider: Provider
) -> None:
    async with budget("alice", limit=1) as b:
        manager = aeach[name][0]()
        del manager
    gc.collect()
    lifeline.drain()
    assert b.cost == 0
    assert list(store.holds()) == []
    assert provider.count == 0


def test_without_a_block_nothing_is_carried(each: Any, store: MemoryStore) -> None:
    manager = each["chat"][0]()
    with budget("alice", limit=1), manager as stream:
        stream.until_done()
    assert books(store, "alice") == (CALL, 0)


def test_geminis_lazy_streams(provider: Provider, store: MemoryStore) -> None:
    with closing(clients.gemini(provider)) as client:
        chat = client.chats.create(model=GEMINI["model"], config=GEMINI["config"])
        with budget("alice", limit=1):
            stream = client.models.generate_content_stream(**GEMINI)
            said = chat.send_message_stream("hello there")
            never = chat.send_message_stream("hello there")
        with budget("bob", limit=1):
            list(stream)
            list(said)
        del never
        gc.collect()
        lifeline.drain()
    assert books(store, "alice") == (2 * GEMINI_CALL, 0)
    assert lines(store, "bob") == []
    assert provider.count == 2
