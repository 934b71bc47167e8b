"""What every store promises. The suite in `allowance.stores.contract` proves it.

The verbs are intentions, and each is atomic: concurrent callers, in as many threads and processes as
the store allows, see its effect whole or not at all. The decisions themselves (does it fit, which
window, is it over) are the pure functions of `allowance.ledger`; a store runs them under its own lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from allowance.errors import BudgetError
    from allowance.ledger.records import (
        Account,
        AccountKey,
        Ask,
        Declaration,
        Denial,
        Entry,
        Grant,
        Hold,
        Posting,
        Settlement,
    )

__all__ = ["Batching", "Store"]


@runtime_checkable
class Store(Protocol):
    """A ledger of budgets.

    Every verb may raise `StoreUnavailableError` (nothing is known to have changed: asking again with
    the same id is safe) and `StoreCorruptError`. Amounts are nano-dollars; times are microseconds.

    Attributes:
        url: what the store is called, with no secret in it: ``"memory://"``, ``"sqlite:///a.db"``.
        rank: 0 memory, 1 file, 2 remote. A call with budgets in several stores takes them in this order.
        blocking: whether the verbs do I/O, so that async callers move them to a thread.
    """

    url: str
    rank: int
    blocking: bool

    def reserve(self, ask: Ask) -> Grant | Denial:
        """Hold money for one call on every scope of the ask, or change nothing (R1, R4, R7).

        Makes accounts that do not exist where the ask has terms for them (R11), applies declared terms
        that changed, turns windows that are over (R8), and sweeps expired holds of these accounts (R6),
        all in the same atomic step; a denial undoes nothing but its own making of accounts and holds.
        The same ask again returns the first grant (R3).

        Raises:
            UnknownUserError: a scope's account does not exist and nobody gave terms.
            HoldConflictError: the id is known with other content, or was released before.
        """
        ...

    def settle(self, posting: Posting) -> Settlement:
        """Post what a call cost, in full, to the windows in which it was reserved (R3, R5, R8).

        The hold is gone in the same step. After an expiry only the difference is posted. The same
        posting again changes nothing and says so.

        Raises:
            HoldConflictError: the hold was settled before with another amount.
            UnknownUserError: there is no hold of this id, and the posting's scopes name no account.
            ConfigurationError: the posting cannot be kept; its ``at`` is later than now.
        """
        ...

    def release(self, hold_id: str, *, reason: str = "") -> Hold | None:
        """Let a hold go: the call was not sent, or cost nothing.

        A hold that had expired gives back what it was charged. Of a settled or released one nothing
        changes. An unknown id is remembered: a reserve that comes later with it is refused (R3).
        Returns the hold as it stands now, or None where the id was unknown.
        """
        ...

    def renew(self, hold_ids: Sequence[str], ttl: int) -> None:
        """Put off the end of these holds, if still open, until ``ttl`` from now (R6)."""
        ...

    def define(self, key: AccountKey, terms: Declaration, *, declared: bool = False) -> Account:
        """Make an account, or change the given terms of one; its spend stays (R9).

        With ``declared`` the terms come from code: they are compared with what code last declared, and
        nothing is written where nothing changed. Without, they are an operator's and apply as given.

        Raises:
            UnknownUserError: the account does not exist and the terms name no limit.
            ConfigurationError: terms that cannot be kept, among them models without a label, and a
                ``created_at`` that is later than now.
        """
        ...

    def account(self, key: AccountKey) -> Account | None:
        """The account as of now (its window turned, its expired holds charged), or None."""
        ...

    def family(self, key: AccountKey) -> list[Account]:
        """All budgets of the key's user as of now, the main one first, then by label; of a stranger none."""
        ...

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        """Every account of a project, or of all, in order of their keys; removed ones not.

        With ``after`` only those whose keys follow this one, so that a reader can go on where it left off.
        """
        ...

    def model_costs(self, key: AccountKey) -> dict[str | None, int]:
        """What each model has cost in the account's current window; the values add up to its ``spent``.

        None stands for what belongs to no model: adjustments, and calls whose model is not known.
        """
        ...

    def adjust(
        self, key: AccountKey, amount: int | None, *, reason: str, adjustment_id: str | None = None
    ) -> Account:
        """Add to an account's spend by hand; negative to take away, None to bring it to zero: a reset.

        ``spent`` never falls below zero. A reset takes from each model what it has cost, in a line for each.
        With an ``adjustment_id`` the same adjustment counts once.

        Raises:
            UnknownUserError: no such account.
            ConfigurationError: the amount cannot be kept.
            HoldConflictError: the id stands for another adjustment.
        """
        ...

    def extend(
        self,
        key: AccountKey,
        amount: int,
        *,
        until: int | None = None,
        reason: str = "",
        adjustment_id: str | None = None,
    ) -> Account:
        """Top up: raise an account's limit by ``amount``, above zero, until a time.

        Without ``until`` it lasts to the end of the current window; where windows do not end, for good. A
        line of zero with the reason goes into the ledger. With an ``adjustment_id`` it counts once.

        Raises:
            UnknownUserError: no such account.
            ConfigurationError: the amount cannot be kept, the account has no limit, or the time is over.
            HoldConflictError: the id stands for another adjustment.
        """
        ...

    def remove(self, key: AccountKey) -> list[Account]:
        """Take an account away, with a main one its whole family; returns them as they stood.

        Its entries stay, and what is still held or settled for it goes to them: it is kept under the kind
        ``deleted``, with its name, and a label that says what it was and when. The name is free again.

        Raises:
            UnknownUserError: no such account.
        """
        ...

    def entries(
        self,
        key: AccountKey | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hold_id: str | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """Lines of the ledger in the order they were posted; ``since <= at < until``.

        With ``after`` only those whose ``seq`` is higher, so that a reader can go on where it left off.
        """
        ...

    def hold(self, hold_id: str) -> Hold | None:
        """The hold of this id, in whatever state; None where no money ever lay under it."""
        ...

    def holds(self, key: AccountKey | None = None) -> Iterator[Hold]:
        """Open and expired holds, oldest first."""
        ...

    def sweep(self) -> list[Hold]:
        """Charge every hold whose term is over (R6); returns those it charged."""
        ...

    def prune(self, before: int) -> int:
        """Fold lines with ``at < before``: those of one window and model become one of the kind ``CARRIED``.

        All lines of closed windows, and of accounts whose windows do not end; never those of a hold that is
        open or expired. Sums stay as they are (R2). What goes are the ids, tags and times of single calls:
        reports of that time tell models and windows alone, and after a change of duration such a sum counts
        where its newest part lies (R9). Holds of before then that were settled or released, and for which
        nothing was posted since, are forgotten: what comes for one of them later is new. Ids of adjustments
        stay. It goes by short steps, between which others work and the books balance. Returns how many lines
        have gone.

        Raises:
            ConfigurationError: ``before`` is less than eight days ago.
        """
        ...

    def audit(self) -> list[str]:
        """Recompute every figure from the entries and holds (R2); each difference in words."""
        ...

    def close(self) -> None:
        """Let go of connections and files; everything acknowledged is already kept."""
        ...


@runtime_checkable
class Batching(Protocol):
    """What a store may have besides: many reserves and settles at once, for a server that gathers them."""

    def many(self, operations: Sequence[Ask | Posting]) -> list[Grant | Denial | Settlement | BudgetError]:
        """Each as if alone, in this order, in as few transactions as can be; an error comes in its place.

        The errors are those that `Store.reserve` and `Store.settle` raise. Operations that are about
        different budgets may be done in another order: none can tell.
        """
        ...
