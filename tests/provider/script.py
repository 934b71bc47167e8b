"""What the provider is told to answer, and what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = ["Call", "Reply"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer. The token counts are what the usage reports, whatever the texts are.

    Attributes:
        input_tokens: the whole input, cached tokens included (each format reports it in its own way).
        output_tokens: the whole output, reasoning included.
        usage: ``True`` reports usage; ``False`` leaves it out; ``"cap"`` reports as many output tokens as
            the call's cap allows (times its number of choices), and ``output_tokens`` where it has none;
            the reply then says, in the vendor's words, that its length ended it.
        text: the reply's text; ``chunks`` is in how many pieces a stream sends it.
        tool: the name and the JSON arguments of a tool call, which comes after the text.
        seconds: of sound, where the reply is billed by them; ``pages`` of a document.
        model: the model that the reply names; None echoes the request's.
        status: other than 200, an error in the vendor's shape. ``error`` is its message.
        delay: seconds before the first byte; ``chunk_delay`` before each piece of a stream.
        gate: an event to wait for before the first byte; ``chunk_gate`` before the second piece.
        counts: whether InvokeModel of Bedrock's says the counts in its headers too.
        drop: cut the connection without an answer.
        drop_after_chunks: cut it after so many pieces of a stream.
        cut: the cap ended it.
    """

    input_tokens: int = 10
    output_tokens: int = 5
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    usage: bool | Literal["cap"] = True
    text: str = "Hello, how can I help?"
    chunks: int = 3
    tool: tuple[str, str] | None = None
    seconds: float = 0
    pages: int = 1
    model: str | None = None
    service_tier: str | None = None
    status: int = 200
    error: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    extra_usage: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0
    chunk_delay: float = 0
    gate: threading.Event | None = None
    chunk_gate: threading.Event | None = None
    counts: bool = True
    drop: bool = False
    drop_after_chunks: int | None = None
    cut: bool = False

    def pieces(self) -> list[str]:
        """The text in ``chunks`` pieces (fewer where it has fewer characters)."""
        size = max(1, -(-len(self.text) // max(1, self.chunks)))
        return [self.text[at : at + size] for at in range(0, len(self.text), size)]

    def resolved(self, model: str, cap: int | None, choices: int) -> Reply:
        """The reply for one call: its model filled in, and ``"cap"`` turned into a number."""
        settled = replace(self, model=self.model or model)
        if self.usage != "cap" or cap is None:
            return settled
        return replace(settled, output_tokens=cap * choices, cut=True)

    def ending(self, whole: str, cut: str) -> str:
        """The vendor's word for why it ended: for a whole reply, or for one that was cut."""
        return cut if self.cut else whole


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived, and the reply that was chosen for it.

    Attributes:
        api: the wire format: ``"chat"``, ``"responses"``, ``"messages"``, ``"gemini"``, ... (see `routes`).
        body: the parsed JSON of the request, or the fields of its form.
        reply: the resolved reply: its ``input_tokens`` and ``output_tokens`` are what this call billed.
    """

    api: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    model: str
    stream: bool
    reply: Reply
