"""Streams that send nothing before they are read, and so would forget the block that they were begun in.

google-genai's are such generators: the request goes out at the first item, which may be read after the block
has closed, or in another one. Each step of theirs is therefore run in the context in which they were made.
So is the request of a manager that sends it when it is entered: those of openai's and anthropic's helpers.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from contextvars import Context

    from allowance.calls.sdk_call import Meter
    from allowance.sdks.standing import Run

__all__ = ["carrying", "carrying_request"]


def carrying(original: Callable[..., Any]) -> Run:
    """Call a function whose result is read lazily: it keeps the context of the call."""
    if not inspect.iscoroutinefunction(original):
        steps: Callable[..., Any] = _asteps if inspect.isasyncgenfunction(original) else _steps

        def run(
            meter: Meter, function: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            return _carrying(steps, meter, function(*args, **kwargs))

        return run

    async def arun(
        meter: Meter, function: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return _carrying(_asteps, meter, await function(*args, **kwargs))

    return arun


def _carrying(steps: Callable[[Context, Any], Any], meter: Meter, stream: Any) -> Any:
    carried = steps(meter.carried(), stream)
    for name in ("__name__", "__qualname__"):  # it is shown as the SDK's own generator is
        setattr(carried, name, getattr(stream, name, getattr(carried, name)))
    return carried


def carrying_request(_: Callable[..., Any]) -> Run:
    """Make a manager, whose first argument sends its request: a function, or what is awaited."""

    def run(
        meter: Meter, function: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if args:
            return function(_carried(meter, args[0]), *args[1:], **kwargs)
        named = {name: _carried(meter, kwargs[name]) for name in _REQUESTS if name in kwargs}
        return function(*args, **{**kwargs, **named})

    return run


_REQUESTS = ("api_request", "request_func")


def _carried(meter: Meter, request: Any) -> Any:
    if isinstance(request, Awaitable):
        return _Within(meter.carried(), request)
    return partial(meter.carried().run, request) if callable(request) else request


def _steps(context: Context, stream: Iterator[Any]) -> Iterator[Any]:
    done = object()
    try:
        while (item := context.run(next, stream, done)) is not done:
            yield item
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            context.run(close)


async def _asteps(context: Context, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        while True:
            try:
                item = await _Within(context, stream.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await _Within(context, close())


class _Within:
    """An awaitable whose every step runs in another context. The task that awaits it stays the same."""

    def __init__(self, context: Context, awaitable: Awaitable[Any]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._context.run(self._awaitable.__await__)
        step, value = steps.send, None
        while True:
            try:
                awaited = self._context.run(step, value)
            except StopIteration as stop:
                return stop.value
            try:
                step, value = steps.send, (yield awaited)
            except GeneratorExit:
                self._context.run(steps.close)
                raise
            except BaseException as error:  # noqa: BLE001 - a cancellation too belongs to the inner steps
                step, value = steps.throw, error
