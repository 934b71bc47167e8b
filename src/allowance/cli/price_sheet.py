"""A `Price` in words: every rate with its unit, and every situation that has rates of its own."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.prices.rates import PER_MILLION, PER_UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from allowance.prices.price import Price
    from allowance.prices.variants import Variant

__all__ = ["Line", "as_dict", "fallbacks", "figure", "is_own", "lines", "pointed", "rule_in_words"]

_UNITS: Final = {
    **dict.fromkeys(PER_MILLION, "million tokens"),
    "request": "request",
    "search": "web search",
    "search_low": "web search with little context",
    "search_high": "web search with much context",
    "second": "second",
    "character": "character",
    "page": "page",
    "image": "picture",
}
_ORDER: Final = (*PER_MILLION, *PER_UNIT)
_SHOWN_DIGITS: Final = Context(prec=7)  # pictures priced by the pixel carry fifteen, most of them noise

_RULES: Final = {
    "exact": "the name as it is written",
    "provider": "the provider's name was put before it",
    "prefix": "a prefix was taken off",
    "region": "a region was taken off",
    "vendor": "the vendor's name was taken off",
    "dots": "dots were read as dashes",
    "home": "its maker's name was put before it",
    "version": "a date or version was taken off",
    "fine-tuned": "the base of a fine-tuned model",
    "override": "a price of your own",
    "override pattern": "a pattern among your own prices",
    "free variant": "a variant that is served for nothing",
    "local": "it runs on your own machine",
}

_FALLBACKS: Final = (
    ("cache_read", "input", "cached input is billed as input"),
    ("reasoning", "output", "reasoning is billed as output"),
)

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_A_DAY: Final = 24 * 60


class Line(NamedTuple):
    """One rate: the situation in which it holds, its name, its figure in US dollars, and for how much.

    ``ordinary`` says that it is the one that holds where nothing else does."""

    when: str
    rate: str
    usd: str
    per: str
    ordinary: bool


def lines(price: Price) -> Iterator[Line]:
    """Every rate of a price, the ordinary ones first, then situation by situation."""
    yield from _rates("ordinarily" if price.variants else "always", price.rates, ordinary=True)
    for variant in sorted(price.variants, key=_place):
        yield from _rates(situation(variant), variant.rates)


def fallbacks(price: Price) -> str:
    """What is billed for sorts of tokens that have no rate of their own; empty where nothing is."""
    found = [words for rate, other, words in _FALLBACKS if rate not in price.rates and price.rates.get(other)]
    return ", ".join(found)


def situation(variant: Variant) -> str:
    """When a variant's rates hold: ``"tier batch, above 200,000 input tokens"``."""
    words = []
    if variant.tier:
        words.append(f"tier {variant.tier}")
    words += [word for word in (variant.quality, variant.size) if word]
    if variant.above:
        words.append(f"above {variant.above:,} input tokens (for the whole request)")
    if variant.hours:
        words.append(_hours(variant.hours))
    if variant.valid_from:
        words.append(f"from {variant.valid_from}")
    if variant.valid_until:
        words.append(f"until {variant.valid_until}")
    return ", ".join(words)


def rule_in_words(rule: str | None) -> str:
    """What a rule of names did: ``"version"`` is ``"a date or version was taken off"``."""
    first, _, rest = (rule or "").partition(", ")
    words = _RULES.get(first, first)
    return f"{words} ({_RULES.get(rest, rest)})" if rest else words


def is_own(price: Price) -> bool:
    """Whether it comes from the user's own prices rather than the catalogue."""
    return (price.rule or "").startswith("override")


def figure(rate: Decimal) -> str:
    """A rate in US dollars: two decimals at least, seven digits at most, never an exponent."""
    text = f"{_SHOWN_DIGITS.plus(rate):f}"
    whole, _, decimals = text.partition(".")
    return f"{int(whole):,}.{decimals.rstrip('0').ljust(2, '0')}"


def pointed(figures: Sequence[str]) -> list[str]:
    """Figures as wide as the widest, with their points below one another."""
    before = max((len(one.partition(".")[0]) for one in figures), default=0)
    after = max((len(one.partition(".")[2]) for one in figures), default=0)
    return [
        f"{whole.rjust(before)}{point or ' '}{decimals.ljust(after)}" if after else whole.rjust(before)
        for whole, point, decimals in (one.partition(".") for one in figures)
    ]


def as_dict(asked: str, price: Price) -> dict[str, Any]:
    """All of it, JSON-ready, with exact decimal strings."""
    return {
        "asked": asked, "model": price.model, "provider": price.provider, "mode": price.mode,
        "rule": price.rule, "own": is_own(price), "free": price.free, "source": price.source,
        "as_of": price.as_of, "max_input_tokens": price.max_input_tokens,
        "max_output_tokens": price.max_output_tokens, "rates": _exact(price.rates),
        "variants": [_variant(one) for one in sorted(price.variants, key=_place)],
        "multipliers": {name: f"{factor:f}" for name, factor in price.multipliers.items()},
    }  # fmt: skip


def _rates(when: str, rates: Mapping[str, Decimal], *, ordinary: bool = False) -> Iterator[Line]:
    for name in sorted(rates, key=_ORDER.index):
        yield Line(when, name, figure(rates[name]), _UNITS[name], ordinary)


def _exact(rates: Mapping[str, Decimal]) -> dict[str, dict[str, str]]:
    return {
        name: {"usd": f"{rates[name]:f}", "per": _UNITS[name]} for name in sorted(rates, key=_ORDER.index)
    }


def _variant(one: Variant) -> dict[str, Any]:
    conditions = {
        "above": one.above or None, "tier": one.tier, "size": one.size, "quality": one.quality,
        "hours": _hours(one.hours) or None,
        "valid_from": one.valid_from and one.valid_from.isoformat(),
        "valid_until": one.valid_until and one.valid_until.isoformat(),
    }  # fmt: skip
    return {"when": {key: value for key, value in conditions.items() if value}, "rates": _exact(one.rates)}


def _place(one: Variant) -> tuple[str, str, str, str, int]:
    """Where a variant stands in the list: by tier, then by size, then by the length of the input."""
    return (one.tier or "", one.quality or "", one.size or "", str(one.valid_from or ""), one.above)


def _hours(pairs: tuple[tuple[int, int], ...]) -> str:
    """Minutes of the week as ``"mon-fri 00:00-00:30 UTC"``."""
    days: dict[tuple[int, int], list[int]] = {}
    for start, end in pairs:
        day = start // _MINUTES_A_DAY
        days.setdefault((start - day * _MINUTES_A_DAY, end - day * _MINUTES_A_DAY), []).append(day)
    times = [f"{_days(sorted(those))}{_clock(start)}-{_clock(end)}" for (start, end), those in days.items()]
    return f"{', '.join(times)} UTC" if times else ""


def _days(days: list[int]) -> str:
    if len(days) == len(_DAYS):
        return ""
    if len(days) > 1 and days == list(range(days[0], days[-1] + 1)):
        return f"{_DAYS[days[0]]}-{_DAYS[days[-1]]} "
    return f"{','.join(_DAYS[day] for day in days)} "


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
