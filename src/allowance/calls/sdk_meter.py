"""Calls that SDKs make inside a block or under the process cap, metered without changing a line of them."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from allowance.calls import process
from allowance.calls.books import default_books
from allowance.calls.call import Call
from allowance.calls.projecting import find_price
from allowance.calls.shortage import Form, abegin, begin
from allowance.calls.stack import Frame, carried_context, enclosing_books, frames_in_force
from allowance.requests import Request, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Context

    from allowance.calls.books import Books
    from allowance.calls.sdk_call import Asking, SdkCall

__all__ = ["SdkMeter"]


class SdkMeter:
    """The `allowance.calls.sdk_call.Meter`: runs the calls of patched SDKs under the budgets in force."""

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
        site = _Site(call)
        _, args, kwargs = begin(site)
        metered = site.call
        asking = _asking(call, metered)
        return metered.run(call.function if asking is None else asking.run, args, kwargs)

    async def acall(self, call: SdkCall) -> Any:
        """`call`, for a coroutine function."""
        site = _Site(call)
        _, args, kwargs = await abegin(site)
        metered = site.call
        asking = _asking(call, metered)
        return await metered.arun(call.function if asking is None else asking.arun, args, kwargs)


class _Site:
    """One call of an SDK, and how it can be changed: the `allowance.calls.shortage.Site`."""

    __slots__ = ("_sdk", "call", "form")

    def __init__(self, sdk: SdkCall) -> None:
        self._sdk = sdk
        self.call = _call(sdk)
        self.form = Form(self.call.request, sdk.args, sdk.kwargs)

    def with_model(self, form: Form, model: str) -> Form | None:
        sdk = self._sdk
        changed = self._put(form.args, form.kwargs, model)
        arguments = {**sdk.arguments, "model": model}
        request = None if changed is None else _request(self.call.books, sdk, arguments)
        if changed is None or request is None or request.model != model:
            return None
        return Form(request, *changed)

    def with_cap(self, form: Form, cap: int) -> Form | None:
        request, before, put = form.request, self.form.request, self._sdk.with_cap
        if put is None or request is None or request.cap_name is None or cap < request.min_output:
            return None
        capped: tuple[tuple[Any, ...], dict[str, Any]] | None = put(cap, request.cap_name)
        if capped is not None and before is not None and before.model != request.model:
            capped = self._put(*capped, request.model)
        return None if capped is None else Form(request._replace(max_output=cap), *capped)

    def _put(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], model: str
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments with another model; None where they name none by itself."""
        if self._sdk.with_model is not None:
            return self._sdk.with_model(args, kwargs, model)
        if isinstance(kwargs.get("model"), str):
            return args, {**kwargs, "model": model}
        return None


def _call(call: SdkCall) -> Call:
    books = enclosing_books() or default_books()
    request = _request(books, call, call.arguments)
    if request is None:
        # Its body names no model (raw bytes, a run of an assistant): its cost is as unknown as an unknown
        # model's, and what that means is the policy's to say (R10).
        request = Request(
            "other", f"a call of {call.sdk} that names no model", unbounded=("nothing is known of it",)
        )
    return Call(books, Frame(layer=True), request)


def _request(books: Books, call: SdkCall, arguments: Mapping[str, Any]) -> Request | None:
    """What may be sent: of the call and what the SDK may put in its place, the dearest, for it must fit."""
    request = read(arguments, api=call.api, provider=call.provider)
    if request is None or not call.others:
        return request
    others = (read(each, api=call.api, provider=call.provider) for each in call.others)
    return max((request, *(each for each in others if each is not None)), key=partial(_projected, books))


def _projected(books: Books, request: Request) -> float:
    price = find_price(books, request)
    return inf if price is None else books.quoting.quote(request, price).amount  # unknown is not free (R10)


def _asking(call: SdkCall, metered: Call) -> Asking | None:
    """What asks for the stream's usage, where the settings do not forbid it."""
    if metered.books.policy.stream_usage == "auto":
        metered.asking = call.asking
    return metered.asking
