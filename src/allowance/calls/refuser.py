"""`Refuser`: the budget that refused a call, what it has left for it, and how it is given more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from allowance.calls import process
from allowance.ledger.records import Declaration

if TYPE_CHECKING:
    from allowance.ledger.records import Account, AccountKey
    from allowance.stores.base import Store

__all__ = ["Refuser"]


class Refuser(NamedTuple):
    """One refusal. Amounts are nano-dollars.

    Attributes:
        store: where the budget lies.
        account: the budget as it stood when it refused.
        amount: what did not fit.
        least: without how much the call cannot be sent at all.
        temporary: whether only open holds stand in the way.
        freed: what the decorated call around this one holds there: this one may take it over.
    """

    store: Store
    account: Account
    amount: int
    least: int
    temporary: bool
    freed: int

    @property
    def name(self) -> tuple[Store, AccountKey]:
        """Which budget it is, among those of all stores."""
        return self.store, self.account.key

    @property
    def room(self) -> int:
        """What it has left for this call; negative where calls cost more than they held."""
        return (self.account.remaining or 0) + self.freed

    @property
    def missing(self) -> int:
        """By how much it is short."""
        return max(0, self.amount - self.room)

    def extend(self, amount: int, reason: str) -> None:
        """Top it up, until its window ends; where that never does, for good.

        Raises:
            StoreUnavailableError: it cannot be asked.
            UnknownUserError: it was removed meanwhile.
            ConfigurationError: it has no limit any more, or the amount is not above zero.
        """
        if self.store is process.STORE:
            process.raise_maximum(amount)
            return
        key, terms = self.account.key, self.account.terms
        if self.store.account(key) is None:
            # Its first call was refused, and a refusal keeps nothing (R7): not even the budget that it made.
            made = Declaration(
                terms.limit,
                terms.duration,
                terms.align,
                terms.timezone,
                terms.uncapped,
                creates=True,
                models=terms.models or None,
            )
            self.store.define(key, made)
        self.store.extend(key, amount, reason=reason)
