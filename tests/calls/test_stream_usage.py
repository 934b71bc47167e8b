"""OpenAI's streams are asked for their usage where the user did not, and nobody notices but the ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest

import allowance
from allowance import budget
from allowance.calls import lifeline
from allowance.sdks import asking
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, GPT_4O_IN, GPT_4O_OUT, books, lines
from tests.provider import Provider, clients

STREAM: dict[str, Any] = {**CHAT, "stream": True}
COUNTED = 9 * GPT_4O_IN + 7 * GPT_4O_OUT
REFUSED = "Unrecognized request argument supplied: stream_options"


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    asking._takes.clear()
    yield
    asking._takes.clear()


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


def test_a_stream_is_asked_and_the_user_sees_what_a_plain_one_gives(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    plain = list(gpt.chat.completions.create(**STREAM))
    with budget("alice", limit=1):
        metered = list(gpt.chat.completions.create(**STREAM))
    assert [call.body.get("stream_options") for call in provider.calls] == [None, {"include_usage": True}]
    assert [chunk.to_dict() for chunk in metered] == [chunk.to_dict() for chunk in plain]
    assert books(store, "alice") == (CALL, 0)
    assert [entry.counted for entry in lines(store, "alice")] == [False]


def test_the_users_options_are_kept_and_not_touched(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    options: Any = {"include_obfuscation": False}
    arguments = {**STREAM, "stream_options": options}
    with budget("alice", limit=1):
        assert all(chunk.choices for chunk in gpt.chat.completions.create(**arguments))
        extra = gpt.chat.completions.create(**STREAM, extra_body={"stream_options": options})
        assert all(chunk.choices for chunk in extra)
    assert options == {"include_obfuscation": False}
    asked = {"include_obfuscation": False, "include_usage": True}
    assert [call.body["stream_options"] for call in provider.calls] == [asked, asked]
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, CALL]


def test_who_asked_gets_the_chunk_and_who_said_no_is_not_asked_for(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        asked = list(gpt.chat.completions.create(**STREAM, stream_options={"include_usage": True}))
        declined = list(gpt.chat.completions.create(**STREAM, stream_options={"include_usage": False}))
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert declined[-1].choices
    assert provider.calls[1].body["stream_options"] == {"include_usage": False}
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, COUNTED]


def test_the_setting_turns_it_off(provider: Provider, gpt: openai.OpenAI, store: MemoryStore) -> None:
    allowance.configure(stream_usage="off")
    with budget("alice", limit=1):
        list(gpt.chat.completions.create(**STREAM))
    assert "stream_options" not in provider.calls[0].body
    assert books(store, "alice") == (COUNTED, 0)


async def test_async_streams_and_helpers(provider: Provider, store: MemoryStore) -> None:
    async with clients.openai_async(provider) as client, budget("alice", limit=1):
        chunks = [chunk async for chunk in await client.chat.completions.create(**STREAM)]
        async with client.chat.completions.stream(**CHAT) as stream:
            final = await stream.get_final_completion()
    assert all(chunk.choices for chunk in chunks)
    assert final.usage is None
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, CALL]


def test_the_helper_and_legacy_completions(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        with gpt.chat.completions.stream(**CHAT) as stream:
            stream.until_done()
        pieces = gpt.completions.create(model="gpt-4o", prompt="hello", max_tokens=50, stream=True)
        assert all(piece.choices for piece in pieces)
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, CALL]


def test_a_server_that_refuses_is_sent_the_users_request_and_not_asked_again(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.then(status=400, error=REFUSED)
    with budget("alice", limit=1):
        for _ in range(2):
            assert all(chunk.choices for chunk in gpt.chat.completions.create(**STREAM))
    assert ["stream_options" in call.body for call in provider.calls] == [True, False, False]
    assert [entry.amount for entry in lines(store, "alice")] == [COUNTED, COUNTED]
    assert books(store, "alice")[1] == 0


async def test_a_server_that_refuses_an_async_stream(provider: Provider, store: MemoryStore) -> None:
    provider.then(status=422, error="Extra inputs are not permitted")  # a server that does not say what
    async with clients.openai_async(provider) as client, budget("alice", limit=1):
        assert [chunk async for chunk in await client.chat.completions.create(**STREAM)]
    assert ["stream_options" in call.body for call in provider.calls] == [True, False]
    assert books(store, "alice") == (COUNTED, 0)


def test_another_refusal_reaches_the_user_once_and_unchanged(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        list(gpt.chat.completions.create(**STREAM))
        provider.then(status=400, error="maximum context length")
        with pytest.raises(openai.BadRequestError, match="maximum context") as refused:
            gpt.chat.completions.create(**STREAM)
        provider.then(status=429, error="slow down")
        with pytest.raises(openai.RateLimitError):
            gpt.chat.completions.create(**STREAM)
    assert provider.count == 3
    assert refused.value.__context__ is None or not isinstance(
        refused.value.__context__, openai.BadRequestError
    )
    assert books(store, "alice") == (CALL, 0)


def test_raw_lines_are_what_the_user_asked_for(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        list(gpt.chat.completions.with_raw_response.create(**STREAM).parse())
        with gpt.chat.completions.with_streaming_response.create(**STREAM) as response:
            list(response.iter_lines())
    assert ["stream_options" in call.body for call in provider.calls] == [False, False]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://api.mistral.ai/v1", False),
        ("https://api.groq.com/openai/v1", False),
        ("https://api.openai.com/v1", True),
        ("http://localhost:8000/v1", True),
    ],
)
def test_hosts_that_refuse_it_are_not_asked(url: str, asked: bool) -> None:
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200, text="data: [DONE]\n\n", headers={"content-type": "text/event-stream"})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with openai.OpenAI(api_key="k", base_url=url, http_client=http) as client, budget(limit=None):
        list(client.chat.completions.create(**STREAM))
    assert (b"include_usage" in sent[0]) is asked


# -- users who leave off at the chunk that says why it finished -------------------------------------------


def finished(chunk: Any) -> bool:
    return bool(chunk.choices) and chunk.choices[0].finish_reason is not None


@pytest.fixture
def chunks(provider: Provider) -> list[Any]:
    """What a plain stream gives."""
    with clients.openai_sync(provider) as plain:
        return [chunk.to_dict() for chunk in plain.chat.completions.create(**STREAM)]


def test_leaving_off_at_the_last_chunk_is_charged_exactly(
    gpt: openai.OpenAI, store: MemoryStore, chunks: list[Any]
) -> None:
    seen = []
    with budget("alice", limit=1):
        for chunk in gpt.chat.completions.create(**STREAM):
            seen.append(chunk.to_dict())
            if finished(chunk):
                break
        with gpt.chat.completions.create(**STREAM) as stream:
            assert next(chunk for chunk in stream if finished(chunk))
        with gpt.chat.completions.stream(**CHAT) as helper:
            for event in helper:
                if event.type == "content.done":
                    break
    lifeline.drain()
    assert seen == chunks
    assert [entry.amount for entry in lines(store, "alice")] == [CALL] * 3
    assert not any(entry.counted for entry in lines(store, "alice"))


async def test_leaving_off_an_async_stream_at_the_last_chunk(
    provider: Provider, store: MemoryStore, chunks: list[Any]
) -> None:
    seen = []
    async with clients.openai_async(provider) as client, budget("alice", limit=1):
        stream = await client.chat.completions.create(**STREAM)
        async for chunk in stream:
            seen.append(chunk.to_dict())
            if finished(chunk):
                break
        await stream.close()
    assert seen == chunks
    assert books(store, "alice") == (CALL, 0)
    assert not lines(store, "alice")[0].counted


def test_several_choices_finish_one_after_the_other(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    gate = threading.Event()
    arguments = {**STREAM, "n": 2}
    plain = [chunk.to_dict() for chunk in gpt.chat.completions.create(**arguments)]
    with budget("alice", limit=1):
        metered = [chunk.to_dict() for chunk in gpt.chat.completions.create(**arguments)]
        provider.reply(text="one two", chunks=1, chunk_gate=gate)  # the second choice's piece waits
        stream = gpt.chat.completions.create(**arguments)
        assert (
            next(chunk for chunk in stream if finished(chunk)).choices[0].index == 0
        )  # and it is not waited for
        gate.set()
        list(stream)
    assert metered == plain
    assert books(store, "alice") == (2 * CALL, 0)


def test_a_server_that_was_asked_and_says_nothing_loses_no_chunk(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore, chunks: list[Any]
) -> None:
    provider.reply(usage=False)
    with budget("alice", limit=1):
        stream = gpt.chat.completions.create(**STREAM)
        assert [chunk.to_dict() for chunk in stream] == chunks
        with pytest.raises(StopIteration):
            next(stream)
    assert books(store, "alice") == (COUNTED, 0)


AFTER: dict[str, tuple[list[Any], type[BaseException] | None]] = {
    "a chunk": ([{"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": None}]}], None),
    "an error": ([{"error": {"message": "overloaded"}}], openai.APIError),
}


@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("colour", ["sync", "async"])
async def test_what_comes_after_the_last_chunk_is_neither_lost_nor_early(
    name: str, colour: str, store: MemoryStore
) -> None:
    after, error = AFTER[name]
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    last = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
    events = [last, *after, usage]
    body = "".join(f"data: {json.dumps(head | event)}\n\n" for event in events) + "data: [DONE]\n\n"

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})

    transport = httpx.MockTransport(answer)
    with budget("alice", limit=1), ExitStack() as stack:
        if colour == "sync":
            client = openai.OpenAI(api_key="k", http_client=httpx.Client(transport=transport))
            stream = stack.enter_context(client).chat.completions.create(**STREAM)
            step: Any = lambda: next(stream)  # noqa: E731
        else:
            http = httpx.AsyncClient(transport=transport)
            astream = await openai.AsyncOpenAI(api_key="k", http_client=http).chat.completions.create(
                **STREAM
            )
            step = lambda: anext(astream)  # noqa: E731

        async def take() -> Any:
            taken = step()
            return taken if colour == "sync" else await taken

        assert finished(await take())
        if error is None:
            assert (await take()).choices[0].delta.content == "!"
        else:
            with pytest.raises(error):
                await take()
        with pytest.raises((StopIteration, StopAsyncIteration, RuntimeError)):
            await take()
    spent, held = books(store, "alice")
    assert held == 0
    assert spent == (CALL if error is None else 9 * GPT_4O_IN + GPT_4O_OUT)
