"""Does not ask a server that is down again and again: each call would wait for nothing."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breaker"]

FAILURES: Final = 5
WITHIN: Final = 10.0
SHORTEST: Final = 1.0
LONGEST: Final = 8.0


class Breaker:
    """Opens after five failures in a row within ten seconds, and then lets one try through at a time.

    The first try comes after a second, each later one after twice as long, up to eight; one that succeeds
    closes it. A success between two failures begins the count anew: a server that answers most is not down.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()
        _breakers.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may ask in the midst of it
        self._failures: list[float] = []
        self._pause = 0.0
        self._again_at = 0.0
        self._trying = False

    def wait(self) -> float:
        """0 for the one who may ask now; else in how many seconds it is worthwhile."""
        if not self._pause:
            return 0.0
        with self._lock:
            now = self._clock()
            if self._pause and now < self._again_at:
                return self._again_at - now
            # This one tries; the next may after a pause, should this one never come back.
            self._again_at, self._trying = now + self._pause, True
            return 0.0

    def succeeded(self) -> None:
        """The server answered."""
        if self._failures or self._pause:
            with self._lock:
                self._failures, self._pause, self._trying = [], 0.0, False

    def failed(self) -> None:
        """It did not, or only to say that it cannot."""
        with self._lock:
            now = self._clock()
            if self._pause:
                if not self._trying:
                    return  # it was asked before this opened
                self._pause, self._trying = min(2 * self._pause, LONGEST), False
            else:
                self._failures = [*[moment for moment in self._failures if moment > now - WITHIN], now]
                if len(self._failures) < FAILURES:
                    return
                self._pause = SHORTEST
            self._again_at = now + self._pause


_breakers: WeakSet[Breaker] = WeakSet()


def _forked() -> None:
    for breaker in list(_breakers):
        breaker._begin()  # noqa: SLF001  a thread that is not in the child may have held the lock


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
