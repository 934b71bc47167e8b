"""Names of models: which price they find, by which rule, and which they must never find."""

from __future__ import annotations

from decimal import Decimal

import pytest

from allowance.errors import UnknownModelError
from allowance.prices import Catalogue

CATALOGUE = Catalogue()

FOUND = [
    # name, provider, the model found, the rule
    ("gpt-4o", None, "gpt-4o", "exact"),
    ("GPT-4o", None, "gpt-4o", "exact"),
    ("  gpt-4o ", "openai", "gpt-4o", "exact"),
    ("openai/gpt-4o", None, "gpt-4o", "prefix"),
    ("azure/gpt-4o", None, "azure/gpt-4o", "exact"),
    ("gpt-4o", "azure", "azure/gpt-4o", "provider"),
    ("gpt-4o", "azure_openai", "azure/gpt-4o", "provider"),
    ("azure/eu/gpt-4o-2024-08-06", None, "azure/eu/gpt-4o-2024-08-06", "exact"),
    ("azure/global/gpt-4o-mini", None, "azure/gpt-4o-mini", "prefix"),
    ("gpt-4o-2024-05-13", None, "gpt-4o-2024-05-13", "exact"),
    ("gpt-4o-2099-01-01", None, "gpt-4o", "version"),
    ("gpt-4-0613", None, "gpt-4-0613", "exact"),
    ("gpt-4.1-20990101", None, "gpt-4.1", "version"),
    ("gemini-2.5-pro", None, "gemini-2.5-pro", "exact"),
    ("gemini-2.5-pro", "google", "gemini/gemini-2.5-pro", "provider"),
    ("models/gemini-2.5-pro", None, "gemini/gemini-2.5-pro", "prefix"),
    ("models/gemini-2.5-flash-001", None, "gemini/gemini-2.5-flash", "version"),
    ("publishers/google/models/gemini-2.5-flash", None, "gemini-2.5-flash", "prefix"),
    ("projects/p/locations/us/publishers/google/models/gemini-2.5-flash", None, "gemini-2.5-flash", "prefix"),
    ("vertex_ai/gemini-2.5-pro", None, "gemini-2.5-pro", "prefix"),
    ("claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5", "exact"),
    ("anthropic/claude-opus-4.8", None, "claude-opus-4-8", "prefix"),
    ("anthropic/claude-opus-5-5-20990101", None, "claude-opus-5-5", "version"),
    ("claude-sonnet-4-5@20250929", "vertex_ai", "vertex_ai/claude-sonnet-4-5@20250929", "provider"),
    (
        "us.anthropic.claude-sonnet-4-20250514-v1:0", None,
        "us.anthropic.claude-sonnet-4-20250514-v1:0", "exact",
    ),
    (
        "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0", None,
        "us.anthropic.claude-sonnet-4-20250514-v1:0", "prefix",
    ),
    (
        "bedrock/converse/us.anthropic.claude-sonnet-4-20250514-v1:0", None,
        "us.anthropic.claude-sonnet-4-20250514-v1:0", "prefix",
    ),
    (
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
        None, "us.anthropic.claude-sonnet-4-20250514-v1:0", "prefix",
    ),
    (
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0", "bedrock",
        "amazon.nova-lite-v1:0", "prefix",
    ),
    ("jp.anthropic.claude-3-opus-20991231-v1:0", None, "claude-3-opus-latest", "version"),
    ("us.anthropic.claude-opus-5-5-v9:9", None, "us.anthropic.claude-opus-5-5", "version"),
    ("ft:gpt-4o-2024-08-06:org:name:id", None, "ft:gpt-4o-2024-08-06", "fine-tuned"),
    ("openai/ft:gpt-4o-mini-2024-07-18:org::id", None, "ft:gpt-4o-mini-2024-07-18", "fine-tuned"),
    ("ft:gpt-3.5-turbo:my-org", None, "ft:gpt-3.5-turbo", "fine-tuned"),
    ("openai/gpt-oss-120b", "groq", "groq/openai/gpt-oss-120b", "provider"),
    ("groq/openai/gpt-oss-120b", None, "groq/openai/gpt-oss-120b", "exact"),
    ("openrouter/openai/gpt-4o", None, "openrouter/openai/gpt-4o", "exact"),
    ("mistral-large-latest", None, "mistral/mistral-large-latest", "home"),
    ("grok-4.5", "openai", "xai/grok-4.5", "home"),
    ("deepseek-chat", "deepseek", "deepseek/deepseek-chat", "provider"),
    ("deepseek/some-model:free", "openrouter", "deepseek/some-model:free", "free variant"),
    ("ollama/anything:7b", None, "ollama/anything:7b", "local"),
    ("anything", "ollama", "anything", "local"),
    # retired, and still asked for
    ("gpt-4-32k-0613", None, "gpt-4-32k", "exact"),
    ("gpt-3.5-turbo-0613", None, "gpt-3.5-turbo-0613", "exact"),
    ("claude-3-5-sonnet-20241022", None, "claude-3-5-sonnet", "version"),
    ("claude-3-opus-20240229", None, "claude-3-opus-latest", "version"),
    ("gemini-1.5-pro", None, "gemini/gemini-1.5-pro", "home"),
    ("chatgpt-4o-latest", None, "chatgpt-4o-latest", "exact"),
]  # fmt: skip

UNKNOWN = [
    ("claude-opus-9", None),
    ("gpt-99", None),
    ("gpt-4o-", None),
    ("gpt-4oo", None),
    ("gpt-4o-turbo", None),
    ("groq/foo", None),
    ("gpt-4o", "groq"),
    ("azure/my-deployment", None),
    ("ft:gpt-4:org", None),
    ("ft:gpt-5:org::id", None),
    ("openai/gpt-4o:nitro", None),
    ("gpt-4o:online", None),
    ("gpt-4o:free", None),
    ("ollama/big:cloud", None),
    ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef", None),
    ("", None),
    ("x" * 100_000, None),
    ("../../etc/passwd", None),
    ("openai/", None),
]


@pytest.mark.parametrize(("name", "provider", "model", "rule"), FOUND)
def test_a_name_finds_its_price_by_its_rule(name: str, provider: str | None, model: str, rule: str) -> None:
    price = CATALOGUE.find(name, provider=provider)
    assert (price.model, price.rule) == (model, rule)


@pytest.mark.parametrize(("name", "provider"), UNKNOWN)
def test_r10_an_unknown_name_is_unknown_and_not_free(name: str, provider: str | None) -> None:
    with pytest.raises(UnknownModelError):
        CATALOGUE.find(name, provider=provider)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("gpt-4", ("30", "60")),
        ("gpt-4o", ("2.5", "10")),
        ("gpt-4o-2024-05-13", ("5", "15")),
        ("gpt-4o-mini", ("0.15", "0.6")),
        ("gpt-4-turbo", ("10", "30")),
        ("gpt-4-32k", ("60", "120")),
        ("gpt-4.1", ("2", "8")),
        ("o1", ("15", "60")),
        ("o1-pro", ("150", "600")),
        ("gpt-5", ("1.25", "10")),
        ("gpt-5-pro", ("15", "120")),
        ("gpt-5-mini", ("0.25", "2")),
        ("claude-opus-4", ("15", "75")),
        ("claude-opus-4-1", ("15", "75")),
        ("claude-opus-4-5", ("5", "25")),
        ("claude-sonnet-4.5", ("3", "15")),
        ("claude-sonnet-4-5", ("3", "15")),
        ("gemini-2.5-flash", ("0.3", "2.5")),
        ("gemini-2.5-flash-lite", ("0.1", "0.4")),
        ("ft:gpt-4o-mini-2024-07-18:org::id", ("0.3", "1.2")),
    ],
)
def test_names_that_begin_alike_are_told_apart(name: str, rates: tuple[str, str]) -> None:
    price = CATALOGUE.find(name)
    assert (price.input, price.output) == tuple(map(Decimal, rates))


def test_the_nearest_names_come_first() -> None:
    with pytest.raises(UnknownModelError) as caught:
        CATALOGUE.find("gpt-4o-minni")
    assert caught.value.near[0] == "gpt-4o-mini"
    assert 1 < len(caught.value.near) <= 5
