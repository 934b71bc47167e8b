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
