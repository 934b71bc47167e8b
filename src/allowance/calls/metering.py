"""Calls that SDKs make inside a block or under the process cap, metered without changing a line of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allowance.calls import process
from allowance.calls.books import default_books
from allowance.calls.call import Call
from allowance.calls.stack import Frame, carried_context, enclosing_books, frames_in_force
from allowance.requests import Request, read

if TYPE_CHECKING:
    from contextvars import Context

    from allowance.calls.meter import Asking, SdkCall

__all__ = ["SdkMeter"]


class SdkMeter:
    """The `allowance.calls.meter.Meter`: runs the calls of patched SDKs under the budgets in force."""

    def active(self) -> bool:
        """Whether a budget applies here. Beneath an SDK that is metered itself none does: it is one call."""
        frames = frames_in_force()
        if frames:
            top = frames[-1]
            if top.layer:
                return False
            return process.capped() or any(frame.payer is not None for frame in frames)
        return process.capped()

    def carried(self) -> Context:
        """A context for a stream that is begun here, and sends its request when it is first read."""
        return carried_context()

    def call(self, call: SdkCall) -> Any:
        """Reserve, call, and settle by what comes back."""
        metered = _call(call)
        metered.begin()
        args, kwargs = _capped(call, metered)
        asking = _asking(call, metered)
        return metered.run(call.function if asking is None else asking.run, args, kwargs)

    async def acall(self, call: SdkCall) -> Any:
        """`call`, for a coroutine function."""
        metered = _call(call)
        await metered.abegin()
        args, kwargs = _capped(call, metered)
        asking = _asking(call, metered)
        return await metered.arun(call.function if asking is None else asking.arun, args, kwargs)


def _call(call: SdkCall) -> Call:
    request = read(call.arguments, api=call.api, provider=call.provider)
    if request is None:
        # Its body names no model (raw bytes, a run of an assistant): its cost is as unknown as an unknown
        # model's, and what that means is the policy's to say (R10).
        request = Request(
            "other", f"a call of {call.sdk} that names no model", unbounded=("nothing is known of it",)
        )
    return Call(enclosing_books() or default_books(), Frame(layer=True), request)


def _asking(call: SdkCall, metered: Call) -> Asking | None:
    """What asks for the stream's usage, where the settings do not forbid it."""
    if metered.books.policy.stream_usage == "auto":
        metered.asking = call.asking
    return metered.asking


def _capped(call: SdkCall, metered: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    charge = metered.charge
    name = None if metered.request is None else metered.request.cap_name
    if charge is None or charge.cap is None or name is None:
        return call.args, call.kwargs
    if call.with_cap is None:
        raise charge.not_cappable()
    return call.with_cap(charge.cap, name)
