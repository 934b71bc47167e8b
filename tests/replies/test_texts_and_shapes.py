"""What can be counted where no usage is, and what is a stream, a manager, a raw response or a reply."""

from __future__ import annotations

import io
import json
import sqlite3
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock

import httpx
import pytest
from anthropic.types import Message
from google.genai import types

from allowance.replies import is_manager, is_raw, is_stream, member_stream, texts_of
from tests.provider import clients
from tests.provider.anthropic_wire import messages
from tests.provider.gemini_wire import generate
from tests.provider.openai_wire import chat, completions, responses
from tests.provider.script import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.provider import Provider

MESSAGES = [{"role": "user", "content": "Hi"}]
ARGUMENTS = {"city": "Rome", "days": [1, 2]}
SAID = Reply(text="Hello", tool=("weather", json.dumps(ARGUMENTS)), model="m")
ALL = ("Hello", "weather", '{"city": "Rome", "days": [1, 2]}')


@pytest.mark.parametrize(
    "reply",
    [
        chat(SAID, {}),
        responses(SAID, {}),
        messages(SAID, {}),
        generate(SAID, {}),
        Message.model_validate(messages(SAID, {})),
        types.GenerateContentResponse.model_validate(generate(SAID, {})),
    ],
    ids=["chat", "responses", "messages", "gemini", "Message", "GenerateContentResponse"],
)
def test_text_and_tool_calls_of_every_vendor(reply: object) -> None:
    assert texts_of(reply) == ALL


def test_other_texts() -> None:
    assert texts_of("Hi") == ("Hi",)
    assert texts_of("") == ()
    assert texts_of(["a", {"choices": [{"text": "b"}]}]) == ("a", "b")
    assert texts_of(completions(SAID, {"n": 2})) == ("Hello", "Hello")
    assert texts_of({"message": {"content": "Hi", "thinking": "hm"}, "done": True}) == ("Hi", "hm")
    assert texts_of({"output": {"message": {"content": [{"text": "Hi"}]}}}) == ("Hi",)
    assert texts_of(SimpleNamespace(output="Hi")) == ("Hi",)
    assert texts_of(SimpleNamespace(content="Hi", type="ai")) == ("Hi",)
    thinking = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]
    assert texts_of({"type": "message", "content": thinking}) == ("hm", "Hi")
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]}
    assert texts_of({"output": [reasoning]}) == ("so",)
    assert texts_of({"choices": []}) == ()


@pytest.mark.parametrize("reply", [None, 3, b"x", object(), {}, {"rows": 3}, MagicMock(), [], [1, 2]])
def test_what_is_no_reply_has_no_texts(reply: object) -> None:
    assert not texts_of(reply)


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Dual:
    """As LiteLLM's CustomStreamWrapper: it iterates both ways, and is no manager."""

    def __iter__(self) -> Dual:
        return self

    def __next__(self) -> int:
        raise StopIteration

    def __aiter__(self) -> Dual:
        return self

    async def __anext__(self) -> int:
        raise StopAsyncIteration


class EventStream:
    """As botocore's: it has no ``__next__``."""

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def get_initial_response(self) -> None: ...

    def close(self) -> None: ...


def test_streams() -> None:
    for stream in (generator(), async_generator(), Dual(), EventStream(), map(str, [])):
        assert is_stream(stream)
        assert not is_manager(stream)
        assert not is_raw(stream)


def no_streams() -> list[object]:
    reply = types.GenerateContentResponse()
    return [
        *("text", b"x", [1], (1,), {}, {1}, range(3), None, 3, reply, io.StringIO("x")),
        MagicMock(),
        AsyncMock(),
    ]


@pytest.mark.parametrize("reply", no_streams(), ids=lambda reply: type(reply).__name__)
def test_what_is_neither_stream_nor_manager(reply: object) -> None:
    assert not is_stream(reply)
    assert not is_manager(reply)
    assert not is_raw(reply)


def test_other_things_that_iterate_or_are_entered() -> None:
    connection = sqlite3.connect(":memory:")
    for other in (connection, connection.cursor(), threading.Lock(), httpx.Response(200)):
        assert not is_stream(other)
        assert not is_manager(other)
    connection.close()


def test_the_sdks_own(provider: Provider) -> None:
    request: dict[str, Any] = {"model": "m", "messages": MESSAGES}
    with clients.openai_sync(provider) as client:
        chat = client.chat.completions
        with chat.create(**request, stream=True) as stream:
            assert is_stream(stream)
        manager = chat.stream(**request)
        assert is_manager(manager)
        with manager as entered:
            assert is_stream(entered)
        raw = chat.with_raw_response.create(**request)
        assert is_raw(raw)
        assert not is_manager(raw)
        opening = chat.with_streaming_response.create(**request)
        assert is_manager(opening)
        with opening as streaming:
            assert is_raw(streaming)
            assert not is_stream(streaming)
        responses = client.responses.stream(model="m", input="Hi")
        assert is_manager(responses)
        assert not is_stream(chat.create(**request))
    with clients.anthropic_sync(provider) as claude:
        helper = claude.messages.stream(**request, max_tokens=9)
        assert is_manager(helper)
        with helper as entered_too:
            assert is_stream(entered_too)
            assert is_stream(entered_too.text_stream)


async def test_the_sdks_own_async(provider: Provider) -> None:
    request: dict[str, Any] = {"model": "m", "messages": MESSAGES}
    async with clients.openai_async(provider) as client, clients.anthropic_async(provider) as claude:
        async with await client.chat.completions.create(**request, stream=True) as stream:
            assert is_stream(stream)
        for manager in (
            client.chat.completions.stream(**request),
            claude.messages.stream(**request, max_tokens=9),
        ):
            assert is_manager(manager)
            async with manager as entered:
                assert is_stream(entered)
    gemini = clients.gemini(provider)
    chunks = await gemini.aio.models.generate_content_stream(model="m", contents="Hi")
    assert is_stream(chunks)
    assert [chunk async for chunk in chunks]
    assert is_stream(gemini.models.generate_content_stream(model="m", contents="Hi"))
    await gemini.aio.aclose()
    gemini.close()


def test_litellms_stream(provider: Provider) -> None:
    import litellm

    stream = litellm.completion(
        model="gpt-4o", messages=MESSAGES, stream=True, **clients.litellm_kwargs(provider)
    )
    assert is_stream(stream)
    assert list(stream)


def test_the_stream_within_bedrocks_reply() -> None:
    assert member_stream({"ResponseMetadata": {}, "stream": EventStream()}) == "stream"
    assert member_stream({"stream": True}) is None
    assert member_stream("stream") is None
