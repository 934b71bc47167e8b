"""What Prometheus reads. Nothing here is counted by user, project or key: their number has no bound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.ledger.records import Denial, Grant, Settlement

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one process; with several workers those of all (see `text`)."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        reserves = Counter("allowance_reserves", "Reserves by their outcome", ["outcome"], registry=registry)
        self._granted = reserves.labels("granted")
        self._denied = reserves.labels("denied")
        self._failed = reserves.labels("error")
        self._settles = Counter("allowance_settles", "Calls that were settled", registry=registry)
        self._overruns = Counter(
            "allowance_overruns", "Calls that cost more than was held", registry=registry
        )
        self._overrun_usd = Counter(
            "allowance_overrun_usd", "US dollars by which calls cost more than they held", registry=registry
        )
        self._batches = Histogram(
            "allowance_batch_size",
            "Reserves and settles that went to the store together",
            buckets=_SIZES,
            registry=registry,
        )
        self._seconds = Histogram(
            "allowance_request_seconds",
            "Seconds from a request's arrival to its answer",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._answers = Counter(
            "allowance_requests", "Requests by address and status", ["path", "status"], registry=registry
        )

    def watch(self, path: str) -> Callable[[int, float], None]:
        """What counts the answers of one address."""
        seconds = self._seconds.labels(path)
        answers = {200: self._answers.labels(path, "200")}

        def watch(status: int, took: float) -> None:
            if status not in answers:
                answers[status] = self._answers.labels(path, str(status))
            answers[status].inc()
            seconds.observe(took)

        return watch

    def batch(self, size: int) -> None:
        """A batch went to the store."""
        self._batches.observe(size)

    def reserved(self, outcome: Grant | Denial | None) -> None:
        """A reserve was answered; None: with an error."""
        if outcome is None:
            self._failed.inc()
        elif hasattr(outcome, "hold_id"):
            self._granted.inc()
        else:
            self._denied.inc()

    def settled(self, settlement: Settlement) -> None:
        """A call was settled."""
        if settlement.repeated:
            return
        self._settles.inc()
        if settlement.overrun:
            self._overruns.inc()
            self._overrun_usd.inc(settlement.overrun / 1e9)

    def text(self) -> bytes:
        """All of it in Prometheus's form.

        Where ``allowance serve`` runs several workers it sets ``PROMETHEUS_MULTIPROC_DIR``, and whichever
        worker is asked adds up the figures of all.
        """
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no type for it
        return generate_latest(registry)
