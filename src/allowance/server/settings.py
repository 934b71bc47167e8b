"""What a server is told at its start. Each field has a value that is right for a first try."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServerSettings"]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits, rates, and what the background job does.

    Attributes:
        max_body: bytes that a request's body may have.
        max_scopes: budgets that one call may name.
        max_litellm_body: the same for ``/set_budget``, whose body holds every user of a project.
        rate: requests a second that one key may make in the long run; None does not count them.
        burst: how many it may make at once before the rate counts.
        threads: worker threads that take the gathered reserves and settles to the store.
        batch: reserves and settles that go to the store together at most.
        queue: reserves and settles that may wait; beyond, requests are answered 503.
        sweep_seconds: how often the background job looks; None: this server has none.
        retention_days: after how many days lines of closed windows are folded; None keeps them all.
        webhooks: addresses that events are sent to.
        webhook_secret: what their signatures are made with. Never shown.
        metrics_open: whether ``/metrics`` needs no key.
        over_tls: whether clients reach this server by https, be it through a proxy: cookies are then Secure.
    """

    max_body: int = 64 * 1024
    max_scopes: int = 8
    max_litellm_body: int = 8 * 1024 * 1024
    rate: float | None = None
    burst: int = 200
    threads: int = 2
    batch: int = 256
    queue: int = 10_000
    sweep_seconds: float | None = 30.0
    retention_days: int | None = None
    webhooks: tuple[str, ...] = ()
    webhook_secret: str | None = None
    metrics_open: bool = False
    over_tls: bool = False

    def __repr__(self) -> str:
        return "ServerSettings(...)"
