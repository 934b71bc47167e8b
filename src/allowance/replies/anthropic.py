"""Anthropic's Messages API, and Bedrock's Converse, which counts the same way: input without the cache."""

from __future__ import annotations

from allowance.replies.fields import View, count, items, text, tier, view
from allowance.replies.usage import Usage

__all__ = ["read_converse", "read_messages"]


def read_messages(reply: View, usage: View) -> Usage | None:
    """Anthropic: the whole input is ``input_tokens`` + cache reads + cache writes; output is inclusive."""
    read = _tokens(usage)
    if read is None:
        return None
    tools = view(usage.get("server_tool_use"))
    read = read._replace(
        model=text(reply.get("model")),
        service_tier=tier(usage.get("service_tier")),
        speed=text(usage.get("speed")),
        region=_region(usage),
        web_searches=count(tools.get("web_search_requests")) or 0,
    )
    entries = items(usage.get("iterations"))
    return _with_iterations(read, entries) if entries else read


def _tokens(usage: View) -> Usage | None:
    prompt = count(usage.get("input_tokens"))
    output = count(usage.get("output_tokens"))
    if prompt is None and output is None:
        return None
    cached = count(usage.get("cache_read_input_tokens")) or 0
    written = count(usage.get("cache_creation_input_tokens")) or 0
    terms = view(usage.get("cache_creation"))
    hour = count(terms.get("ephemeral_1h_input_tokens")) or 0
    written = max(written, hour + (count(terms.get("ephemeral_5m_input_tokens")) or 0))
    return Usage(
        input_tokens=(prompt or 0) + cached + written,
        output_tokens=output or 0,
        cache_read_tokens=cached,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=count(view(usage.get("output_tokens_details")).get("thinking_tokens")) or 0,
    )


def _region(usage: View) -> str | None:
    region = text(usage.get("inference_geo"))
    return None if region == "not_available" else region


def _with_iterations(whole: Usage, entries: list[object] | tuple[object, ...]) -> Usage:
    """Add what a beta reply's iterations bill besides the totals, or under another model.

    Compactions are not in the totals (so say the SDK's own notes). Of an advisor's and a fallback's
    iterations the notes do not say it: where the totals are those of the message iterations alone they
    come on top, and where the totals cover everything they are taken out and billed for their own model.
    """
    own, others, compactions = (0, 0), [], []
    for entry in entries:
        fields = view(entry)
        part = _tokens(fields)
        if part is None:
            continue
        model = text(fields.get("model")) or whole.model
        part = part._replace(
            model=model,
            service_tier=whole.service_tier,
            speed=whole.speed,
            region=whole.region,
            requests=0,
        )
        if fields.get("type") == "compaction":
            compactions.append(part)
        elif fields.get("type") == "message" or model == whole.model:
            own = (own[0] + part.input_tokens, own[1] + part.output_tokens)
        else:
            others.append(part)
    if others and (whole.input_tokens, whole.output_tokens) != own and _covers(whole, own, others):
        whole = _without(whole, others)
    return whole._replace(parts=(*others, *compactions))


def _covers(whole: Usage, own: tuple[int, int], others: list[Usage]) -> bool:
    return (whole.input_tokens, whole.output_tokens) == (
        own[0] + sum(part.input_tokens for part in others),
        own[1] + sum(part.output_tokens for part in others),
    )


def _without(whole: Usage, others: list[Usage]) -> Usage:
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
    )
    rest = {name: max(getattr(whole, name) - sum(getattr(p, name) for p in others), 0) for name in names}
    return whole._replace(**rest)


def read_converse(reply: View, usage: View) -> Usage | None:
    """Bedrock Converse: plain dicts in camel case, and no model, unless a prompt router chose one."""
    prompt = count(usage.get("inputTokens"))
    output = count(usage.get("outputTokens"))
    if prompt is None and output is None:
        return None
    cached = count(usage.get("cacheReadInputTokens")) or 0
    written = count(usage.get("cacheWriteInputTokens")) or 0
    hour = 0
    for entry in items(usage.get("cacheDetails")):
        fields = view(entry)
        if fields.get("ttl") == "1h":
            hour += count(fields.get("inputTokens")) or 0
    router = view(view(reply.get("trace")).get("promptRouter"))
    return Usage(
        model=text(router.get("invokedModelId")),
        provider="bedrock",
        service_tier=tier(view(reply.get("serviceTier")).get("type")),
        speed=text(view(reply.get("performanceConfig")).get("latency")),
        input_tokens=(prompt or 0) + cached + written,
        output_tokens=output or 0,
        cache_read_tokens=cached,
        cache_write_tokens=max(written - hour, 0),
        cache_write_1h_tokens=min(hour, written) if written else hour,
    )
