"""`reply_id` and `inner_reply`: which reply it is, by the id that its provider gave it."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

import requests
from allowance.replies import Tally, inner_reply, reply_id


class Raises:
    @property
    def id(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"id": "chatcmpl-1"}, "chatcmpl-1"),
        (SimpleNamespace(id="msg_1"), "msg_1"),
        ({"response_id": "g"}, "g"),
        ({"responseId": "g"}, "g"),
        ({"type": "message_start", "message": {"id": "msg_1"}}, "msg_1"),
        ({"type": "response.created", "response": {"id": "resp_1"}}, "resp_1"),
        ({"id": "run-1", "response_metadata": {"id": "chatcmpl-1"}}, "chatcmpl-1"),
        ({"id": "run-1", "response_metadata": {"model": "gpt-4o"}}, "run-1"),
        ({"ResponseMetadata": {"RequestId": "aws"}}, "aws"),
        (httpx.Response(200, json={"id": "chatcmpl-1"}), "chatcmpl-1"),
        (httpx.Response(200, json=[{"id": "chatcmpl-1"}]), None),
        (httpx.Response(200, text="no json"), None),
        ({"id": ""}, None),
        ({"id": 5}, None),
        ({}, None),
        (None, None),
        ("chatcmpl-1", None),
        (Raises(), None),
        (Mock(), None),
    ],
)
def test_the_id_of_a_reply(reply: Any, expected: str | None) -> None:
    assert reply_id(reply) == expected


def test_the_id_of_a_streams_reply() -> None:
    chat = [{"model": "gpt-4o", "id": "chatcmpl-1", "choices": []}, {"model": "gpt-4o", "id": "chatcmpl-1"}]
    started = {"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5"}}
    claude = [started, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}]
    created = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-4o"}}
    responses = [created, {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "hi"}]
    for chunks, expected in ((chat, "chatcmpl-1"), (claude, "msg_1"), (responses, "resp_1"), (["hi"], None)):
        tally = Tally()
        for chunk in chunks:
            tally.see(chunk)
        assert tally.reply_id == expected


def test_the_vendors_reply_in_a_frameworks() -> None:
    for name in ("raw", "_raw_response", "raw_response"):
        assert inner_reply(SimpleNamespace(**{name: {"id": "chatcmpl-1"}})) == {"id": "chatcmpl-1"}
    assert inner_reply({"id": "chatcmpl-1"}) is None
    assert inner_reply(Mock()) is None
    assert inner_reply(httpx.Response(200)) is None
    raw = requests.Response()
    raw.status_code, raw.raw = 200, io.BytesIO(b'{"id": "chatcmpl-1"}')
    assert inner_reply(raw) is None  # its bytes are the caller's to read
    assert raw.json() == {"id": "chatcmpl-1"}
