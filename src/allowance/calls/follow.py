"""What a call gave back that is not over yet, and the stand-ins that follow it to its end.

Decided by what the reply *is*, never by inspecting the function: the async SDKs' ``create`` are no
coroutine functions, and streams come from plain ones. A stand-in is a `wrapt.ObjectProxy`: it is an
instance of the SDK's own class, has all its attributes and methods, and settles the call at the first of
end, error, close, exit and garbage collection.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial, update_wrapper
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

import wrapt

from allowance.calls.overrun import watch
from allowance.calls.stack import push, suspend
from allowance.replies import Tally, is_manager, is_raw, is_stream, is_whole, member_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from allowance.calls.call import Call

__all__ = ["AsyncStream", "Manager", "RawReply", "Stream", "stand_in"]


def stand_in(reply: Any, call: Call) -> Any:
    """What to hand back instead of a reply that is not over yet; None for one that is."""
    kind = type(reply)
    if issubclass(kind, Awaitable):  # hasattr() would run the code of pydantic's metaclass
        return _awaited(reply, call)
    if kind in _STAND_INS:  # an inner metered call follows it already; this one only lets go
        call.covered()
        return reply
    if is_whole(kind):
        return None
    if is_stream(reply):
        call.tally = Tally()
        return _stream(reply, call)
    if is_raw(reply):
        return RawReply(reply, call) if _is_unread(reply) else None
    if is_manager(reply):
        call.sent = False
        return Manager(reply, call)
    key = member_stream(reply)
    if key is not None:
        call.tally = Tally()
        reply[key] = _stream(reply[key], call)
        return reply
    return None


def _stream(reply: Any, call: Call) -> Any:
    kind = type(reply)
    if isinstance(reply, (GeneratorType, AsyncGeneratorType)):
        call.sent = False  # nothing runs before the first step
    if not hasattr(kind, "__anext__"):
        return Stream(reply, call) if hasattr(kind, "__next__") else EventStream(reply, call)
    return BothStreams(reply, call) if hasattr(kind, "__next__") else AsyncStream(reply, call)


def _awaited(reply: Any, call: Call) -> Any:
    """A coroutine (or a future) that a plain function returned: awaited as if it had been declared so."""
    call.sent = not isinstance(reply, CoroutineType)
    return _Awaited(call, reply)()


class _Awaited:
    """Makes the coroutine; apart, so that one which is never awaited leaves no reference but its own."""

    __slots__ = ("call", "reply")

    def __init__(self, call: Call, reply: Any) -> None:
        self.call = call
        self.reply = reply

    async def __call__(self) -> Any:
        return await self.call.arun(self._reply, (), {})

    async def _reply(self) -> Any:
        return await self.reply


class _StandIn(wrapt.ObjectProxy[Any]):
    """Passes everything through, but for the ways in which a reply ends."""

    def __init__(self, wrapped: Any, call: Call) -> None:
        super().__init__(wrapped)
        self._self_call = call
        call.watch = watch(call)

    def __getattr__(self, name: str) -> Any:
        # Methods that are looked up by name, so that hasattr() stays true to the wrapped object.
        value = getattr(self.__wrapped__, name)
        wrap = _BY_NAME.get(name)
        return value if wrap is None or not callable(value) else update_wrapper(wrap(self, value), value)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> Any:
        return type(self)(copy.copy(self.__wrapped__), self._self_call)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def _self_step(self, step: Callable[..., Any], *args: Any) -> Any:
        """Take one step of the stream as the call itself, and look at what it gives."""
        call = self._self_call
        if call.watch is not None and call.watch.error is not None:
            raise call.watch.error
        call.sent = True
        handling = sys.exception()
        push(call.frame)
        try:
            chunk = step(*args)
            while call.keeps(chunk):
                call.see(chunk)
                chunk = step(*args)
        except StopIteration:
            call.stream_ended(complete=True)
            raise
        except BaseException as error:
            call.stream_failed(error, handling)
            raise
        finally:
            suspend(call.frame)
        call.see(chunk)
        if call.watch is not None and call.watch.due():
            call.watch.catch_up()
            if call.watch.error is not None:
                self._self_stop()
        return chunk

    def _self_stop(self) -> None:
        """Close a stream that no budget covers any more, and charge what was seen."""
        with suppress(Exception):
            getattr(self.__wrapped__, "close", _nothing)()
        self._self_call.stream_ended(complete=False)

    async def _self_astep(self, step: Callable[..., Any], *args: Any) -> Any:
        call = self._self_call
        if call.watch is not None and call.watch.error is not None:
            raise call.watch.error
        call.sent = True
        handling = sys.exception()
        push(call.frame)
        try:
            chunk = await step(*args)
            while call.keeps(chunk):
                call.see(chunk)
                chunk = await step(*args)
        except StopAsyncIteration:
            await call.aend(partial(call.stream_ended, complete=True))
            raise
        except BaseException as error:
            await call.aend(partial(call.stream_failed, error, handling))
            raise
        finally:
            suspend(call.frame)
        call.see(chunk)
        if call.watch is not None and call.watch.due():
            try:
                await call.aend(call.watch.catch_up)
            except BaseException as error:  # cancelled: nobody gets the chunk
                await call.aend(partial(call.stream_failed, error, handling))
                raise
            if call.watch.error is not None:
                await self._self_astop()
        return chunk

    async def _self_astop(self) -> None:
        call = self._self_call
        wrapped = self.__wrapped__
        try:
            with suppress(Exception):
                close: Any = getattr(wrapped, "aclose", None) or getattr(wrapped, "close", _nothing)
                closing = close()
                if hasattr(type(closing), "__await__"):
                    await closing
        finally:
            await call.aend(partial(call.stream_ended, complete=False))

    def __exit__(self, *exc: object) -> Any:
        try:
            return self.__wrapped__.__exit__(*exc)
        finally:
            self._self_call.stream_ended(complete=False)

    async def __aexit__(self, *exc: object) -> Any:
        call = self._self_call
        try:
            return await self.__wrapped__.__aexit__(*exc)
        finally:
            await call.aend(partial(call.stream_ended, complete=False))


def _nothing() -> None:
    """A stream that cannot be closed is only read no further."""


class _Sync(_StandIn):
    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self._self_step(self.__wrapped__.__next__)

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self


class _Async(_StandIn):
    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self._self_astep(self.__wrapped__.__anext__)

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self


class Stream(_Sync):
    """A stream that is iterated."""


class AsyncStream(_Async):
    """A stream that is iterated asynchronously."""


class EventStream(_StandIn):
    """A stream that is iterated and has no next of its own: botocore's."""

    def __iter__(self) -> Any:
        events = iter(self.__wrapped__)
        while True:
            try:
                event = self._self_step(events.__next__)
            except StopIteration:
                return
            yield event


class BothStreams(_Sync, _Async):
    """A stream that can be iterated either way: LiteLLM's."""


def _closing(proxy: _StandIn, close: Callable[..., Any]) -> Callable[..., Any]:
    """``close`` and its like: synchronous or not is told by what it gives back."""

    def closing(*args: Any, **kwargs: Any) -> Any:
        call = proxy._self_call
        try:
            result = close(*args, **kwargs)
        except BaseException:
            call.stream_ended(complete=False)
            raise
        if hasattr(type(result), "__await__"):
            return _aclosing(result, call)
        call.stream_ended(complete=False)
        return result

    return closing


async def _aclosing(closing: Any, call: Call) -> Any:
    try:
        return await closing
    finally:
        await call.aend(partial(call.stream_ended, complete=False))


def _stepping(proxy: _StandIn, step: Callable[..., Any]) -> Callable[..., Any]:
    """A generator's ``send`` and ``throw``."""
    return partial(proxy._self_step, step)


def _astepping(proxy: _StandIn, step: Callable[..., Any]) -> Callable[..., Any]:
    """An async generator's ``asend`` and ``athrow``."""
    return partial(proxy._self_astep, step)


_BY_NAME: dict[str, Callable[[_StandIn, Callable[..., Any]], Callable[..., Any]]] = {
    "close": _closing,
    "aclose": _closing,
    "send": _stepping,
    "throw": _stepping,
    "asend": _astepping,
    "athrow": _astepping,
}


class Manager(wrapt.ObjectProxy[Any]):
    """A manager that sends its request when it is entered (``messages.stream()``)."""

    def __init__(self, wrapped: Any, call: Call) -> None:
        super().__init__(wrapped)
        self._self_call = call
        self._self_stream: Any = None

    def __enter__(self) -> Any:
        self._self_stream = self._self_call.run(self.__wrapped__.__enter__, (), {})
        return self._self_stream

    def __exit__(self, *exc: object) -> Any:
        call = self._self_call
        push(call.frame)
        try:
            return self.__wrapped__.__exit__(*exc)
        finally:
            suspend(call.frame)
            _look_at_snapshot(self._self_stream, call)
            call.stream_ended(complete=False)

    async def __aenter__(self) -> Any:
        self._self_stream = await self._self_call.arun(self.__wrapped__.__aenter__, (), {})
        return self._self_stream

    async def __aexit__(self, *exc: object) -> Any:
        call = self._self_call
        push(call.frame)
        try:
            return await self.__wrapped__.__aexit__(*exc)
        finally:
            suspend(call.frame)
            _look_at_snapshot(self._self_stream, call)
            await call.aend(partial(call.stream_ended, complete=False))


def _look_at_snapshot(stream: Any, call: Call) -> None:
    """See what a helper kept of a stream that was read past the stand-in (``text_stream``)."""
    for name in ("current_message_snapshot", "current_completion_snapshot"):
        try:
            snapshot = getattr(stream, name, None)
        except AssertionError:  # the helpers assert that a message has begun
            continue
        if snapshot is not None and call.tally is not None:
            call.tally.see(snapshot)


class RawReply(wrapt.ObjectProxy[Any]):
    """A raw response whose body is yet to be read: followed through ``parse`` or to its ``close``."""

    def __init__(self, wrapped: Any, call: Call) -> None:
        super().__init__(wrapped)
        self._self_call = call
        self._self_parsed: Any = None

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """The parsed reply; a stream comes back followed."""
        parsed = self.__wrapped__.parse(*args, **kwargs)
        if hasattr(type(parsed), "__await__"):
            return self._self_aparse(parsed)
        if self._self_parsed is None:
            self._self_parsed = self._self_call.follow(parsed)
        return self._self_parsed

    async def _self_aparse(self, parsing: Any) -> Any:
        parsed = await parsing
        if self._self_parsed is None:
            self._self_parsed = await self._self_call.afollow(parsed)
        return self._self_parsed

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if name != "close":
            return value
        return partial(_close_raw, self, value)


def _close_raw(raw: RawReply, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    call = raw._self_call
    result = close(*args, **kwargs)
    if hasattr(type(result), "__await__"):
        return _aclose_raw(raw, result)
    call.finished(raw.__wrapped__)
    return result


async def _aclose_raw(raw: RawReply, closing: Coroutine[Any, Any, Any]) -> Any:
    call = raw._self_call
    result = await closing
    await call.aend(partial(call.finished, raw.__wrapped__))
    return result


def _is_unread(reply: Any) -> bool:
    response = getattr(reply, "http_response", None)
    return getattr(response, "is_stream_consumed", True) is False


_STAND_INS = frozenset({Stream, EventStream, AsyncStream, BothStreams, Manager, RawReply})
