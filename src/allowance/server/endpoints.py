"""A route without a framework's detours: the gate, the body, the handler, and the answer.

The routes of each call go this way, for a framework's own takes longer than what they do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import Route

from allowance.server.limits import read_body
from allowance.server.problems import RefusedError, problem_of, send_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import Receive, Scope, Send

    from allowance.server.gate import Gate, Need
    from allowance.server.key import Key
    from allowance.server.metrics import Metrics
    from allowance.server.problems import Reply

__all__ = ["Call", "Endpoint"]


class Call(NamedTuple):
    """What a handler gets. ``key`` is None only on routes that are open."""

    key: Key | None
    body: bytes
    arrived: float

    @property
    def by(self) -> Key:
        """The key of a route that needs one."""
        if self.key is None:
            raise RefusedError(401, "unauthorized", "This needs a key.")
        return self.key


class Endpoint:
    """One address, as an ASGI application."""

    def __init__(
        self,
        path: str,
        handler: Callable[[Call], Awaitable[Reply]],
        need: Need,
        gate: Gate,
        metrics: Metrics,
        *,
        method: str = "POST",
        most: int = 64 * 1024,
    ) -> None:
        self.path = path
        self.method = method
        self.need = need
        self._handler = handler
        self._gate = gate
        self._most = most
        self._watch = metrics.watch(path)

    def route(self) -> Route:
        """The endpoint in a router's table."""
        return Route(self.path, endpoint=self, methods=[self.method], name=self.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = time.monotonic()
        try:
            headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
            key = await self._gate.admit(headers, self.need)
            body = b""
            if self.method == "POST":
                body = await read_body(headers, receive, most=self._most)
            reply = await self._handler(Call(key, body, arrived))
        except Exception as error:  # noqa: BLE001  # one that is not ours is logged, and says nothing
            reply = problem_of(error)
        await send_reply(send, reply)
        self._watch(reply.status, time.monotonic() - arrived)
