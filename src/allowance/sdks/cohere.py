"""The cohere SDK, versions 1 and 2 of its API: the raw clients, in which every call of the others ends.

Its clients keep bound methods of their own from the moment they are made; the raw ones are looked up anew
by each call. A raw stream is a manager that sends its request when it is entered.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from allowance.sdks.hosts import provider_at
from allowance.sdks.lazy import carrying
from allowance.sdks.methods import Method, keyword_reader, method_points
from allowance.sdks.points import AttributePoint, Read, Run
from allowance.sdks.standing import read_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from allowance.calls.sdk_call import Meter, SdkCall
    from allowance.sdks.points import Point

__all__ = ["NOT_METERED", "POINTS"]

NOT_METERED = (
    "generate, classify, summarize, parse and audio (billed apart), embed jobs, batches and fine-tuning"
)


def _provider(raw: Any) -> str:
    ask = getattr(getattr(raw, "_client_wrapper", None), "get_base_url", None)
    url = ask() if callable(ask) else None
    host = urlsplit(url).hostname if isinstance(url, str) else None
    return provider_at(host or "") or "cohere"


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _chat(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Documents are part of the input as well."""
    documents = [{"role": "document", "content": [each]} for each in _items(kwargs.get("documents"))]
    return {**kwargs, "messages": [*_items(kwargs.get("messages")), *documents]}


def _chat_v1(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    said = [{"role": "system", "content": kwargs.get("preamble")}, *_items(kwargs.get("chat_history"))]
    asked = {"role": "user", "content": kwargs.get("message")}
    return _chat({**kwargs, "messages": [*said, asked]})


def _embed(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    given = (kwargs.get(name) for name in ("texts", "inputs", "images"))
    return {"model": kwargs.get("model"), "input": next((each for each in given if each), None)}


def _rerank(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: kwargs.get(name) for name in ("model", "query", "documents")}


_V1, _V2 = "cohere.raw_base_client", "cohere.v2.raw_client"

_METHODS = [
    method
    for owner in ("", "Async")
    for method in (
        Method(_V2, f"{owner}RawV2Client.chat", "chat", _chat),
        Method(_V2, f"{owner}RawV2Client.embed", "embeddings", _embed),
        Method(_V2, f"{owner}RawV2Client.rerank", "other", _rerank),
        Method(_V1, f"{owner}RawBaseCohere.chat", "chat", _chat_v1),
        Method(_V1, f"{owner}RawBaseCohere.embed", "embeddings", _embed),
        Method(_V1, f"{owner}RawBaseCohere.rerank", "other", _rerank),
    )
]

_STREAMS = [
    method
    for owner in ("", "Async")
    for method in (
        Method(_V2, f"{owner}RawV2Client.chat_stream", "chat", _chat, stream=True),
        Method(_V1, f"{owner}RawBaseCohere.chat_stream", "chat", _chat_v1, stream=True),
    )
]

_LAZY = (
    ("cohere.v2.client", "V2Client.chat_stream"),
    ("cohere.v2.client", "AsyncV2Client.chat_stream"),
    ("cohere.base_client", "BaseCohere.chat_stream"),
    ("cohere.base_client", "AsyncBaseCohere.chat_stream"),
)
"""Generators, which enter a raw stream at their first step. They are there without raw clients as well."""


def _followed(_original: Callable[..., Any], read: Read) -> Run:
    def run(
        meter: Meter, function: Callable[..., Any], raw: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = read_call(read, function, raw, args, kwargs)
        return function(*args, **kwargs) if call is None else _RawStream(meter, call)

    return run


class _RawStream:
    """Stands in for the manager of a raw stream: its request is metered when it is entered."""

    def __init__(self, meter: Meter, call: SdkCall) -> None:
        self._meter = meter
        self._call = call
        self._manager: Any = None
        self._response: Any = None
        self._events: Any = None

    def __enter__(self) -> Any:
        def enter(*args: Any, **kwargs: Any) -> Any:
            self._manager = self._call.function(*args, **kwargs)
            self._response = self._manager.__enter__()
            return _Events(self._response.data)

        self._events = self._meter.call(replace(self._call, function=enter))
        self._response._data = self._events  # noqa: SLF001  # its only place
        return self._response

    def __exit__(self, *exc: object) -> Any:
        try:
            return self._manager.__exit__(*exc)
        finally:
            self._events.close()

    async def __aenter__(self) -> Any:
        async def enter(*args: Any, **kwargs: Any) -> Any:
            self._manager = self._call.function(*args, **kwargs)
            self._response = await self._manager.__aenter__()
            return _AsyncEvents(self._response.data)

        self._events = await self._meter.acall(replace(self._call, function=enter))
        self._response._data = self._events  # noqa: SLF001  # its only place
        return self._response

    async def __aexit__(self, *exc: object) -> Any:
        try:
            return await self._manager.__aexit__(*exc)
        finally:
            await self._events.aclose()


class _Events:
    """The events of a stream whose request was sent already. A generator would pass for one that was not."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._events)

    def close(self) -> None:
        getattr(self._events, "close", bool)()


class _AsyncEvents:
    """`_Events`, asynchronously."""

    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._events)

    async def aclose(self) -> None:
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


POINTS: tuple[Point, ...] = (
    *method_points("cohere", _METHODS, _provider),
    *(
        AttributePoint(
            method.module,
            method.name,
            partial(_followed, read=keyword_reader("cohere", method, _provider)),
        )
        for method in _STREAMS
    ),
    *(AttributePoint(module, name, carrying, essential=False) for module, name in _LAZY),
)
