"""Hearing of each load of certain modules: the first, one that is tried again, a lazy one, a reload.

Python's import system asks the finders on ``sys.meta_path`` for each module. Ours stands first, has the
others find the module, and adds one step to its loader. It keeps nothing from happening and imports nothing.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["Watch", "is_lazy", "is_under_way"]


class Watch(MetaPathFinder):
    """Calls ``loaded(name, module)`` after each load of one of these modules, in the thread that loads it."""

    def __init__(self, names: frozenset[str], loaded: Callable[[str, ModuleType], None]) -> None:
        self._names = names
        self._loaded = loaded

    def start(self) -> None:
        """Hear of it from now on. It may be asked again."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Hear of nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module as the other finders find it."""
        if fullname not in self._names:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                self.follow(spec.loader)
                return spec
        return None

    def follow(self, loader: Any) -> None:
        """Hear of what this loader loads. Its class stays: resources and sources are found by it."""
        if isinstance(loader, LazyLoader):
            loader = vars(loader)["loader"]
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type) or hasattr(execute, "tells"):
            return

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ in self._names:  # one loader may serve a whole zip file
                self._loaded(module.__name__, module)

        exec_module.tells = True  # type: ignore[attr-defined]  # that it is ours
        try:
            loader.exec_module = exec_module
        except AttributeError:
            return  # a loader that takes no attributes: its modules stay unmetered


def is_lazy(module: Any) -> bool:
    """Whether importlib's LazyLoader has put off its load: to touch it would load it."""
    return type(module).__name__ == "_LazyModule"


def is_under_way(module: Any) -> bool:
    """Whether its import has begun, and not ended."""
    return getattr(getattr(module, "__spec__", None), "_initializing", False) is True
