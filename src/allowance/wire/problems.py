"""Errors as problem+json (RFC 9457), and back as the class that was raised.

A problem is ``{"type": "about:blank", "title", "status", "detail", "code"}`` and the fields of the
exception; ``code`` says which it is. What no exception of ours is (a key that is not known, a body that
is too large) has a code of its own, which `problem` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import (
    BudgetError,
    ConfigurationError,
    HoldConflictError,
    StoreCorruptError,
    StoreUnavailableError,
    UnknownUserError,
)

if TYPE_CHECKING:
    from allowance.wire.json import Json

__all__ = ["CONTENT_TYPE", "STATUSES", "dump", "load", "problem"]

CONTENT_TYPE: Final = "application/problem+json"

STATUSES: Final = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_user": 404,
    "method_not_allowed": 405,
    "hold_conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "configuration": 422,
    "rate_limited": 429,
    "store_corrupt": 500,
    "internal": 500,
    "store_unavailable": 503,
}
"""The status that each code comes with."""

_TITLES: Final = {
    "unauthorized": "No valid key",
    "forbidden": "The key may not do this",
    "not_found": "No such address",
    "unknown_user": "No such budget",
    "method_not_allowed": "Not with this method",
    "hold_conflict": "One id, two different requests",
    "too_large": "The request is too large",
    "unsupported_media_type": "Not JSON",
    "configuration": "The request cannot work as it is",
    "rate_limited": "Too many requests",
    "store_corrupt": "The ledger cannot be read",
    "internal": "The server failed",
    "store_unavailable": "The store does not answer",
}
_CODES: Final[tuple[tuple[type[BudgetError], str], ...]] = (
    (UnknownUserError, "unknown_user"),
    (HoldConflictError, "hold_conflict"),
    (StoreCorruptError, "store_corrupt"),
    (StoreUnavailableError, "store_unavailable"),
    (ConfigurationError, "configuration"),
)
_MOST: Final = 2_000
_MOST_PROJECTS: Final = 20


def problem(code: str, detail: str, **fields: object) -> tuple[int, Json]:
    """The status and the body of a problem of this code; a field that is None is left out."""
    status = STATUSES[code]
    data: Json = {
        "type": "about:blank",
        "title": _TITLES[code],
        "status": status,
        "detail": detail[:_MOST],
        "code": code,
    }
    data.update({name: value for name, value in fields.items() if value is not None})
    return status, data


def dump(error: BaseException) -> tuple[int, Json]:
    """The status and the body for an error; one that is not ours says nothing of what it was."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if isinstance(error, UnknownUserError):
        names = {"user": error.user, "kind": error.kind, "project": error.project, "label": error.label}
        projects = list(error.projects[:_MOST_PROJECTS])
        return problem("unknown_user", str(error), **names, projects=projects)
    if isinstance(error, StoreUnavailableError):
        return problem("store_unavailable", str(error), retry_after=error.retry_after)
    if code is None:
        return problem("internal", "The server could not do this; its log says why.")
    return problem(code, str(error))


def load(status: int, data: Json) -> Exception:
    """The error that a problem tells of; what only the other end can mend is `StoreUnavailableError`."""
    code, detail = _text(data, "code"), _text(data, "detail")[:_MOST] or f"The server answered {status}."
    if code == "unknown_user":
        return UnknownUserError(
            user=_text(data, "user"),
            kind=_text(data, "kind") or "user",
            project=_text(data, "project"),
            label=_text(data, "label"),
            projects=_texts(data, "projects"),
        )
    if code == "hold_conflict":
        return HoldConflictError(detail)
    if code == "store_corrupt":
        return StoreCorruptError(detail)
    if status in (408, 425, 429) or status >= 500:
        return StoreUnavailableError(detail, retry_after=_seconds(data))
    return ConfigurationError(detail)


def _text(data: Json, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _texts(data: Json, name: str) -> list[str]:
    value = data.get(name)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _seconds(data: Json) -> float | None:
    value = data.get("retry_after")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10**6:
        return float(value)
    return None
