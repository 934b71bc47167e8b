"""Ollama's wire format: lines of JSON, the last of which carries the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]

STREAM = "application/x-ndjson"


def cap_of(body: Body) -> int | None:
    cap = (body.get("options") or {}).get("num_predict")
    return None if cap is None else int(cap)


def choices_of(_body: Body) -> int:
    return 1


def error(reply: Reply) -> Body:
    return {"error": reply.error}


def _head(reply: Reply) -> Body:
    return {"model": reply.model, "created_at": "2026-01-01T00:00:00Z"}


def _counts(reply: Reply) -> Body:
    counts = {"prompt_eval_count": reply.input_tokens, "eval_count": reply.output_tokens}
    return {"done": True, "done_reason": reply.ending("stop", "length"), "total_duration": 1} | (
        counts if reply.usage else {}
    )


def _said(text: str) -> Body:
    return {"message": {"role": "assistant", "content": text}}


def chat(reply: Reply, _body: Body) -> Body:
    return _head(reply) | _said(reply.text) | _counts(reply)


def chat_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body]]:
    for piece in reply.pieces():
        yield True, _head(reply) | _said(piece) | {"done": False}
    yield False, _head(reply) | _said("") | _counts(reply)


def generate(reply: Reply, _body: Body) -> Body:
    return _head(reply) | {"response": reply.text} | _counts(reply)


def generate_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body]]:
    for piece in reply.pieces():
        yield True, _head(reply) | {"response": piece, "done": False}
    yield False, _head(reply) | {"response": ""} | _counts(reply)


def embed(reply: Reply, _body: Body) -> Body:
    return {
        "model": reply.model,
        "embeddings": [[0.25, -0.5]],
        "prompt_eval_count": reply.input_tokens,
        "total_duration": 1,
    }
