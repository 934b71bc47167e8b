"""A decorated function's arguments by name, as cheaply as each call deserves."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from allowance.requests import with_cap, with_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests import Request

__all__ = ["Parameters"]


class Parameters:
    """What a function takes: enough to name the arguments of a call, and to put one in."""

    __slots__ = ("_defaults", "_fixed", "_signature", "_takes_any", "_variadic", "names")

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            signature: inspect.Signature | None = inspect.signature(function)
        except (ValueError, TypeError):  # built-in functions may have none: keywords are still named
            signature = None
        parameters = [] if signature is None else list(signature.parameters.values())
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._signature = signature
        self.names = [p.name for p in parameters if p.kind in positional]
        self._defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self._fixed = {p.name for p in parameters if p.kind is p.POSITIONAL_ONLY}  # none can be given by name
        if isinstance(function, functools.partial):
            bound = _bound_already(function)
            self._defaults.update(bound)
            self._fixed.update(bound)
        self._variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self._takes_any = signature is None or any(p.kind is p.VAR_KEYWORD for p in parameters)

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The call's arguments by name, defaults included.

        Raises:
            TypeError: more positional arguments than the function takes, as the call itself would.
        """
        if len(args) > len(self.names) and not self._variadic and self._signature is not None:
            self._signature.bind(*args, **kwargs)
        arguments = self._defaults.copy()
        arguments.update(zip(self.names, args, strict=False))
        arguments.update(kwargs)
        return arguments

    def capped(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], request: Request, cap: int
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The same call with an output cap put in, or None where the function takes none.

        The caller's own objects are not changed.
        """
        before = self.arguments(args, kwargs)
        return self._changed(args, kwargs, before, with_cap(before, request, cap))

    def with_model(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], model: str
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The same call with another model, or None where its arguments name none that could be changed."""
        before = self.arguments(args, kwargs)
        after = with_model(before, model)
        return None if after is None else self._changed(args, kwargs, before, after)

    def _changed(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        positional = list(args)
        named = dict(kwargs)
        for name, value in after.items():
            if name in before and before[name] is value:
                continue
            if name in self.names[: len(args)]:
                positional[self.names.index(name)] = value
            elif name in self._fixed:
                return None
            elif self._takes_any or name in before:
                named[name] = value
            else:
                return None
        return tuple(positional), named


def _bound_already(function: functools.partial[Any]) -> dict[str, Any]:
    """The positional arguments that a partial brings: its own signature does not show them."""
    return dict(zip(Parameters(function.func).names, function.args, strict=False))
