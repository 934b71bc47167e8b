"""Mistral's wire format: OpenAI's, but that a stream's last chunk always carries the usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.provider import openai_wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]


def chat_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Body | str]]:
    for is_piece, event in openai_wire.chat_stream(reply, body):
        last = isinstance(event, dict) and any(each["finish_reason"] for each in event["choices"])
        if isinstance(event, dict) and last and reply.usage:
            event = event | {"usage": openai_wire.chat_usage(reply)}
        yield is_piece, event


def embeddings(reply: Reply, body: Body) -> Body:
    return openai_wire.embeddings(reply, body) | {"id": "emb_1"}


def ocr(reply: Reply, _body: Body) -> Body:
    """Billed by the page."""
    size = {"dpi": 200, "height": 10, "width": 10}
    page = {"markdown": reply.text, "images": [], "dimensions": size}
    pages = [{"index": index, **page} for index in range(reply.pages)]
    counts = {"pages_processed": reply.pages, "doc_size_bytes": 100}
    return {"pages": pages, "model": reply.model, "usage_info": counts}


def _heard(reply: Reply) -> Body:
    """Billed by the second, beside the tokens."""
    said: Body = {"model": reply.model, "text": reply.text, "language": "en", "segments": []}
    counts = {
        "prompt_audio_seconds": reply.seconds,
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    return said | {"usage": counts}


def transcription(reply: Reply, _body: Body) -> Body:
    return _heard(reply)


def transcription_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body]]:
    for piece in reply.pieces():
        yield True, {"type": "transcription.text.delta", "text": piece}
    yield False, {"type": "transcription.done", **_heard(reply)}
