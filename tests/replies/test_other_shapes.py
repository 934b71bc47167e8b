"""Anthropic, Bedrock, Gemini, Cohere, Ollama, LangChain, Pydantic AI; wrappers; what carries no usage."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import httpx
import pytest
from anthropic.types import Message
from anthropic.types.beta import BetaMessage
from google.genai import types

from allowance.replies import Usage, combine, measure, texts_of
from tests.provider import Provider, clients

CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "service_tier": "priority",
        "speed": "fast",
        "inference_geo": "us",
    },
}
CLAUDE_USAGE = Usage(
    model="claude-sonnet-4-5",
    service_tier="priority",
    speed="fast",
    region="us",
    input_tokens=310,
    output_tokens=12,
    cache_read_tokens=200,
    cache_write_tokens=60,
    cache_write_1h_tokens=40,
    reasoning_tokens=4,
    web_searches=2,
)


@pytest.mark.parametrize(
    "reply", [CLAUDE, Message.model_validate(CLAUDE), BetaMessage.model_validate(CLAUDE)]
)
def test_anthropics_input_leaves_out_the_cache(reply: object) -> None:
    assert measure(reply) == CLAUDE_USAGE


def test_anthropics_cache_writes_without_their_terms() -> None:
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 1}
    read = measure({"type": "message", "model": "claude", "usage": usage})
    assert read == Usage(model="claude", input_tokens=110, output_tokens=1, cache_write_tokens=100)


def test_a_bare_anthropic_usage() -> None:
    read = measure(Message.model_validate(CLAUDE).usage)
    assert read == CLAUDE_USAGE._replace(model=None)


def iteration(kind: str, tokens_in: int, tokens_out: int, **fields: Any) -> dict[str, Any]:
    cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"type": kind, "input_tokens": tokens_in, "output_tokens": tokens_out, **cache, **fields}


def beta(tokens_in: int, tokens_out: int, *iterations: dict[str, Any]) -> BetaMessage:
    usage = iteration("", tokens_in, tokens_out, iterations=list(iterations), service_tier="standard")
    return BetaMessage.model_validate(CLAUDE | {"usage": usage})


def part(model: str, tokens_in: int, tokens_out: int) -> Usage:
    return Usage(
        model=model,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        requests=0,
        service_tier="standard",
    )


def test_anthropics_compactions_come_on_top() -> None:
    read = measure(beta(30, 5, iteration("message", 30, 5), iteration("compaction", 900, 80)))
    assert read is not None
    assert (read.input_tokens, read.output_tokens) == (30, 5)
    assert read.parts == (part("claude-sonnet-4-5", 900, 80),)


@pytest.mark.parametrize(("total_in", "total_out"), [(30, 5), (130, 15)], ids=["apart", "within"])
def test_anthropics_advisor_is_billed_for_its_own_model_once(total_in: int, total_out: int) -> None:
    advisor = iteration("advisor_message", 100, 10, model="claude-opus-5")
    read = measure(beta(total_in, total_out, iteration("message", 30, 5), advisor))
    assert read is not None
    assert (read.input_tokens, read.output_tokens) == (30, 5)
    assert read.parts == (part("claude-opus-5", 100, 10),)


CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "usage": {
        "inputTokens": 10,
        "outputTokens": 5,
        "totalTokens": 115,
        "cacheReadInputTokens": 60,
        "cacheWriteInputTokens": 40,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 25}],
    },
    "serviceTier": {"type": "flex"},
    "trace": {"promptRouter": {"invokedModelId": "anthropic.claude-x"}},
}


def test_bedrock_converse() -> None:
    assert measure(CONVERSE) == Usage(
        model="anthropic.claude-x",
        provider="bedrock",
        service_tier="flex",
        input_tokens=110,
        output_tokens=5,
        cache_read_tokens=60,
        cache_write_tokens=25,
        cache_write_1h_tokens=15,
    )


GEMINI = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Hi"}]},
            "groundingMetadata": {"webSearchQueries": ["a", "b"]},
        }
    ],
    "modelVersion": "gemini-2.5-flash",
    "usageMetadata": {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 15,
        "toolUsePromptTokenCount": 7,
        "totalTokenCount": 142,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 60},
            {"modality": "AUDIO", "tokenCount": 30},
            {"modality": "IMAGE", "tokenCount": 10},
        ],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 12}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 20}],
        "trafficType": "ON_DEMAND_FLEX",
    },
}
GEMINI_USAGE = Usage(
    model="gemini-2.5-flash",
    service_tier="flex",
    input_tokens=107,
    output_tokens=35,
    cache_read_tokens=40,
    reasoning_tokens=15,
    audio_input_tokens=30,
    audio_cache_read_tokens=12,
    image_input_tokens=10,
    image_output_tokens=20,
    web_searches=1,
)


def test_gemini_as_an_object_and_as_a_rest_body() -> None:
    assert measure(GEMINI) == GEMINI_USAGE
    assert measure(types.GenerateContentResponse.model_validate(GEMINI)) == GEMINI_USAGE
    third = measure(GEMINI | {"modelVersion": "gemini-3-pro-preview"})
    assert third is not None
    assert third.web_searches == 2  # Gemini 3 bills each query


def test_gemini_counts_may_all_be_none() -> None:
    metadata = types.GenerateContentResponseUsageMetadata(prompt_token_count=5)
    assert measure(types.GenerateContentResponse(usage_metadata=metadata)) == Usage(input_tokens=5)
    nothing = types.GenerateContentResponseUsageMetadata()
    assert measure(types.GenerateContentResponse(usage_metadata=nothing)) is None
    assert measure(types.GenerateContentResponse()) is None


def test_gemini_embeddings_and_pictures() -> None:
    statistics = [
        types.ContentEmbeddingStatistics(token_count=3.0),
        types.ContentEmbeddingStatistics(token_count=4),
    ]
    counted = types.EmbedContentResponse(
        embeddings=[types.ContentEmbedding(values=[0.5], statistics=each) for each in statistics],
        metadata=types.EmbedContentMetadata(billable_character_count=21),
    )
    assert measure(counted) == Usage(input_tokens=7, characters=21)
    assert measure(types.EmbedContentResponse(embeddings=[types.ContentEmbedding(values=[0.5])])) is None
    drawn = types.GenerateImagesResponse(generated_images=[types.GeneratedImage()] * 3)
    assert measure(drawn) == Usage(images=3)


def test_cohere_bills_its_billed_units() -> None:
    tokens = SimpleNamespace(input_tokens=500.0, output_tokens=9.0)
    billed = SimpleNamespace(input_tokens=20.0, output_tokens=8.0, search_units=None, classifications=None)
    second = SimpleNamespace(usage=SimpleNamespace(billed_units=billed, tokens=tokens, cached_tokens=None))
    assert measure(second) == Usage(input_tokens=20, output_tokens=8)
    rerank = {"results": [], "meta": {"billed_units": {"search_units": 1}}}
    assert measure(rerank) == Usage(web_searches=1)


def test_ollama() -> None:
    reply = {"model": "llama3", "done": True, "message": {"content": "Hi"}, "eval_count": 9}
    assert measure(reply) == Usage(model="llama3", provider="ollama", output_tokens=9)
    assert measure(reply | {"prompt_eval_count": 4}) == Usage(
        model="llama3", provider="ollama", input_tokens=4, output_tokens=9
    )


def test_mistrals_ocr_is_billed_by_the_page() -> None:
    reply = SimpleNamespace(
        model="mistral-ocr-latest", pages=[], usage_info=SimpleNamespace(pages_processed=6)
    )
    assert measure(reply) == Usage(model="mistral-ocr-latest", pages=6)


@dataclass
class Langchain:
    """What LangChain's ``AIMessage`` shows."""

    content: str = "Hi"
    usage_metadata: dict[str, Any] | None = None
    response_metadata: dict[str, Any] = field(default_factory=dict)


def test_langchain() -> None:
    message = Langchain(
        usage_metadata={
            "input_tokens": 310,
            "output_tokens": 20,
            "total_tokens": 330,
            "input_token_details": {
                "cache_read": 200,
                "cache_creation": 100,
                "ephemeral_1h_input_tokens": 40,
                "audio": 3,
            },
            "output_token_details": {"reasoning": 6},
        },
        response_metadata={"model_name": "claude-sonnet-4-5", "model_provider": "anthropic"},
    )
    expected = Usage(
        model="claude-sonnet-4-5",
        provider="anthropic",
        input_tokens=310,
        output_tokens=20,
        cache_read_tokens=200,
        cache_write_tokens=60,
        cache_write_1h_tokens=40,
        reasoning_tokens=6,
        audio_input_tokens=3,
    )
    assert measure(message) == expected
    assert measure({"raw": message, "parsed": object(), "parsing_error": None}) == expected
    result = SimpleNamespace(generations=[[SimpleNamespace(text="Hi", message=message)]], llm_output=None)
    assert measure(result) == expected
    older = {"token_usage": {"prompt_tokens": 3, "completion_tokens": 4}, "model_name": "gpt-4o"}
    assert measure(SimpleNamespace(generations=[], llm_output=older)) == Usage(
        model="gpt-4o", input_tokens=3, output_tokens=4
    )


@dataclass
class RunUsage:
    """What Pydantic AI's ``RunUsage`` shows; in 2.x the value of a property can still be called."""

    input_tokens: int = 500
    cache_read_tokens: int = 100
    cache_write_tokens: int = 50
    cache_write_1h_tokens: int = 20
    output_tokens: int = 60
    output_reasoning_tokens: int = 30
    input_audio_tokens: int = 5
    requests: int = 3

    def __call__(self) -> RunUsage:
        raise AssertionError("deprecated: it must not be called where it can be read")


@pytest.mark.parametrize("callable_only", [False, True])
def test_pydantic_ai(callable_only: bool) -> None:
    usage = RunUsage()
    last = SimpleNamespace(model_name="gpt-4o", provider_name="openai", kind="response")
    run = SimpleNamespace(
        output="Hi",
        usage=(lambda: usage) if callable_only else usage,
        all_messages=lambda: [SimpleNamespace(kind="request"), last],
    )
    assert measure(run) == Usage(
        model="gpt-4o",
        provider="openai",
        input_tokens=500,
        output_tokens=60,
        cache_read_tokens=100,
        cache_write_tokens=30,
        cache_write_1h_tokens=20,
        reasoning_tokens=30,
        audio_input_tokens=5,
        requests=3,
    )


def test_lists_and_tuples_are_summed_part_by_part() -> None:
    one = {"model": "a", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    two = {"model": "b", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    first = Usage(model="a", input_tokens=1, output_tokens=2)
    second = Usage(model="b", input_tokens=3, output_tokens=4)
    assert measure((one, "extra")) == first
    assert measure([one, two, RuntimeError("failed")]) == first._replace(parts=(second,))
    assert combine([]) is None
    assert combine([None, first, None]) == first
    loop: list[object] = []
    loop.append(loop)
    assert measure(loop) is None


def test_a_reported_cost_stands_for_all_the_parts() -> None:
    cheap = Usage(model="a", input_tokens=1, reported_cost=Decimal("0.1"))
    dear = Usage(model="b", input_tokens=2, reported_cost=Decimal("0.2"))
    unknown = Usage(model="c", input_tokens=3)
    with localcontext(prec=1):
        long = cheap._replace(reported_cost=Decimal("0.1234567"))
        summed = combine([long, dear])
    assert summed is not None
    assert summed.reported_cost == Decimal("0.3234567")
    assert combine([cheap, dear]) == cheap._replace(reported_cost=Decimal("0.3"), parts=(dear,))
    assert combine([cheap, unknown, dear]) == unknown._replace(parts=(cheap, dear))


def test_raw_and_streaming_responses_of_the_sdks(provider: Provider) -> None:
    provider.reply(input_tokens=100, output_tokens=20)
    messages = [{"role": "user", "content": "Hi"}]
    with clients.openai_sync(provider) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=messages)
        with client.chat.completions.with_streaming_response.create(
            model="gpt-4o", messages=messages
        ) as later:
            assert measure(later) is None  # its body has not come yet, and must not be consumed here
            parsed = later.parse()
            assert measure(later) == measure(parsed)
    with clients.anthropic_sync(provider) as claude:
        kept = claude.messages.with_raw_response.create(model="claude-x", max_tokens=9, messages=messages)
    expected = Usage(model="gpt-4o", service_tier=None, input_tokens=100, output_tokens=20)
    assert measure(raw) == measure(parsed) == expected
    assert measure(raw) == measure(raw.parse())
    claudes = measure(kept)
    assert claudes is not None
    assert (claudes.model, claudes.input_tokens) == ("claude-x", 100)


async def test_raw_responses_of_async_clients(provider: Provider) -> None:
    provider.reply(input_tokens=100, output_tokens=20)
    messages = [{"role": "user", "content": "Hi"}]
    async with clients.openai_async(provider) as client:
        raw = await client.chat.completions.with_raw_response.create(model="gpt-4o", messages=messages)
        opened = client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=messages)
        async with opened as later:
            assert measure(later) is None
            await later.parse()
            assert measure(later) == measure(raw)
    assert measure(raw) == Usage(model="gpt-4o", input_tokens=100, output_tokens=20)


def test_http_responses_whose_body_has_been_read() -> None:
    body = {"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    assert measure(httpx.Response(200, json=body)) == Usage(model="m", input_tokens=1, output_tokens=2)
    assert measure(httpx.Response(200, text="no json")) is None
    assert measure(httpx.Response(200, stream=httpx.ByteStream(b"{}"))) is None


def test_a_response_of_requests_is_not_consumed(provider: Provider) -> None:
    import requests

    url, asked = f"{provider.url}/v1/chat/completions", {"model": "m", "messages": []}
    with requests.Session() as session:
        session.trust_env = False
        with session.post(url, json=asked, stream=True) as response:
            assert measure(response) is texts_of(response) is None
            assert next(response.iter_content(1)) == b"{"
        assert measure(session.post(url, json=asked)) == Usage(model="m", input_tokens=10, output_tokens=5)


class Hostile:
    """Every attribute raises something other than AttributeError."""

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


NOTHING = [
    *(None, 0, 1.5, True, "usage", b"usage", object(), type, [], (), {}, {"usage": None}, {"usage": "many"}),
    *({"usage": {}}, {"usage": {"prompt_tokens": None}}, {"usage": []}, {"choices": "x"}, {1: 2}),
    *(MagicMock(), Mock(), AsyncMock(), Hostile(), SimpleNamespace(usage=Hostile()), RuntimeError("x")),
    *(MappingProxyType({"a": 1}), iter([]), {"usage_metadata": 3}, {"data": [1]}, {"generations": [[None]]}),
]


@pytest.mark.parametrize("reply", NOTHING, ids=lambda reply: type(reply).__name__)
def test_what_carries_no_usage_gives_none_and_never_raises(reply: object) -> None:
    assert measure(reply) is None


def test_a_mock_with_real_numbers_is_read() -> None:
    reply = MagicMock()
    reply.model = "gpt-4o"
    reply.usage.prompt_tokens = 11
    reply.usage.completion_tokens = 5
    assert measure(reply) == Usage(model="gpt-4o", input_tokens=11, output_tokens=5)
    reply = MagicMock()
    reply.usage.input_tokens = 11
    reply.usage.output_tokens = 5
    reply.usage.cache_read_input_tokens = 100
    assert measure(reply) == Usage(input_tokens=111, output_tokens=5, cache_read_tokens=100)


def test_other_mappings_than_dicts() -> None:
    reply = MappingProxyType({"model": "m", "usage": MappingProxyType({"prompt_tokens": 3})})
    assert measure(reply) == Usage(model="m", input_tokens=3)


def test_reading_a_reply_leaves_it_alone() -> None:
    import copy

    before = copy.deepcopy(CLAUDE)
    measure(CLAUDE)
    texts_of(CLAUDE)
    assert before == CLAUDE
