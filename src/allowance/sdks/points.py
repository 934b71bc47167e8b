"""Points at which an SDK's calls are metered: how each is patched, and how that is undone."""

from __future__ import annotations

import sys
from inspect import isfunction, signature
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from allowance.sdks.standing import Read, Run, metered, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["AttributePoint", "CellPoint", "MissingPointError", "Point", "Read", "Run", "metered"]


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
        """Patch it, once however often it is asked; again in a module that was loaded anew.

        Raises:
            MissingPointError: it is not there.
        """

    def undo(self) -> None:
        """Put the original back, unless somebody patched on top: then ours stays, and only passes on."""


class _Patch(NamedTuple):
    """One name, or one cell, whose function was replaced."""

    get: Callable[[], Any]
    set: Callable[[Any], None]
    original: Any
    replacement: Any

    def put_back(self) -> bool:
        """Whether the original is back: not where somebody put another function there since."""
        if self.get() is not self.replacement:
            return False
        self.set(self.original)
        return True


class _Patched:
    """What `apply` did, in each of the modules that it was given: a reload makes a second one."""

    def __init__(self) -> None:
        self._patches: list[_Patch] = []

    def has(self, function: Any) -> bool:
        """Whether calls of this function come to one of ours."""
        return any(_wraps(function, patch.replacement) for patch in self._patches)

    def replace(self, get: Callable[[], Any], put: Callable[[Any], None], replacement: Any) -> None:
        self._patches.append(_Patch(get, put, get(), replacement))
        put(replacement)

    def undo(self) -> None:
        self._patches = [patch for patch in self._patches if not patch.put_back()]


def _wraps(function: Any, replacement: object) -> bool:
    return any(each is replacement for each in _layers(function))


def _layers(function: Any) -> Iterator[Any]:
    """A function, and what it wraps, inwards; a mock wraps others without end."""
    for _ in range(100):
        if function is None:
            return
        yield function
        function = getattr(function, "__wrapped__", None)


class AttributePoint:
    """A function that is looked up at each call: a method of a class, such as ``"Models._embed_content"``.

    ``before`` is what did its work in older versions, which lack it; ``takes`` is a parameter that tells it
    from another function of that name.
    """

    def __init__(
        self,
        module: str,
        name: str,
        runs: Callable[[Callable[..., Any]], Run],
        *,
        before: str | None = None,
        takes: str | None = None,
        essential: bool = True,
    ) -> None:
        self.module = module
        self.name = name
        self.essential = essential
        self._takes = takes
        self._names = (name,) if before is None else (name, before)
        self._runs = runs
        self._patched = _Patched()

    def apply(self, module: ModuleType) -> None:
        place = next((found for name in self._names if (found := _find(module, name)) is not None), None)
        if place is None:
            raise MissingPointError(f"{self.module}.{self.name}")
        owner, attribute = place
        present = vars(owner)[attribute]
        if self._takes is not None and not _may_take(present, self._takes):
            raise MissingPointError(f"{self.module}.{self.name}({self._takes})")
        if not self._patched.has(present):
            self._patched.replace(
                lambda: vars(owner).get(attribute),
                lambda function: setattr(owner, attribute, function),
                stand_in(present, self._runs(present), method=True),
            )

    def undo(self) -> None:
        self._patched.undo()


def _may_take(function: Any, name: str) -> bool:
    """Whether a function has this parameter; one of any arguments is somebody's wrapper, and may have it."""
    parameters = signature(function).parameters
    return name in parameters or any(each.kind is each.VAR_POSITIONAL for each in parameters.values())


def _find(module: ModuleType, name: str) -> tuple[type, str] | None:
    """The class that defines such a function itself, and the function's name there."""
    # Not getattr: a module may load others for it.
    owner_name, _, attribute = name.rpartition(".")
    owner = vars(module).get(owner_name)
    return (owner, attribute) if isinstance(owner, type) and callable(vars(owner).get(attribute)) else None


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
        self._patched = _Patched()

    def apply(self, module: ModuleType) -> None:
        function = vars(module).get(self.name)
        if not isfunction(function):  # nor a mock, which keeps count of its own calls
            raise MissingPointError(f"{self.module}.{self.name}")
        cell = _cell(function, self._cell)
        present = function if cell is None else cell.cell_contents
        if self._patched.has(present):
            return
        replacement = stand_in(present, metered(present, self._read(present)), method=False)
        if cell is not None:
            self._patched.replace(*_contents(cell), replacement)
            return
        for scope, name in _holders(present):
            self._patched.replace(*_binding(scope, name), replacement)

    def undo(self) -> None:
        self._patched.undo()


def _cell(function: Any, variable: str) -> CellType | None:
    for layer in _layers(function):
        if isinstance(layer, FunctionType) and variable in layer.__code__.co_freevars:
            return (layer.__closure__ or ())[layer.__code__.co_freevars.index(variable)]
    return None


def _contents(cell: CellType) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """How a cell is read and filled."""
    return lambda: cell.cell_contents, lambda content: setattr(cell, "cell_contents", content)


def _holders(function: object) -> list[tuple[dict[str, Any], str]]:
    """The names in loaded modules that are bound to this very function."""
    # Not vars(module): that would load a module which importlib's LazyLoader put off.
    modules = {id(each): each for each in list(sys.modules.values()) if issubclass(type(each), ModuleType)}
    scopes = [object.__getattribute__(each, "__dict__") for each in modules.values()]
    return [(scope, name) for scope in scopes for name, value in list(scope.items()) if value is function]


def _binding(scope: dict[str, Any], name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """How a module's name is read and bound."""
    return lambda: scope.get(name), lambda function: scope.__setitem__(name, function)
