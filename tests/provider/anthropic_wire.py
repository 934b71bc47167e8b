"""Anthropic's wire format: Messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]


def error(reply: Reply) -> Body:
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    return {
        "type": "error",
        "error": {"type": kinds.get(reply.status, "api_error"), "message": reply.error},
        "request_id": "req_1",
    }


def usage(reply: Reply, output_tokens: int) -> Body:
    """Anthropic's ``input_tokens`` leaves out what was read from the cache or written to it."""
    written = reply.cache_write + reply.cache_write_1h
    return {
        "input_tokens": reply.input_tokens - reply.cached - written,
        "cache_read_input_tokens": reply.cached,
        "cache_creation_input_tokens": written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": reply.cache_write,
            "ephemeral_1h_input_tokens": reply.cache_write_1h,
        },
        "output_tokens": output_tokens,
        "service_tier": reply.service_tier or "standard",
        **reply.extra_usage,
    }


def _message(reply: Reply, content: list[Body], stop: str | None, output_tokens: int) -> Body:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        **({"usage": usage(reply, output_tokens)} if reply.usage else {}),
        **reply.extra,
    }


def _stop(reply: Reply) -> str:
    return "tool_use" if reply.tool else reply.ending("end_turn", "max_tokens")


def messages(reply: Reply, _body: Body) -> Body:
    content: list[Body] = [{"type": "text", "text": reply.text}]
    if reply.tool is not None:
        name, arguments = reply.tool
        content.append({"type": "tool_use", "id": "toolu_1", "name": name, "input": json.loads(arguments)})
    return _message(reply, content, _stop(reply), reply.output_tokens)


def messages_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body]]:
    """``message_start`` has the exact input; ``message_delta`` the cumulative output."""
    yield False, {"type": "message_start", "message": _message(reply, [], None, min(1, reply.output_tokens))}
    yield False, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield False, {"type": "ping"}
    for piece in reply.pieces():
        delta = {"type": "text_delta", "text": piece}
        yield True, {"type": "content_block_delta", "index": 0, "delta": delta}
    yield False, {"type": "content_block_stop", "index": 0}
    if reply.tool is not None:
        name, arguments = reply.tool
        block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
        yield False, {"type": "content_block_start", "index": 1, "content_block": block}
        delta = {"type": "input_json_delta", "partial_json": arguments}
        yield True, {"type": "content_block_delta", "index": 1, "delta": delta}
        yield False, {"type": "content_block_stop", "index": 1}
    last: Body = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop(reply), "stop_sequence": None},
        "usage": {"output_tokens": reply.output_tokens},
    }
    yield False, last
    yield False, {"type": "message_stop"}
