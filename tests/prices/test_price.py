"""`Price`: what is read, what is refused, and what a usage costs."""

from __future__ import annotations

import decimal
import math
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allowance.errors import ConfigurationError
from allowance.prices import Price
from allowance.replies.usage import Usage
from allowance.requests.request import Attachment, Image, Request

THOUSAND = Usage(input_tokens=1000, output_tokens=1000)


def request(**more: Any) -> Request:
    return Request(api="chat", model="m", **more)


@pytest.mark.parametrize("amount", ["2.50", Decimal("2.5"), 2.5])
def test_a_rate_is_read_from_any_number(amount: Any) -> None:
    price = Price(input=amount, output=10)
    assert (price.input, price.output) == (Decimal("2.5"), Decimal(10))
    assert price.cost(THOUSAND) == 12_500_000


def test_a_float_is_what_its_repr_says() -> None:
    assert Price(input=0.1).cost(Usage(input_tokens=10)) == 1000


@pytest.mark.parametrize(
    "amount", [True, -1, "-0.01", math.nan, math.inf, "NaN", "ten", 10_001, "1e9", [], b"1", "1e-21", 1 + 1j]
)
def test_what_is_no_price_is_refused(amount: Any) -> None:
    with pytest.raises(ConfigurationError, match="input"):
        Price(input=amount)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "no rate"),
        ({"inputs": "1"}, "unknown rate 'inputs'"),
        ({"input": 1, "variants": [{"above": 5}]}, "variant 1 needs"),
        ({"input": 1, "variants": [{"input": 5}]}, "variant 1 needs"),
        ({"input": 1, "variants": [{"above": 0, "input": 5}]}, "from 1"),
        ({"input": 1, "variants": [{"above": True, "input": 5}]}, "from 1"),
        ({"input": 1, "variants": [{"tier": 5, "input": 5}]}, "tier"),
        ({"input": 1, "variants": [{"hours": ["16:30-00:30"], "input": 5}]}, "within one day"),
        ({"input": 1, "variants": [{"hours": "16:30-17:30", "input": 5}]}, "list of texts"),
        ({"input": 1, "variants": [{"valid_from": "soon", "input": 5}]}, "a date"),
        ({"input": 1, "variants": ["flex"]}, "mapping"),
        ({"input": 1, "variants": [{"tier": "flex", "input": -5}]}, "variant 1: input"),
        ({"input": 1, "multipliers": {"us": -1}}, "us"),
    ],
)
def test_what_is_malformed_is_refused_and_named(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        Price(**arguments)


def test_it_is_immutable_and_can_be_pickled_and_compared() -> None:
    price = Price("1", "2", variants=[{"above": 100, "input": "2"}], multipliers={"us": "1.1"}, model="m")
    with pytest.raises(AttributeError):
        price.model = "other"
    with pytest.raises(TypeError):
        price.rates["input"] = Decimal(0)  # type: ignore[index]  # the point of the test
    again = pickle.loads(pickle.dumps(price))
    assert again == price
    assert hash(again) == hash(price)
    assert again.cost(Usage(input_tokens=101)) == 202_000
    assert price.named(model="other") != price


def test_free_means_that_nothing_it_bills_costs_anything() -> None:
    assert Price(input=0, output=0).free
    assert not Price(input=0, output="0.01").free
    assert not Price(input=0, output=0, request="0.01").free
    assert not Price(input=0, output=0, variants=[{"above": 100, "input": 1}]).free


def test_a_call_is_rounded_up_once() -> None:
    price = Price(input="0.0001", output="0.0001")  # a tenth of a nano-dollar for a token
    assert price.cost(Usage(input_tokens=1, output_tokens=1)) == 1
    assert price.cost(Usage(input_tokens=5, output_tokens=5)) == 1
    assert price.cost(Usage(input_tokens=6, output_tokens=5)) == 2
    assert price.cost(Usage(requests=0)) == 0


def test_nothing_depends_on_the_decimal_context() -> None:
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact])):
        price = Price(input="2.5000000000000001", cache_write=None, multipliers={"us": "1.123456789"})
        assert price.cost(Usage(input_tokens=10**9, region="us")) == 2_808_641_972_501
        assert price.cost(Usage(input_tokens=1, seconds=0.1)) == 2501


def test_what_is_missing_falls_back_to_what_it_is_a_kind_of() -> None:
    price = Price(input="4", output="8")
    assert price.cost(Usage(input_tokens=10, cache_read_tokens=10)) == 40_000
    assert price.cost(Usage(input_tokens=10, cache_write_tokens=10)) == 50_000
    assert price.cost(Usage(input_tokens=10, cache_write_1h_tokens=10)) == 80_000
    assert price.cost(Usage(output_tokens=10, reasoning_tokens=7)) == 80_000
    assert price.cost(Usage(input_tokens=10, audio_input_tokens=5)) == 40_000
    assert price.cost(Usage(output_tokens=10, audio_output_tokens=5, image_output_tokens=5)) == 80_000


def test_every_kind_of_token_has_its_rate() -> None:
    price = Price(
        "1", "10", cache_read="0.1", cache_write="1.25", cache_write_1h="2", reasoning="20", audio_input="30",
        audio_output="40", audio_cache_read="0.5", image_input="60", image_output="70",
    )  # fmt: skip
    usage = Usage(
        input_tokens=1000, cache_read_tokens=100, cache_write_tokens=100, cache_write_1h_tokens=100,
        audio_input_tokens=150, audio_cache_read_tokens=50, image_input_tokens=10,
        output_tokens=100, reasoning_tokens=10, audio_output_tokens=20, image_output_tokens=30,
    )  # fmt: skip
    into = 590 * 1000 + 50 * 100 + 50 * 500 + 100 * 1250 + 100 * 2000 + 100 * 30_000 + 10 * 60_000
    out = 40 * 10_000 + 10 * 20_000 + 20 * 40_000 + 30 * 70_000
    assert price.cost(usage) == into + out


def test_what_is_no_token_has_its_rate() -> None:
    price = Price(
        request="0.01", search="0.02", search_low="0.01", search_high="0.03", second="0.0001",
        character="0.00001", page="0.002", image="0.04",
    )  # fmt: skip
    assert price.cost(Usage()) == 10_000_000
    assert price.cost(Usage(requests=2, web_searches=2)) == 60_000_000
    assert price.cost(Usage(requests=0, web_searches=1, search_context="low")) == 10_000_000
    assert price.cost(Usage(requests=0, web_searches=1, search_context="high")) == 30_000_000
    assert price.cost(Usage(requests=0, seconds=60.5, characters=11, pages=3, images=2)) == 92_160_000


def test_text_billed_by_characters_and_pictures_billed_by_tokens_are_not_billed_twice() -> None:
    assert Price("5", character="0.00001").cost(Usage(input_tokens=100, characters=300)) == 3_000_000
    assert (
        Price(image="0.04", image_output="30").cost(
            Usage(output_tokens=100, image_output_tokens=100, images=1)
        )
        == 3_000_000
    )
    assert Price(image="0.04", image_output="30").cost(Usage(images=1)) == 40_000_000


def test_the_output_of_a_model_of_pictures_or_sound_is_not_free() -> None:
    assert Price("5", image_output="40").cost(Usage(output_tokens=1)) == 40_000
    assert Price("5", audio_output="20").cost(Usage(output_tokens=1)) == 20_000


def test_a_picture_costs_by_its_size_and_quality_and_the_dearest_of_them_at_worst() -> None:
    price = Price(
        image="0.2",
        variants=[
            {"size": "1024x1024", "image": "0.05"},
            {"size": "1024x1024", "quality": "low", "image": "0.01"},
        ],
    )

    def cost(size: str | None, quality: str | None) -> int:
        return price.cost(Usage(images=1, image_size=size, image_quality=quality))

    assert cost("1024x1024", "low") == cost("1024-X-1024", "Low") == 10_000_000
    assert cost("1024x1024", "high") == 50_000_000
    assert cost("64x64", "low") == cost(None, None) == 200_000_000
    assert price.worst(Usage(images=2), request()) == 400_000_000


def test_a_cache_larger_than_the_input_is_charged_and_never_subtracted() -> None:
    assert Price("4", cache_read="1").cost(Usage(input_tokens=5, cache_read_tokens=10)) == 10_000


def test_a_context_tier_holds_for_the_whole_request_strictly_above_its_start() -> None:
    price = Price(
        "1", "10", cache_read="0.1",
        variants=[{"above": 200, "input": "2", "output": "20"}, {"above": 100, "input": "1.5"}],
    )  # fmt: skip
    assert price.cost(Usage(input_tokens=100, output_tokens=1)) == 110_000
    assert price.cost(Usage(input_tokens=101, output_tokens=1)) == 161_500
    assert price.cost(Usage(input_tokens=200, output_tokens=1)) == 310_000
    assert price.cost(Usage(input_tokens=201, output_tokens=1)) == 422_000
    assert price.cost(Usage(input_tokens=201, cache_read_tokens=201)) == 20_100


def test_a_service_tier_is_the_one_that_the_reply_names() -> None:
    price = Price(
        "2", "10",
        variants=[
            {"tier": "flex", "input": "1", "output": "5"},
            {"tier": "priority", "input": "4", "output": "20"},
            {"tier": "priority", "above": 100, "input": "8"},
            {"above": 100, "input": "3"},
        ],
    )  # fmt: skip

    def cost(tier: str | None, tokens: int = 10) -> int:
        return price.cost(Usage(input_tokens=tokens, service_tier=tier))

    standard = (None, "", "auto", "default", "Standard", "ON_DEMAND")
    assert {cost(word) for word in standard} == {20_000}
    assert cost("flex") == cost("ON_DEMAND_FLEX") == 10_000
    assert cost("priority") == cost("fast") == cost(" Priority ") == 40_000
    assert cost("batch") == 20_000, "a tier that is never dearer, and has no price, is standard"
    assert cost("hyper") == 40_000, "a tier that nobody knows costs the dearest known"
    assert cost("priority", 101) == 808_000
    assert cost("flex", 101) == 303_000, (
        "where a context tier has no price for flex, the tier's own comes first"
    )


def test_a_variant_speaks_for_reasoning_and_the_longer_write_too() -> None:
    price = Price(
        "1", "10", reasoning="12", cache_write="1.25", cache_write_1h="2",
        variants=[{"above": 100, "input": "2", "output": "30", "cache_write": "2.5"}],
    )  # fmt: skip
    assert price.cost(Usage(input_tokens=0, output_tokens=1, reasoning_tokens=1)) == 12_000
    assert price.cost(
        Usage(input_tokens=101, cache_read_tokens=101, output_tokens=1, reasoning_tokens=1)
    ) == (101 * 2000 + 30_000)
    assert price.cost(Usage(input_tokens=101, cache_write_1h_tokens=101)) == 101 * 4000


def test_speed_and_region_multiply_tokens_alone() -> None:
    price = Price("1", "10", search="0.01", multipliers={"fast": 2, "us": "1.1", "regional": "1.5"})
    tokens = Usage(input_tokens=1000)
    assert price.cost(tokens) == 1_000_000

    def cost(**more: Any) -> int:
        return price.cost(Usage(input_tokens=1000, **more))

    assert cost(speed="fast") == 2_000_000
    assert cost(region="US") == 1_100_000
    assert cost(region="us", speed="fast") == 2_200_000
    assert cost(region="europe-west4") == 1_500_000
    assert cost(region="global") == cost(region="not_available") == 1_000_000
    assert cost(speed="fast", web_searches=1) == 12_000_000


def test_prices_by_time_of_day_and_date() -> None:
    price = Price(
        "2",
        variants=[
            {"hours": ["mon-fri 16:30-24:00", "sat-sun 00:00-24:00"], "input": "1"},
            {"valid_from": "2026-12-01", "valid_until": "2027-01-01", "input": "3"},
        ],
    )

    def cost(day: int, hour: int, minute: int = 0, month: int = 11) -> int:
        at = datetime(2026, month, day, hour, minute, tzinfo=UTC)
        return price.cost(Usage(input_tokens=1), at=at)

    assert cost(23, 16, 29) == 2000  # a Monday
    assert cost(23, 16, 30) == 1000
    assert cost(24, 0) == 2000
    assert cost(22, 3) == 1000  # a Sunday
    assert cost(30, 23, month=11) == 1000
    assert cost(1, 0, month=12) == 3000
    assert price.cost(Usage(input_tokens=1), at=datetime(2027, 1, 1)) == 2000  # noqa: DTZ001  # taken for UTC


def test_the_worst_of_a_plain_call_is_exact() -> None:
    assert Price("2.50", "10.00").worst(THOUSAND, request()) == 12_500_000


def test_the_worst_counts_the_dearer_of_tiers_asked_for_and_standard() -> None:
    price = Price("2", "10", variants=[{"tier": "flex", "input": "1"}, {"tier": "priority", "input": "4"}])
    usage = Usage(input_tokens=1000)
    assert price.worst(usage, request()) == price.worst(usage, request(service_tier="auto")) == 2_000_000
    assert price.worst(usage, request(service_tier="flex")) == 2_000_000
    assert price.worst(usage, request(service_tier="priority")) == 4_000_000
    assert price.worst(usage, request(service_tier="unheard-of")) == 4_000_000


def test_the_worst_counts_context_tiers_within_reach_only() -> None:
    price = Price(
        "1", "10", variants=[{"above": 200, "input": "2", "output": "15"}, {"above": 100, "output": "30"}]
    )
    assert price.worst(Usage(input_tokens=100, output_tokens=1), request()) == 110_000
    assert price.worst(Usage(input_tokens=201, output_tokens=1), request()) == 201 * 2000 + 30_000


def test_the_worst_counts_writing_the_cache_where_it_may_happen() -> None:
    usage = Usage(input_tokens=1000)
    rates: Any = {"input": "1", "cache_write": "1.25", "cache_write_1h": "2"}
    assert Price(**rates, provider="openai", model="gpt-6").worst(usage, request()) == 1_250_000
    claude = Price(**rates, provider="anthropic", model="claude-x")
    assert claude.worst(usage, request()) == 1_000_000
    assert claude.worst(usage, request(cache_ttl="5m")) == 1_250_000
    assert claude.worst(usage, request(cache_ttl="1h")) == 2_000_000
    assert Price("1").worst(usage, request(cache_ttl="1h")) == 2_000_000


def test_the_worst_counts_sound_pictures_reasoning_and_searches() -> None:
    price = Price(
        "1", "10", audio_input="30", image_input="5", reasoning="12", search="0.01", search_high="0.02"
    )
    usage = Usage(input_tokens=1000, output_tokens=1000)
    assert price.worst(usage, request()) == 13_000_000
    sound = request(attachments=(Attachment("audio"),))
    assert price.worst(usage, sound) == 42_000_000
    part = Usage(input_tokens=1000, output_tokens=1000, audio_input_tokens=100)
    assert price.worst(part, sound) == 900_000 + 3_000_000 + 12_000_000
    assert price.worst(usage, request(images=(Image(),))) == 17_000_000
    assert price.worst(usage, request(web_searches=2)) == 53_000_000
    assert price.worst(usage, request(web_searches=None)) == 33_000_000


def test_the_worst_counts_any_hour_speed_and_region() -> None:
    price = Price(
        "1", variants=[{"hours": ["01:00-02:00"], "input": "3"}], multipliers={"fast": 2, "us": "1.1"},
        provider="anthropic", model="claude-x",
    )  # fmt: skip
    usage = Usage(input_tokens=1000)
    assert price.worst(usage, request(region="global")) == 3_000_000
    assert price.worst(usage, request(region="us", speed="fast")) == 6_600_000
    assert price.worst(usage, request()) == 3_300_000, (
        "the workspace may choose a region where the call does not"
    )
    assert price.named(provider="openai").worst(usage, request()) == 3_000_000


amounts = st.decimals(0, 100, places=6)
counts = st.integers(0, 500)
variants = st.lists(
    st.fixed_dictionaries(
        {"input": amounts, "output": amounts},
        optional={
            "above": st.sampled_from([100, 300]),
            "tier": st.sampled_from(["flex", "priority"]),
            "cache_write": amounts,
        },
    ).filter(lambda variant: "above" in variant or "tier" in variant),
    max_size=4,
)


@settings(deadline=None)
@given(
    rates=st.fixed_dictionaries(
        {"input": amounts, "output": amounts},
        optional=dict.fromkeys(("cache_read", "cache_write", "cache_write_1h", "reasoning"), amounts),
    ),
    variants=variants,
    tokens=st.tuples(counts, counts, st.integers(0, 100), st.integers(0, 100), st.integers(0, 100)),
    tier=st.sampled_from([None, "flex", "priority", "other"]),
    served=st.booleans(),
    unasked=st.booleans(),
)
def test_no_reply_costs_more_than_the_worst(
    rates: Any, variants: Any, tokens: tuple[int, ...], tier: str | None, served: bool, unasked: bool
) -> None:
    into, out, read, write, reasoning = tokens
    price = Price(**rates, variants=variants, provider="openai" if unasked else "anthropic", model="m")
    asked = request(service_tier=tier, cache_ttl=None if unasked else "1h")
    reply = Usage(
        input_tokens=into + read + write,
        output_tokens=out + reasoning,
        cache_read_tokens=read,
        cache_write_tokens=write if not unasked or "cache_write" in rates else 0,
        reasoning_tokens=reasoning,
        service_tier=tier if served else None,
    )
    projected = Usage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)
    assert price.cost(reply) <= price.worst(projected, asked)


@settings(deadline=None)
@given(rates=st.fixed_dictionaries({"input": amounts, "output": amounts}), into=counts, out=counts)
def test_a_cost_is_the_exact_sum_rounded_up(rates: dict[str, Decimal], into: int, out: int) -> None:
    exact = (into * Fraction(rates["input"]) + out * Fraction(rates["output"])) * 1000
    assert Price(**rates).cost(Usage(input_tokens=into, output_tokens=out)) == math.ceil(exact)
