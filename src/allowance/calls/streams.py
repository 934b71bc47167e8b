"""The stand-in for a stream: it looks at each chunk that passes, and ends its call when the stream ends."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar

from allowance.calls.overrun import watch
from allowance.calls.stack import push, suspend
from allowance.calls.standins import StandIn, stand_for
from allowance.replies import Tally, closings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from allowance.calls.call import Call

__all__ = ["Stream", "closed", "stream"]


def stream(reply: Any, call: Call) -> Any:
    """The stand-in that follows a stream, of either colour or both."""
    call.tally = Tally()
    if isinstance(reply, (GeneratorType, AsyncGeneratorType)):
        call.sent = False  # nothing runs before the first step
    return stand_for(Stream, reply, call)


def closed(followed: StandIn, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``close`` and its like: synchronous or not is told by what it gives back."""
    call = followed._self_call
    try:
        result = close(*args, **kwargs)
    except BaseException:
        call.end(partial(call.stream_ended, complete=False))
        raise
    if hasattr(type(result), "__await__"):
        return _aclosed(result, call)
    call.end(partial(call.stream_ended, complete=False))
    return result


async def _aclosed(closing: Any, call: Call) -> Any:
    try:
        return await closing
    finally:
        await call.aend(partial(call.stream_ended, complete=False))


class _Response(StandIn):
    """The HTTP response that a stream reads from."""

    __slots__ = ()
    _self_methods: ClassVar[dict[str, Any]] = {"close": closed, "aclose": closed}


class Stream(StandIn):
    """A stream that is followed.

    Where we asked for its usage, the chunk after the one that finishes it is read at once: users may
    leave off there, and the usage that comes next would never be seen. It is ours; any other, or an
    error, waits for the next step (``_self_ahead``).
    """

    __slots__ = ("_self_ahead", "_self_looked", "_self_response")

    def __init__(self, wrapped: Any, call: Call) -> None:
        super().__init__(wrapped, call)
        self._self_ahead: Callable[[], Any] | None = None
        self._self_looked = False
        self._self_response: Any = None
        call.watch = watch(call)
        call.frame.reading = call.frame.layer

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name != "response" else self._self_its_response()

    def _self_its_response(self) -> Any:
        """The HTTP response, which openai's helpers close in the stream's place."""
        response = self._self_wrapped.response
        if not hasattr(type(response), "iter_raw"):
            return response
        if self._self_response is None or self._self_response._self_wrapped is not response:
            self._self_response = stand_for(_Response, response, self._self_call)
        return self._self_response

    # -- one step, in both colours -----------------------------------------------------------------------

    def _self_step(self, step: Callable[..., Any], *args: Any) -> Any:
        """Take one step of the stream as the call itself, and look at what it gives."""
        call = self._self_call
        watch = call.watch
        if watch is not None and watch.error is not None:
            raise watch.error
        if self._self_ahead is not None:
            ahead, self._self_ahead = self._self_ahead, None
            return ahead()
        chunk = self._self_take(step, *args)
        while call.keeps(chunk):
            chunk = self._self_take(step, *args)
        if self._self_is_last():
            self._self_look_ahead(step, chunk)
        if watch is not None and watch.due():
            watch.catch_up()
            if watch.error is not None:
                self._self_stop()
        return chunk

    def _self_take(self, step: Callable[..., Any], *args: Any) -> Any:
        call = self._self_call
        call.sent = True
        handling = sys.exception()
        push(call.frame)
        try:
            chunk = step(*args)
        except StopIteration:
            call.frame.over()
            call.stream_ended(complete=True)
            raise
        except BaseException as error:
            call.frame.over()
            call.stream_failed(error, handling)
            raise
        finally:
            suspend(call.frame)
        call.see(chunk)
        return chunk

    def _self_is_last(self) -> bool:
        """Whether all has come but the usage that we asked for."""
        call = self._self_call
        if call.asking is None or self._self_looked or call.tally is None or call.request is None:
            return False
        tally = call.tally
        return call.asking.asked and tally.ended >= call.request.choices and not tally.reports

    def _self_look_ahead(self, step: Callable[..., Any], last: Any) -> None:
        self._self_looked = True
        try:
            chunk = self._self_take(step)
        except Exception as error:  # noqa: BLE001  # it belongs to the next step
            self._self_ahead = partial(_raised, error)
        except BaseException:  # an interrupt is raised now, and the chunk is not lost
            self._self_ahead = partial(_given, last)
            raise
        else:
            self._self_waits(chunk)

    def _self_waits(self, chunk: Any) -> None:
        if not self._self_call.keeps(chunk):
            self._self_ahead = partial(_given, chunk)

    async def _self_astep(self, step: Callable[..., Any], *args: Any) -> Any:
        call = self._self_call
        watch = call.watch
        if watch is not None and watch.error is not None:
            raise watch.error
        if self._self_ahead is not None:
            ahead, self._self_ahead = self._self_ahead, None
            return ahead()
        chunk = await self._self_atake(step, *args)
        while call.keeps(chunk):
            chunk = await self._self_atake(step, *args)
        if self._self_is_last():
            await self._self_alook_ahead(step, chunk)
        if watch is not None and watch.due():
            handling = sys.exception()
            try:
                await call.aend(watch.catch_up)
            except BaseException as error:  # cancelled: nobody gets the chunk
                await call.aend(partial(call.stream_failed, error, handling))
                raise
            if watch.error is not None:
                await self._self_astop()
        return chunk

    async def _self_atake(self, step: Callable[..., Any], *args: Any) -> Any:
        call = self._self_call
        call.sent = True
        handling = sys.exception()
        push(call.frame)
        try:
            chunk = await step(*args)
        except StopAsyncIteration:
            call.frame.over()
            await call.aend(partial(call.stream_ended, complete=True))
            raise
        except BaseException as error:
            call.frame.over()
            await call.aend(partial(call.stream_failed, error, handling))
            raise
        finally:
            suspend(call.frame)
        call.see(chunk)
        return chunk

    async def _self_alook_ahead(self, step: Callable[..., Any], last: Any) -> None:
        self._self_looked = True
        try:
            chunk = await self._self_atake(step)
        except Exception as error:  # noqa: BLE001  # it belongs to the next step
            self._self_ahead = partial(_raised, error)
        except BaseException:
            self._self_ahead = partial(_given, last)
            raise
        else:
            self._self_waits(chunk)

    # -- an end that the user makes, or the budget -------------------------------------------------------

    def _self_stop(self) -> None:
        """Close a stream that no budget covers any more, and charge what was seen."""
        for close in closings(self._self_wrapped):
            with suppress(Exception):
                close()
        self._self_call.stream_ended(complete=False)

    async def _self_astop(self) -> None:
        try:
            for close in closings(self._self_wrapped, awaited=True):
                with suppress(Exception):
                    closing = close()
                    if hasattr(type(closing), "__await__"):
                        await closing
        finally:
            await self._self_call.aend(partial(self._self_call.stream_ended, complete=False))

    def _self_next(self) -> Any:
        return self._self_step(self._self_wrapped.__next__)

    async def _self_anext(self) -> Any:
        return await self._self_astep(self._self_wrapped.__anext__)

    def _self_iter(self) -> Any:
        iterator = iter(self._self_wrapped)
        if iterator is self._self_wrapped:
            return self
        return _each(self, getattr(self._self_wrapped, "__next__", iterator.__next__))

    def _self_aiter(self) -> Any:
        iterator = self._self_wrapped.__aiter__()
        if iterator is self._self_wrapped:
            return self
        return _aeach(self, getattr(self._self_wrapped, "__anext__", iterator.__anext__))

    def _self_enter(self) -> Any:
        entered = self._self_wrapped.__enter__()
        return self if entered is self._self_wrapped else entered

    async def _self_aenter(self) -> Any:
        entered = await self._self_wrapped.__aenter__()
        return self if entered is self._self_wrapped else entered

    def _self_exit(self, *exc: object) -> Any:
        try:
            return self._self_wrapped.__exit__(*exc)
        finally:
            self._self_call.end(partial(self._self_call.stream_ended, complete=False))

    async def _self_aexit(self, *exc: object) -> Any:
        call = self._self_call
        try:
            return await self._self_wrapped.__aexit__(*exc)
        finally:
            await call.aend(partial(call.stream_ended, complete=False))

    _self_specials: ClassVar[dict[str, Any]] = {
        "__next__": _self_next,
        "__anext__": _self_anext,
        "__iter__": _self_iter,
        "__aiter__": _self_aiter,
        "__enter__": _self_enter,
        "__aenter__": _self_aenter,
        "__exit__": _self_exit,
        "__aexit__": _self_aexit,
    }
    _self_methods: ClassVar[dict[str, Any]] = {
        "close": closed,
        "aclose": closed,
        "send": _self_step,  # a generator's
        "throw": _self_step,
        "asend": _self_astep,
        "athrow": _self_astep,
    }


def _raised(error: Exception) -> Any:
    raise error


def _given(chunk: Any) -> Any:
    return chunk


def _each(followed: Stream, step: Callable[[], Any]) -> Iterator[Any]:
    """A turn of iteration over a stream that is no iterator of its own, as openai's are not."""
    while True:
        try:
            chunk = followed._self_step(step)
        except StopIteration:
            return
        yield chunk


async def _aeach(followed: Stream, step: Callable[[], Any]) -> AsyncIterator[Any]:
    while True:
        try:
            chunk = await followed._self_astep(step)
        except StopAsyncIteration:
            return
        yield chunk
