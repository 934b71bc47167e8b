"""`StandIn`: an object that looks like the one it stands for, and may do some of its methods otherwise.

Each type has a class of its own to stand for it, made when it is first needed: with the special methods
that the type has, and no others. So ``hasattr``, ``iter``, ``with``, ``len``, ``bool``, ``==``, ``repr`` and
``isinstance`` answer as the object itself would. What tells the two apart: ``type(x)`` itself, that it has
``__copy__`` and ``__slots__``, and that a method which it does otherwise is never a built-in one.
"""

from __future__ import annotations

import copy
import inspect
from functools import partial, update_wrapper
from operator import attrgetter
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from allowance.calls.call import Call

__all__ = ["StandIn", "stand_for"]

S = TypeVar("S", bound="StandIn")


class StandIn:
    """Passes everything on to the object that it stands for, in the name of a call.

    Its own names begin with ``_self_``. Made by `stand_for`.

    Attributes:
        _self_specials: special methods that are done otherwise, where the type has them.
        _self_methods: methods by name that are; each gets the stand-in, the real bound method, and the
            arguments. A coroutine function stays one, and its stand-in gives back what is to be awaited.
    """

    __slots__ = ("__weakref__", "_self_call", "_self_wrapped")
    _self_specials: ClassVar[dict[str, Any]] = {}
    _self_methods: ClassVar[dict[str, Any]] = {}

    def __init__(self, wrapped: Any, call: Call) -> None:
        self._self_wrapped = wrapped
        self._self_call = call

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._self_wrapped, name)
        method = self._self_methods.get(name)
        return value if method is None or not callable(value) else _bound(self, value, method)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_self_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._self_wrapped, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._self_wrapped, name)

    def __dir__(self) -> Iterable[str]:
        return dir(self._self_wrapped)

    def __repr__(self) -> str:
        return repr(self._self_wrapped)

    def __str__(self) -> str:
        return str(self._self_wrapped)

    def __eq__(self, other: object) -> bool:
        mine: bool = self._self_wrapped == (other._self_wrapped if _is_stand_in(other) else other)
        return mine

    def __hash__(self) -> int:
        return hash(self._self_wrapped)

    def __copy__(self) -> Any:
        # Else a copy of a stream, which shares its source, would be read past the call.
        return stand_for(type(self).__mro__[1], copy.copy(self._self_wrapped), self._self_call)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._self_wrapped.__reduce_ex__(protocol)


def stand_for(base: type[S], wrapped: Any, call: Call) -> S:
    """A stand-in of this kind for an object."""
    kinds = _classes.setdefault(base, WeakKeyDictionary())
    kind = type(wrapped)
    made: Any = kinds.get(kind)
    if made is None:
        made = kinds[kind] = _class(base, kind)
    stand_in: S = made(wrapped, call)
    return stand_in


_classes: dict[type, WeakKeyDictionary[type, Any]] = {}

# What `StandIn` does itself, and what no instance is asked for.
_OWN = frozenset(
    {name for name in vars(StandIn) if name.startswith("__")}
    | {"__new__", "__init__", "__del__", "__getattribute__", "__init_subclass__", "__subclasshook__"}
    | {"__class_getitem__", "__reduce__", "__getstate__", "__setstate__", "__deepcopy__"}
)


def _class(base: type[StandIn], kind: type) -> type[StandIn]:
    namespace: dict[str, Any] = {
        "__slots__": (),
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "__class__": property(attrgetter("_self_wrapped.__class__")),
        "__dict__": property(attrgetter("_self_wrapped.__dict__")),
    }
    for name in dir(kind):
        special = getattr(kind, name, None)
        if name[:2] != "__" or name in _OWN or not callable(special) or isinstance(special, type):
            continue
        if special is not getattr(object, name, None):
            namespace[name] = base._self_specials.get(name) or _passed_on(name)
    if kind.__hash__ is None:
        namespace["__hash__"] = None
    return type(kind.__name__, (base,), namespace)


def _passed_on(name: str) -> Callable[..., Any]:
    def special(self: StandIn, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self._self_wrapped
        return getattr(type(wrapped), name)(wrapped, *args, **kwargs)

    special.__name__ = name
    return special


def _bound(stand_in: StandIn, real: Any, method: Callable[..., Any]) -> Any:
    """The method that is found in place of the real one: of the same kind, name and signature."""
    own: Callable[..., Any]
    if inspect.iscoroutinefunction(real):

        async def arun(self: StandIn, *args: Any, **kwargs: Any) -> Any:
            return await method(self, real, *args, **kwargs)

        own = arun
    else:

        def run(self: StandIn, *args: Any, **kwargs: Any) -> Any:
            return method(self, real, *args, **kwargs)

        own = run
    if isinstance(real, MethodType):
        return MethodType(update_wrapper(own, real.__func__), stand_in)
    return update_wrapper(partial(own, stand_in), real)


def _is_stand_in(thing: object) -> TypeGuard[StandIn]:
    return issubclass(type(thing), StandIn)
