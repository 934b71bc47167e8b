"""The background job: charges expired holds, finds what happened, folds what is old. One server at a time."""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.errors import ConfigurationError, StoreError
from allowance.server.events import look
from allowance.server.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["Round", "Sweeper"]

log = logging.getLogger("allowance.server.sweeps")

LEASE: Final = "sweeps"
SHORTEST_RETENTION: Final = 8
"""Days. Ids of calls are remembered at least so long: what comes twice counts once."""

_DAY: Final = 86_400_000_000
_FOLD_EVERY: Final = 6 * 3_600_000_000


class Round(NamedTuple):
    """What one round did: holds that were charged at their term, lines that were folded, events found."""

    expired: int
    folded: int
    events: int


class Sweeper:
    """Does a round every ``settings.sweep_seconds``, in a thread of its own, and sends webhooks in another.

    Windows need no job: they turn at each operation. Of the servers on one database the one that holds the
    lease works; when it dies, another takes over as soon as its lease has run out.

    Raises:
        ConfigurationError: webhooks that cannot be sent to; a retention of less than 8 days.
    """

    def __init__(self, store: Store, state: State, settings: ServerSettings) -> None:
        days = settings.retention_days
        if days is not None and days < SHORTEST_RETENTION:
            raise ConfigurationError(
                f"Lines are kept {SHORTEST_RETENTION} days at least, not {days}: within that time a call "
                "that is told twice must be known again. Leave the retention out to keep all."
            )
        self._store = store
        self._state = state
        self._days = days
        self._every = settings.sweep_seconds or 30.0
        self._webhooks = Webhooks(state, settings)
        self._holder = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first round comes at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="allowance-sweeps", daemon=True)
            self._thread.start()
        self._webhooks.start()

    def stop(self) -> None:
        """Stop after the step that is being done, and leave the job to another server."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10.0)
            self._thread = None
        self._give_back()
        self._webhooks.stop()

    def round(self) -> Round | None:
        """Do everything once; None where another server holds the lease.

        What fails is logged, and does not keep the rest from being done.
        """
        if not self._state.take_lease(LEASE, self._holder, 3 * self._every):
            return None
        expired = self._step("charge expired holds", lambda: len(self._store.sweep()))
        targets = self._webhooks.targets
        events = (
            self._step("look for events", lambda: look(self._store, self._state, targets)) if targets else 0
        )
        folded = self._step("fold old lines", self._fold) if self._days is not None else 0
        return Round(expired, folded, events)

    def deliver(self) -> int:
        """Send what waits for the webhooks, once; how many letters were taken."""
        return self._webhooks.deliver()

    def _fold(self) -> int:
        now = self._state.now()
        if now < (self._state.mark("folded") or 0) + _FOLD_EVERY:
            return 0
        folded = self._store.prune(now - (self._days or 0) * _DAY)
        self._state.keep_mark("folded", now)
        return folded

    def _step(self, what: str, step: Callable[[], int]) -> int:
        if self._stopping.is_set():
            return 0
        try:
            return step()
        except StoreError as error:
            log.warning("Could not %s: %s", what, error)
        except Exception:
            log.exception("Could not %s", what)
        return 0

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.round()
            except StoreError as error:
                log.warning("The background job waits: %s", error)
            self._stopping.wait(self._every)

    def _give_back(self) -> None:
        try:
            self._state.give_back_lease(LEASE, self._holder)
        except StoreError:
            return  # it runs out
