"""The live keys in memory, as the database had them at most half a second ago."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from allowance.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.server.keys import Key

    Known: TypeAlias = tuple[Key, bytes]
    Changes: TypeAlias = tuple[int, int, list[Known]]

__all__ = ["Keyring"]

FRESH: Final = 0.5
"""Seconds after which the database is asked again."""

TRUSTED: Final = 0.7
"""Seconds for which what is known serves while another thread asks, or the database does not answer."""

_PAUSE: Final = 0.25  # before a database that did not answer is asked again


class Seen(NamedTuple):
    """What the database said. By this process's monotonic clock it was asked, and had told its time."""

    keys: dict[str, Known]
    generation: int
    database_time: int
    told_at: float
    asked_at: float


_NEVER: Final = float("-inf")
_NOTHING: Final = Seen({}, -1, 0, 0.0, _NEVER)


class Keyring:
    """Keys by their ids. One thread at a time asks what changed since; the others go on with what is known.

    ``changed_since`` takes a generation; it gives the latest, the database's time, and what changed between.
    """

    def __init__(self, changed_since: Callable[[int], Changes]) -> None:
        self._changed_since = changed_since
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._asking = threading.Lock()
        self._seen = _NOTHING
        self._failure: tuple[float, StoreUnavailableError] | None = None

    @property
    def fresh(self) -> bool:
        """Whether `find` answers without asking the database."""
        return self._pid == os.getpid() and self._age() < FRESH

    def expire(self) -> None:
        """Ask anew at the next look: a key was changed here."""
        with self._asking:
            self._seen = self._seen._replace(asked_at=_NEVER)

    def find(self, key_id: str) -> Known | None:
        """A key that is neither revoked nor expired, with the hash of its secret; else None.

        Raises:
            StoreUnavailableError: the database has not answered for 0.7 seconds.
        """
        if self._pid != os.getpid():
            self._begin_anew()
        if self._age() >= FRESH:
            self._refresh()
        seen = self._seen
        known = seen.keys.get(key_id)
        if known is None:
            return None
        now = seen.database_time + int((time.monotonic() - seen.told_at) * 1e6)
        return None if _expired(known[0], now) else known

    def _age(self) -> float:
        return time.monotonic() - self._seen.asked_at

    def _refresh(self) -> None:
        trusted = self._age() < TRUSTED
        if not self._asking.acquire(blocking=not trusted):
            return  # another thread asks
        try:
            if self._age() < FRESH:
                return  # another thread asked meanwhile
            self._ask()
        except StoreUnavailableError:
            if self._age() >= TRUSTED:
                raise
        finally:
            self._asking.release()

    def _ask(self) -> None:
        asked_at = time.monotonic()
        if self._failure is not None and asked_at - self._failure[0] < _PAUSE:
            error = self._failure[1]
            raise StoreUnavailableError(str(error), retry_after=error.retry_after)
        try:
            latest, now, changes = self._changed_since(self._seen.generation)
        except StoreUnavailableError as error:
            self._failure = (time.monotonic(), error)
            raise
        keys = self._seen.keys
        if changes:
            keys = {**keys, **{known[0].key_id: known for known in changes}}
            keys = {
                key_id: known
                for key_id, known in keys.items()
                if not known[0].revoked and not _expired(known[0], now)
            }
        self._seen = Seen(keys, latest, now, time.monotonic(), asked_at)
        self._failure = None


def _expired(key: Key, now: int) -> bool:
    return key.expires_at is not None and key.expires_at <= now
