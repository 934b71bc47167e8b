"""A store that could not be opened when it was first needed: each verb tries again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.stores.base import Store

__all__ = ["LateStore"]


class LateStore:
    """Passes every verb on to the store that ``opening`` gives, once it does.

    Until then each verb raises what opening raises, `StoreUnavailableError`: what that means for a call is
    decided where the call is made, as it is for a store that went away later.
    """

    rank = 1
    blocking = True

    def __init__(self, url: str, opening: Callable[[], Store]) -> None:
        self.url = url
        self._opening = opening
        self._store: Store | None = None

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)
        return lambda *args, **kwargs: getattr(self._opened(), verb)(*args, **kwargs)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._opening()
        return self._store
