"""Bedrock's InvokeModel: counts in the HTTP headers, in the vendor's body, or in a stream's last chunk."""

from __future__ import annotations

import io
import json
from typing import Any

from allowance.replies.fields import View, count, items, text, tier, view
from allowance.replies.usage import Usage

__all__ = ["METRICS", "body_read_ahead", "chunk_of", "read_counts", "read_headers", "served"]

METRICS = "amazon-bedrock-invocationMetrics"
"""The field of a stream's last chunk that has the counts."""

_HEADERS = "x-amzn-bedrock-"


def read_headers(reply: View) -> Usage | None:
    """The counts in the headers of an answer to InvokeModel: input without the cache, as Converse has it."""
    headers = view(view(reply.get("ResponseMetadata")).get("HTTPHeaders"))
    prompt = count(headers.get(f"{_HEADERS}input-token-count"))
    output = count(headers.get(f"{_HEADERS}output-token-count"))
    if prompt is None and output is None:
        return None
    cached = count(headers.get(f"{_HEADERS}cache-read-input-token-count")) or 0
    written = count(headers.get(f"{_HEADERS}cache-write-input-token-count")) or 0
    return Usage(
        input_tokens=(prompt or 0) + cached + written,
        output_tokens=output or 0,
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )


def body_read_ahead(reply: View) -> Any:
    """The JSON of a body that the meter has read and put back; None for one that is yet to be read."""
    raw = getattr(reply.get("body"), "_raw_stream", None)
    return _parsed(raw.getvalue()) if isinstance(raw, io.BytesIO) else None


def read_counts(body: View) -> Usage | None:
    """The counts in the bodies and chunks of vendors that have their own words: Meta, Amazon's Titan."""
    metrics = view(body.get(METRICS))
    results = [view(each) for each in items(body.get("results"))]
    prompt = _first(body, "prompt_token_count", "inputTextTokenCount", "inputTokenCount")
    output = _first(body, "generation_token_count", "totalOutputTextTokenCount", "outputTokenCount")
    if output is None and results:
        output = sum(count(each.get("tokenCount")) or 0 for each in results)
    prompt = count(metrics.get("inputTokenCount")) if prompt is None else prompt
    output = count(metrics.get("outputTokenCount")) if output is None else output
    pictures = len(items(body.get("images")))
    if prompt is None and output is None and not pictures:
        return None
    cached = _first(body, "cacheReadInputTokenCount") or 0
    written = _first(body, "cacheWriteInputTokenCount") or 0
    return Usage(
        input_tokens=(prompt or 0) + cached + written,
        output_tokens=output or 0,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        images=pictures,
    )


def served(usage: Usage, reply: View) -> Usage:
    """The same as Bedrock bills it: for the model that was asked for, whatever its vendor calls it."""
    return usage._replace(
        model=None,
        provider="bedrock",
        service_tier=tier(text(reply.get("serviceTier"))),
        speed=text(reply.get("performanceConfigLatency")),
    )


def chunk_of(fields: View) -> Any:
    """What the vendor wrote into an event of InvokeModelWithResponseStream; None for any other event."""
    data = view(fields.get("chunk")).get("bytes")
    event = _parsed(data) if isinstance(data, bytes) else None
    if not isinstance(event, dict):
        return None
    for holder in (event, event.get("message")):
        if isinstance(holder, dict):
            holder.pop("model", None)  # see `served`
    return event


def _first(body: View, *names: str) -> int | None:
    return next((found for name in names if (found := count(body.get(name))) is not None), None)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
