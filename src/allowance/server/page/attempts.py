"""How often keys may be tried at the login: failures are counted, by address and over all."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Attempts"]

_EACH: Final = 10
_ALL: Final = 300
_WITHIN: Final = 60.0
_ADDRESSES: Final = 10_000


class Attempts:
    """Failed logins of the last minute in this process.

    Guessing a key is hopeless anyway; this keeps the log short and the database at rest. The number of
    addresses that are remembered is bounded: of more, those that were quiet longest are forgotten.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: now."""
        now = self._clock()
        with self._lock:
            return max(self._left(address, _EACH, now), self._left("", _ALL, now))

    def failed(self, address: str) -> None:
        """A key that this address showed was not good."""
        now = self._clock()
        with self._lock:
            for whose in (address, ""):
                times = [at for at in self._failed.pop(whose, []) if now - at < _WITHIN]
                self._failed[whose] = [*times, now][-_ALL:]
            while len(self._failed) > _ADDRESSES:
                self._failed.popitem(last=False)

    def _left(self, whose: str, allowed: int, now: float) -> int:
        times = [at for at in self._failed.get(whose, []) if now - at < _WITHIN]
        return 0 if len(times) < allowed else int(times[-allowed] + _WITHIN - now) + 1
