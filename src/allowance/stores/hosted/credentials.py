"""The key, and what else goes into each request's head. None of it is ever shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Credentials", "credentials"]

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_OURS: Final = re.compile(r"alw_([A-Za-z0-9]+)_")
_FIXED: Final = {
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "accept-encoding",
}
"""What the client says itself; a second word on it would be at odds with the first."""


class Credentials:
    """Lines for a request's head. ``key_id`` is what the server calls the key, which is no secret."""

    __slots__ = ("has_key", "key_id", "lines")

    def __init__(self, lines: str, key_id: str, has_key: bool) -> None:
        self.lines = lines
        self.key_id = key_id
        self.has_key = has_key

    def __repr__(self) -> str:
        return f"Credentials(key_id={self.key_id!r})"


def credentials(api_key: str | None, headers: Mapping[str, str] | None) -> Credentials:
    """The key that was given, else the one in the headers, else that of ``ALLOWANCE_API_KEY``, else none.

    Raises:
        ConfigurationError: for what cannot stand in a request's head, or two keys.
    """
    given = {name.lower(): value for name, value in _checked(headers or {})}
    named = given.get("authorization") or given.get("x-api-key")
    if api_key and named:
        raise ConfigurationError(
            "Two keys were given: api_key=... and one in headers=.... Leave one of them out."
        )
    key = api_key or (None if named else os.environ.get("ALLOWANCE_API_KEY"))
    if key:
        if not _is_text(key, _KEY):
            raise ConfigurationError(
                "The key for the hosted store holds blanks or characters that no key has; it is not shown. "
                "Look at api_key=... or ALLOWANCE_API_KEY: a line break at its end is easily copied along."
            )
        given["authorization"] = f"Bearer {key}"
    lines = "".join([f"{name}: {value}\r\n" for name, value in given.items() if name not in _FIXED])
    found = _OURS.search(key or named or "")
    return Credentials(lines, found[1] if found else "", bool(key or named))


def _checked(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    for name, value in headers.items():
        if not _is_text(name, _NAME):
            raise ConfigurationError(f"A header's name cannot be {name!r:.40}.")
        if not _is_text(value, _VALUE):
            raise ConfigurationError(
                f"The header {name!r:.40} holds something else than plain ASCII text; it is not shown here."
            )
    return list(headers.items())


def _is_text(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
