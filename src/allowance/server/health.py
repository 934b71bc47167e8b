"""Is it alive, can it work, and how does it do: for whatever watches over servers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from allowance.errors import BudgetError
from allowance.ledger.records import AccountKey
from allowance.server.endpoints import Endpoint
from allowance.server.gate import Need
from allowance.server.metrics import CONTENT_TYPE
from allowance.server.problems import GUARDS, RefusedError, Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.server.doing import Doing
    from allowance.server.endpoints import Call
    from allowance.server.gate import Gate
    from allowance.server.metrics import Metrics
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State

__all__ = ["NOBODY", "health"]

PATIENCE: Final = 5.0
"""Seconds in which the store must answer, for the server to be ready."""

NOBODY: Final = AccountKey("(nobody)", "user", "(nobody)")
"""Whom a store is asked for, to see whether it answers."""


def health(
    doing: Doing, state: State, gate: Gate, metrics: Metrics, settings: ServerSettings
) -> list[Endpoint]:
    """``/healthz``: the process answers. ``/readyz``: its store and its state do. ``/metrics``: figures.

    The first two say nothing secret, and need no key. ``/metrics`` needs one that may read in all projects,
    unless the settings open it: sums of what is spent are a business's own matter.
    """
    need = Need.OPEN if settings.metrics_open else Need.READ
    build = partial(Endpoint, gate=gate, metrics=metrics, method="GET")
    return [
        build("/healthz", _alive, Need.OPEN),
        build("/readyz", partial(_ready, doing, state), Need.OPEN),
        build("/metrics", partial(_metrics, metrics), need),
    ]


async def _alive(_: Call) -> Reply:
    return json_reply({"status": "ok"})


async def _ready(doing: Doing, state: State, _: Call) -> Reply:
    checks: dict[str, Callable[[], object]] = {
        "store": partial(doing.store.account, NOBODY),
        "state": state.now,
    }
    found: dict[str, str] = {}
    for name, check in checks.items():
        try:
            async with asyncio.timeout(PATIENCE):
                await doing.in_thread(check)
            found[name] = "ok"
        except (BudgetError, TimeoutError):
            found[name] = "does not answer"
    ready = set(found.values()) == {"ok"}
    return json_reply({"status": "ok" if ready else "not ready", **found}, 200 if ready else 503)


async def _metrics(metrics: Metrics, call: Call) -> Reply:
    if call.key is not None and call.key.projects is not None:
        raise RefusedError(
            403,
            "forbidden",
            f"The key {call.key.name!r} ({call.key.key_id}) is bound to projects, and these are the figures "
            "of all.",
        )
    return Reply(200, [(b"content-type", CONTENT_TYPE), *GUARDS], metrics.text())
