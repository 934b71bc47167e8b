"""The accounts that a call is charged to, by the store they lie in: what one reserve or settle is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.errors import StoreError
from allowance.ledger.models import applies
from allowance.ledger.records import Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.calls.settled import Payee
    from allowance.calls.stack import Frame
    from allowance.calls.views import View
    from allowance.ledger.records import Account, AccountKey, Grant, Scope
    from allowance.stores.base import Store

__all__ = ["Group", "groups_of"]


class Group:
    """The accounts of one store.

    A frame names one account, and stands for its whole family: a user may have several budgets at once.
    Which of them a call lies on is for the store to say; it does in its grant.

    Attributes:
        scopes, named: what the frames name: one of each for every account, in the order of the frames.
        views: the accounts that the call lies on; before a grant, those that are named.
        warnings: each frame's account with the part of its limit at which its hooks are to be warned.
        grant: what the store granted; None before, and once it is gone.
    """

    __slots__ = ("grant", "named", "scopes", "store", "views", "warnings")

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scopes: tuple[Scope, ...] = ()
        self.named: list[View] = []
        self.views: list[View] = self.named
        self.warnings: list[tuple[View, float | None]] = []
        self.grant: Grant | None = None

    def granted(self, grant: Grant) -> None:
        """Keep the grant, and what it shows: the accounts that the call lies on, siblings too."""
        self.grant = grant
        accounts, named = grant.accounts, self.named
        if len(accounts) == 1 and len(named) == 1 and accounts[0].key == named[0].key:
            self.views = named
            named[0].saw(accounts[0])
            return
        self.views = []
        for account in accounts:
            view = self.view(account.key)
            if view is not None:
                view.saw(account)
                self.views.append(view)

    def saw(self, accounts: Sequence[Account]) -> None:
        """Keep what the store showed of the accounts that the call lies on."""
        if len(accounts) == 1:
            for view in self.views:
                if view.key == accounts[0].key:
                    view.saw(accounts[0])
            return
        by_key = {account.key: account for account in accounts}
        for view in self.views:
            if (account := by_key.get(view.key)) is not None:
                view.saw(account)

    def look(self) -> None:
        """See the accounts anew, after a release, which does not show them."""
        families = {view.family.main: None for view in self.views}
        for main in families:
            try:
                self.saw(self.store.family(main))
            except StoreError:
                return  # the figures stay as they were last seen

    def accounts(self) -> list[Account]:
        """The accounts that the call lies on, as they were last seen."""
        return [view.account for view in self.views if view.account is not None]

    def view(self, key: AccountKey) -> View | None:
        """The view of an account of one of the families; None for another's (one that was removed since)."""
        main = key.main
        for view in self.named:
            if view.family.main == main:
                return view.family.view(key)
        return None

    def payees(self) -> tuple[Payee, ...]:
        """The users who pay."""
        named = self.named
        if len(named) == 1:
            payee = named[0].family.payee
            return () if payee is None else (payee,)
        return tuple({view.family.payee: None for view in named if view.family.payee is not None})

    def foreseen(self, model: str | None) -> list[View]:
        """The accounts on which a call of this model will lie, as far as this process has seen them."""
        named = self.named
        for view in named:
            if len(view.family.views) > 1 or view.key.label:
                break
        else:
            return named
        views: dict[View, None] = {}
        for scope, view in zip(self.scopes, named, strict=True):
            for relative in view.family.views.values():
                account = relative.account
                if account is not None:
                    if applies(account.terms, model):
                        views[relative] = None
                elif relative is view and _may_apply(scope, model):
                    views[relative] = None
        return list(views)

    def unlimited(self, model: str | None) -> bool:
        """Whether, as far as is known, no limit is in force here that could stop a call (R9)."""
        views = self.foreseen(model)
        limits = [view.account.limit for view in views if view.account is not None]
        for scope, view in zip(self.scopes, self.named, strict=True):
            if view.account is None and view in views:
                declared = scope.declared
                if declared is None or not declared.creates:
                    return False
                limits.append(declared.limit)
        return bool(limits) and all(limit is None for limit in limits)


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
        if view not in group.named:
            group.scopes += (scope,)
            group.named.append(view)
        group.warnings.append((view, frame.warn_at))
    if len(groups) > 1:
        groups.sort(key=lambda group: group.store.rank)
    return groups


def _may_apply(scope: Scope, model: str | None) -> bool:
    declared = scope.declared
    return declared is None or not declared.models or applies(Terms(None, models=declared.models), model)
