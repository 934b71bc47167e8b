"""What keeps one client from taking the server away from the others: sizes, times and rates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from allowance.server.problems import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Receive

__all__ = ["Rates", "read_body"]

_MOST_KEYS: Final = 10_000


class Rates:
    """One token bucket for each key: ``burst`` requests at once, ``rate`` a second in the long run."""

    def __init__(
        self, rate: float | None, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(max(1, burst))
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str) -> None:
        """Count one request of a key.

        Raises:
            RefusedError: 429, with the seconds after which there is room again.
        """
        if self._rate is None:
            return
        now = self._clock()
        left, seen = self._buckets.pop(key_id, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._rate)
        allowed = left >= 1
        if len(self._buckets) >= _MOST_KEYS:
            del self._buckets[next(iter(self._buckets))]  # the one that has been quiet for longest
        self._buckets[key_id] = (left - 1 if allowed else left, now)
        if not allowed:
            wait = (1 - left) / self._rate
            raise RefusedError(
                429,
                "rate_limited",
                f"The key {key_id} may make {self._rate:g} requests a second. Ask again in {wait:.2f} s.",
                retry_after=wait,
            )


async def read_body(headers: Iterable[tuple[bytes, bytes]], receive: Receive, *, most: int) -> bytes:
    """The whole body of a request. How long it may take to come is `BoundedProtocol`'s matter.

    Raises:
        RefusedError: 413 where it has more than ``most`` bytes, 408 where it was broken off, 415 where it is
            packed: what unpacks to more than it is, is not taken.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise too_large(most)
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise RefusedError(
                415, "unsupported_media_type", "Send the body as it is, without Content-Encoding."
            )
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        chunks, size = [body], len(body)
        while message.get("more_body", False) and size <= most:
            message = await receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        body = b"".join(chunks)
    if message["type"] == "http.disconnect":
        raise RefusedError(408, "timeout", "The request was broken off.", close=True)
    if len(body) > most:
        raise too_large(most)
    return body


def too_large(most: int) -> RefusedError:
    """The refusal of a body of more than ``most`` bytes."""
    return RefusedError(413, "too_large", f"The body may have {most} bytes. Send less.")
