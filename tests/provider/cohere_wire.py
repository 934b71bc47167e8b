"""Cohere's wire formats: chat (versions 1 and 2), embed and rerank: what is billed beside what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]


def _usage(reply: Reply) -> Body:
    """What is billed, and the raw counts, which are more."""
    billed = {"input_tokens": float(reply.input_tokens), "output_tokens": float(reply.output_tokens)}
    raw = {"input_tokens": reply.input_tokens + 60.0, "output_tokens": reply.output_tokens + 2.0}
    return {"billed_units": billed, "tokens": raw}


def chat(reply: Reply, _body: Body) -> Body:
    message = {"role": "assistant", "content": [{"type": "text", "text": reply.text}]}
    answer: Body = {"id": "c1", "finish_reason": reply.ending("COMPLETE", "MAX_TOKENS"), "message": message}
    return answer | ({"usage": _usage(reply)} if reply.usage else {})


def chat_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body | str]]:
    start = {
        "message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    }
    yield False, {"type": "message-start", "id": "c1", "delta": start}
    opening = {"message": {"content": {"type": "text", "text": ""}}}
    yield False, {"type": "content-start", "index": 0, "delta": opening}
    for piece in reply.pieces():
        delta = {"message": {"content": {"text": piece}}}
        yield True, {"type": "content-delta", "index": 0, "delta": delta}
    yield False, {"type": "content-end", "index": 0}
    end = {"finish_reason": reply.ending("COMPLETE", "MAX_TOKENS")} | (
        {"usage": _usage(reply)} if reply.usage else {}
    )
    yield False, {"type": "message-end", "id": "c1", "delta": end}
    yield False, "[DONE]"


def chat_v1(reply: Reply, _body: Body) -> Body:
    said = {
        "text": reply.text,
        "generation_id": "g1",
        "response_id": "r1",
        "finish_reason": reply.ending("COMPLETE", "MAX_TOKENS"),
    }
    return said | {"meta": {"api_version": {"version": "1"}, **_usage(reply)}}


def chat_v1_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Body]]:
    yield False, {"event_type": "stream-start", "is_finished": False, "generation_id": "g1"}
    for piece in reply.pieces():
        yield True, {"event_type": "text-generation", "is_finished": False, "text": piece}
    end = {
        "event_type": "stream-end",
        "is_finished": True,
        "finish_reason": reply.ending("COMPLETE", "MAX_TOKENS"),
    }
    yield False, end | {"response": chat_v1(reply, body)}


def embed(reply: Reply, _body: Body) -> Body:
    billed = {"billed_units": {"input_tokens": float(reply.input_tokens)}}
    vectors = {"float": [[0.25, -0.5]]}
    return {
        "id": "e1",
        "response_type": "embeddings_by_type",
        "embeddings": vectors,
        "texts": [],
        "meta": billed,
    }


def embed_v1(reply: Reply, _body: Body) -> Body:
    billed = {"billed_units": {"input_tokens": float(reply.input_tokens)}}
    said = {"id": "e1", "response_type": "embeddings_floats", "embeddings": [[0.25, -0.5]]}
    return said | {"texts": ["hello there"], "meta": billed}


def rerank(_reply: Reply, body: Body) -> Body:
    units = -(-len(body["documents"]) // 100)
    results = [{"index": 0, "relevance_score": 0.9}]
    return {"id": "r1", "results": results, "meta": {"billed_units": {"search_units": float(units)}}}
