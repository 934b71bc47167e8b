"""Reading LiteLLM's price map: an entry of its JSON becomes the arguments of a `Price`."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from allowance.prices.figures import Refused, figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["is_litellm_map", "read_litellm_entry", "read_litellm_map"]

_PER_TOKEN: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "cache_read_input_audio_token_cost": "audio_cache_read",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
}
_PER_UNIT: Final = {
    "input_cost_per_request": "request",
    "input_cost_per_character": "character",
    "ocr_cost_per_page": "page",
    "output_cost_per_image": "image",
    "output_cost_per_second": "second",
}
_TIERS: Final = {"batches": "batch"}
_FIELD: Final = re.compile(
    r"(?P<base>.+?)(?:_above_(?P<above>\d+)(?P<kilo>k?)_tokens)?"
    r"(?:_(?P<tier>flex|priority|batches|balanced|ultrafast|decisions))?"
)
_SIZED: Final = re.compile(r"(?P<base>output_cost_per_(?:image|second))_(?P<size>\d[\w.]*)")
_PICTURE_NAME: Final = re.compile(r"(?:^|/)(\d+)-x-(\d+)/")
_PICTURE: Final = re.compile(
    r"(?P<place>azure/|fal_ai/)?(?:(?P<quality>low|medium|high|xhigh|max|standard|hd)/)?"
    r"(?P<width>\d+)-x-(?P<height>\d+)/(?P<model>(?!\d|max-).+)"
)
_INCLUSIVE: Final = frozenset({"xai"})  # its dearer rates begin at the threshold, not above it
_REGIONAL: Final = {
    "regional_processing_uplift_multiplier_us": "us",
    "regional_processing_uplift_multiplier_eu": "eu",
    "regional_endpoint_uplift_multiplier": "regional",
}
_DAY_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PER_MILLION: Final = 1_000_000
_CACHED_BY_DEFAULT: Final = {"fireworks_ai": 2}
"""Vendors whose cached input costs this part of the input's price where the list says nothing."""
_NOT_MODELS: Final = frozenset({"sample_spec", "fallback_generalizations"})


def is_litellm_map(held: object) -> bool:
    """Whether it looks like LiteLLM's map."""
    return isinstance(held, dict) and any(
        isinstance(entry, dict) and "litellm_provider" in entry for entry in held.values()
    )


def read_litellm_map(held: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any] | Refused | None]]:
    """Each model's name, and the arguments of its `Price`: `Refused` with the reason where a figure is
    not to be believed, None where there is no price."""
    read: dict[str, dict[str, Any] | Refused | None] = {}
    for name, entry in held.items():
        if name in _NOT_MODELS or not isinstance(entry, dict):
            continue
        try:
            read[name] = read_litellm_entry(name, entry)
        except Refused as reason:
            read[name] = reason
    _gather_pictures(read)
    yield from read.items()


def _gather_pictures(read: Mapping[str, dict[str, Any] | Refused | None]) -> None:
    """Give a model what LiteLLM keeps under ``quality/size/model``; a picture that is none of these
    costs the dearest of them."""
    for name, entry in read.items():
        match = _PICTURE.fullmatch(name)
        model = read.get((match["place"] or "") + match["model"]) if match else None
        if (
            match is None
            or not isinstance(entry, dict)
            or not isinstance(model, dict)
            or "image" not in entry
        ):
            continue
        quality = {"quality": match["quality"]} if match["quality"] else {}
        variant = {"size": f"{match['width']}x{match['height']}", **quality, "image": entry["image"]}
        model.setdefault("variants", []).append(variant)
        model["image"] = max(model.get("image", "0"), entry["image"], key=Decimal)


def read_litellm_entry(name: str, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of one model's `Price`, or None where the entry holds no price.

    Raises:
        Refused: a figure is negative, absurd or not a number.
    """
    provider = _provider(str(entry.get("litellm_provider") or ""))
    situations: dict[tuple[tuple[str, Any], ...], dict[str, str]] = {}
    for rate, conditions, value in _rates(name, entry, provider):
        situations.setdefault(conditions, {})[rate] = value
    base = situations.pop((), {})
    variants = [{**dict(conditions), **rates} for conditions, rates in situations.items()]
    if isinstance(entry.get("tiered_pricing"), list):
        more_base, more = _tiered(entry["tiered_pricing"])
        base, variants = {**base, **more_base}, variants + more
    for rate in ("input", "output"):
        # Told for some tier alone, it would be nothing in the ordinary case.
        told = [variant[rate] for variant in variants if rate in variant]
        if rate not in base and told:
            base[rate] = max(told, key=Decimal)
    if provider in _CACHED_BY_DEFAULT and "input" in base and "cache_read" not in base:
        base["cache_read"] = figure(base["input"], per=_CACHED_BY_DEFAULT[provider])
    if isinstance(entry.get("off_peak_pricing"), dict):
        variants.append(_off_peak(entry["off_peak_pricing"]))
    if not base and not variants:
        return None
    read: dict[str, Any] = dict(base)
    if variants:
        read["variants"] = variants
    if multipliers := _multipliers(entry):
        read["multipliers"] = multipliers
    return {**read, **_facts(entry, provider)}


def _facts(entry: Mapping[str, Any], provider: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"provider": provider} if provider else {}
    for name in ("mode", "max_input_tokens", "max_output_tokens"):
        if value := entry.get(name):
            facts[name] = value if isinstance(value, str) else int(value)
    return facts


def _provider(word: str) -> str:
    if word.startswith("vertex_ai"):
        return "vertex_ai"
    if word.startswith("fireworks_ai"):
        return "fireworks_ai"
    return {
        "bedrock_converse": "bedrock", "cohere_chat": "cohere", "text-completion-openai": "openai",
        "azure_text": "azure",
    }.get(word, word)  # fmt: skip


_Rate = tuple[str, tuple[tuple[str, Any], ...], str]


def _rates(name: str, entry: Mapping[str, Any], provider: str) -> Iterator[_Rate]:
    for field, value in entry.items():
        if value is None:
            continue
        sized = _SIZED.fullmatch(field)
        if sized is not None:
            yield _PER_UNIT[sized["base"]], (("size", sized["size"].lower()),), figure(value)
        elif (match := _FIELD.fullmatch(field)) is not None:
            yield from _field(match, value, provider)
    yield from _special(name, entry)


def _field(match: re.Match[str], value: object, provider: str) -> Iterator[_Rate]:
    base, tier, above = match["base"], match["tier"], match["above"]
    conditions: list[tuple[str, Any]] = []
    if above is not None:
        start = int(above) * (1000 if match["kilo"] else 1)
        conditions.append(("above", start - 1 if provider in _INCLUSIVE else start))
    if tier is not None:
        conditions.append(("tier", _TIERS.get(tier, tier)))
    if base in _PER_TOKEN:
        yield _PER_TOKEN[base], tuple(conditions), figure(value, times=_PER_MILLION)
    elif base in _PER_UNIT:
        yield _PER_UNIT[base], tuple(conditions), figure(value)


def _special(name: str, entry: Mapping[str, Any]) -> Iterator[_Rate]:
    """What LiteLLM writes in more than one way."""
    mode = entry.get("mode")
    if "cache_read_input_token_cost" not in entry and "input_cost_per_token_cache_hit" in entry:
        yield "cache_read", (), figure(entry["input_cost_per_token_cache_hit"], times=_PER_MILLION)
    if "input_cost_per_query" in entry and mode in {"rerank", "search", "vector_store"}:
        yield "request", (), figure(entry["input_cost_per_query"])
    if "input_cost_per_second" in entry and not entry.get("output_cost_per_second"):
        yield "second", (), figure(entry["input_cost_per_second"])
    searches = entry.get("search_context_cost_per_query")
    if isinstance(searches, dict):
        yield from _searches(searches)
    if mode in {"image_generation", "image_edit"} and "output_cost_per_image" not in entry:
        yield from _picture(name, entry)


def _searches(costs: Mapping[str, Any]) -> Iterator[_Rate]:
    known = {
        size: figure(costs[f"search_context_size_{size}"])
        for size in ("low", "medium", "high")
        if costs.get(f"search_context_size_{size}") is not None
    }
    if known:
        medium = known.get("medium") or max(known.values(), key=Decimal)
        yield "search", (), medium
        for size in ("low", "high"):
            if known.get(size, medium) != medium:
                yield f"search_{size}", (), known[size]


def _picture(name: str, entry: Mapping[str, Any]) -> Iterator[_Rate]:
    if entry.get("input_cost_per_image"):
        yield "image", (), figure(entry["input_cost_per_image"])
    pixels = entry.get("input_cost_per_pixel") or entry.get("output_cost_per_pixel")
    if pixels and (match := _PICTURE_NAME.search(name)):
        yield "image", (), figure(pixels, times=math.prod(map(int, match.groups())))


def _tiered(tiers: list[Any]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Ranges of the request's input; the first one is the base, where it begins at nothing."""
    base: dict[str, str] = {}
    variants: list[dict[str, Any]] = []
    for tier in tiers:
        start, rates = tier.get("range", [None])[0], _per_token(tier)
        if start is None or not rates:
            continue
        if not start:
            base = rates
        else:
            # What a range does not say is the range's own input price, not the first range's.
            missing = {name: rates["input"] for name in base if name not in rates and "input" in rates}
            variants.append({"above": int(start), **missing, **rates})
    return base, variants


def _per_token(rates: Mapping[str, Any]) -> dict[str, str]:
    return {
        _PER_TOKEN[field]: figure(value, times=_PER_MILLION)
        for field, value in rates.items()
        if field in _PER_TOKEN and value is not None
    }


def _off_peak(block: Mapping[str, Any]) -> dict[str, Any]:
    hours = [*_windows(block.get("hours_utc"), None, 0)]
    offset = {None: 0, "UTC": 0, "Asia/Shanghai": 8}.get(block.get("weekday_timezone"))
    if offset is None:
        raise Refused(f"off-peak weekdays in the unknown time zone {block['weekday_timezone']}")
    for rule in block.get("windows") or ():
        hours += _windows(rule.get("hours_utc"), rule.get("weekdays"), offset)
    return {"hours": hours, **_per_token(block)}


def _windows(hours: str | list[str] | None, weekdays: list[int] | None, offset: int) -> Iterator[str]:
    for window in [hours] if isinstance(hours, str) else hours or ():
        start, end = window.split("-")
        if start < end or end == "00:00":
            parts = [(start, end if end != "00:00" else "24:00")]
        else:
            parts = [(start, "24:00"), ("00:00", end)]
        for first, last in parts:
            yield from _on_days(first, last, weekdays, offset)


def _on_days(start: str, end: str, weekdays: list[int] | None, offset: int) -> Iterator[str]:
    """The window on its days, told in UTC's weekdays: where local midnight lies within, it is cut there."""
    if weekdays is None:
        yield f"{start}-{end}"
        return
    midnight = f"{24 - offset:02d}:00"
    for day in weekdays:
        if not offset or end <= midnight:
            yield f"{_DAY_NAMES[day - 1]} {start}-{end}"
        elif start >= midnight:
            yield f"{_DAY_NAMES[day - 2]} {start}-{end}"
        else:
            yield f"{_DAY_NAMES[day - 1]} {start}-{midnight}"
            yield f"{_DAY_NAMES[day - 2]} {midnight}-{end}"


def _multipliers(entry: Mapping[str, Any]) -> dict[str, str]:
    found = {word: entry[field] for field, word in _REGIONAL.items() if entry.get(field) is not None}
    own = entry.get("provider_specific_entry")
    if isinstance(own, dict):
        found |= {word: own[word] for word in ("us", "fast") if word in own}
    return {word: figure(value) for word, value in found.items()}
