"""``on_overrun="stop"`` ends a stream for good: the connection is closed, and the provider sends no more."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import allowance
from allowance import BudgetExceededError, Price, budget
from allowance.stores.memory import MemoryStore
from tests.calls.support import MESSAGES, PROJECT, books, lines
from tests.provider import Provider, clients

from . import every

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

ROOM = "0.002"
"""Dollars: each call is admitted, and not one of them may cost as much as half the text does."""
TEXT = " hello" * 12_000
GPT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
CLAUDE: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": MESSAGES, "max_tokens": 50}
LLAMA: dict[str, Any] = {"model": "llama-3.3-70b-versatile", "messages": MESSAGES}
GEMINI: dict[str, Any] = {"model": "gemini-2.5-pro", "contents": "hello there"}
CONVERSE: dict[str, Any] = {
    "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
}


@pytest.fixture(autouse=True)
def _priced(store: MemoryStore) -> None:
    allowance.configure(store=store, project=PROJECT, prices={"local": Price(input=1, output=2)})


def helped(manager: Any) -> Iterator[Any]:
    with manager as stream:
        yield from stream


def texts(manager: Any) -> Iterator[Any]:
    with manager as stream:
        yield from stream.text_stream


def _through_litellm(client: Any, provider: Provider, model: str) -> Any:
    vendor = model.partition("/")[0]
    options = clients.litellm_kwargs(provider, "openai" if vendor != "anthropic" else vendor)
    cap = {"max_tokens": 50} if vendor == "anthropic" else {}
    return client.completion(model=model, messages=MESSAGES, stream=True, **options, **cap)


SYNC: dict[str, tuple[Any, Callable[[Any, Provider], Any]]] = {
    "openai chat": (clients.openai_sync, lambda c, _: c.chat.completions.create(**GPT, stream=True)),
    "openai chat helper": (clients.openai_sync, lambda c, _: helped(c.chat.completions.stream(**GPT))),
    "openai responses": (
        clients.openai_sync,
        lambda c, _: c.responses.create(model="gpt-4o", input="hello there", stream=True),
    ),
    "openai responses helper": (
        clients.openai_sync,
        lambda c, _: helped(c.responses.stream(model="gpt-4o", input="hello there")),
    ),
    "anthropic": (clients.anthropic_sync, lambda c, _: c.messages.create(**CLAUDE, stream=True)),
    "anthropic helper": (clients.anthropic_sync, lambda c, _: helped(c.messages.stream(**CLAUDE))),
    "anthropic text": (clients.anthropic_sync, lambda c, _: texts(c.messages.stream(**CLAUDE))),
    "anthropic beta": (clients.anthropic_sync, lambda c, _: texts(c.beta.messages.stream(**CLAUDE))),
    "google-genai": (
        every.gemini_sync,
        lambda c, _: c.models.generate_content_stream(**GEMINI),
    ),
    "google-genai chat": (
        every.gemini_sync,
        lambda c, _: c.chats.create(model="gemini-2.5-pro").send_message_stream("hello there"),
    ),
    "groq": (every.groq_sync, lambda c, _: c.chat.completions.create(**LLAMA, stream=True)),
    "litellm": (every.litellm_sync, lambda c, provider: _through_litellm(c, provider, "openai/gpt-4o")),
    "litellm, anthropic": (
        every.litellm_sync,
        lambda c, provider: _through_litellm(c, provider, "anthropic/claude-sonnet-4-5"),
    ),
    "mistralai": (
        every.mistral_sync,
        lambda c, _: c.chat.stream(model="mistral-small-latest", messages=MESSAGES),
    ),
    "cohere": (every.cohere_sync, lambda c, _: c.chat_stream(model="command-a-03-2025", messages=MESSAGES)),
    "ollama": (every.ollama_sync, lambda c, _: c.chat("local", MESSAGES, stream=True)),
    "bedrock": (every.bedrock, lambda c, _: c.converse_stream(**CONVERSE)["stream"]),
}


@pytest.mark.parametrize("name", SYNC)
def test_a_stopped_stream_is_closed(name: str, provider: Provider, store: MemoryStore) -> None:
    gate = threading.Event()
    provider.reply(text=TEXT, chunks=2, chunk_gate=gate, input_tokens=9)
    client_of, ask = SYNC[name]
    with client_of(provider) as client, budget("alice", limit=ROOM, on_overrun="stop"):
        stream = ask(client, provider)
        with pytest.raises(BudgetExceededError, match="stopped"):
            for _ in stream:
                pass
        assert hung_up(provider)
        assert books(store, "alice")[1] == 0
    gate.set()
    (entry,) = lines(store, "alice")
    assert entry.counted
    assert_half(name, entry.output_tokens)


def assert_half(name: str, tokens: int) -> None:
    """Half of the text; of families known only by a factor about that; and never more than the cap."""
    if "anthropic" in name:
        assert tokens == 50
    else:
        assert tokens == pytest.approx(6_000, rel=0.35)


def hung_up(provider: Provider) -> bool:
    """Whether the client has closed the connection, although the provider has more to say."""
    (connection,) = provider._connections
    connection.settimeout(5)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False


async def ahelped(manager: Any) -> AsyncIterator[Any]:
    async with manager as stream:
        async for event in stream:
            yield event


async def atexts(manager: Any) -> AsyncIterator[Any]:
    async with manager as stream:
        async for text in stream.text_stream:
            yield text


def _athrough_litellm(client: Any, provider: Provider, model: str) -> Any:
    vendor = model.partition("/")[0]
    options = clients.litellm_kwargs(provider, "openai" if vendor != "anthropic" else vendor)
    cap = {"max_tokens": 50} if vendor == "anthropic" else {}
    return client.acompletion(model=model, messages=MESSAGES, stream=True, **options, **cap)


ASYNC: dict[str, tuple[Any, Callable[[Any, Provider], Any]]] = {
    "openai chat": (clients.openai_async, lambda c, _: c.chat.completions.create(**GPT, stream=True)),
    "openai chat helper": (clients.openai_async, lambda c, _: ahelped(c.chat.completions.stream(**GPT))),
    "openai responses helper": (
        clients.openai_async,
        lambda c, _: ahelped(c.responses.stream(model="gpt-4o", input="hello there")),
    ),
    "anthropic": (clients.anthropic_async, lambda c, _: c.messages.create(**CLAUDE, stream=True)),
    "anthropic text": (clients.anthropic_async, lambda c, _: atexts(c.messages.stream(**CLAUDE))),
    "anthropic beta": (clients.anthropic_async, lambda c, _: atexts(c.beta.messages.stream(**CLAUDE))),
    "google-genai": (every.gemini_async, lambda c, _: c.models.generate_content_stream(**GEMINI)),
    "google-genai chat": (
        every.gemini_async,
        lambda c, _: c.chats.create(model="gemini-2.5-pro").send_message_stream("hello there"),
    ),
    "groq": (every.groq_async, lambda c, _: c.chat.completions.create(**LLAMA, stream=True)),
    "litellm": (every.litellm_async, lambda c, provider: _athrough_litellm(c, provider, "openai/gpt-4o")),
    "litellm, anthropic": (
        every.litellm_async,
        lambda c, provider: _athrough_litellm(c, provider, "anthropic/claude-sonnet-4-5"),
    ),
    "mistralai": (
        every.mistral_async,
        lambda c, _: c.chat.stream_async(model="mistral-small-latest", messages=MESSAGES),
    ),
    "cohere": (every.cohere_async, lambda c, _: c.chat_stream(model="command-a-03-2025", messages=MESSAGES)),
    "ollama": (every.ollama_async, lambda c, _: c.chat("local", MESSAGES, stream=True)),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_a_stopped_async_stream_is_closed(name: str, provider: Provider, store: MemoryStore) -> None:
    gate = threading.Event()
    provider.reply(text=TEXT, chunks=2, chunk_gate=gate, input_tokens=9)
    client_of, ask = ASYNC[name]
    async with client_of(provider) as client, budget("alice", limit=ROOM, on_overrun="stop"):
        asked = ask(client, provider)
        stream = asked if hasattr(asked, "__aiter__") else await asked
        with pytest.raises(BudgetExceededError, match="stopped"):
            async for _ in stream:
                pass
        assert await asyncio.to_thread(hung_up, provider)
        assert books(store, "alice")[1] == 0
    gate.set()
    (entry,) = lines(store, "alice")
    assert entry.counted
    assert_half(name, entry.output_tokens)
