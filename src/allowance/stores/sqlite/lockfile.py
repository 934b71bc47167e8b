"""The lock beside the database: one process at a time writes, checkpoints, opens or closes it.

SQLite up to 3.51.2 can lose commits when two connections write and checkpoint at once (its WAL-reset
bug), and its busy handler lets waiters starve; this lock rules both out among our own processes.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Final

from allowance.errors import StoreUnavailableError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["LockFile"]

PATIENCE: Final = 5.0
"""Seconds to wait for another process."""

_FIRST_PAUSE: Final = 0.00005
_LONGEST_PAUSE: Final = 0.005


class LockFile:
    """An advisory lock that dies with its process. One thread at a time may use it."""

    def __init__(self, path: str) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(path, flags, 0o600)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StoreUnavailableError: another process has held it for five seconds.
        """
        if self._try():
            return
        deadline = time.monotonic() + PATIENCE
        pause = _FIRST_PAUSE
        while not self._try():
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"Another process has held {self.path} for {PATIENCE:g} seconds: it may be stopped, or "
                    "its disk very slow. Nothing was changed. Find it (fuser, lsof), or try again.",
                    retry_after=1.0,
                )
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def release(self) -> None:
        """Let the lock go, if it is held."""
        if sys.platform == "win32":
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            with suppress(OSError):  # it is not locked
                msvcrt.locking(self._descriptor, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close this process's descriptor; a lock that another process took through its own stands."""
        os.close(self._descriptor)

    def _try(self) -> bool:
        try:
            if sys.platform == "win32":
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
