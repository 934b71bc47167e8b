"""OpenAI's shapes and those of the APIs that follow them: real SDK objects, and the same as dicts."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse
from openai.types.audio import Transcription
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from allowance.replies import Usage, cached_reply, measure, model_of

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "flex",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 10, "audio_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 3},
    },
}
CHAT_USAGE = Usage(
    model="gpt-4o-2024-08-06",
    service_tier="flex",
    input_tokens=100,
    output_tokens=20,
    cache_read_tokens=50,
    cache_write_tokens=10,
    reasoning_tokens=8,
    audio_input_tokens=7,
    audio_output_tokens=3,
)
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5",
    "service_tier": "default",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "type": "web_search_call",
            "id": "1",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        },
        {
            "type": "web_search_call",
            "id": "2",
            "status": "completed",
            "action": {"type": "open_page", "url": "u"},
        },
        {
            "type": "message",
            "id": "3",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 300,
        "input_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 25},
        "total_tokens": 340,
    },
}
RESPONSE_USAGE = Usage(
    model="gpt-5",
    service_tier="standard",
    input_tokens=300,
    output_tokens=40,
    cache_read_tokens=200,
    cache_write_tokens=30,
    reasoning_tokens=25,
    web_searches=1,
)
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
}
LEGACY = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11},
}
SPOKEN = {
    "text": "Hi",
    "usage": {
        "type": "tokens",
        "input_tokens": 14,
        "output_tokens": 5,
        "total_tokens": 19,
        "input_token_details": {"audio_tokens": 12, "text_tokens": 2},
    },
}
TIMED = {"text": "Hi", "usage": {"type": "duration", "seconds": 3.5}}
PICTURE = {
    "created": 1,
    "size": "1024x1024",
    "quality": "high",
    "data": [{"b64_json": "aGk="}],
    "usage": {
        "input_tokens": 50,
        "output_tokens": 4000,
        "total_tokens": 4050,
        "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
        "output_tokens_details": {"image_tokens": 3990, "text_tokens": 10},
    },
}
OLD_PICTURES = {"created": 1, "data": [{"url": "https://a"}, {"url": "https://b"}]}

TABLE: list[tuple[type[Any], dict[str, Any], Usage]] = [
    (ChatCompletion, CHAT, CHAT_USAGE),
    (Response, RESPONSE, RESPONSE_USAGE),
    (CreateEmbeddingResponse, EMBEDDING, Usage(model="text-embedding-3-small", input_tokens=9)),
    (Completion, LEGACY, Usage(model="gpt-3.5-turbo-instruct", input_tokens=5, output_tokens=6)),
    (Transcription, SPOKEN, Usage(input_tokens=14, output_tokens=5, audio_input_tokens=12)),
    (Transcription, TIMED, Usage(seconds=3.5)),
    (
        ImagesResponse,
        PICTURE,
        Usage(
            input_tokens=50,
            output_tokens=4000,
            image_input_tokens=40,
            image_output_tokens=3990,
            images=1,
            image_size="1024x1024",
            image_quality="high",
        ),
    ),
    (ImagesResponse, OLD_PICTURES, Usage(images=2)),
]


@pytest.mark.parametrize(
    ("kind", "body", "expected"), TABLE, ids=lambda value: getattr(value, "__name__", "")
)
def test_objects_and_dicts_give_the_same(kind: type[Any], body: dict[str, Any], expected: Usage) -> None:
    from openai._models import construct_type

    assert measure(body) == expected
    assert measure(construct_type(type_=kind, value=body)) == expected
    assert measure(kind.model_validate(body)) == expected


def chat(model: str = "m", **usage: Any) -> ChatCompletion:
    """A reply of an OpenAI-like server, as the openai SDK hands it over: unknown fields are attributes."""
    from openai._models import construct_type

    body = CHAT | {"model": model, "service_tier": None, "usage": usage}
    reply = construct_type(type_=ChatCompletion, value=body)
    assert isinstance(reply, ChatCompletion)
    return reply


def test_a_bare_usage_object() -> None:
    usage = openai.types.CompletionUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    assert measure(usage) == Usage(input_tokens=3, output_tokens=4)
    assert measure({"input_tokens": 3, "output_tokens": 4}) == Usage(input_tokens=3, output_tokens=4)
    assert measure(CHAT_USAGE) is CHAT_USAGE


def test_a_plain_dict_with_model_and_usage() -> None:
    reply = {"model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    assert measure(reply) == Usage(model="gpt-4o", input_tokens=1, output_tokens=2)


def test_xai_leaves_reasoning_out_of_its_completion_tokens() -> None:
    details = {"reasoning_tokens": 30}
    apart = chat(prompt_tokens=10, completion_tokens=5, total_tokens=45, completion_tokens_details=details)
    within = chat(prompt_tokens=10, completion_tokens=35, total_tokens=45, completion_tokens_details=details)
    assert measure(apart) == measure(within)
    assert measure(apart) == Usage(model="m", input_tokens=10, output_tokens=35, reasoning_tokens=30)


def test_xai_reports_its_price_in_ticks() -> None:
    reply = chat(prompt_tokens=10, completion_tokens=5, total_tokens=15, cost_in_usd_ticks=12_345)
    usage = measure(reply)
    assert usage is not None
    assert usage.reported_cost == Decimal("0.0000012345")


def test_deepseek_names_its_cache_otherwise() -> None:
    reply = chat(
        prompt_tokens=100, completion_tokens=5, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36
    )
    assert measure(reply) == Usage(model="m", input_tokens=100, output_tokens=5, cache_read_tokens=64)


def test_openrouter_reports_what_it_charged() -> None:
    reply = chat("openai/gpt-4o", prompt_tokens=10, completion_tokens=5, cost=0.00142)
    usage = measure(reply)
    assert usage is not None
    assert usage.reported_cost == Decimal("0.00142")


def test_openrouter_with_the_users_own_key_costs_the_fee_and_the_upstream_price() -> None:
    reply = chat(
        prompt_tokens=10,
        completion_tokens=5,
        cost=0.001,
        is_byok=True,
        cost_details={"upstream_inference_cost": 0.02},
    )
    usage = measure(reply)
    assert usage is not None
    assert usage.reported_cost == Decimal("0.021")


@pytest.mark.parametrize("cost", [0, 0.0, -1, True, float("nan"), float("inf"), "free", None])
def test_a_cost_that_is_none_is_not_believed(cost: object) -> None:
    usage = measure(chat(prompt_tokens=10, completion_tokens=5, cost=cost))
    assert usage == Usage(model="m", input_tokens=10, output_tokens=5)


def test_perplexity_bills_citations_reasoning_and_searches_besides() -> None:
    reply = chat(
        "sonar-deep-research",
        prompt_tokens=7,
        completion_tokens=3545,
        total_tokens=3552,
        citation_tokens=20016,
        num_search_queries=18,
        reasoning_tokens=73195,
        search_context_size="low",
        cost={"total_cost": 0.81},
    )
    assert measure(reply) == Usage(
        model="sonar-deep-research",
        input_tokens=7 + 20016,
        output_tokens=3545 + 73195,
        reasoning_tokens=73195,
        web_searches=18,
        search_context="low",
        reported_cost=Decimal("0.81"),
    )


def test_mistral_keeps_details_as_a_dict_and_unset_fields_as_objects() -> None:
    class Unset:
        def __bool__(self) -> bool:
            return False

    usage = SimpleNamespace(
        prompt_tokens=40,
        completion_tokens=6,
        prompt_audio_seconds=Unset(),
        prompt_tokens_details={"cached_tokens": 32},
        service_tier=Unset(),
    )
    reply = SimpleNamespace(model="mistral-large-latest", usage=usage, choices=[])
    assert measure(reply) == Usage(
        model="mistral-large-latest", input_tokens=40, output_tokens=6, cache_read_tokens=32
    )


def test_mistral_counts_the_seconds_of_audio() -> None:
    usage = measure(chat(prompt_tokens=40, completion_tokens=6, prompt_audio_seconds=12))
    assert usage is not None
    assert usage.seconds == 12


def test_groq_in_a_chunk_and_its_compound_systems() -> None:
    last = {
        "model": "llama",
        "choices": [],
        "x_groq": {"usage": {"prompt_tokens": 8, "completion_tokens": 2}},
    }
    assert measure(last) == Usage(model="llama", input_tokens=8, output_tokens=2)
    compound = chat(
        "groq/compound",
        prompt_tokens=30,
        completion_tokens=12,
        usage_breakdown={
            "models": [
                {"model": "llama-a", "usage": {"prompt_tokens": 20, "completion_tokens": 10}},
                {"model": "llama-b", "usage": {"prompt_tokens": 10, "completion_tokens": 2}},
            ]
        },
    )
    assert measure(compound) == Usage(
        model="llama-a",
        input_tokens=20,
        output_tokens=10,
        parts=(Usage(model="llama-b", input_tokens=10, output_tokens=2),),
    )


def test_a_search_model_makes_one_paid_search_for_each_call() -> None:
    usage = measure(chat("gpt-4o-search-preview-2025-03-11", prompt_tokens=10, completion_tokens=5))
    assert usage is not None
    assert usage.web_searches == 1


def test_wrong_types_survive_the_sdk_and_are_read_or_refused() -> None:
    assert measure(chat(prompt_tokens="12", completion_tokens=5.0)) == Usage(
        model="m", input_tokens=12, output_tokens=5
    )
    assert measure(chat(prompt_tokens=True, completion_tokens=5)) == Usage(model="m", output_tokens=5)
    for bad in (-1, float("nan"), float("inf"), True, "x", [], 10**13):
        assert measure(chat(prompt_tokens=bad, completion_tokens=bad)) is None


def test_zeros_beside_a_text_are_no_usage() -> None:
    assert measure(chat(prompt_tokens=0, completion_tokens=0)) is None
    silent = CHAT | {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    assert measure(silent) == Usage(model="gpt-4o-2024-08-06", service_tier="flex")


def test_litellm_brings_every_input_to_the_inclusive_form() -> None:
    import litellm

    usage = litellm.Usage(
        prompt_tokens=310,
        completion_tokens=20,
        total_tokens=330,
        cache_read_input_tokens=200,
        cache_creation_input_tokens=100,
        cost=0.5,
    )
    reply = litellm.ModelResponse(model="claude-sonnet-4-5", usage=usage)
    reply._hidden_params = {"custom_llm_provider": "anthropic", "response_cost": 0.5}
    assert measure(reply) == Usage(
        model="claude-sonnet-4-5",
        provider="anthropic",
        input_tokens=310,
        output_tokens=20,
        cache_read_tokens=200,
        cache_write_tokens=100,
    )
    assert not cached_reply(reply)
    reply._hidden_params["cache_hit"] = True
    assert cached_reply(reply)


def test_litellm_splits_cache_writes_by_their_term() -> None:
    reply = chat(
        prompt_tokens=310,
        completion_tokens=20,
        prompt_tokens_details={
            "cached_tokens": 200,
            "cache_creation_tokens": 100,
            "cache_creation_token_details": {
                "ephemeral_5m_input_tokens": 60,
                "ephemeral_1h_input_tokens": 40,
            },
        },
    )
    usage = measure(reply)
    assert usage is not None
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (60, 40)


def test_model_of() -> None:
    assert model_of(chat("gpt-4o")) == "gpt-4o"
    assert model_of({"type": "message_start", "message": {"model": "claude"}}) == "claude"
    assert model_of({"type": "response.created", "response": {"model": "gpt-5"}}) == "gpt-5"
    assert model_of({"modelVersion": "gemini-2.5-pro"}) == "gemini-2.5-pro"
    assert model_of("text") is None
    assert model_of(None) is None
