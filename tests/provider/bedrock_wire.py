"""Bedrock's wire formats: Converse, InvokeModel with several vendors' bodies, and AWS's event streams."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import TYPE_CHECKING, Any

from tests.provider import anthropic_wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]
    Event = tuple[str, Body]

STREAM = "application/vnd.amazon.eventstream"
METRICS = "amazon-bedrock-invocationMetrics"


def cap_of(body: Body) -> int | None:
    limits = body.get("inferenceConfig") or {}
    cap = (
        limits.get("maxTokens")
        or limits.get("max_new_tokens")
        or body.get("max_tokens")
        or body.get("max_gen_len")
    )
    return None if cap is None else int(cap)


def choices_of(_body: Body) -> int:
    return 1


def error(reply: Reply) -> Body:
    return {"message": reply.error}


def usage(reply: Reply) -> Body:
    """The input leaves out the cache."""
    written = reply.cache_write + reply.cache_write_1h
    counts: Body = {
        "inputTokens": reply.input_tokens - reply.cached - written,
        "outputTokens": reply.output_tokens,
        "totalTokens": reply.input_tokens + reply.output_tokens,
    }
    if reply.cached or written:
        counts |= {"cacheReadInputTokens": reply.cached, "cacheWriteInputTokens": written}
    if reply.cache_write_1h:
        counts["cacheDetails"] = [{"ttl": "1h", "inputTokens": reply.cache_write_1h}]
    return counts


def _closing(reply: Reply) -> Body:
    closing: Body = {"usage": usage(reply), "metrics": {"latencyMs": 1}}
    return closing | ({"serviceTier": {"type": reply.service_tier}} if reply.service_tier else {})


def converse(reply: Reply, _body: Body) -> Body:
    message = {"role": "assistant", "content": [{"text": reply.text}]}
    return {
        "output": {"message": message},
        "stopReason": reply.ending("end_turn", "max_tokens"),
        **_closing(reply),
        **reply.extra,
    }


def converse_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Event]]:
    yield False, ("messageStart", {"role": "assistant"})
    for piece in reply.pieces():
        yield True, ("contentBlockDelta", {"delta": {"text": piece}, "contentBlockIndex": 0})
    yield False, ("contentBlockStop", {"contentBlockIndex": 0})
    yield False, ("messageStop", {"stopReason": reply.ending("end_turn", "max_tokens")})
    if reply.usage:
        yield False, ("metadata", _closing(reply))


def count_headers(reply: Reply) -> dict[str, str]:
    if not (reply.usage and reply.counts):
        return {}
    written = reply.cache_write + reply.cache_write_1h
    counts = {
        "Input-Token-Count": reply.input_tokens - reply.cached - written,
        "Output-Token-Count": reply.output_tokens,
        "Cache-Read-Input-Token-Count": reply.cached,
        "Cache-Write-Input-Token-Count": written,
    }
    return {f"X-Amzn-Bedrock-{name}": str(tokens) for name, tokens in counts.items()}


def invoke(reply: Reply, body: Body) -> Body:
    if "anthropic_version" in body:
        return anthropic_wire.messages(reply, body)
    if "inferenceConfig" in body:
        return converse(reply, body)
    if "imageGenerationConfig" in body:
        return {"images": ["aGk="] * body["imageGenerationConfig"]["numberOfImages"]}
    if "inputText" in body:
        result = {
            "tokenCount": reply.output_tokens,
            "outputText": reply.text,
            "completionReason": reply.ending("FINISH", "LENGTH"),
        }
        return {"inputTextTokenCount": reply.input_tokens, "results": [result]}
    counts = {"prompt_token_count": reply.input_tokens, "generation_token_count": reply.output_tokens}
    return {
        "generation": reply.text,
        "stop_reason": reply.ending("stop", "length"),
        **(counts if reply.usage else {}),
    }


def invoke_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Event]]:
    if "anthropic_version" in body:
        events = list(anthropic_wire.messages_stream(reply, body))
    elif "inferenceConfig" in body:
        events = [(is_piece, {kind: event}) for is_piece, (kind, event) in converse_stream(reply, body)]
    elif "inputText" in body:
        events = [(True, {"outputText": piece, "index": 0}) for piece in reply.pieces()]
        events.append((False, {"outputText": "", "totalOutputTextTokenCount": reply.output_tokens}))
    else:
        events = [(True, {"generation": piece, "stop_reason": None}) for piece in reply.pieces()]
        events.append((False, {"generation": "", "stop_reason": reply.ending("stop", "length")}))
    counts = usage(reply)
    metrics = {
        "inputTokenCount": counts["inputTokens"],
        "outputTokenCount": counts["outputTokens"],
        "cacheReadInputTokenCount": reply.cached,
        "cacheWriteInputTokenCount": reply.cache_write + reply.cache_write_1h,
    }
    if reply.usage:
        events[-1] = (False, events[-1][1] | {METRICS: metrics})
    for is_piece, event in events:
        data = base64.b64encode(json.dumps(event).encode()).decode()
        yield is_piece, ("chunk", {"bytes": data})


def lines(events: Iterator[tuple[bool, Event]]) -> Iterator[tuple[bool, bytes]]:
    for is_piece, (kind, event) in events:
        yield is_piece, _message(kind, json.dumps(event).encode())


def _message(kind: str, payload: bytes) -> bytes:
    """One message of an AWS event stream: lengths and their checksum, headers, payload, checksum."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in named.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", binascii.crc32(message))
