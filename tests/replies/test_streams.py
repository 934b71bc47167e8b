"""`Tally` over the real streams of the installed SDKs, and over look-alikes of the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from allowance.replies import Tally, Usage, measure
from tests.provider import clients

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.provider import Provider

MESSAGES = [{"role": "user", "content": "Hi"}]
GPT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
ASKED = {"include_usage": True}
CLAUDE: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": MESSAGES}
TOOL = ("weather", '{"city": "Rome"}')


def follow(chunks: Iterable[object], tally: Tally | None = None) -> Tally:
    tally = Tally() if tally is None else tally
    for chunk in chunks:
        tally.see(chunk)
    return tally


def test_openai_chat_with_usage(provider: Provider) -> None:
    provider.reply(input_tokens=100, output_tokens=20, cached=50, reasoning=8, service_tier="flex", tool=TOOL)
    with clients.openai_sync(provider) as client:
        tally = follow(client.chat.completions.create(**GPT, stream_options=ASKED))
    assert tally.finished
    assert tally.model == "gpt-4o"
    assert "".join(tally.texts()) == "Hello, how can I help?" + "".join(TOOL)
    assert tally.usage() == Usage(
        model="gpt-4o",
        service_tier="flex",
        input_tokens=100,
        output_tokens=20,
        cache_read_tokens=50,
        reasoning_tokens=8,
    )


def test_openai_chat_without_usage(provider: Provider) -> None:
    with clients.openai_sync(provider) as client:
        tally = follow(client.chat.completions.create(**GPT))
    assert tally.finished
    assert tally.usage() is tally.known() is None
    assert "".join(tally.texts()) == "Hello, how can I help?"


def test_openai_chat_is_not_finished_by_the_first_of_its_choices(provider: Provider) -> None:
    provider.reply(chunks=1)
    with clients.openai_sync(provider) as client:
        chunks = list(client.chat.completions.create(**GPT, n=2))
    both = [chunk for chunk in chunks if chunk.choices[0].delta.role] + chunks
    half = follow(chunk for chunk in both[:-1])
    assert not half.finished
    half.see(both[-1])
    assert half.finished


def test_openai_chat_that_reports_usage_in_every_chunk_is_final_only_at_its_end() -> None:
    def chunk(output: int, finish: str | None = None) -> dict[str, Any]:
        usage = {"prompt_tokens": 9, "completion_tokens": output, "total_tokens": 9 + output}
        return {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": finish}], "usage": usage}

    tally = follow([chunk(1), chunk(2)])
    assert tally.usage() is None
    assert tally.known() == Usage(input_tokens=9, output_tokens=2)
    tally.see(chunk(3, "stop"))
    assert tally.usage() == Usage(input_tokens=9, output_tokens=3)


def test_openais_chat_helper_counts_its_text_once(provider: Provider) -> None:
    provider.reply(tool=TOOL, output_tokens=7)
    with clients.openai_sync(provider) as client:
        request = {"model": "gpt-4o", "messages": MESSAGES, "stream_options": ASKED}
        with client.chat.completions.stream(**request) as stream:
            tally = follow(stream)
    assert "".join(tally.texts()) == "Hello, how can I help?" + "".join(TOOL)
    usage = tally.usage()
    assert usage is not None
    assert usage.output_tokens == 7


@pytest.mark.parametrize("helper", [False, True])
def test_openai_responses(provider: Provider, helper: bool) -> None:
    provider.reply(
        input_tokens=100, output_tokens=20, cached=50, reasoning=8, tool=TOOL, service_tier="priority"
    )
    with clients.openai_sync(provider) as client:
        if helper:
            with client.responses.stream(model="gpt-5", input="Hi") as stream:
                tally = follow(stream)
        else:
            tally = follow(client.responses.create(model="gpt-5", input="Hi", stream=True))
    assert tally.finished
    assert "".join(tally.texts()) == "Hello, how can I help?" + TOOL[1]
    assert tally.usage() == Usage(
        model="gpt-5",
        service_tier="priority",
        input_tokens=100,
        output_tokens=20,
        cache_read_tokens=50,
        reasoning_tokens=8,
    )


def test_openai_legacy_completions(provider: Provider) -> None:
    provider.reply(input_tokens=6, output_tokens=4)
    with clients.openai_sync(provider) as client:
        request: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi", "stream": True}
        tally = follow(client.completions.create(**request, stream_options=ASKED))
    assert "".join(tally.texts()) == "Hello, how can I help?"
    assert tally.usage() == Usage(model="gpt-3.5-turbo-instruct", input_tokens=6, output_tokens=4)


def claudes(**changes: Any) -> Usage:
    fields: dict[str, Any] = {"model": "claude-sonnet-4-5", "service_tier": "standard", "input_tokens": 310}
    cache = {"cache_read_tokens": 200, "cache_write_tokens": 60, "cache_write_1h_tokens": 40}
    return Usage(**fields | cache | changes)


@pytest.mark.parametrize("helper", [False, True])
def test_anthropics_deltas_overwrite_and_leave_what_they_leave_out(provider: Provider, helper: bool) -> None:
    provider.reply(
        input_tokens=310, cached=200, cache_write=60, cache_write_1h=40, output_tokens=12, tool=TOOL
    )
    with clients.anthropic_sync(provider) as client:
        if helper:
            with client.messages.stream(**CLAUDE) as stream:
                tally = follow(stream)
        else:
            tally = follow(client.messages.create(**CLAUDE, stream=True))
    assert tally.finished
    assert tally.usage() == claudes(output_tokens=12)
    assert "".join(tally.texts()) == "Hello, how can I help?" + "".join(TOOL)


def test_anthropic_abandoned_has_its_exact_input_and_no_final_usage(provider: Provider) -> None:
    provider.reply(input_tokens=310, cached=200, cache_write=60, cache_write_1h=40, output_tokens=12)
    with clients.anthropic_sync(provider) as client, client.messages.create(**CLAUDE, stream=True) as stream:
        seen = [next(stream) for _ in range(3)]
    tally = follow(seen)
    assert not tally.finished
    assert tally.usage() is None
    assert tally.known() == claudes(output_tokens=1)
    assert tally.texts() == ("Hello, h",)
    tally.end()  # a server that closes early: the output of message_start is no final figure
    assert tally.usage() is None


def test_a_helpers_snapshot_is_not_counted_again(provider: Provider) -> None:
    provider.reply(input_tokens=25, output_tokens=12)
    with clients.anthropic_sync(provider) as client, client.messages.stream(**CLAUDE) as stream:
        tally = follow(next(stream) for _ in range(3))
        seen = tally.texts()
        tally.see(stream.current_message_snapshot)
        assert seen
        assert tally.texts() == seen
        assert tally.usage() is None
        final = stream.get_final_message()
    tally.see(final)
    assert tally.texts() == ("Hello, how can I help?",)
    usage = tally.usage()
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (25, 12)
    with clients.openai_sync(provider) as client:
        completion = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        response = client.responses.create(model="gpt-4o", input="Hi")
    for whole in (completion, response):
        tally = follow([whole, whole])
        assert tally.texts() == ("Hello, how can I help?",)
        assert tally.usage() == measure(whole)


def test_gemini(provider: Provider) -> None:
    provider.reply(input_tokens=40, output_tokens=30, reasoning=9, cached=16, tool=TOOL)
    client = clients.gemini(provider)
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi"))
    client.close()
    tally = follow(chunks)
    assert tally.finished
    assert "".join(tally.texts()) == "Hello, how can I help?" + "".join(TOOL)
    assert tally.usage() == Usage(
        model="gemini-2.5-flash", input_tokens=40, output_tokens=30, cache_read_tokens=16, reasoning_tokens=9
    )
    early = follow(chunks[:2])
    assert early.usage() is None
    known = early.known()
    assert known is not None
    assert (known.input_tokens, known.output_tokens) == (40, 20)
    early.end()
    assert early.usage() == known


async def test_async_streams_are_the_same(provider: Provider) -> None:
    provider.reply(input_tokens=40, output_tokens=30)
    tally = Tally()
    async with clients.openai_async(provider) as client:
        async for chunk in await client.chat.completions.create(**GPT, stream_options=ASKED):
            tally.see(chunk)
    assert tally.usage() == Usage(model="gpt-4o", input_tokens=40, output_tokens=30)


@pytest.mark.parametrize("asked", [True, False])
def test_litellm(provider: Provider, asked: bool) -> None:
    import litellm

    provider.reply(input_tokens=1000, output_tokens=500)
    options: dict[str, Any] = {"stream_options": ASKED} if asked else {}
    stream = litellm.completion(**GPT, **options, **clients.litellm_kwargs(provider))
    tally = follow(stream)
    assert tally.finished
    assert "".join(tally.texts()) == "Hello, how can I help?"
    expected = Usage(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=500)
    assert tally.usage() == (expected if asked else None)


def test_litellms_zeros_are_no_usage() -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    tally = follow([said, {"choices": [], "usage": zeros}])
    assert tally.usage() is tally.known() is None


def test_bedrock() -> None:
    usage = {"inputTokens": 10, "outputTokens": 4, "totalTokens": 14, "cacheReadInputTokens": 30}
    tally = follow(
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
            {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"a": 1}'}}, "contentBlockIndex": 1}},
            {"messageStop": {"stopReason": "end_turn"}},
            {"metadata": {"usage": usage, "metrics": {"latencyMs": 3}}},
        ]
    )
    assert tally.finished
    assert tally.texts() == ("Hi", '{"a": 1}')
    assert tally.usage() == Usage(provider="bedrock", input_tokens=40, output_tokens=4, cache_read_tokens=30)


def test_mistral_cohere_groq_and_ollama() -> None:
    counts = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    piece = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
    data = SimpleNamespace(model="mistral-small", choices=[piece])
    done = SimpleNamespace(model="mistral-small", choices=[last], usage=SimpleNamespace(**counts))
    mistral = follow([SimpleNamespace(data=data), SimpleNamespace(data=done)])
    groq = follow(
        [{"model": "m", "choices": [piece]}, {"model": "m", "choices": [last], "x_groq": {"usage": counts}}]
    )
    billed = {"billed_units": {"input_tokens": 7.0, "output_tokens": 2.0}, "tokens": {"input_tokens": 70.0}}
    cohere = follow(
        [
            {"type": "message-start"},
            {"type": "content-delta", "delta": {"message": {"content": {"text": "Hi"}}}},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": billed}},
        ]
    )
    ollama = follow(
        [
            {"model": "m", "message": {"content": "Hi"}, "done": False},
            {"model": "m", "message": {"content": ""}, "done": True, "prompt_eval_count": 7, "eval_count": 2},
        ]
    )
    for tally in (mistral, groq, cohere, ollama):
        assert tally.finished
        assert tally.texts() == ("Hi",)
        usage = tally.usage()
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (7, 2)
    assert mistral.model == "mistral-small"


@dataclass
class MessageChunk:
    """What LangChain's ``AIMessageChunk`` shows: its counts are deltas."""

    content: str
    usage_metadata: dict[str, Any] | None = None
    response_metadata: dict[str, Any] = field(default_factory=dict)
    chunk_position: str | None = None
    type: str = "AIMessageChunk"


def test_langchains_chunks_are_added_up() -> None:
    tally = follow(
        [
            MessageChunk(
                "", {"input_tokens": 25, "output_tokens": 1, "input_token_details": {"cache_read": 5}}
            ),
            MessageChunk("Hi", None, {"model_name": "claude-x"}),
            MessageChunk("", {"input_tokens": 0, "output_tokens": 14}, chunk_position="last"),
        ]
    )
    assert tally.finished
    assert tally.texts() == ("Hi",)
    assert tally.usage() == Usage(model="claude-x", input_tokens=25, output_tokens=15, cache_read_tokens=5)


def test_reasoning_and_thinking_that_can_be_seen() -> None:
    delta = {"reasoning_content": "hm", "reasoning": "hm", "content": "Hi"}
    thought = {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "so"}}
    tally = follow([{"choices": [{"index": 0, "delta": delta}]}, thought])
    assert tally.texts() == ("Hi", "hm", "so")


def test_texts_chunks_of_a_users_own_generator() -> None:
    tally = follow(["Hel", "lo", "", b"raw", None, 3])
    assert tally.texts() == ("Hel", "lo")
    assert tally.usage() is None


@pytest.mark.parametrize(
    "chunk", [MagicMock(), object(), None, {"type": 3}, {"choices": [None]}, {"usage": "x"}, [1]]
)
def test_a_strange_chunk_is_passed_over(chunk: object) -> None:
    tally = follow([chunk, "after"])
    assert tally.texts() == ("after",)
    assert tally.usage() is None


def test_pictures_and_transcripts_streamed() -> None:
    done = {
        "type": "image_generation.completed",
        "b64_json": "aGk=",
        "usage": {"input_tokens": 5, "output_tokens": 9},
    }
    assert follow([done]).usage() == measure({"usage": done["usage"]})
    spoken = follow(
        [
            {"type": "transcript.text.delta", "delta": "Hi"},
            {"type": "transcript.text.done", "text": "Hi", "usage": {"input_tokens": 5, "output_tokens": 9}},
        ]
    )
    assert spoken.texts() == ("Hi",)
    assert spoken.usage() == Usage(input_tokens=5, output_tokens=9)
    audio = follow([{"type": "response.output_audio.delta", "delta": "UklGRg=="}])
    assert audio.texts() == ()
