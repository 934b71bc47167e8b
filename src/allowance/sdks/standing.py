"""Functions that stand in for an SDK's own, and go through the meter wherever a budget is in force."""

from __future__ import annotations

import logging
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeAlias

import wrapt

from allowance.calls.sdk_call import SdkCall
from allowance.sdks import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.calls.sdk_call import Meter

__all__ = ["Read", "Run", "metered", "read_call", "stand_in"]

_log = logging.getLogger("allowance.sdks")
_unreadable: set[str] = set()

Read: TypeAlias = "Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], SdkCall | None]"
"""Reads a call (bound function, instance, args, kwargs); None where it costs nothing."""

Run: TypeAlias = "Callable[[Meter, Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]"
"""Makes a call under a meter: the meter, and what a `Read` is given."""


def stand_in(present: Any, run: Run, *, method: bool) -> Any:
    """What takes the place of a function, or of a class's ``method``: ``run`` makes its calls under a budget.

    Where none is in force, they go straight on. A plain function stands in for a plain one: it is bound,
    pickled, copied and put back by others as that is, and is cheaper than a proxy.
    """
    if type(present) is not FunctionType or isgeneratorfunction(present) or isasyncgenfunction(present):
        return _proxy(present, run)  # it binds in its own way, or must look like a generator's

    def bound(args: tuple[Any, ...]) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
        return (MethodType(present, args[0]), args[0], args[1:]) if method and args else (present, None, args)

    if iscoroutinefunction(present):

        @wraps(present)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            meter = current.active_meter()
            if meter is None:
                return await present(*args, **kwargs)
            return await run(meter, *bound(args), kwargs)

        return coroutine

    @wraps(present)
    def function(*args: Any, **kwargs: Any) -> Any:
        meter = current.active_meter()
        if meter is None:
            return present(*args, **kwargs)
        return run(meter, *bound(args), kwargs)

    return function


def _proxy(present: Any, run: Run) -> Any:
    """What takes the place of anything that can be called, however it binds."""

    def wrapper(
        function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        meter = current.active_meter()
        if meter is None:
            return function(*args, **kwargs)
        return run(meter, function, instance, args, kwargs)

    return wrapt.FunctionWrapper(present, wrapper)


def metered(original: Callable[..., Any], read: Read) -> Run:
    """Read each call of ``original`` and hand it to the meter.

    It is settled by the raw function whether it is awaited: SDKs' decorators hide that from ``inspect``.
    """
    if not iscoroutinefunction(original):

        def run(
            meter: Meter, function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Any
        ) -> Any:
            call = read_call(read, function, instance, args, kwargs)
            return function(*args, **kwargs) if call is None else meter.call(call)

        return run

    async def arun(
        meter: Meter, function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        call = read_call(read, function, instance, args, kwargs)
        return await (function(*args, **kwargs) if call is None else meter.acall(call))

    return arun


def read_call(
    read: Read, function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> SdkCall | None:
    """What a call says. One that this version of the SDK makes otherwise than any known one says nothing.

    Then its cost is unknown: a limit refuses it, as any call of an unknown model (R10), and never an
    error out of our own reading.
    """
    try:
        return read(function, instance, args, kwargs)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours and not the user's
        name = getattr(function, "__qualname__", repr(type(function)))
        sdk = str(getattr(function, "__module__", None)).partition(".")[0]
        if name not in _unreadable:
            _unreadable.add(name)
            # Not its text, which may quote what the user wrote.
            _log.warning("A call of %s.%s could not be read: %s.", sdk, name, type(error).__name__)
        return SdkCall(sdk=sdk, function=function, args=args, kwargs=kwargs, arguments={})
