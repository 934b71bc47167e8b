"""Answers: JSON, and errors as problem+json with the fields of our exceptions."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.errors import BudgetError
from allowance.wire import problems as wire_problems
from allowance.wire.json import dumps

if TYPE_CHECKING:
    from starlette.types import Send

__all__ = ["GUARDS", "RefusedError", "Reply", "json_reply", "problem_of", "send_reply"]

log = logging.getLogger("allowance.server")

GUARDS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Headers of every answer that does not say otherwise."""

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", b"application/problem+json")


class RefusedError(Exception):
    """A request that goes no further: its status, its code, and in words what to do."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after: float | None = None, close: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.close = close


class Reply(NamedTuple):
    """A whole answer, ready to be sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def json_reply(value: object, status: int = 200) -> Reply:
    """A value as JSON."""
    return Reply(status, [_JSON, *GUARDS], dumps(value))


def problem_of(error: Exception) -> Reply:
    """The answer to an error. Of what nobody foresaw it tells an id alone, which the log has too."""
    extra: list[tuple[bytes, bytes]] = []
    if isinstance(error, RefusedError):
        status = error.status
        data: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES.get(status, "Refused"),
            "status": status,
            "detail": str(error),
            "code": error.code,
        }
        if error.retry_after is not None:
            data["retry_after"] = round(error.retry_after, 3)
        if status == 401:
            extra.append((b"www-authenticate", b'Bearer realm="allowance"'))
        if error.close:
            extra.append((b"connection", b"close"))
    elif isinstance(error, BudgetError):
        status, loaded = wire_problems.dump(error)
        data = dict(loaded)
        if status >= 500:
            log.error("%s: %s", type(error).__name__, error)
    else:
        status, incident = 500, secrets.token_hex(6)
        log.error("Error %s: %s", incident, type(error).__name__, exc_info=error)
        data = {
            "type": "about:blank",
            "title": _TITLES[500],
            "status": 500,
            "detail": f"Something went wrong in the server. Its log tells more under {incident}.",
            "code": "internal",
            "incident": incident,
        }
    if data.get("retry_after") is not None:
        extra.append((b"retry-after", str(max(1, round(float(data["retry_after"])))).encode()))
    elif status == 503:
        extra.append((b"retry-after", b"1"))
    return Reply(status, [_PROBLEM, *GUARDS, *extra], dumps(data))


async def send_reply(send: Send, reply: Reply) -> None:
    """Send an answer by ASGI."""
    status, headers, body = reply
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


_TITLES: Final = {
    400: "Bad request",
    401: "No valid key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported form",
    422: "Cannot be done",
    429: "Too many requests",
    500: "Error in the server",
    503: "Not available",
}
