"""`Body`: the body of an HTTP response that a user reads as bytes, understood as it passes."""

from __future__ import annotations

import json
from typing import Literal

__all__ = ["Body"]

_EVENTS = ("text/event-stream", "application/x-ndjson", "application/jsonl")


class Body:
    """Takes the pieces of one body, in order, whole or cut off.

    Of a stream of events no more is kept than the line that has not ended yet; of JSON the very pieces
    that pass, until it is read; of all else (sound, pictures) nothing.

    Attributes:
        kind: ``"events"`` (server-sent ones, or JSON by the line), ``"json"`` or ``"other"``.
    """

    __slots__ = ("_data", "_pieces", "_rest", "kind")

    def __init__(self, content_type: str) -> None:
        name = content_type.partition(";")[0].strip().lower()
        self.kind: Literal["events", "json", "other"] = "other"
        if name in _EVENTS:
            self.kind = "events"
        elif name.endswith("json"):
            self.kind = "json"
        self._rest = b""
        self._data: list[bytes] = []
        self._pieces: list[bytes] = []

    def take(self, piece: bytes) -> list[object]:
        """The events that this piece completes, each as its JSON says."""
        if self.kind == "json":
            self._pieces.append(piece)
        if self.kind != "events":
            return []
        *ended, self._rest = (self._rest + piece).split(b"\n")
        return [event for line in ended if (event := self._event(line.rstrip(b"\r"))) is not None]

    def end(self) -> object | None:
        """The JSON of the whole body, or of the last line of a stream; None where it cannot be read."""
        if self.kind == "events":
            line, self._rest = self._rest, b""
            return self._event(line) or self._event(b"")
        whole, self._pieces = b"".join(self._pieces), []
        return _json(whole)

    def _event(self, line: bytes) -> object | None:
        if line.startswith(b"{"):
            return _json(line)
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
            return None
        if line or not self._data:
            return None  # an event's name, a comment, or nothing at all
        data, self._data = b"\n".join(self._data), []
        return _json(data)


def _json(data: bytes) -> object | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None  # "[DONE]", or no JSON
    return found if isinstance(found, (dict, list)) else None
