"""A `Meter` that records what it is handed, and meters only the outermost call, as the real one does."""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Any

from allowance.calls.sdk_call import SdkCall

_inside: ContextVar[bool] = ContextVar("inside", default=False)
on: ContextVar[bool] = ContextVar("on", default=True)
"""Whether a budget is in force in this context."""


class Recorder:
    def __init__(self) -> None:
        self.calls: list[SdkCall] = []
        self.replies: list[Any] = []
        self.refusal: Exception | None = None
        self.cap: tuple[int, str] | None = None

    def active(self) -> bool:
        return on.get() and not _inside.get()

    def carried(self) -> Context:
        return copy_context()

    def call(self, call: SdkCall) -> Any:
        args, kwargs = self._admit(call)
        token = _inside.set(True)
        try:
            reply = call.function(*args, **kwargs)
        finally:
            _inside.reset(token)
        self.replies.append(reply)
        return reply

    async def acall(self, call: SdkCall) -> Any:
        args, kwargs = self._admit(call)
        token = _inside.set(True)
        try:
            reply = await call.function(*args, **kwargs)
        finally:
            _inside.reset(token)
        self.replies.append(reply)
        return reply

    def _admit(self, call: SdkCall) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal
        if self.cap is not None:
            assert call.with_cap is not None
            return call.with_cap(*self.cap)
        return call.args, call.kwargs

    @property
    def only(self) -> SdkCall:
        assert len(self.calls) == 1, [call.arguments for call in self.calls]
        return self.calls[0]
