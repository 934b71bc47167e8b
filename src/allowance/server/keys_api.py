"""Keys over HTTP: what the routes under ``/v1/keys`` do. The gate lets admin keys through to them alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request  # noqa: TC002  # FastAPI reads the annotations
from starlette.responses import Response

from allowance.errors import ConfigurationError
from allowance.server.key import described
from allowance.server.problems import RefusedError, json_reply
from allowance.wire.json import loads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from allowance.server.keys import Key, Keys

    Handler = Callable[[Keys, Key, Mapping[str, Any]], dict[str, Any]]

__all__ = ["ROUTES", "KeyRoute", "keys_router"]


_LONGEST: Final = 100 * 366 * 86_400
"""Seconds: a hundred years."""


class KeyRoute(NamedTuple):
    """One address: ``handler(keys, asking_key, body)`` gives the answer's object. It does I/O: in a thread.

    The handlers raise `ConfigurationError` for a body that cannot be done, and `RefusedError` where the
    asking key may not do this.
    """

    method: str
    path: str
    handler: Handler
    about: str
    body: Mapping[str, Any] | None = None
    needs: tuple[str, ...] = ()


def keys_router(keys: Keys) -> APIRouter:
    """The routes, for an application that lets admin keys alone through, and sets ``request.state.key``."""
    router = APIRouter(tags=["keys"])
    for route in ROUTES:
        router.add_api_route(
            route.path,
            _endpoint(keys, route),
            methods=[route.method],
            summary=route.about,
            name=route.handler.__name__,
            openapi_extra=_described_body(route),
        )
    return router


def _endpoint(keys: Keys, route: KeyRoute) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = loads(await request.body()) if route.method == "POST" else {}
        if not isinstance(body, dict):
            raise ConfigurationError("The body must be a JSON object.")
        answer = await asyncio.to_thread(route.handler, keys, request.state.key, body)
        reply = json_reply(answer)
        return Response(
            reply.body, reply.status, {name.decode(): value.decode() for name, value in reply.headers}
        )

    return endpoint


def _described_body(route: KeyRoute) -> dict[str, Any] | None:
    if route.body is None:
        return None
    schema = {"type": "object", "properties": route.body, "required": list(route.needs)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


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


_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 128}
_SECONDS: Final = {"type": "integer", "minimum": 0, "maximum": _LONGEST}
_TERMS: Final = {
    "name": _NAME,
    "scopes": {"type": "array", "items": {"enum": ["spend", "read", "admin"]}, "minItems": 1},
    "projects": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 256},
    "expires_in": _SECONDS,
    "limit": {"type": "integer", "minimum": 0, "description": "nano-dollars"},
    "duration": {"type": "string", "description": "daily, weekly, monthly, yearly, 12h, 7d, ..."},
    "fixed_terms": {"type": "boolean"},
}
ROUTES: Final = (
    KeyRoute("GET", "/v1/keys", listed, "Every key, without its token"),
    KeyRoute(
        "POST", "/v1/keys", add, "Make a key; its token is in this answer alone", _TERMS, ("name", "scopes")
    ),
    KeyRoute(
        "POST",
        "/v1/keys/rotate",
        rotate,
        "A new token for a key; the old one works for the overlap",
        {"name": _NAME, "overlap_seconds": _SECONDS},
        ("name",),
    ),
    KeyRoute("POST", "/v1/keys/revoke", revoke, "Take a key away", {"name": _NAME}, ("name",)),
)
"""All need the scope admin."""


def _check(by: Key) -> None:
    """Only one who sees all projects may hand out keys: any other could give itself more than it has."""
    if by.projects is not None:
        raise RefusedError(
            403,
            "forbidden",
            f"The key {by.name!r} ({by.key_id}) is bound to projects, and keys are the whole server's: use "
            "an admin key that sees all projects, or the command line on the server itself.",
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
    if value is not None and not 0 <= value <= _LONGEST:
        raise ConfigurationError(f"{name!r} is 0 to {_LONGEST} seconds, not {value}.")
    return value
