"""How long one verb may take in all, on the monotonic clock."""

from __future__ import annotations

import time

__all__ = ["Deadline"]


class Deadline:
    """A moment that is ``seconds`` from now. Whatever waits asks it for how long."""

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until it; negative once it is over."""
        return self._at - time.monotonic()

    def wait(self) -> float:
        """Seconds that something may wait, more than zero.

        Raises:
            TimeoutError: it is over.
        """
        left = self.left()
        if left <= 0:
            raise TimeoutError("timed out")
        return left
