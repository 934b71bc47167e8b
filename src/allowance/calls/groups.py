"""The accounts that a call is charged to, by the store they lie in: what one reserve or settle is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.errors import StoreError

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
        warnings: each frame's account with the part of its limit at which its hooks are to be warned.
        grant: what the store granted; None before, and once it is gone.
    """

    __slots__ = ("grant", "scopes", "store", "views", "warnings")

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scopes: tuple[Scope, ...] = ()
        self.views: list[View] = []
        self.warnings: list[tuple[View, float | None]] = []
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
        """See the accounts anew, after a release, which does not show them."""
        for view in self.views:
            try:
                account = self.store.account(view.key)
            except StoreError:
                return  # the figures stay as they were last seen
            if account is not None:
                view.saw(account)

    def accounts(self) -> list[Account]:
        """The accounts as they were last seen."""
        return [view.account for view in self.views if view.account is not None]


def groups_of(frames: Iterable[Frame]) -> list[Group]:
    """Each account once, by store: memory before files before servers (R4)."""
    groups: list[Group] = []
    for frame in frames:
        payer = frame.payer
        if payer is None:
            continue
        scope, view = payer
        for group in groups:
            if group.store is view.store:
                break
        else:
            group = Group(view.store)
            groups.append(group)
        if view not in group.views:
            group.scopes += (scope,)
            group.views.append(view)
        group.warnings.append((view, frame.warn_at))
    if len(groups) > 1:
        groups.sort(key=lambda group: group.store.rank)
    return groups


def _unlimited(scope: Scope, view: View) -> bool:
    if view.account is not None:
        return view.account.terms.limit is None
    declared = scope.declared
    return declared is not None and declared.creates and declared.limit is None
