"""Points at which an SDK's calls are metered: how each is patched, and how that is undone."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import wrapt

from allowance.sdks import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.calls.sdk_call import SdkCall

__all__ = ["AttributePoint", "CellPoint", "MissingPointError", "Point", "Read", "Wrapper", "metered"]

Read: TypeAlias = "Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], SdkCall | None]"
"""Reads a call (bound function, instance, args, kwargs); None where it costs nothing."""

Wrapper: TypeAlias = "Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]"
"""wrapt's protocol for the function that stands in for another one."""


class MissingPointError(LookupError):
    """This version of the SDK has no such function."""


class Point(Protocol):
    """One place to patch.

    Attributes:
        module: the module whose import makes the place patchable.
        name: what the place is called within it, for reports.
        essential: whether calls go unmetered in a version of the SDK that lacks it; otherwise what the
            place belongs to is missing there as well.
    """

    module: str
    name: str
    essential: bool

    def apply(self, module: ModuleType) -> None:
        """Patch it, once however often it is asked. Raises `MissingPointError`."""

    def undo(self) -> None:
        """Put the original back, unless somebody patched on top: then ours stays, and only passes on."""


def metered(original: Callable[..., Any], read: Read) -> Wrapper:
    """Stand in for ``original``: its calls go through the meter wherever one is active.

    It is settled by the raw function whether it is awaited: SDKs' decorators hide that from ``inspect``.
    """
    if not inspect.iscoroutinefunction(original):

        def run(
            function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            meter = current.active_meter()
            call = None if meter is None else read(function, instance, args, kwargs)
            return function(*args, **kwargs) if meter is None or call is None else meter.call(call)

        return run

    async def arun(
        function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        meter = current.active_meter()
        call = None if meter is None else read(function, instance, args, kwargs)
        return await (function(*args, **kwargs) if meter is None or call is None else meter.acall(call))

    return arun


class AttributePoint:
    """A function that is looked up at each call: a method of a class, such as ``"Models._embed_content"``.

    ``before`` is what did its work in older versions, which lack it.
    """

    def __init__(
        self,
        module: str,
        name: str,
        wrapper: Callable[[Callable[..., Any]], Wrapper],
        *,
        before: str | None = None,
        essential: bool = True,
    ) -> None:
        self.module = module
        self.name = name
        self.essential = essential
        self._names = (name,) if before is None else (name, before)
        self._wrapper = wrapper
        self._place: tuple[Any, str] | None = None
        self._patch: wrapt.FunctionWrapper[..., Any] | None = None

    def apply(self, module: ModuleType) -> None:
        place = next((found for name in self._names if (found := _find(module, name)) is not None), None)
        if place is None:
            raise MissingPointError(f"{self.module}.{self.name}")
        owner, attribute = place
        present = vars(owner)[attribute]
        if self._patch is not None and _wraps(present, self._patch):
            return
        self._place = place
        self._patch = wrapt.FunctionWrapper(present, self._wrapper(present))
        setattr(owner, attribute, self._patch)

    def undo(self) -> None:
        if self._place is None or self._patch is None:
            return
        owner, attribute = self._place
        if vars(owner).get(attribute) is self._patch:
            setattr(owner, attribute, self._patch.__wrapped__)
            self._place = self._patch = None


def _find(module: ModuleType, name: str) -> tuple[Any, str] | None:
    """The class that defines such a function itself, and the function's name there."""
    path, _, attribute = name.rpartition(".")
    owner: Any = module
    for part in path.split(".") if path else ():
        owner = getattr(owner, part, None)
    return (owner, attribute) if owner is not None and callable(vars(owner).get(attribute)) else None


class CellPoint:
    """A function that a decorator keeps in a closure, which every reference to the decorated one shares.

    Names bound before us (``from litellm import completion``, partials) lead to the same closure, and so
    does the SDK's own dispatch. Where a version has no such closure, the names in all loaded modules that
    hold the function are bound anew; references kept elsewhere are missed then.
    """

    def __init__(
        self, module: str, name: str, cell: str, read: Callable[[Any], Read], *, essential: bool
    ) -> None:
        self.module = module
        self.name = name
        self.essential = essential
        self._cell = cell
        self._read = read
        self._restore: list[Callable[[], bool]] = []
        self._patch: wrapt.FunctionWrapper[..., Any] | None = None

    def apply(self, module: ModuleType) -> None:
        function = vars(module).get(self.name)
        if not callable(function):
            raise MissingPointError(f"{self.module}.{self.name}")
        cell = _cell(function, self._cell)
        present = function if cell is None else cell.cell_contents
        if self._patch is not None and _wraps(present, self._patch):
            return
        patch = wrapt.FunctionWrapper(present, metered(present, self._read(present)))
        if cell is not None:
            cell.cell_contents = patch
            self._restore = [partial(_refill, cell, patch)]
        else:
            self._restore = [_rebind(scope, name, patch) for scope, name in _holders(present)]
        self._patch = patch

    def undo(self) -> None:
        restored = [restore() for restore in self._restore]
        if all(restored):
            self._restore = []
            self._patch = None


def _wraps(function: Any, patch: object) -> bool:
    while function is not None:
        if function is patch:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _cell(function: Any, variable: str) -> CellType | None:
    while function is not None:
        if isinstance(function, FunctionType) and variable in function.__code__.co_freevars:
            return (function.__closure__ or ())[function.__code__.co_freevars.index(variable)]
        function = getattr(function, "__wrapped__", None)
    return None


def _refill(cell: CellType, patch: wrapt.FunctionWrapper[..., Any]) -> bool:
    if cell.cell_contents is not patch:
        return False
    cell.cell_contents = patch.__wrapped__
    return True


def _holders(function: object) -> list[tuple[dict[str, Any], str]]:
    """The names in loaded modules that are bound to this very function."""
    # Not vars(module): that would load a module which importlib's LazyLoader put off.
    scopes = [
        object.__getattribute__(module, "__dict__")
        for module in list(sys.modules.values())
        if issubclass(type(module), ModuleType)
    ]
    return [(scope, name) for scope in scopes for name, value in list(scope.items()) if value is function]


def _rebind(scope: dict[str, Any], name: str, patch: wrapt.FunctionWrapper[..., Any]) -> Callable[[], bool]:
    scope[name] = patch

    def restore() -> bool:
        if scope.get(name) is not patch:
            return False
        scope[name] = patch.__wrapped__
        return True

    return restore
