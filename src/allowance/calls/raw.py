"""`RawReply`: a raw HTTP response whose body the user reads: parsed, or as bytes, text or lines.

Whatever way they take, the body passes through the HTTP response: `Tap` looks at the bytes there, and at no
other place. It settles what the body says: a JSON reply, or the events of a stream as far as they came.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from allowance.calls.overrun import watch
from allowance.calls.standins import StandIn, stand_for
from allowance.replies import Body, Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from allowance.calls.call import Call
    from allowance.calls.overrun import Watch

__all__ = ["RawReply", "raw_reply"]


def raw_reply(reply: Any, call: Call) -> RawReply | None:
    """What follows a raw response; None for one whose body was read already."""
    response = getattr(reply, "http_response", None)
    if getattr(response, "is_stream_consumed", True) is not False:
        return None
    return stand_for(RawReply, reply, call)


class RawReply(StandIn):
    """A raw response whose body is yet to be read."""

    __slots__ = ("_self_parsed", "_self_tap")

    def __init__(self, wrapped: Any, call: Call) -> None:
        super().__init__(wrapped, call)
        self._self_parsed: list[tuple[Any, Any]] = []  # each parsed reply, and what stands for it
        self._self_tap = Tap(wrapped.http_response, call)

    def _self_parse(self, parse: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The parsed reply; a stream comes back followed."""
        self._self_tap.remove()
        parsed = parse(*args, **kwargs)
        if hasattr(type(parsed), "__await__"):
            return self._self_aparse(parsed)
        known = self._self_known(parsed)
        return known if known is not None else self._self_keep(parsed, self._self_call.follow(parsed))

    async def _self_aparse(self, parsing: Any) -> Any:
        parsed = await parsing
        known = self._self_known(parsed)
        return known if known is not None else self._self_keep(parsed, await self._self_call.afollow(parsed))

    def _self_known(self, parsed: Any) -> Any:
        return next((followed for own, followed in self._self_parsed if own is parsed), None)

    def _self_keep(self, parsed: Any, followed: Any) -> Any:
        self._self_parsed.append((parsed, followed))
        return followed

    def _self_close(self, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = close(*args, **kwargs)
        if hasattr(type(result), "__await__"):
            return self._self_aclose(result)
        self._self_call.end(partial(self._self_tap.end, self._self_wrapped))
        return result

    async def _self_aclose(self, closing: Coroutine[Any, Any, Any]) -> Any:
        result = await closing
        await self._self_call.aend(partial(self._self_tap.end, self._self_wrapped))
        return result

    _self_methods: ClassVar[dict[str, Any]] = {"parse": _self_parse, "close": _self_close}


class Tap:
    """Stands where a response hands on the bytes of its body, in the instance's own attributes.

    It knows the response by a weak reference: the two would else be a circle, and a response that is
    dropped would not be noticed at once.
    """

    __slots__ = ("_body", "_call", "_names", "_response")

    def __init__(self, response: Any, call: Call) -> None:
        headers = response.headers
        self._body = Body(headers.get("content-type", ""))
        self._call = call
        self._response: Callable[[], Any] = ref(response)
        if self._body.kind == "events":
            call.tally = Tally()
            call.watch = watch(call)
        # An encoded body is seen where it is decoded; else beneath that, where raw bytes are read as well.
        encoded = headers.get("content-encoding", "identity").lower() != "identity"
        self._names = ("iter_bytes", "aiter_bytes") if encoded else ("iter_raw", "aiter_raw")
        for name, tapped in zip(self._names, (self._pieces, self._apieces), strict=True):
            with suppress(AttributeError):  # no place for it: then the call is settled without
                setattr(response, name, tapped)

    def remove(self) -> None:
        """Look no more: the body is read by a stream that is followed, or parsed as a whole."""
        response = self._response()
        if response is not None:
            for name in self._names:
                vars(response).pop(name, None)

    def end(self, reply: object) -> None:
        """The response was closed, or its body has ended: settle by what came."""
        self.remove()
        if self._call.tally is not None:
            self._call.stream_ended(complete=False)
        else:
            self._call.finished(reply)

    def _pieces(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        call = self._call
        response = self._response()
        pieces = getattr(type(response), self._names[0])(response, *args, **kwargs)
        while True:
            self._check()
            handling = sys.exception()
            try:
                piece = next(pieces)
            except StopIteration:
                self._ended()
                return
            except BaseException as error:
                call.stream_failed(error, handling)
                raise
            overran = self._look_at(piece)
            if overran is not None:
                overran.catch_up()
                if overran.error is not None:
                    with suppress(Exception):
                        response.close()
                    call.stream_ended(complete=False)
            yield piece

    async def _apieces(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        call = self._call
        response = self._response()
        pieces = getattr(type(response), self._names[1])(response, *args, **kwargs)
        while True:
            self._check()
            handling = sys.exception()
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                await call.aend(self._ended)
                return
            except BaseException as error:
                await call.aend(partial(call.stream_failed, error, handling))
                raise
            overran = self._look_at(piece)
            if overran is not None:
                await call.aend(overran.catch_up)
                if overran.error is not None:
                    with suppress(Exception):
                        await response.aclose()
                    await call.aend(partial(call.stream_ended, complete=False))
            yield piece

    def _check(self) -> None:
        if self._call.watch is not None and self._call.watch.error is not None:
            raise self._call.watch.error

    def _look_at(self, piece: bytes) -> Watch | None:
        """What must reckon now, because the stream may cost more than is held; mostly nothing."""
        call = self._call
        for event in self._body.take(piece):
            call.see(event)
        return call.watch if call.watch is not None and call.watch.due() else None

    def _ended(self) -> None:
        self.remove()
        last = self._body.end()
        if self._body.kind == "events":
            self._call.see(last)
            self._call.stream_ended(complete=True)
        else:
            self._call.finished(last)
