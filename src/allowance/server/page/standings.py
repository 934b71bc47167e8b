"""How the budgets stand, all of them in a few figures: counted in passes, each a little at a time."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.ledger.records import Account
    from allowance.stores.base import Store

__all__ = ["MOST", "NEAREST", "Standings", "StandingsView"]

MOST: Final = 50_000
"""Budgets that one pass looks at."""
NEAREST: Final = 10
"""Budgets nearest to their limits that are kept, of each project."""

_AGAIN: Final = 15.0  # seconds for which a pass is new enough


class StandingsView(NamedTuple):
    """The figures for one reader; of ``nearest`` the fullest first. ``cut``: there are more than `MOST`."""

    budgets: int
    limited: int
    near: int
    full: int
    held: int
    nearest: list[Account]
    projects: list[str]
    complete: bool
    cut: bool


@dataclass(slots=True)
class _Project:
    budgets: int = 0
    limited: int = 0
    near: int = 0
    full: int = 0
    held: int = 0
    nearest: list[tuple[float, int, Account]] = field(default_factory=list)


class Standings:
    """What a pass over the budgets found, kept in this process for some seconds.

    A view goes on with the pass for a short time at most. Until the first one is through it shows how far
    that came; afterwards what the latest whole one found.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._found: dict[str, _Project] = {}
        self._complete = self._cut = False
        self._passed_at = float("-inf")
        self._coming: dict[str, _Project] = {}
        self._rest: Iterator[Account] | None = None
        self._looked = 0

    def changed(self) -> None:
        """Somebody changed a budget here: the next view looks anew."""
        self._passed_at = float("-inf")

    def view(self, sees: Callable[[str], bool], project: str = "", *, patience: float = 0.3) -> StandingsView:
        """The figures of the projects that a reader sees, or of one of them."""
        self._pass_on(patience)
        with self._lock:
            found = self._found if self._complete else self._coming
            wanted = [one for name, one in found.items() if sees(name) and project in ("", name)]
            nearest = heapq.nlargest(NEAREST, [near for one in wanted for near in one.nearest])
            return StandingsView(
                budgets=sum(one.budgets for one in wanted),
                limited=sum(one.limited for one in wanted),
                near=sum(one.near for one in wanted),
                full=sum(one.full for one in wanted),
                held=sum(one.held for one in wanted),
                nearest=[account for _, _, account in nearest],
                projects=sorted(name for name in found if sees(name)),
                complete=self._complete,
                cut=self._cut,
            )

    def _pass_on(self, patience: float) -> None:
        if not self._lock.acquire(timeout=patience):
            return
        try:
            now = time.monotonic()
            if now - self._passed_at >= _AGAIN:
                self._look(now + patience)
        except BaseException:
            self._rest = None  # what broke off in the middle is begun anew
            raise
        finally:
            self._lock.release()

    def _look(self, deadline: float) -> None:
        if self._rest is None:
            self._rest, self._coming, self._looked = self._store.accounts(), {}, 0
        for account in self._rest:
            self._add(account)
            self._looked += 1
            if self._looked >= MOST:
                break
            if self._looked % 256 == 0 and time.monotonic() > deadline:
                return
        self._found, self._complete, self._cut = self._coming, True, self._looked >= MOST
        self._rest, self._passed_at = None, time.monotonic()

    def _add(self, account: Account) -> None:
        project = self._coming.setdefault(account.key.project, _Project())
        project.budgets += 1
        if not account.key.label:
            project.held += account.held  # a call on one of a user's budgets counts on the main one too
        limit = account.limit
        if limit is None:
            return
        used = account.spent + account.held
        full = used / limit if limit else 1.0
        project.limited += 1
        project.near += 0.8 <= full < 1
        project.full += full >= 1
        heap = project.nearest
        # Of two that are as full the one that was looked at first stays; accounts are never compared.
        item = (full, -self._looked, account)
        if len(heap) < NEAREST:
            heapq.heappush(heap, item)
        elif item > heap[0]:
            heapq.heapreplace(heap, item)
