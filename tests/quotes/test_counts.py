"""Counts against those that OpenAI's cookbook printed from the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from allowance.quotes import Quote, Quoting, Vocabularies
from allowance.requests import read
from tests.quotes.conftest import Flat

Make = Callable[..., Quote]

JARGON = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
        "into plain English.",
    },
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    },
]

WEATHER = [
    {
        "role": "system",
        "content": "You are a helpful assistant that can answer to questions about the weather.",
    },
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]

WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-3.5-turbo", 129),
        ("gpt-35-turbo", 129),
        ("gpt-4", 129),
        ("gpt-4-0613", 129),
        ("azure/gpt-4", 129),
        ("gpt-4o", 124),
        ("gpt-4o-mini", 124),
        ("openai/gpt-4o", 124),
        ("ft:gpt-4.1-mini:org:name:id", 124),
        ("gpt-4.1", 124),
        ("gpt-6-sol", 124),
        ("o5", 124),
        ("chatgpt-4o-latest", 124),
        ("codex-mini-latest", 124),
    ],
)
def test_the_cookbooks_messages_count_as_published(quote: Make, model: str, tokens: int) -> None:
    made = quote(model=model, messages=JARGON, max_tokens=1)
    assert made.input_tokens == tokens
    assert made.bound
    assert made.counted_by == ("cl100k_base" if tokens == 129 else "o200k_base")


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)]
)
def test_the_cookbooks_tool_counts_as_published(quote: Make, model: str, tokens: int) -> None:
    assert quote(model=model, messages=WEATHER, tools=[WEATHER_TOOL], max_tokens=1).input_tokens == tokens
    legacy = [WEATHER_TOOL["function"]]
    assert quote(model=model, messages=WEATHER, functions=legacy, max_tokens=1).input_tokens == tokens


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
    ],
)
def test_short_texts_count_as_published(quote: Make, text: str, cl100k: int, o200k: int) -> None:
    assert quote(model="text-embedding-3-small", input=text).input_tokens == cl100k
    assert quote(model="gpt-4o", messages=[{"content": text}], max_tokens=1).input_tokens == o200k + 6


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": {"where": {"type": "object", "properties": {"city": {}}}}},
        {"type": "object", "properties": {"where": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
        {"type": "object", "properties": {"where": {"type": "string"}}},
        {"type": "object", "properties": {"where": 1}},
        {"type": "object", "properties": ["where"]},
        {"$ref": "#/$defs/Where", "$defs": {"Where": {"type": "object"}}},
        None,
        "nothing",
    ],
)
def test_a_tool_that_the_formula_does_not_cover_counts_at_least_its_json(
    quote: Make, vocabularies: Vocabularies, parameters: object
) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    plain = quote(model="gpt-4o", messages=WEATHER, max_tokens=1).input_tokens
    with_tool = quote(model="gpt-4o", messages=WEATHER, tools=[tool], max_tokens=1).input_tokens
    encoding = vocabularies.get("o200k_base")
    assert encoding is not None
    assert with_tool >= plain + 12 + len(encoding.encode('{"type":"function","function":{"name":"look"'))


def test_a_schema_of_the_reply_is_counted(quote: Make) -> None:
    schema = {"name": "answer", "schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
    plain = quote(model="gpt-4o", messages=WEATHER, max_tokens=1)
    shaped = quote(
        model="gpt-4o",
        messages=WEATHER,
        max_tokens=1,
        response_format={"type": "json_schema", "json_schema": schema},
    )
    assert shaped.input_tokens > plain.input_tokens + 15


def test_a_thousand_tokens_in_and_a_thousand_out_cost_what_the_price_says(quote: Make) -> None:
    # 3 for the message, 1 for its role, 3 for the reply's start: 993 remain for the text.
    made = quote(
        model="gpt-4o", messages=[{"role": "user", "content": "hello" + " hello" * 992}], max_tokens=1_000
    )
    assert (made.input_tokens, made.output_tokens) == (1_000, 1_000)
    assert (made.floor, made.amount, made.ceiling) == (12_500_000, 12_500_000, 12_500_000)
    assert str(made.projected) == "0.0125"
    assert made.bound


def test_several_replies_are_all_held(quote: Make) -> None:
    made = quote(model="gpt-4o", messages=WEATHER, max_tokens=100, n=3)
    assert made.output_tokens == 300
    assert made.amount == made.input_tokens * 2_500 + 300 * 10_000


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("claude-sonnet-4-5", 140),
        ("claude-opus-4-8", 200),
        ("anthropic/claude-opus-5", 200),
        ("claude-3-5-sonnet-20241022", 140),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", 140),
        ("gemini-2.5-pro", 135),
        ("mistral-large-latest", 150),
        ("nobody-knows-it", 150),
        ("azure/my-deployment", 140),
        ("groq/openai/gpt-oss-120b", 150),
    ],
)
def test_other_families_count_with_their_factor_and_are_no_bound(
    quote: Make, vocabularies: Vocabularies, model: str, factor: int
) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 20
    encoding = vocabularies.get("o200k_base")
    assert encoding is not None
    counted = -(-len(encoding.encode(text)) * factor // 100)
    empty = quote(model=model, messages=[{"content": ""}], max_tokens=1).input_tokens
    made = quote(model=model, messages=[{"content": text}], max_tokens=1)
    assert made.input_tokens == empty + counted
    assert not made.bound
    assert "factor" in made.unbounded[0]


def test_numbers_count_by_their_digits_where_a_vocabulary_splits_them(quote: Make) -> None:
    words = quote(model="mistral-large", messages=[{"content": "a " * 300}], max_tokens=1)
    numbers = quote(model="mistral-large", messages=[{"content": "123 " * 300}], max_tokens=1)
    assert numbers.input_tokens > 2 * words.input_tokens


def test_no_factor_lifts_a_text_above_its_bytes(quote: Make) -> None:
    made = quote(model="claude-opus-5", messages=[{"content": "a b c d"}], max_tokens=1)
    empty = quote(model="claude-opus-5", messages=[{"content": ""}], max_tokens=1)
    assert made.input_tokens - empty.input_tokens == 7
    assert made.bound


def test_a_counter_of_the_users_own_is_asked(vocabularies: Vocabularies) -> None:
    seen = []

    def count(model: str, texts: object) -> int | None:
        seen.append(model)
        return 321 if model.startswith("claude") else None

    quoting = Quoting(vocabularies=vocabularies, counter=count)
    claude = read({"model": "claude-opus-5", "messages": [{"content": "hi " * 999}], "max_tokens": 1})
    openai = read({"model": "gpt-4o", "messages": [{"content": "hi"}], "max_tokens": 1})
    assert claude is not None
    assert openai is not None
    made = quoting.quote(claude, Flat())
    assert (made.input_tokens, made.counted_by, made.bound) == (321 + 13, "counter", True)
    assert quoting.quote(openai, Flat()).input_tokens == 7
    assert quoting.quote(claude, Flat(), cheap=True).counted_by == "bytes"
    assert seen == ["claude-opus-5", "gpt-4o"]
