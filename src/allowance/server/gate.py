"""The one way to a route: whose key it is, what that key may do, and how often it asks."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from allowance.server.key import Scope
from allowance.server.problems import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from allowance.server.key import Key
    from allowance.server.keys import Keys
    from allowance.server.limits import Rates

__all__ = ["Gate", "Need", "token_of"]


_REMEMBERED: Final = 0.05
"""Seconds for which a token is not looked at again: with what `Keys` remembers, still within a second."""

_MOST: Final = 1_000


class Need(StrEnum):
    """What a route asks of whoever comes."""

    OPEN = "open"  # nothing: it says nothing secret, and changes nothing
    SPEND = "spend"
    READ = "read"
    ADMIN = "admin"
    PAGE = "page"  # a session of the page's own, made with a key; the page looks itself


class Gate:
    """Lets requests through that have a key with the scope that their route needs."""

    def __init__(self, keys: Keys, rates: Rates) -> None:
        self._keys = keys
        self._rates = rates
        self._known: dict[str, tuple[float, Key | None]] = {}
        self._asking: asyncio.Future[Key | None] | None = None

    async def admit(self, headers: Iterable[tuple[bytes, bytes]], need: Need) -> Key | None:
        """The key of a request; None where the route needs none.

        Raises:
            RefusedError: 401 without a valid key, 403 where the key may not do this, 429 where it asks
                too often.
            StoreUnavailableError: keys cannot be looked up now.
        """
        if need is Need.OPEN or need is Need.PAGE:
            return None
        token = token_of(headers)
        if token is None:
            raise _unauthorized(
                "This needs a key. Send it as Authorization: Bearer KEY; in Python, set ALLOWANCE_API_KEY."
            )
        now = time.monotonic()
        known = self._known.get(token)
        if known is None or known[0] <= now:
            known = now + _REMEMBERED, await self._ask(token)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[token] = known
        key = known[1]
        if key is None or key.revoked or (key.expires_at is not None and key.expires_at <= _micros()):
            raise _unauthorized(
                "This key is not valid: it was mistyped, revoked, or its time is over. Whoever runs the "
                "server lists the keys with: allowance keys list"
            )
        self._rates.take(key.key_id)
        if not key.may(_SCOPES[need]):
            has = ", ".join(sorted(scope.value for scope in key.scopes))
            raise RefusedError(
                403,
                "forbidden",
                f"The key {key.name!r} ({key.key_id}) may not do this: it needs the scope "
                f"{need.value}, and the key has {has}.",
            )
        return key

    async def _ask(self, token: str) -> Key | None:
        """Have the keys brought up to date by one request, in a thread; the others wait for it."""
        while self._asking is not None and not self._keys.fresh:
            await asyncio.wait([self._asking])
        if self._keys.fresh:
            return self._keys.check(token)
        loop = asyncio.get_running_loop()
        self._asking = asking = asyncio.ensure_future(loop.run_in_executor(None, self._keys.check, token))
        try:
            return await asyncio.shield(asking)
        finally:
            self._asking = None


def token_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token that a request brings: as a bearer's, or under ``x-api-key``."""
    for name, value in headers:
        if name == b"authorization":
            kind, _, token = value.partition(b" ")
            if kind.lower() == b"bearer" and token:
                return token.strip().decode("latin-1")
        elif name == b"x-api-key" and value:
            return value.strip().decode("latin-1")
    return None


def _unauthorized(detail: str) -> RefusedError:
    return RefusedError(401, "unauthorized", detail)


def _micros() -> int:
    return time.time_ns() // 1000


_SCOPES: Final = {Need.SPEND: Scope.SPEND, Need.READ: Scope.READ, Need.ADMIN: Scope.ADMIN}
