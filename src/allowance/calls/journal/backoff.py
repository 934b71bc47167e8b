"""When to ask a store again that does not answer."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Backoff"]

FIRST: Final = 0.1
LONGEST: Final = 5.0
MOST: Final = 60.0
"""Seconds: the first pause, the longest of ours, and the longest that a store may ask for."""


class Backoff:
    """How often a store has not answered, and when it may be asked again (monotonic seconds)."""

    __slots__ = ("again_at", "failures")

    def __init__(self) -> None:
        self.failures = 0
        self.again_at = 0.0

    def failed(self, retry_after: float | None = None) -> bool:
        """It did not answer; whether it did before."""
        import random

        pause = min(LONGEST, FIRST * 2 ** min(self.failures, 16))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311  # many clients must not come back at once
        self.failures += 1
        self.again_at = time.monotonic() + min(MOST, max(pause, retry_after or 0.0))
        return self.failures == 1

    def answered(self) -> None:
        """It did."""
        self.failures = 0
        self.again_at = 0.0

    def is_down(self) -> bool:
        """Whether asking now would most likely be waiting in vain."""
        return self.failures > 0 and time.monotonic() < self.again_at
