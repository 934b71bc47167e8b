"""Hosted stores of this process: who names the same server with the same key gets the same store."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from allowance.calls import journal
from allowance.errors import ConfigurationError
from allowance.stores.base import Store
from allowance.stores.open import is_hosted, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.config import Settings

__all__ = ["hosted_store", "leave", "named_server"]

_Identity: TypeAlias = tuple[str, str | None, tuple[tuple[str, str], ...], bool]

_KEY_HEADERS = ("authorization", "x-api-key")


@dataclass(slots=True)
class _Shared:
    store: Store
    users: int = field(default=0)


_open: dict[_Identity, _Shared] = {}
_lock = threading.RLock()


def named_server(api_base: str | None, store: object) -> str | Store:
    """The server of ``client_type="hosted"``: the one that is named, else the store if that is a server.

    Raises:
        ConfigurationError: none of them is one.
    """
    if api_base is not None:
        if not is_hosted(api_base):
            raise ConfigurationError(
                f"api_base must be the URL of a server, such as 'https://budgets.example', not "
                f"{str(api_base).partition('://')[0]!r:.60}. `allowance serve` runs one."
            )
        return api_base
    for known in (store, os.environ.get("ALLOWANCE_STORE")):
        if isinstance(known, str) and is_hosted(known):
            return known
        if isinstance(known, Store) and is_hosted(known.url):
            return known
    raise ConfigurationError(
        "client_type='hosted' needs the server that keeps the budgets: give "
        "api_base='https://budgets.example', or set ALLOWANCE_STORE to its URL. `allowance serve` runs one."
    )


def hosted_store(
    url: str, settings: Settings, headers: Mapping[str, str] | None = None, *, given_key: str | None = None
) -> Store:
    """The store of this URL, for one more user of it; `leave` when it is needed no more.

    A key among the headers goes before the one of the settings, but not before ``given_key``.

    Raises:
        ConfigurationError: a URL, a key or headers that cannot be used.
    """
    in_headers = any(name.lower() in _KEY_HEADERS for name in headers or {})
    key = given_key if in_headers else settings.api_key
    identity = (
        url,
        key or (None if in_headers else os.environ.get("ALLOWANCE_API_KEY")),
        tuple(sorted((headers or {}).items())),
        settings.allow_insecure,
    )
    with _lock:
        shared = _open.get(identity)
        if shared is None:
            store = open_store(url, api_key=key, headers=headers, allow_insecure=settings.allow_insecure)
            shared = _open[identity] = _Shared(store)
        shared.users += 1
        return shared.store


def leave(store: Store) -> None:
    """One user fewer; with the last one the store is closed. A store that is not shared is closed at once."""
    with _lock:
        for identity, shared in list(_open.items()):
            if shared.store is store:
                shared.users -= 1
                if shared.users:
                    return
                del _open[identity]
    store.close()
    journal.leave(store)


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
