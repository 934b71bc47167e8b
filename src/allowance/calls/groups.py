"""The accounts that a call is charged to, by the store they lie in: what one reserve or settle is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.calls.stack import Frame
    from allowance.calls.views import View
    from allowance.ledger.records import Account, Grant, Scope
    from allowance.stores.base import Store

__all__ = ["Group", "groups_of"]


class Group:
    """The accounts of one store.

    Attributes:
        scopes, views: one of each for every account, in the order of the frames.
        grant: what the store granted; None before, and once it is gone.
    """

    __slots__ = ("grant", "scopes", "store", "views", "warnings")

    def __init__(self, store: Store, frames: Sequence[Frame]) -> None:
        self.store = store
        self.scopes: tuple[Scope, ...] = tuple([frame.scope for frame in frames if frame.scope is not None])
        self.views: list[View] = [frame.view for frame in frames if frame.view is not None]
        self.warnings = [frame.warn_at for frame in frames]
        self.grant: Grant | None = None

    def unlimited(self) -> bool:
        """Whether, as far as is known, no limit is in force here that could stop a call (R9)."""
        return all(map(_unlimited, self.scopes, self.views))

    def saw(self, accounts: Sequence[Account]) -> None:
        """Keep what the store showed."""
        if len(accounts) == 1 and len(self.views) == 1:
            self.views[0].saw(accounts[0])
            return
        by_key = {account.key: account for account in accounts}
        for view in self.views:
            if (account := by_key.get(view.key)) is not None:
                view.saw(account)

    def look(self) -> None:
        """See the accounts anew; only where that is no I/O."""
        if not self.store.blocking:
            for view in self.views:
                if (account := self.store.account(view.key)) is not None:
                    view.saw(account)

    def accounts(self) -> list[Account]:
        """The accounts as they were last seen."""
        return [view.account for view in self.views if view.account is not None]


def groups_of(frames: Iterable[Frame]) -> list[Group]:
    """Each account once, by store: memory before files before servers (R4)."""
    paying = [frame for frame in frames if frame.view is not None]
    if len(paying) == 1 and paying[0].view is not None:
        return [Group(paying[0].view.store, paying)]
    by_store: dict[int, tuple[Store, list[Frame]]] = {}
    seen: set[int] = set()
    for frame in paying:
        view = frame.view
        if view is not None and id(view) not in seen:
            seen.add(id(view))
            by_store.setdefault(id(view.store), (view.store, []))[1].append(frame)
    groups = [Group(store, several) for store, several in by_store.values()]
    groups.sort(key=lambda group: group.store.rank)
    return groups


def _unlimited(scope: Scope, view: View) -> bool:
    if view.account is not None:
        return view.account.terms.limit is None
    declared = scope.declared
    return declared is not None and declared.creates and declared.limit is None
