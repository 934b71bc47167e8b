"""Costs and prices against LiteLLM's own, computed by the LiteLLM that is installed.

LiteLLM's floats are rounded to 15 significant digits, then up to the nano-dollar. Where the two disagree,
`DISAGREEMENTS` says who is right and why; one that vanishes fails the test too.
"""

from __future__ import annotations

import json
import logging
import math
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from allowance.prices import Catalogue
from allowance.prices.figures import figure
from allowance.replies.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

SHAPES = {
    "plain": Usage(input_tokens=1000, output_tokens=1000),
    "odd": Usage(input_tokens=1237, output_tokens=331),
    "cached": Usage(input_tokens=1237, output_tokens=331, cache_read_tokens=701),
    "reasoning": Usage(input_tokens=1237, output_tokens=901, reasoning_tokens=607),
}
WRITES = {
    "write": Usage(input_tokens=3001, output_tokens=11, cache_read_tokens=500, cache_write_tokens=1501),
    "write 1h": Usage(input_tokens=3001, output_tokens=11, cache_write_tokens=501, cache_write_1h_tokens=703),
}
TIERS = {
    "flex": Usage(input_tokens=1237, output_tokens=331, cache_read_tokens=101, service_tier="flex"),
    "priority": Usage(input_tokens=1237, output_tokens=331, cache_read_tokens=101, service_tier="priority"),
}
BATCH = {"batch": Usage(input_tokens=1237, output_tokens=331, service_tier="batch")}
SOUND = {
    "audio": Usage(input_tokens=1237, output_tokens=901, audio_input_tokens=607, audio_output_tokens=203),
    "audio in": Usage(input_tokens=1237, output_tokens=901, audio_input_tokens=607),
}
PICTURES = {
    "image": Usage(input_tokens=1237, output_tokens=901, image_input_tokens=607, image_output_tokens=301)
}


def around(start: int) -> dict[str, Usage]:
    """Just below a context tier, at its start, and just above, with cached input; then far above."""
    near = {
        f"{start}{step:+d}": Usage(input_tokens=start + step, output_tokens=997, cache_read_tokens=1009)
        for step in (-1, 0, 1)
    }
    far = Usage(input_tokens=2 * start, output_tokens=997, cache_read_tokens=1009, service_tier="priority")
    return {**near, f"{start} priority": far}


def written_above(start: int) -> dict[str, Usage]:
    """Cache writes of both kinds above a context tier."""
    return {
        f"{start} written": Usage(
            input_tokens=start + 5000, output_tokens=9, cache_write_tokens=3001, cache_write_1h_tokens=1009
        )
    }


OPENAI = (
    "gpt-4", "gpt-4-turbo", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-2024-05-13",
    "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-pro", "gpt-5.1", "gpt-5.2", "o1", "o1-pro",
    "o3", "o3-mini", "o4-mini",
)  # fmt: skip
OPENAI_LONG = ("gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol")
ANTHROPIC = (
    "claude-haiku-4-5", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-sonnet-5", "claude-opus-4-5",
    "claude-opus-4-8", "claude-opus-5", "claude-opus-5-5", "claude-fable-5",
)  # fmt: skip
GEMINI = (
    "gemini/gemini-2.5-flash", "gemini/gemini-2.5-flash-lite", "gemini/gemini-3-flash-preview",
    "gemini/gemini-3.5-flash", "gemini/gemini-3.8-flash",
)  # fmt: skip
GEMINI_LONG = ("gemini/gemini-2.5-pro", "gemini/gemini-3.1-pro-preview", "gemini-2.5-pro")
XAI = ("xai/grok-4.5", "xai/grok-4.3", "xai/grok-4.6")
OTHERS = (
    "azure/gpt-4o", "azure/eu/gpt-4o-2024-08-06", "azure/gpt-4.1", "mistral/mistral-large-latest",
    "mistral/mistral-medium-3", "mistral/codestral-latest", "groq/openai/gpt-oss-120b",
    "groq/openai/gpt-oss-20b",
    "command-a-03-2025", "command-r-08-2024", "deepseek/deepseek-chat", "deepseek/deepseek-reasoner",
    "together_ai/deepseek-ai/DeepSeek-V3", "fireworks_ai/accounts/fireworks/models/qwen2p5-7b-instruct",
    "us.anthropic.claude-sonnet-4-20250514-v1:0", "amazon.nova-lite-v1:0",
    "vertex_ai/claude-sonnet-4-5@20250929",
)  # fmt: skip
VOICES = ("gpt-audio", "gpt-audio-mini", "gpt-4o-audio-preview-2024-12-17", "gpt-realtime")

CASES = [
    *((model, name, usage) for model in (*OPENAI, *GEMINI, *OTHERS) for name, usage in SHAPES.items()),
    *((model, name, usage) for model in OPENAI_LONG for name, usage in {**SHAPES, **around(272_000)}.items()),
    *((model, name, usage) for model in ANTHROPIC for name, usage in {**SHAPES, **WRITES}.items()),
    *((model, name, usage) for model in (*GEMINI_LONG, *XAI) for name, usage in around(200_000).items()),
    *(("dashscope/qwen-flash", name, usage) for name, usage in around(256_000).items()),
    *(("claude-haiku-5-5", name, usage) for name, usage in {**WRITES, **around(100_000)}.items()),
    *(("claude-haiku-5-5", name, usage) for name, usage in written_above(100_000).items()),
    *(
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", name, usage)
        for name, usage in {**around(200_000), **written_above(200_000)}.items()
    ),
    *(
        (model, name, usage)
        for model in (
            "gpt-5",
            "gpt-5-mini",
            "o3",
            "o4-mini",
            "gpt-5.4",
            "gpt-6-sol",
            "gemini/gemini-2.5-flash",
        )
        for name, usage in TIERS.items()
    ),
    *(
        (model, name, usage)
        for model in ("gpt-4o", "gpt-5", "o3", "claude-opus-5", "claude-haiku-4-5", "gemini/gemini-2.5-flash")
        for name, usage in BATCH.items()
    ),
    *((model, name, usage) for model in VOICES for name, usage in SOUND.items()),
    *(("gemini/gemini-2.5-flash", name, usage) for name, usage in SOUND.items()),
    *(("gemini/gemini-3-pro-image", name, usage) for name, usage in PICTURES.items()),
    ("gpt-4o", "ultrafast", Usage(input_tokens=1237, output_tokens=331, service_tier="ultrafast")),
    ("gpt-4o", "written", Usage(input_tokens=1237, output_tokens=331, cache_write_tokens=1000)),
    ("gpt-6-sol", "write 1h", WRITES["write 1h"]),
    ("claude-opus-5-5", "us", Usage(input_tokens=1237, output_tokens=331, region="us")),
    ("claude-opus-5-5", "fast", Usage(input_tokens=1237, output_tokens=331, speed="fast")),
    ("claude-opus-5", "searches", Usage(input_tokens=1237, output_tokens=331, web_searches=3)),
    ("perplexity/sonar-medium-online", "plain", SHAPES["plain"]),
    ("fireworks_ai/accounts/fireworks/models/minimax-m2p7", "plain", SHAPES["plain"]),
]

# (model, usage): what it costs here, by LiteLLM, and who is right.
DISAGREEMENTS = {
    ("us.anthropic.claude-sonnet-4-20250514-v1:0", "200000 written"): (
        1_240_758_000, 1_236_217_500,
        "We: an hour's write is twice the input, $12 per million above 200,000 tokens, as the vendor says; "
        "the map has no field for it with this model, and LiteLLM takes the shorter write's $7.50.",
    ),
    ("gpt-6-sol", "write 1h"): (
        7_768_500, 6_714_000,
        "Neither can be wrong: OpenAI has no write for an hour. Where a price of the shorter one is known "
        "and a reply counts the longer all the same, it is 8/5 of that here, the vendors' usual ratio.",
    ),
    ("gpt-4o", "written"): (
        7_027_500, 6_402_500,
        "We, on the safe side: a write without a price is 1.25 times the input, as those vendors ask who ask "
        "anything; LiteLLM takes it for ordinary input.",
    ),
    ("gpt-4o", "ultrafast"): (
        10_884_250, 6_402_500,
        "We, on the safe side: a dearer tier without a price is billed at the dearest known; LiteLLM takes "
        "the standard price, and says nothing.",
    ),
    ("perplexity/sonar-medium-online", "plain"): (
        6_800_000, 1_800_000,
        "We: its map has a price for the request itself ($0.005), which LiteLLM does not add.",
    ),
    ("fireworks_ai/accounts/fireworks/models/minimax-m2p7", "plain"): (
        2_400_000, 0,
        "We: the map prices the priority tier alone; that a standard call is free is nowhere said.",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def litellm() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import litellm
        patch.setattr(litellm, "suppress_debug_info", True)
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        yield litellm


@pytest.fixture(scope="module")
def price_map(litellm: ModuleType) -> dict[str, Any]:
    path = Path(litellm.__file__).parent / "model_prices_and_context_window_backup.json"
    held: dict[str, Any] = json.loads(path.read_bytes())
    return {
        name: entry for name, entry in held.items() if "litellm_provider" in entry and name != "sample_spec"
    }


@pytest.fixture(scope="module")
def oracle(litellm: ModuleType, price_map: dict[str, Any]) -> Callable[[str, Usage], int]:
    def cost(model: str, usage: Usage) -> int:
        place = price_map[model]["litellm_provider"]
        provider = "vertex_ai" if place.startswith("vertex_ai") else place.replace("_converse", "")
        theirs = _their_usage(usage)
        if usage.service_tier == "batch":
            from litellm.cost_calculator import batch_cost_calculator

            return _nanos(sum(batch_cost_calculator(theirs, model, provider)))
        reply = litellm.ModelResponse(model=model, usage=theirs)
        return _nanos(
            litellm.completion_cost(
                completion_response=reply,
                model=model,
                custom_llm_provider=provider,
                service_tier=usage.service_tier,
            )
        )

    return cost


def _their_usage(usage: Usage) -> Any:
    from litellm.types import utils

    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    split = utils.CacheCreationTokenDetails(
        ephemeral_5m_input_tokens=usage.cache_write_tokens,
        ephemeral_1h_input_tokens=usage.cache_write_1h_tokens,
    )
    into = utils.PromptTokensDetailsWrapper(
        cached_tokens=usage.cache_read_tokens or None,
        audio_tokens=usage.audio_input_tokens or None,
        image_tokens=usage.image_input_tokens or None,
        cache_creation_tokens=written or None,
        cache_creation_token_details=split if usage.cache_write_1h_tokens else None,
    )
    out = utils.CompletionTokensDetailsWrapper(
        reasoning_tokens=usage.reasoning_tokens or None,
        audio_tokens=usage.audio_output_tokens or None,
        image_tokens=usage.image_output_tokens or None,
    )
    theirs = utils.Usage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details=into,
        completion_tokens_details=out,
        **({"server_tool_use": {"web_search_requests": usage.web_searches}} if usage.web_searches else {}),
    )
    for name, value in (("inference_geo", usage.region), ("speed", usage.speed)):
        if value is not None:
            setattr(theirs, name, value)
    return theirs


def _nanos(dollars: float) -> int:
    with localcontext(Context(prec=15)):
        return math.ceil((+Decimal(repr(float(dollars)))).scaleb(9))


def test_the_table_is_wide_enough() -> None:
    assert len(CASES) >= 200
    assert len({model for model, _, _ in CASES}) >= 60


def test_cost_equals_litellms_but_for_the_listed_disagreements(oracle: Callable[[str, Usage], int]) -> None:
    catalogue = Catalogue()
    differing = {}
    for model, name, usage in CASES:
        ours, theirs = catalogue.find(model).cost(usage), oracle(model, usage)
        if ours != theirs:
            differing[model, name] = (ours, theirs)
    listed = {key: (ours, theirs) for key, (ours, theirs, _) in DISAGREEMENTS.items()}
    assert differing == listed, "neither may one be missing from the list, nor stand there that vanished"


def test_every_priced_model_of_the_map_is_found_with_its_prices(price_map: dict[str, Any]) -> None:
    catalogue = Catalogue()
    wrong = []
    checked = 0
    for name, entry in price_map.items():
        for field, rate in (("input_cost_per_token", "input"), ("output_cost_per_token", "output")):
            if entry.get(field) is not None:
                checked += 1
                price = catalogue.find(name)
                if price.rule != "exact" or price.rates[rate] != Decimal(
                    figure(entry[field], times=1_000_000)
                ):
                    wrong.append((name, rate, price))
    assert wrong == []
    assert checked > 6000


def test_models_without_a_price_in_the_map_are_not_free(price_map: dict[str, Any]) -> None:
    from allowance.errors import UnknownModelError

    catalogue = Catalogue()
    bare = [name for name, entry in price_map.items() if not any("cost" in field for field in entry)]
    assert len(bare) > 50
    for name in bare:
        try:
            price = catalogue.find(name)
        except UnknownModelError:
            continue
        assert not price.free or price.rule in {"local", "free variant"}, name


@pytest.mark.parametrize("model", ["deepseek/deepseek-v4-pro", "tencent/deepseek-v4-pro-0813"])
def test_every_hour_of_a_week_costs_what_litellm_says(litellm: ModuleType, model: str) -> None:
    from litellm.litellm_core_utils.llm_cost_calc.utils import generic_cost_per_token

    usage = Usage(input_tokens=1237, output_tokens=331, cache_read_tokens=700)
    price = Catalogue().find(model)
    week = [datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=30 * half) for half in range(7 * 48)]
    ours = [price.cost(usage, at=at) for at in week]
    provider, name = model.split("/")
    theirs = [
        _nanos(sum(generic_cost_per_token(name, _their_usage(usage), provider, current_time=at)))
        for at in week
    ]
    assert ours == theirs
    assert len(set(ours)) == 2
