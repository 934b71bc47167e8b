"""`View`: one account as this process last saw it, so that reading a budget needs no I/O."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from allowance.ledger.records import Account, AccountKey
    from allowance.stores.base import Store

__all__ = ["View", "view_of"]

MOST_VIEWS = 20_000
"""How many accounts are remembered; beyond it the half that was made first is forgotten."""


class View:
    """The last snapshot of one account, and what this process holds on it without having counted.

    ``cheap`` is the sum, in nano-dollars, of open holds that rest on a byte bound instead of a count.
    """

    __slots__ = ("__weakref__", "account", "cheap", "key", "lock", "store", "warned")

    def __init__(self, store: Store, key: AccountKey) -> None:
        self.store = store
        self.key = key
        self.account: Account | None = None
        self.cheap = 0
        self.warned: dict[float, int] = {}  # by the part: the window whose threshold event was sent
        self.lock = threading.Lock()
        _all.add(self)

    def saw(self, account: Account) -> None:
        """Keep a snapshot, unless a newer one is here already: threads hand them in out of order."""
        with self.lock:
            if self.account is None or account.version >= self.account.version:
                self.account = account

    def crossed(self, account: Account, posted: int, part: float) -> bool:
        """Whether this posting took the account past ``part`` of its limit, the first time in its window."""
        limit = account.terms.limit
        if account.key != self.key or not limit:
            return False
        line = limit * round(part * 1_000_000) // 1_000_000
        if account.spent < line or account.spent - posted >= line:
            return False
        with self.lock:
            first = self.warned.get(part) != account.window_start
            self.warned[part] = account.window_start
        return first

    def add_cheap(self, amount: int) -> None:
        """Note that a cheap hold was opened (positive) or closed (negative)."""
        with self.lock:
            self.cheap += amount


_all: WeakSet[View] = WeakSet()
_views: dict[tuple[Store, AccountKey], View] = {}
_lock = threading.Lock()


def view_of(store: Store, key: AccountKey) -> View:
    """The process's one view of this account."""
    view = _views.get((store, key))
    if view is None:
        with _lock:
            view = _views.get((store, key))
            if view is None:
                if len(_views) >= MOST_VIEWS:
                    for old in list(_views)[: MOST_VIEWS // 2]:
                        del _views[old]
                view = _views[(store, key)] = View(store, key)
    return view


def _after_fork() -> None:
    # The parent's holds are not the child's, and a lock may have been held by a thread that is gone. Open
    # blocks and decorated functions hold on to their views, so each is made as new where it is.
    global _lock
    _lock = threading.Lock()
    for view in list(_all):
        view.lock = threading.Lock()
        view.account, view.cheap = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
