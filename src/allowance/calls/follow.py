"""What a call gave back that is not over yet, and the stand-in that follows it to its end.

Decided by what the reply *is*, never by inspecting the function: the async SDKs' ``create`` are no
coroutine functions, and streams come from plain ones. A stand-in looks like the SDK's own object, and
settles the call at the first of end, error, close, exit and garbage collection.
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar

from allowance.calls.raw import RawReply, raw_reply
from allowance.calls.stack import push, suspend
from allowance.calls.standins import StandIn, stand_for
from allowance.calls.streams import stream
from allowance.replies import is_manager, is_raw, is_stream, is_whole, member_stream

if TYPE_CHECKING:
    from allowance.calls.call import Call

__all__ = ["stand_in"]


def stand_in(reply: Any, call: Call) -> Any:
    """What to hand back instead of a reply that is not over yet; None for one that is."""
    kind = type(reply)
    if issubclass(kind, Awaitable):  # hasattr() would run the code of pydantic's metaclass
        return _awaited(reply, call)
    if issubclass(kind, StandIn):  # an inner metered call follows it already; this one only lets go
        call.covered()
        return reply
    if is_whole(kind):
        return None
    if is_stream(reply):
        return stream(reply, call)
    if is_raw(reply):
        return raw_reply(reply, call)
    if is_manager(reply):
        call.sent = False
        return stand_for(Manager, reply, call)
    key = member_stream(reply)
    if key is not None:
        reply[key] = stream(reply[key], call)
        return reply
    return None


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


class Manager(StandIn):
    """A manager that sends its request when it is entered (``messages.stream()``)."""

    __slots__ = ("_self_stream",)

    def __init__(self, wrapped: Any, call: Call) -> None:
        super().__init__(wrapped, call)
        self._self_stream: Any = None

    def _self_enter(self) -> Any:
        self._self_stream = self._self_call.run(self._self_wrapped.__enter__, (), {})
        return self._self_stream

    def _self_exit(self, *exc: object) -> Any:
        call = self._self_call
        push(call.frame)
        try:
            return self._self_wrapped.__exit__(*exc)
        finally:
            suspend(call.frame)
            call.end(self._self_ended)

    async def _self_aenter(self) -> Any:
        self._self_stream = await self._self_call.arun(self._self_wrapped.__aenter__, (), {})
        return self._self_stream

    async def _self_aexit(self, *exc: object) -> Any:
        call = self._self_call
        push(call.frame)
        try:
            return await self._self_wrapped.__aexit__(*exc)
        finally:
            suspend(call.frame)
            await call.aend(self._self_ended)

    def _self_ended(self) -> None:
        entered = self._self_stream
        if issubclass(type(entered), RawReply):
            entered._self_tap.end(entered._self_wrapped)
        else:
            _look_at_snapshot(entered, self._self_call)
            self._self_call.stream_ended(complete=False)

    _self_specials: ClassVar[dict[str, Any]] = {
        "__enter__": _self_enter,
        "__exit__": _self_exit,
        "__aenter__": _self_aenter,
        "__aexit__": _self_aexit,
    }


def _look_at_snapshot(stream: Any, call: Call) -> None:
    """See what a helper kept of a stream that was read past the stand-in (``text_stream``)."""
    for name in ("current_message_snapshot", "current_completion_snapshot"):
        try:
            snapshot = getattr(stream, name, None)
        except AssertionError:  # the helpers assert that a message has begun
            continue
        if snapshot is not None and call.tally is not None:
            call.tally.see(snapshot)
