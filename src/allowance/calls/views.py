"""`View`: one account as this process last saw it, so that reading a budget needs no I/O."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from allowance.ledger.records import Account, AccountKey
    from allowance.stores.base import Store

__all__ = ["Family", "View", "own_view", "view_of"]

MOST_FAMILIES = 20_000
"""How many users are remembered; beyond it the half that was seen first is forgotten."""


class Family:
    """The budgets of one user in one store, as far as this process has met with them.

    Attributes:
        views: one for each, by its label.
        payee: the store and the user's main account, by which a reply is known to have been charged
            (`allowance.calls.settled`); None for a budget that belongs to no user.
    """

    __slots__ = ("main", "payee", "store", "views")

    def __init__(self, store: Store, main: AccountKey, *, named: bool) -> None:
        self.store = store
        self.main = main
        self.payee = (store, main) if named else None
        self.views: dict[str, View] = {}

    def view(self, key: AccountKey) -> View:
        """The process's one view of this account."""
        view = self.views.get(key.label)
        if view is None:
            with _lock:
                view = self.views.get(key.label)
                if view is None:
                    view = View(self, key)
                    self.views = {**self.views, key.label: view}  # others may be walking through the old one
        return view


class View:
    """The last snapshot of one account, and what this process holds on it without having counted.

    ``cheap`` is the sum, in nano-dollars, of open holds that rest on a byte bound instead of a count.
    """

    __slots__ = ("__weakref__", "account", "cheap", "family", "key", "lock", "store", "warned")

    def __init__(self, family: Family, key: AccountKey) -> None:
        self.family = family
        self.store = family.store
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
        limit = account.limit
        if not limit:
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
_families: dict[tuple[Store, AccountKey], Family] = {}
_lock = threading.Lock()


def view_of(store: Store, key: AccountKey) -> View:
    """The process's one view of this account."""
    main = key.main
    family = _families.get((store, main))
    if family is None:
        with _lock:
            family = _families.get((store, main))
            if family is None:
                if len(_families) >= MOST_FAMILIES:
                    for old in list(_families)[: MOST_FAMILIES // 2]:
                        del _families[old]
                family = _families[(store, main)] = Family(store, main, named=True)
    return family.view(key)


def own_view(store: Store, key: AccountKey) -> View:
    """The view of an account that belongs to no user; it lives as long as somebody holds on to it."""
    return Family(store, key.main, named=False).view(key)


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
