"""Keys over HTTP: what the routes under ``/v1/keys`` do. The gate lets admin keys through to them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.errors import ConfigurationError
from allowance.server.key import described
from allowance.server.problems import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.server.keys import Key, Keys

    Handler = Callable[[Keys, Key, Mapping[str, Any]], dict[str, Any]]

__all__ = ["ROUTES", "KeyRoute"]


class KeyRoute(NamedTuple):
    """One address: ``handler(keys, asking_key, body)`` gives the answer's object. It does I/O: in a thread.

    The handlers raise `ConfigurationError` for a body that cannot be done, `UnknownUserError` for a key that
    is not there, and `RefusedError` where the asking key may not do this.
    """

    method: str
    path: str
    handler: Handler
    about: str


def add(keys: Keys, by: Key, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make a key: ``{"name", "scopes", "projects", "expires_in", "limit", "duration", "fixed_terms"}``.

    ``expires_in`` are seconds, ``limit`` nano-dollars. The answer holds the token, this once.
    """
    _check(by)
    seconds = _seconds(body, "expires_in")
    key, token = keys.mint(
        _text(body, "name"),
        _texts(body, "scopes") or (),
        _texts(body, "projects"),
        expires_at=None if seconds is None else keys.now() + seconds * 1_000_000,
        fixed_terms=body.get("fixed_terms") is True,
        limit=_whole(body, "limit"),
        duration=None if body.get("duration") is None else _text(body, "duration"),
        actor=by.key_id,
    )
    return {"key": described(key), "token": token}


def rotate(keys: Keys, by: Key, body: Mapping[str, Any]) -> dict[str, Any]:
    """A new token for a key: ``{"name", "overlap_seconds"}``; the old one works for the overlap."""
    _check(by)
    seconds = _seconds(body, "overlap_seconds")
    key, token = keys.rotate(
        _text(body, "name"), overlap_seconds=3600 if seconds is None else seconds, actor=by.key_id
    )
    return {"key": described(key), "token": token}


def revoke(keys: Keys, by: Key, body: Mapping[str, Any]) -> dict[str, Any]:
    """Take away a key, by its id or its name: ``{"name"}``."""
    _check(by)
    gone = keys.revoke(_text(body, "name"), actor=by.key_id)
    return {"items": [described(key) for key in gone], "next": None}


def listed(keys: Keys, by: Key, _: Mapping[str, Any]) -> dict[str, Any]:
    """Every key there ever was; the newest of each name first."""
    _check(by)
    return {"items": [described(key) for key in keys.listed()], "next": None}


ROUTES: Final = (
    KeyRoute("GET", "/v1/keys", listed, "every key, without its token"),
    KeyRoute("POST", "/v1/keys", add, "make a key; its token is in this answer alone"),
    KeyRoute("POST", "/v1/keys/rotate", rotate, "a new token for a key; the old one works for a while"),
    KeyRoute("POST", "/v1/keys/revoke", revoke, "take a key away"),
)
"""All need the scope admin."""


def _check(by: Key) -> None:
    """Only one who sees all projects may hand out keys: any other could give itself more than it has."""
    if by.projects is not None:
        raise RefusedError(
            403,
            "forbidden",
            f"The key {by.name!r} ({by.key_id}) is bound to projects, and keys are the whole server's: use an "
            "admin key that sees all projects, or the command line on the server itself.",
        )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise ConfigurationError(f"{name!r} must be a text in the body, not {value!r:.60}.")
    return value


def _texts(body: Mapping[str, Any], name: str) -> list[str] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or len(value) > 256:
        raise ConfigurationError(f"{name!r} must be a list of up to 256 texts, not {value!r:.60}.")
    return value


def _whole(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)  # as the wire has integers that JavaScript cannot say
    if type(value) is not int:
        raise ConfigurationError(f"{name!r} must be a whole number, not {value!r:.60}.")
    return value


def _seconds(body: Mapping[str, Any], name: str) -> int | None:
    value = _whole(body, name)
    if value is not None and not 0 <= value <= 100 * 366 * 86_400:
        raise ConfigurationError(f"{name!r} is 0 to a hundred years, in seconds, not {value}.")
    return value
