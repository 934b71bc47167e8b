"""Raw responses whose body the user reads: as bytes, text or lines, whole or in part. Exact nano-dollars."""

# ruff: noqa: SIM117  # blocks inside blocks

from __future__ import annotations

import gc
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import groq
import httpx
import openai
import pytest

from allowance import BudgetExceededError, budget, budgeted
from allowance.calls import lifeline
from allowance.stores.memory import MemoryStore
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI,
    GEMINI_CALL,
    GPT_4O_IN,
    GPT_4O_OUT,
    MESSAGES,
    SONNET_CALL,
    books,
    lines,
    usd,
)
from tests.provider import Provider, clients

from . import every

LLAMA: dict[str, Any] = {**CHAT, "model": "llama-3.3-70b-versatile"}
LLAMA_CALL = 10 * 590 + 5 * 790
STREAM: dict[str, Any] = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
SPEECH: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "hello there"}
SPEECH_CALL = 11 * 15_000
"""By the character, so it is known before."""


class Clients(NamedTuple):
    openai: Any
    anthropic: Any
    groq: Any


@pytest.fixture
def each(provider: Provider) -> Iterator[Clients]:
    http = groq.DefaultHttpxClient(trust_env=False)
    made = groq.Groq(api_key="k", base_url=provider.url, max_retries=0, http_client=http)
    with clients.openai_sync(provider) as gpt, clients.anthropic_sync(provider) as claude, made:
        yield Clients(gpt, claude, made)


@pytest.fixture
async def aeach(provider: Provider) -> AsyncIterator[Clients]:
    http = groq.DefaultAsyncHttpxClient(trust_env=False)
    made = groq.AsyncGroq(api_key="k", base_url=provider.url, max_retries=0, http_client=http)
    async with clients.openai_async(provider) as gpt, clients.anthropic_async(provider) as claude, made:
        yield Clients(gpt, claude, made)


ASKED: dict[str, tuple[Callable[[Clients], Any], int]] = {
    "openai": (lambda each: each.openai.chat.completions.with_streaming_response.create(**CHAT), CALL),
    "openai events": (
        lambda each: each.openai.chat.completions.with_streaming_response.create(**STREAM),
        CALL,
    ),
    "openai responses": (lambda each: each.openai.responses.with_streaming_response.create(**RESPONSE), CALL),
    "openai responses events": (
        lambda each: each.openai.responses.with_streaming_response.create(**RESPONSE, stream=True),
        CALL,
    ),
    "anthropic": (lambda each: each.anthropic.messages.with_streaming_response.create(**CLAUDE), SONNET_CALL),
    "anthropic events": (
        lambda each: each.anthropic.messages.with_streaming_response.create(**CLAUDE, stream=True),
        SONNET_CALL,
    ),
    "anthropic beta events": (
        lambda each: each.anthropic.beta.messages.with_streaming_response.create(**CLAUDE, stream=True),
        SONNET_CALL,
    ),
    "groq": (lambda each: each.groq.chat.completions.with_streaming_response.create(**LLAMA), LLAMA_CALL),
    "groq events": (
        lambda each: each.groq.chat.completions.with_streaming_response.create(**LLAMA, stream=True),
        LLAMA_CALL,
    ),
    "speech": (lambda each: each.openai.audio.speech.with_streaming_response.create(**SPEECH), SPEECH_CALL),
}

READ: dict[str, Callable[[Any], Any]] = {
    "lines": lambda response: list(response.iter_lines()),
    "bytes": lambda response: list(response.iter_bytes()),
    "few bytes at a time": lambda response: list(response.iter_bytes(7)),
    "text": lambda response: list(response.iter_text()),
    "read": lambda response: response.read(),
    "all text": lambda response: response.text(),
    "raw bytes": lambda response: list(response.http_response.iter_raw()),
    "its own lines": lambda response: list(response.http_response.iter_lines()),
}


@pytest.mark.parametrize("way", READ)
@pytest.mark.parametrize("name", ASKED)
def test_what_is_read_is_charged(name: str, way: str, each: Clients, store: MemoryStore) -> None:
    asked, cost = ASKED[name]
    with asked(each) as response:
        plain = READ[way](response)
    with budget("alice", limit=1), asked(each) as response:
        assert READ[way](response) == plain
        assert books(store, "alice") == (cost, 0)  # as soon as its body has passed
    assert books(store, "alice") == (cost, 0)
    assert not any(entry.unconfirmed for entry in lines(store, "alice"))
    assert [entry.counted for entry in lines(store, "alice")] == [name == "speech"]


AREAD: dict[str, Callable[[Any], Any]] = {
    "lines": lambda response: listed(response.iter_lines()),
    "bytes": lambda response: listed(response.iter_bytes()),
    "few bytes at a time": lambda response: listed(response.iter_bytes(7)),
    "text": lambda response: listed(response.iter_text()),
    "read": lambda response: response.read(),
    "all text": lambda response: response.text(),
    "raw bytes": lambda response: listed(response.http_response.aiter_raw()),
    "its own lines": lambda response: listed(response.http_response.aiter_lines()),
}


async def listed(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


@pytest.mark.parametrize("way", AREAD)
@pytest.mark.parametrize("name", ASKED)
async def test_what_is_read_asynchronously_is_charged(
    name: str, way: str, aeach: Clients, store: MemoryStore
) -> None:
    asked, cost = ASKED[name]
    async with asked(aeach) as response:
        plain = await AREAD[way](response)
    async with budget("alice", limit=1), asked(aeach) as response:
        assert await AREAD[way](response) == plain
        assert books(store, "alice") == (cost, 0)
    assert books(store, "alice") == (cost, 0)
    assert not any(entry.unconfirmed for entry in lines(store, "alice"))
    assert [entry.counted for entry in lines(store, "alice")] == [name == "speech"]


@pytest.mark.parametrize("name", [name for name in ASKED if "events" not in name and name != "speech"])
def test_json_and_parsed_replies(name: str, each: Clients, store: MemoryStore) -> None:
    asked, cost = ASKED[name]
    with budget("alice", limit=1):
        with asked(each) as response:
            said = response.json()
        with asked(each) as response:
            parsed = response.parse()
            assert response.parse() is parsed
            assert response.parse(to=dict[str, Any]) == said
        with asked(each) as response:
            assert json.loads(response.read()) == response.json() == said
            assert response.parse() == parsed
    assert [entry.amount for entry in lines(store, "alice")] == [cost] * 3
    assert books(store, "alice")[1] == 0


def test_speech_to_a_file(each: Clients, store: MemoryStore, tmp_path: Any) -> None:
    with budget("alice", limit=1), ASKED["speech"][0](each) as response:
        response.stream_to_file(tmp_path / "sound")
    assert (tmp_path / "sound").read_bytes() == b"ID3 sound"
    assert books(store, "alice") == (SPEECH_CALL, 0)


# -- in part ---------------------------------------------------------------------------------------------

INPUT = 9 * GPT_4O_IN


def test_events_that_are_left_off_are_charged_for_what_came(
    provider: Provider, each: Clients, store: MemoryStore
) -> None:
    gate = threading.Event()
    provider.reply(text="one two", chunks=2, chunk_gate=gate)  # "one " comes, and "two" waits
    with budget("alice", limit=1), ASKED["openai events"][0](each) as response:
        for line in response.iter_lines():
            if "one" in line:
                break
    gate.set()
    (entry,) = lines(store, "alice")
    assert (entry.amount, entry.counted) == (INPUT + 2 * GPT_4O_OUT, True)
    assert books(store, "alice")[1] == 0


async def test_async_events_that_are_left_off(provider: Provider, aeach: Clients, store: MemoryStore) -> None:
    gate = threading.Event()
    provider.reply(text="one two", chunks=2, chunk_gate=gate)
    async with budget("alice", limit=1), ASKED["openai events"][0](aeach) as response:
        async for line in response.iter_lines():
            if "one" in line:
                break
    gate.set()
    assert books(store, "alice") == (INPUT + 2 * GPT_4O_OUT, 0)


def test_r12_a_json_body_that_is_left_off_is_charged_at_its_likely_cost(
    provider: Provider, each: Clients, store: MemoryStore
) -> None:
    provider.reply(text="x" * 1_000_000)
    with budget("alice", limit=1), ASKED["openai"][0](each) as response:
        next(response.iter_bytes(10))
    (entry,) = lines(store, "alice")
    assert entry.unconfirmed
    assert books(store, "alice") == (entry.amount, 0)


def test_r12_events_that_are_cut_off(provider: Provider, each: Clients, store: MemoryStore) -> None:
    provider.reply(text="one two", chunks=2, drop_after_chunks=1)
    with budget("alice", limit=1), ASKED["openai events"][0](each) as response:
        with pytest.raises(httpx.RemoteProtocolError):
            list(response.iter_lines())
    assert books(store, "alice") == (INPUT + 2 * GPT_4O_OUT, 0)


def test_one_that_is_never_closed_is_charged_when_it_is_dropped(each: Clients, store: MemoryStore) -> None:
    with budget("alice", limit=1):
        raw = each.openai.chat.completions.with_raw_response.create(**STREAM)
        pieces = raw.http_response.iter_lines()
        list(pieces)
        assert books(store, "alice") == (CALL, 0)
        raw = each.openai.chat.completions.with_raw_response.create(**STREAM)
        raw.http_response.close()
        del raw, pieces
        gc.collect()
        lifeline.drain()
    assert books(store, "alice")[1] == 0
    assert len(lines(store, "alice")) == 2


def test_a_stream_that_was_parsed_and_left_off_is_charged_for_what_was_seen(
    provider: Provider, each: Clients, store: MemoryStore
) -> None:
    gate = threading.Event()
    provider.reply(text="one two", chunks=2, chunk_gate=gate)
    with budget("alice", limit=1), ASKED["openai events"][0](each) as response:
        stream = response.parse()
        assert response.parse() is stream
        next(stream), next(stream)
    gate.set()
    assert books(store, "alice") == (INPUT + 2 * GPT_4O_OUT, 0)


def test_a_decorated_functions_manager_is_followed(each: Clients, store: MemoryStore) -> None:
    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o") -> Any:
        return each.openai.chat.completions.with_streaming_response.create(messages=messages, model=model)

    with ask(MESSAGES) as response:
        list(response.iter_lines())
    assert books(store, "alice") == (CALL, 0)
    ask(MESSAGES)
    gc.collect()
    lifeline.drain()
    assert books(store, "alice") == (CALL, 0)


def test_an_encoded_body_is_seen_as_it_is_decoded(store: MemoryStore) -> None:
    said = json.dumps(
        {"model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 5}, "choices": []}
    )

    def answer(_: httpx.Request) -> httpx.Response:
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        stream = httpx.ByteStream(gzip.compress(said.encode()))
        return httpx.Response(200, stream=stream, headers=headers)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with openai.OpenAI(api_key="k", http_client=http) as client, budget("alice", limit=1):
        with client.chat.completions.with_streaming_response.create(**CHAT) as response:
            assert "".join(response.iter_text()) == said
    assert books(store, "alice") == (CALL, 0)


# -- more than was held ----------------------------------------------------------------------------------

WORDS = " hello" * 8_000
LONG: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}


def test_stop_ends_a_raw_body(provider: Provider, each: Clients, store: MemoryStore) -> None:
    provider.reply(text=WORDS, chunks=100)
    limit = INPUT + 2_000 * GPT_4O_OUT
    with budget("alice", limit=usd(limit), on_overrun="stop"):
        with each.openai.chat.completions.with_streaming_response.create(**LONG) as response:
            with pytest.raises(BudgetExceededError, match="stopped"):
                list(response.iter_lines())
            assert response.is_closed
    (entry,) = lines(store, "alice")
    assert limit < entry.amount < limit + 400 * GPT_4O_OUT
    assert books(store, "alice") == (entry.amount, 0)


async def test_stop_ends_an_async_raw_body(provider: Provider, aeach: Clients, store: MemoryStore) -> None:
    provider.reply(text=WORDS, chunks=100)
    limit = INPUT + 2_000 * GPT_4O_OUT
    async with budget("alice", limit=usd(limit), on_overrun="stop"):
        async with aeach.openai.chat.completions.with_streaming_response.create(**LONG) as response:
            with pytest.raises(BudgetExceededError, match="stopped"):
                await listed(response.iter_bytes())
            assert response.is_closed
    (entry,) = lines(store, "alice")
    assert limit < entry.amount < limit + 400 * GPT_4O_OUT
    assert books(store, "alice") == (entry.amount, 0)


def test_google_genais_raw_response(provider: Provider, store: MemoryStore) -> None:
    config = {**GEMINI["config"], "should_return_http_response": True}
    with every.gemini_sync(provider) as client, budget("alice", limit=1):
        reply = client.models.generate_content(**{**GEMINI, "config": config})
    assert reply.usage_metadata is None
    assert json.loads(reply.sdk_http_response.body)["usageMetadata"]
    assert books(store, "alice") == (GEMINI_CALL, 0)
    assert not lines(store, "alice")[0].unconfirmed
