"""What a call gave back: a stream, a manager that opens one, a raw response, or a plain reply."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping
from types import AsyncGeneratorType
from typing import Any

from allowance.replies.fields import view

__all__ = [
    "body_of",
    "closings",
    "is_manager",
    "is_pending",
    "is_raw",
    "is_stream",
    "is_whole",
    "member_stream",
]

_NEVER = (str, bytes, bytearray, list, tuple, set, frozenset, Mapping, io.IOBase)


def is_whole(kind: type) -> bool:
    """Whether results of this type are over when they come: the models of pydantic, which most SDKs give."""
    return hasattr(kind, "__pydantic_fields__")


def is_stream(result: object) -> bool:
    """Whether a result is consumed piece by piece: it has ``__next__`` or ``__anext__``.

    Generators of both colours, the streams of openai, anthropic, google-genai and LiteLLM, botocore's
    event streams, any other iterator. Not files, texts, containers, nor replies that can be iterated.
    """
    kind = type(result)
    if is_whole(kind):
        return False
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        # What can be called is a mock: it would pass for anything.
        return not (callable(result) or isinstance(result, _NEVER) or _is_cursor(kind))
    return hasattr(kind, "get_initial_response") and hasattr(kind, "__iter__") and not callable(result)


def _is_cursor(kind: type) -> bool:
    # PEP 249: a database's cursor iterates too, and what it gives is no model's reply.
    return hasattr(kind, "execute") and hasattr(kind, "fetchone")


def is_pending(reply: object) -> bool:
    """Whether a reply is but the promise of one: OpenAI's ``background=True``, which runs on without us."""
    fields = view(reply)
    return fields.get("object") == "response" and fields.get("status") in ("queued", "in_progress")


def is_manager(result: object) -> bool:
    """Whether a result opens a stream when it is entered, and does nothing before.

    The managers of anthropic's and openai's ``stream()`` helpers and ``with_streaming_response``. Not
    files, locks or connections: a manager has nothing but its entering and leaving.
    """
    kind = type(result)
    if is_whole(kind):
        return False
    enters = hasattr(kind, "__enter__") and hasattr(kind, "__exit__")
    if not enters and not (hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__")):
        return False
    if isinstance(result, _NEVER) or callable(result) or is_stream(result) or is_raw(result):
        return False
    public = [name for name in dir(kind) if not name.startswith("_")]
    return not public


def is_raw(result: object) -> bool:
    """Whether a result wraps an HTTP response that is yet to be parsed (``with_raw_response``)."""
    kind = type(result)
    if is_whole(kind) or not callable(getattr(kind, "parse", None)):
        return False
    response = view(result).get("http_response")
    return response is not None and type(view(response).get("status_code")) is int


def body_of(result: object) -> object | None:
    """The JSON of an HTTP response whose content has been read, its own or that of a raw wrapper, or None.

    The wrapper's ``parse()`` is not called: the asynchronous one is a coroutine, and on a response that
    is still streaming it would consume the caller's reply.
    """
    response = view(result).get("http_response") if is_raw(result) else result
    fields = view(response)
    read = fields.get("json")
    if type(fields.get("status_code")) is not int:
        return None
    if not inspect.isroutine(read):
        return fields.get("data")  # Cohere's wrapper holds the reply, parsed
    if fields.get("_content_consumed") is False:  # requests would consume the stream; httpx refuses
        return None
    if inspect.iscoroutinefunction(read):
        return None
    try:
        body = read()
    except Exception:  # noqa: BLE001  # not JSON, or not read, or a look-alike: it carries no usage
        return None
    return body if isinstance(body, (dict, list)) else None


def member_stream(reply: object) -> str | None:
    """The key of the stream within a dict (Bedrock's ``converse_stream``: ``"stream"``), or None."""
    if isinstance(reply, dict):
        for name in ("stream", "body", "completion"):
            if name in reply and is_stream(reply[name]):
                return name
    return None


_SOURCES = (
    "response_stream",
    "completion_stream",
    "streaming_response",
    "response",
    "stream_iterator",
    "generator",
)


def closings(stream: object, *, awaited: bool = False) -> list[Callable[[], Any]]:
    """The ways to close a stream: its own, and those of what it reads from, outermost first.

    LiteLLM's streams cannot be closed synchronously, and some of those within not at all: what closes
    the connection is further down. With ``awaited`` what is called may give back something to await.
    """
    names = ("aclose", "close") if awaited else ("close",)
    found: list[Callable[[], Any]] = []
    source: Any = stream
    for _ in _SOURCES:
        fields = view(source)
        close = next((fields.get(name) for name in names if callable(fields.get(name))), None)
        if close is not None and (awaited or not inspect.iscoroutinefunction(close)):
            found.append(close)
        within = _within(source) or fields
        source = next((inner for name in _SOURCES if (inner := within.get(name)) is not None), None)
        if source is None:
            break
    return found


def _within(source: Any) -> dict[str, Any] | None:
    """What google-genai's asynchronous generators read from: a circle, which closing them leaves open."""
    frame = source.ag_frame if isinstance(source, AsyncGeneratorType) else None
    if frame is None or not str(frame.f_globals.get("__name__")).startswith("google.genai."):
        return None
    return dict(frame.f_locals)
