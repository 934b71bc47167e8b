"""Where ``allowance keys`` asks: the server's own database, or over HTTPS the server itself."""

from __future__ import annotations

import getpass
import json
import os
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from allowance.cli.exits import BadInput
from allowance.errors import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from allowance.server.state import State

    Ask: TypeAlias = Callable[..., dict[str, Any]]

__all__ = ["actor", "key_desk", "server_store", "server_url", "state_of"]

DEFAULT: Final = "sqlite:///allowance.db"
"""The store of a server that was started without naming one, in the current directory."""

_TIMEOUT: Final = 10.0
_MOST: Final = 16 * 1024 * 1024


def server_url(args: argparse.Namespace) -> str:
    """The server's store: as named by an option, by ``ALLOWANCE_STORE``, else what ``serve`` would take."""
    named = args.store or os.environ.get("ALLOWANCE_STORE") or DEFAULT
    return named if isinstance(named, str) else named.url


def actor() -> str:
    """Who types, for the audit log: ``cli:alice``."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):  # this user has no name
        return f"cli:{os.getuid() if hasattr(os, 'getuid') else 'unknown'}"


@contextmanager
def key_desk(args: argparse.Namespace, *, making: bool = False) -> Iterator[Ask]:
    """A function that asks about keys: ``ask("POST", "/v1/keys", name="app", scopes=["spend"])``.

    Raises:
        BadInput: there is no such server; only with ``making`` its database is made.
        ConfigurationError, StoreUnavailableError: as the server says, or as its database does.
    """
    url = server_url(args)
    if url.startswith(("http://", "https://")):
        yield _over_http(url)
        return
    with state_of(url, making=making) as state:
        yield _on_database(state, url)


@contextmanager
def state_of(url: str, *, making: bool = False) -> Iterator[State]:
    """The server's own database beside the store of this URL.

    Raises:
        BadInput: there is none, and it is not to be made; or the extra is not installed.
    """
    try:
        from allowance.server.state import open_state
        from allowance.server.state.database import server_file
    except ImportError as error:
        raise BadInput(
            f"This needs the server's packages: pip install 'allowance[server]' ({error})."
        ) from None
    from allowance.cli.inputs import path_of

    path = path_of(url)
    if path and not making and not os.path.lexists(server_file(path)):
        raise BadInput(
            f"No server has kept its keys beside {path}: there is no {server_file(path)}.\n"
            "Name the server's store (--store URL, or ALLOWANCE_STORE), or start one with: allowance serve"
        )
    state = open_state(url)
    try:
        yield state
    finally:
        state.close()


@contextmanager
def server_store(url: str) -> Iterator[Any]:
    """The server's store, open until the block ends."""
    from allowance.stores.open import open_store

    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def _on_database(state: State, url: str) -> Ask:
    from allowance.server.key import Key, Scope
    from allowance.server.keys import Keys
    from allowance.server.keys_api import ROUTES

    by = Key(actor(), "the command line", frozenset({Scope.ADMIN}), None, False, False, None, False)
    handlers = {(route.method, route.path): route.handler for route in ROUTES}

    def ask(method: str, path: str, **body: Any) -> dict[str, Any]:
        if body.get("limit") is None:
            return handlers[method, path](Keys(state), by, body)
        with server_store(url) as store:  # a key's budget lies there
            return handlers[method, path](Keys(state, store), by, body)

    return ask


def _over_http(url: str) -> Ask:
    address = urlsplit(url)
    local = address.hostname in ("127.0.0.1", "::1", "localhost")
    if address.scheme == "http" and not local:
        raise BadInput(
            f"Keys must not travel in the clear: use https://{address.hostname or ''} in place of http."
        )
    token = os.environ.get("ALLOWANCE_API_KEY")
    if not token:
        raise BadInput("The server needs an admin key: set ALLOWANCE_API_KEY to it.")
    opener = _opener()
    base = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path.rstrip('/')}"

    def ask(method: str, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310  # http and https alone come here
            base + path,
            data=json.dumps(body).encode() if method == "POST" else None,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with opener.open(request, timeout=_TIMEOUT) as answer:
                found: dict[str, Any] = json.loads(answer.read(_MOST))
        except urllib.error.HTTPError as error:
            with error:
                raise _problem(error.code, error.read(_MOST)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise StoreUnavailableError(
                f"The server {base} did not answer: {reason}. Look before you ask again: allowance keys list"
            ) from None
        return found

    return ask


def _opener() -> urllib.request.OpenerDirector:
    """What asks the address that it was given, and no other: a redirect would carry the key elsewhere."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _problem(status: int, body: bytes) -> Exception:
    from allowance.wire import problems

    try:
        data = json.loads(body)
        if status in (401, 403):
            return ConfigurationError(str(data["detail"]))
        return problems.load(status, data)
    except (ValueError, TypeError, KeyError):
        return StoreUnavailableError(f"The server answered {status}, and not as one of allowance's does.")
