"""Reading genai-prices' data: models that were retired, and providers that other lists lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from allowance.prices.figures import Refused, figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from allowance.prices.data import Entry

__all__ = ["is_genai_prices", "read_genai_prices"]

_RATES: Final = {
    "input_mtok": ("input", 1),
    "output_mtok": ("output", 1),
    "cache_read_mtok": ("cache_read", 1),
    "cache_write_mtok": ("cache_write", 1),
    "cache_write_1h_mtok": ("cache_write_1h", 1),
    "output_reasoning_mtok": ("reasoning", 1),
    "input_audio_mtok": ("audio_input", 1),
    "output_audio_mtok": ("audio_output", 1),
    "cache_audio_read_mtok": ("audio_cache_read", 1),
    "input_image_mtok": ("image_input", 1),
    "output_image_mtok": ("image_output", 1),
    "requests_kcount": ("request", 1000),
    "web_searches_kcount": ("search", 1000),
    "audio_hours": ("second", 3600),
    "input_audio_hours": ("second", 3600),
    "input_mchars": ("character", 1_000_000),
    "input_document_kpages": ("page", 1000),
}
"""Its names of rates; ours, and for how many of our units its figure is."""

# Its names of Bedrock's models are its own, and would stand for the makers' models at Bedrock's prices;
# those of Hugging Face are of hosts behind a router; "decisions" is a tier of OpenAI's.
_SKIPPED: Final = ("aws", "huggingface_", "openai-decisions")

# How other lists write the names of these providers' models.
_PLACES: Final = {
    "openai": ("openai", ""),
    "anthropic": ("anthropic", ""),
    "google": ("gemini", "gemini/"),
    "x-ai": ("xai", "xai/"),
    "together": ("together_ai", "together_ai/"),
    "fireworks": ("fireworks_ai", "fireworks_ai/"),
    "moonshotai": ("moonshot", "moonshot/"),
    "voyageai": ("voyage", "voyage/"),
    "github-copilot": ("github_copilot", "github_copilot/"),
}
_ENDINGS: Final = ("-", "/", ".", ":", "@")


def is_genai_prices(held: object) -> bool:
    """Whether it looks like genai-prices' ``data.json``."""
    return (
        isinstance(held, list)
        and bool(held)
        and all(isinstance(one, dict) and "id" in one and "models" in one for one in held)
    )


def read_genai_prices(held: list[Mapping[str, Any]]) -> Iterator[tuple[str, Entry | Refused | None]]:
    """Each model's name, as LiteLLM would write it, and the arguments of its `Price`; a `Refused` where a
    figure is not to be believed, None where there is no price; for a further name of it, the first name."""
    for provider in held:
        place = str(provider["id"])
        if place.startswith(_SKIPPED):
            continue
        name, prefix = _PLACES.get(place, (place, f"{place}/"))
        for model in provider["models"]:
            first = f"{prefix}{model['id']}"
            if first.endswith(_ENDINGS) or (place == "google" and "claude" in first):
                continue  # the beginning of a name, or another maker's model, which Vertex AI has
            try:
                entry = _entry(model, name)
            except Refused as reason:
                yield first, reason
                continue
            yield first, entry
            if entry is not None:
                others = {f"{prefix}{other}" for other in _names(model["match"])} - {first}
                yield from ((other, first) for other in sorted(others))


def _names(match: Mapping[str, Any]) -> Iterator[str]:
    """The names that a model's rule tells in full; the beginning of a name is the model's own, undated."""
    for clause in match.get("or") or (match,):
        name = clause.get("equals") or clause.get("starts_with")
        # A fine-tuned model never stands for another one.
        if name and not name.endswith(_ENDINGS) and not name.startswith("ft:"):
            yield name


def _entry(model: Mapping[str, Any], provider: str) -> dict[str, Any] | None:
    prices = model["prices"]
    conditional = prices if isinstance(prices, list) else [{"prices": prices}]
    base: dict[str, Any] = {}
    variants: list[dict[str, Any]] = []
    starts = [(one.get("constraint") or {}).get("start_date") for one in conditional]
    for number, one in enumerate(conditional):
        rates, tiers = _rates(one["prices"])
        constraint = one.get("constraint")
        if not number or not constraint:
            base, variants = rates, tiers
            continue
        condition = _condition(constraint)
        if "valid_from" in condition:
            later = [start for start in starts[number + 1 :] if start]
            condition |= {"valid_until": min(later)} if later else {}
        variants += [{**condition, **part} for part in (rates, *tiers) if part]
    if not base and not variants:
        return None
    if any(word in model["id"] for word in ("audio", "realtime")) and not any(
        "audio" in rate for rate in base
    ):
        raise Refused("a model of speech without a price for it")
    facts: dict[str, Any] = {"provider": provider, "source": "genai-prices"}
    if model.get("context_window"):
        facts["max_input_tokens"] = int(model["context_window"])
    variants += _service_tiers(model)
    return {**base, **({"variants": variants} if variants else {}), **facts}


def _condition(constraint: Mapping[str, Any]) -> dict[str, Any]:
    if "start_date" in constraint:
        return {"valid_from": constraint["start_date"]}
    start, end = (str(constraint[key])[:5] for key in ("start_time", "end_time"))
    if start < end:
        return {"hours": [f"{start}-{end}"]}
    return {"hours": [f"{start}-24:00", *([f"00:00-{end}"] if end != "00:00" else [])]}


def _rates(prices: Mapping[str, Any]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    base: dict[str, str] = {}
    above: dict[int, dict[str, Any]] = {}
    for field, value in prices.items():
        if field not in _RATES or value is None:
            continue
        name, per = _RATES[field]
        if isinstance(value, dict):
            base[name] = figure(value["base"], per=per)
            for tier in value["tiers"]:
                start = int(tier["start"])
                above.setdefault(start, {"above": start})[name] = figure(tier["price"], per=per)
        else:
            base[name] = figure(value, per=per)
    return base, [above[start] for start in sorted(above)]


def _service_tiers(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    variants = []
    for variant in model.get("price_variants") or ():
        when = variant["when"]
        tier = when.get("service_tier") or when.get("processing")
        if len(when) == 1 and tier and tier not in {"default", "fast"}:
            rates, tiers = _rates(variant["prices"])
            variants += [{"tier": tier, **part} for part in (rates, *tiers) if part]
    return variants
