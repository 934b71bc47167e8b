"""Stores by their URLs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from allowance.errors import ConfigurationError
from allowance.stores.base import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["default_path", "default_url", "is_hosted", "open_store"]

_HOSTED: Final = ("http", "https")
_POSTGRES: Final = ("postgres", "postgresql")
_LATER: Final = {"redis": "a store in Redis", "rediss": "a store in Redis"}
_FORMS: Final = (
    "'memory://', 'sqlite:///relative.db', 'sqlite:////absolute/path.db', 'https://budgets.example' or "
    "'postgresql://user@host/database'"
)


def open_store(
    store: str | Store,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    allow_insecure: bool = False,
) -> Store:
    """The store that a URL names; a store object is handed back as it is.

    ``memory://`` is a new store in memory each time; ``sqlite:///budgets.db`` a file in the current
    directory, ``sqlite:////var/lib/budgets.db`` one with an absolute path; ``https://budgets.example`` what
    `allowance serve` serves there; ``postgresql://user:password@host:5432/database`` a database of your own.

    Args:
        api_key, headers, allow_insecure: for a hosted store; see `allowance.stores.hosted.HostedStore`.

    Raises:
        ConfigurationError: the URL names no store that this version has, or what it needs is not installed.
        StoreUnavailableError, StoreCorruptError: the file cannot be used.
    """
    if not isinstance(store, str):
        if isinstance(store, Store):
            return store
        raise ConfigurationError(
            f"A store is a URL or an object with the verbs of allowance.stores.base.Store, not "
            f"{type(store).__name__}. URLs: {_FORMS}."
        )
    scheme, separator, rest = store.partition("://")
    if separator and scheme == "memory" and not rest:
        from allowance.stores.memory import MemoryStore

        return MemoryStore()
    if separator and scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from allowance.stores.sqlite import SQLiteStore

        return SQLiteStore(os.path.expanduser(unquote(rest[1:])))
    if separator and scheme in _HOSTED:
        from allowance.stores.hosted import HostedStore

        return HostedStore(store, api_key=api_key, headers=headers, allow_insecure=allow_insecure)
    if separator and scheme in _POSTGRES:
        from allowance.stores.postgres import PostgresStore

        return PostgresStore(store)
    raise _refused(store, scheme if separator else "")


def is_hosted(store: object) -> bool:
    """Whether it is the URL of a hosted store."""
    return isinstance(store, str) and store.partition("://")[0] in _HOSTED


def default_url() -> str:
    """The URL of the file that is used where no store was named."""
    return f"sqlite:///{quote(default_path())}"


def default_path() -> str:
    """``allowance/allowance.db`` in the user's state directory.

    ``$XDG_STATE_HOME``, else ``~/.local/state``; on macOS ``~/Library/Application Support``, on Windows
    ``%LOCALAPPDATA%``. Nothing is made.
    """
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = os.environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(base):  # the XDG specification: relative ones are invalid, to be ignored
            base = os.path.join(home, ".local", "state")
    return os.path.join(base, "allowance", "allowance.db")


def _refused(url: str, scheme: str) -> ConfigurationError:
    if scheme in _LATER:
        host = urlsplit(url).hostname or ""  # the URL may hold a password
        return ConfigurationError(
            f"{scheme}://{host} would be {_LATER[scheme]}, which comes with a later version of allowance. "
            f"This one has {_FORMS}."
        )
    shown = f"The scheme {scheme[:40]!r}" if scheme else f"{url[:80]!r}"
    return ConfigurationError(f"{shown} names no store. Use {_FORMS}.")
