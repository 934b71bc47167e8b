"""Helpers over streams: left early, closed by what they read from, run by tools. Exact nano-dollars."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest

from allowance import BudgetExceededError, budget
from allowance.stores.memory import MemoryStore
from tests.calls.support import (
    CHAT,
    CLAUDE,
    GPT_4O_IN,
    GPT_4O_OUT,
    SONNET_CALL,
    SONNET_IN,
    SONNET_OUT,
    books,
    lines,
)
from tests.provider import Provider, clients

RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
GPT_INPUT = 9 * GPT_4O_IN
SEEN = 2
"""What "one " is counted."""
CLAUDE_SEEN = 10 * SONNET_IN + 3 * SONNET_OUT
"""The input that the stream states as it begins, and the same text by the factor of Claude's family."""


@pytest.fixture
def held_back(provider: Provider) -> Iterator[None]:
    """A first piece of the text comes, and a second one waits."""
    gate = threading.Event()
    provider.reply(text="one two", chunks=2, chunk_gate=gate)
    yield
    gate.set()


def first_text(event: Any) -> bool:
    """Whether a helper's event says the first piece."""
    text = getattr(event, "delta", None) or getattr(event, "text", None)
    return "one " in str(text)


LEFT: dict[str, tuple[Any, Any, Callable[[Any], Any], int]] = {
    "chat": (
        clients.openai_sync,
        clients.openai_async,
        lambda c: c.chat.completions.stream(**CHAT),
        GPT_INPUT + SEEN * GPT_4O_OUT,
    ),
    "responses": (
        clients.openai_sync,
        clients.openai_async,
        lambda c: c.responses.stream(**RESPONSE),
        GPT_INPUT + SEEN * GPT_4O_OUT,
    ),
    "messages": (
        clients.anthropic_sync,
        clients.anthropic_async,
        lambda c: c.messages.stream(**CLAUDE),
        CLAUDE_SEEN,
    ),
    "beta messages": (
        clients.anthropic_sync,
        clients.anthropic_async,
        lambda c: c.beta.messages.stream(**CLAUDE),
        CLAUDE_SEEN,
    ),
}


@pytest.mark.usefixtures("held_back")
@pytest.mark.parametrize("name", LEFT)
def test_a_helper_that_is_left_early_is_charged_as_it_is_left(
    name: str, provider: Provider, store: MemoryStore
) -> None:
    client_of, _, ask, cost = LEFT[name]
    with client_of(provider) as client, budget("alice", limit=1):
        with ask(client) as helper:
            assert next(filter(first_text, helper))
        assert helper is not None  # it is still there, and holds nothing
        assert books(store, "alice") == (cost, 0)
    assert len(lines(store, "alice")) == 1


@pytest.mark.usefixtures("held_back")
@pytest.mark.parametrize("name", LEFT)
async def test_an_async_helper_that_is_left_early_is_charged_as_it_is_left(
    name: str, provider: Provider, store: MemoryStore
) -> None:
    _, client_of, ask, cost = LEFT[name]
    async with client_of(provider) as client, budget("alice", limit=1):
        async with ask(client) as helper:
            async for event in helper:
                if first_text(event):
                    break
        assert helper is not None
        assert books(store, "alice") == (cost, 0)
    assert len(lines(store, "alice")) == 1


@pytest.mark.usefixtures("held_back")
def test_a_stream_whose_response_is_closed_is_over(provider: Provider, store: MemoryStore) -> None:
    with clients.openai_sync(provider) as client, budget("alice", limit=1):
        stream = client.chat.completions.create(**CHAT, stream=True)
        assert stream.response is stream.response
        next(stream), next(stream)
        stream.response.close()
        assert stream.response.is_closed
        assert books(store, "alice") == (GPT_INPUT + SEEN * GPT_4O_OUT, 0)


@pytest.mark.usefixtures("held_back")
async def test_an_async_stream_whose_response_is_closed_is_over(
    provider: Provider, store: MemoryStore
) -> None:
    async with clients.openai_async(provider) as client, budget("alice", limit=1):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await anext(stream), await anext(stream)
        await stream.response.aclose()
        assert books(store, "alice") == (GPT_INPUT + SEEN * GPT_4O_OUT, 0)


# -- anthropic's tool runner: one call for each turn ------------------------------------------------------


@anthropic.beta_tool
def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where.
    """
    return f"fine in {city}"


@anthropic.beta_async_tool
async def aweather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where.
    """
    return f"fine in {city}"


TURNS = {"tool": ("weather", '{"city": "Oslo"}'), "text": ""}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_runner_is_charged_to_the_block_it_was_made_in(
    streamed: bool, provider: Provider, store: MemoryStore
) -> None:
    provider.then(**TURNS)
    with clients.anthropic_sync(provider) as client:
        with budget("alice", limit=1):
            runner = client.beta.messages.tool_runner(**CLAUDE, tools=[weather], stream=streamed)
            never = client.beta.messages.tool_runner(**CLAUDE, tools=[weather], stream=streamed)
        with budget("bob", limit=1):
            final = runner.until_done()
        del never
    assert final.content[0].text == "Hello, how can I help?"
    assert [entry.amount for entry in lines(store, "alice")] == [SONNET_CALL] * 2
    assert books(store, "alice")[1] == 0
    assert lines(store, "bob") == []
    assert provider.count == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_async_tool_runner_is_charged_to_the_block_it_was_made_in(
    streamed: bool, provider: Provider, store: MemoryStore
) -> None:
    provider.then(**{**TURNS, "tool": ("aweather", '{"city": "Oslo"}')})
    async with clients.anthropic_async(provider) as client:
        async with budget("alice", limit=1):
            runner = client.beta.messages.tool_runner(**CLAUDE, tools=[aweather], stream=streamed)
        async with budget("bob", limit=1):
            final = await runner.until_done()
    assert final.content[0].text == "Hello, how can I help?"
    assert [entry.amount for entry in lines(store, "alice")] == [SONNET_CALL] * 2
    assert books(store, "alice")[1] == 0
    assert lines(store, "bob") == []


def test_a_tool_runner_is_refused_where_its_next_turn_does_not_fit(
    provider: Provider, store: MemoryStore
) -> None:
    provider.then(**TURNS, input_tokens=700, output_tokens=50)
    with clients.anthropic_sync(provider) as client, budget("alice", limit="0.003"):
        runner = client.beta.messages.tool_runner(**CLAUDE, tools=[weather])
        with pytest.raises(BudgetExceededError):
            runner.until_done()
    assert books(store, "alice") == (700 * SONNET_IN + 50 * SONNET_OUT, 0)
    assert provider.count == 1
