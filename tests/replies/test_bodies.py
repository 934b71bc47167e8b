"""Bodies that pass as bytes: in whatever pieces they come, the same is understood, and no more is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from allowance.replies import Body

EVENTS: dict[str, tuple[str, bytes]] = {
    "server-sent": (
        "text/event-stream; charset=utf-8",
        b'data: {"a": 1}\n\ndata: {"a": 2}\n\ndata: [DONE]\n\n',
    ),
    "named, with comments": (
        "text/event-stream",
        b': hello\nevent: x\nid: 7\ndata: {"a": 1}\n\nevent: y\ndata: {"a": 2}\n\n',
    ),
    "CRLF": ("Text/Event-Stream", b'data: {"a": 1}\r\n\r\ndata: {"a": 2}\r\n\r\n'),
    "no space": ("text/event-stream", b'data:{"a": 1}\n\ndata:{"a": 2}\n\n'),
    "several lines": ("text/event-stream", b'data: {"a":\ndata: 1}\n\ndata: {"a": 2}\n\n'),
    "cut at the end": ("text/event-stream", b'data: {"a": 1}\n\ndata: {"a": 2}'),
    "by the line": ("application/x-ndjson", b'{"a": 1}\n{"a": 2}\n'),
    "by the line, cut": ("application/x-ndjson", b'{"a": 1}\n{"a": 2}'),
    "not JSON": ("text/event-stream", b'data: {"a": 1}\n\ndata: {"a"\n\ndata: 5\n\ndata: {"a": 2}\n\n'),
}


def understood(body: Body, pieces: list[bytes]) -> list[Any]:
    events = [event for piece in pieces for event in body.take(piece)]
    last = body.end()
    return events if last is None else [*events, last]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", EVENTS)
def test_events_in_pieces_of_any_size(name: str, size: int) -> None:
    kind, data = EVENTS[name]
    body = Body(kind)
    assert body.kind == "events"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert understood(body, pieces) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.api+json; charset=utf-8"])
def test_json_is_read_as_a_whole(kind: str) -> None:
    body = Body(kind)
    said = {"usage": {"input_tokens": 1}, "text": "é" * 9}
    data = json.dumps(said, ensure_ascii=False).encode()
    assert [body.take(data[at : at + 5]) for at in range(0, len(data), 5)] == [[]] * -(-len(data) // 5)
    assert body.end() == said


@pytest.mark.parametrize("data", [b"", b"{", b'"text"', b"5", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_object_says_nothing(data: bytes) -> None:
    for kind in ("application/json", "text/event-stream"):
        body = Body(kind)
        assert understood(body, [b"data: " + data if kind.startswith("text") else data]) == []


def test_of_sound_nothing_is_kept() -> None:
    body = Body("audio/mpeg")
    assert body.take(b"x" * 100) == []
    assert body._pieces == []
    assert body._rest == b""
    assert body.end() is None
