"""Async twins: what may do I/O, awaited without blocking the event loop."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from allowance.calls.edges import run as run_in_edge

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from allowance.stores.base import Store

__all__ = ["listed", "twin"]

P = ParamSpec("P")
T = TypeVar("T")


class _HasStore(Protocol):
    @property
    def store(self) -> Store: ...


M = TypeVar("M", bound=_HasStore)


def twin(method: Callable[Concatenate[M, P], T]) -> Callable[Concatenate[M, P], Coroutine[Any, Any, T]]:
    """A coroutine method that does what ``method`` does, in a worker thread where the store does I/O.

    A cancellation does not stop what has begun: it is done, and nobody sees its result.
    """

    @wraps(method)
    async def run(manager: M, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await run_in_edge(partial(method, manager, *args, **kwargs), blocking=manager.store.blocking)

    _name(run, method)
    return run


def listed(
    method: Callable[Concatenate[M, P], Iterator[T]],
) -> Callable[Concatenate[M, P], Coroutine[Any, Any, list[T]]]:
    """`twin` of a method that gives an iterator: it gives the whole list."""

    @wraps(method)
    def whole(manager: M, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return list(method(manager, *args, **kwargs))

    return twin(whole)


def _name(run: Callable[..., Any], method: Callable[..., Any]) -> None:
    name = f"a{method.__name__}"
    run.__qualname__ = run.__qualname__.removesuffix(method.__name__) + name
    run.__name__ = name
    run.__doc__ = f"`{method.__name__}`, without blocking the event loop."
