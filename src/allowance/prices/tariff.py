"""`Tariff`: which rates of a price apply to a usage, and which are the dearest that a call can hit."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final

from allowance.prices.sheet import Sheet, dearest, make_sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from decimal import Decimal

    from allowance.prices.variants import Variant
    from allowance.replies.usage import Usage
    from allowance.requests.request import Request

__all__ = ["Tariff"]

_STANDARD: Final = frozenset(
    {"", "auto", "default", "standard", "standard_only", "on_demand", "scale", "provisioned_throughput"}
)
_ORDINARY: Final = frozenset({None, "default", "standard"})
_CHEAPER: Final = frozenset({"flex", "batch", "balanced", "decisions", "offpeak"})
_SAME_TIER: Final = {"fast": "priority", "batches": "batch"}
_SPEEDS: Final = frozenset({"fast"})
_NOWHERE: Final = frozenset({"", "global", "not_available"})
_MOST_KEPT: Final = 256  # sheets: sizes and tiers are words of the reply, and a reply may say anything
_ONCE: Final = (1, 1)


class Tariff:
    """The rates of one price. What it works out, it keeps.

    Args:
        rates, variants, multipliers: as the price has them, the variants in the order of their rank.
        writes_unasked: whether the vendor writes its cache, at a price, without being asked to.
        open_region: whether a call that names no region may be served in one that costs more.
        always_searches: whether every call makes a paid search.
    """

    __slots__ = (
        "_always_searches", "_base", "_multipliers", "_open_region", "_plain", "_rates", "_sheets",
        "_starts", "_tiers", "_timed", "_variants", "_worst", "_writes_unasked",
    )  # fmt: skip

    def __init__(
        self,
        rates: Mapping[str, Decimal],
        variants: tuple[Variant, ...],
        multipliers: Mapping[str, Decimal],
        *,
        writes_unasked: bool,
        open_region: bool,
        always_searches: bool,
    ) -> None:
        self._rates = rates
        self._variants = variants
        self._multipliers = {name: factor.as_integer_ratio() for name, factor in multipliers.items()}
        self._writes_unasked = writes_unasked
        self._open_region = open_region
        self._always_searches = always_searches
        self._starts = sorted({variant.above for variant in variants if variant.above})
        self._tiers = tuple(sorted({variant.tier for variant in variants if variant.tier}))
        self._timed = [variant for variant in variants if variant.timed]
        self._plain = not multipliers and all(variant.tier for variant in variants)
        self._base = make_sheet(rates)
        self._sheets: dict[tuple[object, ...], Sheet] = {}
        self._worst: dict[tuple[object, ...], tuple[Sheet, int, int]] = {}

    def cost(self, usage: Usage, at: datetime | None) -> int:
        """Nano-dollars of a usage, without its parts, rounded up once."""
        if self._plain and usage.service_tier in _ORDINARY:
            return self._base.nanos(usage)
        times, over = self._multiplier(usage.speed, usage.region) if self._multipliers else _ONCE
        return max(
            self._sheet(tier, usage, at).nanos(usage, times, over)
            for tier in self._tiers_of(usage.service_tier)
        )

    def worst(self, usage: Usage, request: Request) -> int:
        """Nano-dollars of a projected usage at the dearest rates that the request can hit."""
        reached = bisect_left(self._starts, usage.input_tokens) if self._starts else 0
        audio = bool(request.attachments) and not usage.audio_input_tokens
        key = (
            reached, request.service_tier, request.cache_ttl, request.speed, request.region,
            bool(request.images), audio,
        )  # fmt: skip
        found = self._worst.get(key)
        if found is None:
            found = self._dearest(reached, request, audio=audio)
            if len(self._worst) < _MOST_KEPT:
                self._worst[key] = found
        sheet, times, over = found
        searches = request.web_searches
        if searches is None or (self._always_searches and not searches):
            searches = 1
        return sheet.nanos(usage, times, over, searches=searches)

    def _tiers_of(self, word: str | None) -> tuple[str | None, ...]:
        """The tiers of this price that a vendor's word may stand for; None is the standard one."""
        tier = (word or "").strip().lower().removeprefix("on_demand_")
        tier = _SAME_TIER.get(tier, tier)
        if tier in self._tiers:
            return (tier,)
        if tier in _STANDARD or tier in _CHEAPER:
            return (None,)
        return (None, *self._tiers)

    def _sheet(self, tier: str | None, usage: Usage, at: datetime | None) -> Sheet:
        timed: list[Variant] = []
        if self._timed:
            moment = at or datetime.now(UTC)
            timed = [variant for variant in self._timed if variant.holds(moment)]
        reached = bisect_left(self._starts, usage.input_tokens)
        size, quality = _word(usage.image_size), _word(usage.image_quality)
        if size is not None:
            size = size.replace("-x-", "x")
        key = (tier, reached, size, quality, tuple(map(id, timed)))
        sheet = self._sheets.get(key)
        if sheet is None:
            above = self._starts[reached - 1] if reached else 0
            sheet = self._sheet_where(
                lambda one: (
                    one.tier in (None, tier)
                    and one.above <= above
                    and one.size in (None, size)
                    and one.quality in (None, quality)
                    and (not one.timed or one in timed)
                )
            )
            if len(self._sheets) < _MOST_KEPT:
                self._sheets[key] = sheet
        return sheet

    def _sheet_where(self, applies: Callable[[Variant], bool]) -> Sheet:
        rates = dict(self._rates)
        for variant in self._variants:
            if applies(variant):
                for name, implied in _IMPLIED.items():
                    if name in variant.rates:
                        rates.pop(implied, None)
                rates.update(variant.rates)
        return make_sheet(rates)

    def _dearest(self, reached: int, request: Request, *, audio: bool) -> tuple[Sheet, int, int]:
        sheet = dearest(self._reachable(reached, {None, *self._tiers_of(request.service_tier)}))
        into = [sheet.input, sheet.cache_read]
        if request.cache_ttl is not None or self._writes_unasked:
            into.append(sheet.cache_write)
        if request.cache_ttl not in (None, "5m"):
            into.append(sheet.cache_write_1h)
        if request.images:
            into.append(sheet.image_input)
        if audio:
            into.append(sheet.audio_input)
        out = max(sheet.output, sheet.reasoning, sheet.audio_output, sheet.image_output)
        search = max(sheet.search, sheet.search_low, sheet.search_high)
        sheet = replace(
            sheet, input=max(into), audio_input=max(*into, sheet.audio_input), output=out,
            search=search, search_low=search, search_high=search,
        )  # fmt: skip
        return (sheet, *self._worst_multiplier(request))

    def _reachable(self, reached: int, tiers: set[str | None]) -> Iterator[Sheet]:
        """The sheets that a call can meet, at any time and for pictures of any size.

        Of variants with such a condition each is taken by itself: a rate of any combination is one that
        a single one of them gives.
        """
        special = [None, *(one for one in self._variants if one.timed or one.size or one.quality)]
        for tier in tiers:
            for above in (0, *self._starts[:reached]):
                for one in special:
                    yield self._sheet_where(partial(_may_apply, tier=tier, above=above, special=one))

    def _multiplier(self, speed: str | None, region: str | None) -> tuple[int, int]:
        times, over = self._multipliers.get(_word(speed) or "", _ONCE)
        place = _word(region)
        if place is None or place in _NOWHERE:
            return times, over
        more, less = self._multipliers.get(place) or self._multipliers.get("regional", _ONCE)
        return times * more, over * less

    def _worst_multiplier(self, request: Request) -> tuple[int, int]:
        regions: list[str | None] = [request.region]
        if request.region is None and self._open_region:
            regions += [name for name in self._multipliers if name not in _SPEEDS]
        return max((self._multiplier(request.speed, region) for region in regions), key=_size)


_IMPLIED: Final = {"output": "reasoning", "cache_write": "cache_write_1h"}


def _may_apply(one: Variant, *, tier: str | None, above: int, special: Variant | None) -> bool:
    ordinary = not (one.timed or one.size or one.quality)
    return one.tier in (None, tier) and one.above <= above and (ordinary or one is special)


def _word(value: str | None) -> str | None:
    return value.strip().lower() if value else None


def _size(ratio: tuple[int, int]) -> Fraction:
    return Fraction(*ratio)
