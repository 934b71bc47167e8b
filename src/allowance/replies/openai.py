"""OpenAI's shapes, and those of the many APIs that follow them.

Chat Completions and legacy Completions (``prompt_tokens``), Embeddings, Responses, transcriptions and
images (``input_tokens``). Also Azure OpenAI, LiteLLM, Mistral, Groq, DeepSeek, xAI, OpenRouter,
Perplexity, vLLM: what they add is read where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.replies.fields import EMPTY, EXACT, View, amount, count, items, seconds, text, tier, view
from allowance.replies.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["hidden_params", "read_chat", "read_images", "read_inclusive"]

_XAI_TICKS_PER_USD = 10**10


def read_chat(reply: View, usage: View, hidden: View = EMPTY) -> Usage | None:
    """Chat and legacy Completions, Embeddings.

    Their totals are inclusive; the exceptions are found by their figures. ``hidden`` are LiteLLM's own
    parameters of the reply: LiteLLM brings every vendor's input to the inclusive form.
    """
    prompt = count(usage.get("prompt_tokens"))
    completion = count(usage.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    if type(usage) is dict and _is_plain(usage):  # most replies: the totals are all there is to read
        model = text(reply.get("model"))
        return Usage(
            model,
            text(hidden.get("custom_llm_provider")) if hidden else None,
            tier(reply.get("service_tier")),
            input_tokens=prompt or 0,
            output_tokens=completion or 0,
            web_searches=_unsaid_searches(model),
        )
    into = _details(usage, "prompt_tokens_details")
    out = _details(usage, "completion_tokens_details")
    reasoning = count(out.get("reasoning_tokens")) or count(usage.get("reasoning_tokens")) or 0
    prompt, completion = _besides(usage, prompt or 0, completion or 0, reasoning)
    write, write_1h = _cache_writes(usage, into)
    model = text(reply.get("model"))
    read = Usage(
        model=model,
        provider=text(hidden.get("custom_llm_provider")) if hidden else None,
        service_tier=tier(reply.get("service_tier") or usage.get("service_tier")),
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=_cache_reads(usage, into),
        cache_write_tokens=write,
        cache_write_1h_tokens=write_1h,
        reasoning_tokens=reasoning,
        audio_input_tokens=count(into.get("audio_tokens")) or 0,
        audio_output_tokens=count(out.get("audio_tokens")) or 0,
        image_input_tokens=count(into.get("image_tokens")) or 0,
        image_output_tokens=count(out.get("image_tokens")) or 0,
        web_searches=_chat_searches(model, usage, into),
        seconds=seconds(usage.get("prompt_audio_seconds")),
        search_context=text(usage.get("search_context_size")),
        reported_cost=_reported(usage, hidden),
    )
    return _by_model(read, usage)


_TOTALS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def _is_plain(usage: dict[str, object]) -> bool:
    return _TOTALS.issuperset([name for name, value in usage.items() if value is not None])


def _details(usage: View, name: str) -> View:
    details = usage.get(name)
    return EMPTY if details is None else view(details)


def _besides(usage: View, prompt: int, completion: int, reasoning: int) -> tuple[int, int]:
    """Add what a vendor bills besides its own totals."""
    # xAI leaves reasoning out of completion_tokens, and only the total shows it.
    if reasoning and count(usage.get("total_tokens")) == prompt + completion + reasoning:
        return prompt, completion + reasoning
    # Perplexity bills citations and reasoning apart, and leaves them out of its total as well.
    if count(usage.get("num_search_queries")) is not None or count(usage.get("citation_tokens")) is not None:
        return prompt + (count(usage.get("citation_tokens")) or 0), completion + reasoning
    return prompt, completion


def _cache_reads(usage: View, into: View) -> int:
    for value in (
        into.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),  # DeepSeek
        usage.get("cache_read_input_tokens"),  # LiteLLM, for Anthropic
    ):
        if (tokens := count(value)) is not None:
            return tokens
    return 0


def _cache_writes(usage: View, into: View) -> tuple[int, int]:
    """Cache writes for the short term and for an hour, which do not overlap."""
    written = (
        count(into.get("cache_write_tokens"))
        or count(into.get("cache_creation_tokens"))  # LiteLLM
        or count(usage.get("cache_creation_input_tokens"))  # LiteLLM, for Anthropic
        or 0
    )
    if not written:
        return 0, 0
    hour = count(_details(into, "cache_creation_token_details").get("ephemeral_1h_input_tokens")) or 0
    return max(written - hour, 0), hour


def _chat_searches(model: str | None, usage: View, into: View) -> int:
    for value in (
        usage.get("num_search_queries"),  # Perplexity
        usage.get("num_sources_used"),  # xAI
        into.get("web_search_requests"),  # LiteLLM
    ):
        if (searches := count(value)) is not None:
            return searches
    used = usage.get("server_tool_use")
    if used is not None:
        return count(view(used).get("web_search_requests")) or 0
    return _unsaid_searches(model)


def _unsaid_searches(model: str | None) -> int:
    """OpenAI's search models make one paid search for each call, and their usage does not say so."""
    return 1 if model is not None and ("-search-preview" in model or "-search-api" in model) else 0


def _reported(usage: View, hidden: View) -> Decimal | None:
    """What the provider says it charged; LiteLLM's own calculation in the same place is not that."""
    ticks = amount(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return EXACT.divide(ticks, _XAI_TICKS_PER_USD)
    cost = usage.get("cost")
    if cost is None or (hidden and hidden.get("custom_llm_provider") != "openrouter"):
        return None
    if isinstance(cost, dict) or hasattr(cost, "total_cost"):  # Perplexity
        return amount(view(cost).get("total_cost"))
    charged = amount(cost)
    if usage.get("is_byok") is True:  # OpenRouter's fee; the key's owner pays the vendor besides
        upstream = amount(_details(usage, "cost_details").get("upstream_inference_cost"))
        return None if upstream is None else EXACT.add(charged or 0, upstream)
    return charged


def _by_model(usage: Usage, raw: View) -> Usage:
    """Groq's compound systems run several models and bill each; the breakdown replaces the sum."""
    breakdown = raw.get("usage_breakdown")
    parts: list[Usage] = []
    for entry in items(_details(raw, "usage_breakdown").get("models")) if breakdown is not None else ():
        fields = view(entry)
        part = read_chat(fields, _details(fields, "usage"))
        if part is not None:
            parts.append(part)
    if not parts:
        return usage
    return parts[0]._replace(service_tier=usage.service_tier, parts=tuple(parts[1:]))


def read_inclusive(reply: View, usage: View) -> Usage | None:
    """Responses, transcriptions, images, LangChain, Pydantic AI: inclusive ``input_tokens``."""
    prompt = count(usage.get("input_tokens"))
    completion = count(usage.get("output_tokens"))
    duration = seconds(usage.get("seconds"))
    if prompt is None and completion is None and not duration:
        return None
    into = _either(usage, "input_tokens_details", "input_token_details")
    out = _either(usage, "output_tokens_details", "output_token_details")
    return Usage(
        model=text(reply.get("model")),
        service_tier=tier(reply.get("service_tier")),
        input_tokens=prompt or 0,
        output_tokens=completion or 0,
        cache_read_tokens=_any(into, "cached_tokens", "cache_read"),
        cache_write_tokens=_any(into, "cache_write_tokens", "cache_creation"),
        reasoning_tokens=_any(out, "reasoning_tokens", "reasoning"),
        audio_input_tokens=_any(into, "audio_tokens", "audio"),
        audio_output_tokens=_any(out, "audio_tokens", "audio"),
        image_input_tokens=_any(into, "image_tokens"),
        image_output_tokens=_any(out, "image_tokens"),
        web_searches=_searches(reply),
        seconds=duration,
        images=len(items(reply.get("data"))) if into.get("image_tokens") is not None else 0,
        image_size=text(reply.get("size")),
        image_quality=text(reply.get("quality")),
    )


def _either(usage: View, *names: str) -> View:
    for name in names:
        if usage.get(name) is not None:
            return _details(usage, name)
    return EMPTY


def _any(details: View, *names: str) -> int:
    for name in names:
        if (tokens := count(details.get(name))) is not None:
            return tokens
    return 0


def _searches(reply: View) -> int:
    """Paid searches of a Responses reply: opening a page that a search found is not one."""
    searches = 0
    for entry in items(reply.get("output")):
        item = view(entry)
        if item.get("type") == "web_search_call":
            searches += view(item.get("action")).get("type") in (None, "search")
    return searches


def read_images(reply: View) -> Usage | None:
    """Pictures of models that are billed for each (``data`` of URLs or base64), which carry no usage."""
    data = items(reply.get("data"))
    if not data or reply.get("created") is None:
        return None
    first = view(data[0])
    if text(first.get("url")) is None and text(first.get("b64_json")) is None:
        return None
    return Usage(
        model=text(reply.get("model")),
        images=len(data),
        image_size=text(reply.get("size")),
        image_quality=text(reply.get("quality")),
    )


def hidden_params(reply: object) -> View:
    """LiteLLM's parameters of a reply of its own; empty for others."""
    private = getattr(type(reply), "__private_attributes__", None)
    if private is None:
        hidden = view(reply).get("_hidden_params")
    elif "_hidden_params" in private:
        hidden = (getattr(reply, "__pydantic_private__", None) or EMPTY).get("_hidden_params")
    else:
        return EMPTY
    return hidden if isinstance(hidden, dict) else EMPTY
