"""So many at one time, and who waits longest comes next: else a busy thread would go before all others."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Turns"]


class Turns:
    """A semaphore that is handed on in order."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[threading.Lock] = deque()
        # A signal's handler or a finalizer may come in the midst, in this same thread, and take and give.
        self._mutex = threading.RLock()

    def take(self, timeout: float) -> bool:
        """Wait for a turn; False where none came in so many seconds."""
        mine = threading.Lock()
        with self._mutex:
            if self._free > 0:
                self._free -= 1
                return True
            mine.acquire()
            self._waiting.append(mine)
        try:
            taken = mine.acquire(timeout=max(0.0, timeout))
        except BaseException:
            if not self._withdraw(mine):
                self.give()  # it was handed over at the last moment, to one who does not want it any more
            raise
        return taken or not self._withdraw(mine)

    def give(self) -> None:
        """End a turn."""
        with self._mutex:
            try:
                self._waiting.popleft().release()
            except IndexError:
                self._free += 1

    def _withdraw(self, mine: threading.Lock) -> bool:
        with self._mutex:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return True
            return False
