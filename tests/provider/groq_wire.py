"""Groq's wire format: OpenAI's, but that a stream's last chunk carries the usage unasked, in ``x_groq``."""

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
            times = {"prompt_time": 0.001, "completion_time": 0.002, "total_time": 0.003, "queue_time": 0.0}
            event = event | {"x_groq": {"id": "req_1", "usage": openai_wire.chat_usage(reply) | times}}
        yield is_piece, event
