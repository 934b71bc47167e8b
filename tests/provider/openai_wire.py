"""OpenAI's wire formats: Chat Completions, Completions, Embeddings and Responses."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]

CREATED = 1_700_000_000


def cap_of(body: Body) -> int | None:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        if body.get(name) is not None:
            return int(body[name])
    return None


def choices_of(body: Body) -> int:
    return int(body.get("n") or 1)


def error(reply: Reply) -> Body:
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_exceeded"}
    return {
        "error": {
            "message": reply.error,
            "type": kinds.get(reply.status, "server_error"),
            "param": None,
            "code": kinds.get(reply.status),
        }
    }


def chat_usage(reply: Reply) -> Body:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": reply.cached,
            "cache_write_tokens": reply.cache_write + reply.cache_write_1h,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        **reply.extra_usage,
    }


def _head(reply: Reply, kind: str) -> Body:
    head = {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": reply.model, **reply.extra}
    return head | ({"service_tier": reply.service_tier} if reply.service_tier else {})


def _calls(reply: Reply) -> list[Body]:
    if reply.tool is None:
        return []
    name, arguments = reply.tool
    return [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]


def chat(reply: Reply, body: Body) -> Body:
    calls = _calls(reply)
    message: Body = {"role": "assistant", "content": reply.text, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    choice = {
        "message": message,
        "finish_reason": "tool_calls" if calls else reply.ending("stop", "length"),
        "logprobs": None,
    }
    answer = _head(reply, "chat.completion")
    answer["choices"] = [{"index": index, **choice} for index in range(choices_of(body))]
    return answer | ({"usage": chat_usage(reply)} if reply.usage else {})


def chat_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Body | str]]:
    """The events of a stream, each with whether it carries a piece of the text."""
    asked = bool((body.get("stream_options") or {}).get("include_usage")) and bool(reply.usage)
    head = _head(reply, "chat.completion.chunk") | ({"usage": None} if asked else {})

    def chunk(delta: Body, finish: str | None = None, index: int = 0) -> Body:
        return head | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}

    for index in range(choices_of(body)):
        yield False, chunk({"role": "assistant", "content": "", "refusal": None}, index=index)
        for piece in reply.pieces():
            yield True, chunk({"content": piece}, index=index)
        for call in _calls(reply):
            function = call["function"]
            start = {"index": 0, **call, "function": {"name": function["name"], "arguments": ""}}
            yield False, chunk({"tool_calls": [start]}, index=index)
            rest = {"index": 0, "function": {"arguments": function["arguments"]}}
            yield True, chunk({"tool_calls": [rest]}, index=index)
        yield False, chunk({}, "tool_calls" if reply.tool else reply.ending("stop", "length"), index)
    if asked:
        yield False, head | {"choices": [], "usage": chat_usage(reply)}
    yield False, "[DONE]"


def completions(reply: Reply, body: Body) -> Body:
    answer = _head(reply, "text_completion")
    choice = {"text": reply.text, "finish_reason": reply.ending("stop", "length"), "logprobs": None}
    answer["choices"] = [{"index": index, **choice} for index in range(choices_of(body))]
    return answer | ({"usage": chat_usage(reply)} if reply.usage else {})


def completions_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Body | str]]:
    head = _head(reply, "text_completion")
    for piece in reply.pieces():
        yield True, head | {"choices": [{"index": 0, "text": piece, "finish_reason": None, "logprobs": None}]}
    yield (
        False,
        head
        | {
            "choices": [
                {"index": 0, "text": "", "finish_reason": reply.ending("stop", "length"), "logprobs": None}
            ]
        },
    )
    if reply.usage and (body.get("stream_options") or {}).get("include_usage"):
        yield False, head | {"choices": [], "usage": chat_usage(reply)}
    yield False, "[DONE]"


def embeddings(reply: Reply, body: Body) -> Body:
    inputs = body.get("input", "")
    count = len(inputs) if isinstance(inputs, list) and not isinstance(inputs[0], int) else 1
    vector: Any = [0.25, -0.5]
    if body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
    usage = {"prompt_tokens": reply.input_tokens, "total_tokens": reply.input_tokens}
    return {"object": "list", "data": data, "model": reply.model} | ({"usage": usage} if reply.usage else {})


def responses(reply: Reply, _body: Body) -> Body:
    output = [_message(reply, reply.text, "completed")]
    if reply.tool is not None:
        output.append(_function_call(reply, reply.tool[1], "completed"))
    usage = {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {
            "cached_tokens": reply.cached,
            "cache_write_tokens": reply.cache_write + reply.cache_write_1h,
        },
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning},
        "total_tokens": reply.input_tokens + reply.output_tokens,
        **reply.extra_usage,
    }
    return _response(reply, reply.ending("completed", "incomplete"), output) | {
        "usage": usage if reply.usage else None
    }


def _response(reply: Reply, status: str, output: list[Body]) -> Body:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "service_tier": reply.service_tier or "default",
        "usage": None,
        **reply.extra,
    }


def _message(reply: Reply, text: str, status: str) -> Body:
    parts = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": parts}


def _function_call(reply: Reply, arguments: str, status: str) -> Body:
    name = reply.tool[0] if reply.tool else ""
    return {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def responses_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Body | str]]:
    number = iter(range(1_000_000))

    def event(kind: str, **fields: Any) -> Body:
        return {"type": kind, "sequence_number": next(number), **fields}

    opening = _response(reply, "in_progress", [])
    yield False, event("response.created", response=opening)
    yield False, event("response.in_progress", response=opening)
    item = _message(reply, "", "in_progress")
    yield False, event("response.output_item.added", output_index=0, item=item)
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    yield False, event("response.content_part.added", **at, part=part)
    for piece in reply.pieces():
        yield True, event("response.output_text.delta", **at, delta=piece, logprobs=[])
    yield False, event("response.output_text.done", **at, text=reply.text, logprobs=[])
    yield False, event("response.content_part.done", **at, part=part | {"text": reply.text})
    done = _message(reply, reply.text, "completed")
    yield False, event("response.output_item.done", output_index=0, item=done)
    if reply.tool is not None:
        yield from _function_call_events(reply, event)
    kind = reply.ending("response.completed", "response.incomplete")
    yield False, event(kind, response=responses(reply, body))


def _function_call_events(reply: Reply, event: Any) -> Iterator[tuple[bool, Body]]:
    name, arguments = reply.tool or ("", "")
    at = {"item_id": "fc_1", "output_index": 1}
    opening = _function_call(reply, "", "in_progress")
    yield False, event("response.output_item.added", output_index=1, item=opening)
    yield True, event("response.function_call_arguments.delta", **at, delta=arguments)
    yield False, event("response.function_call_arguments.done", **at, name=name, arguments=arguments)
    done = _function_call(reply, arguments, "completed")
    yield False, event("response.output_item.done", output_index=1, item=done)


def lines(events: Iterator[tuple[bool, Body | str]], *, named: bool) -> Iterator[tuple[bool, bytes]]:
    """Server-sent events: ``data`` alone (chat), or with the event's name (Responses)."""
    for is_piece, event in events:
        if isinstance(event, str):
            yield is_piece, f"data: {event}\n\n".encode()
            continue
        name = f"event: {event['type']}\n" if named else ""
        yield is_piece, f"{name}data: {json.dumps(event)}\n\n".encode()
