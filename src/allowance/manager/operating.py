"""What LiteLLM's manager lacks: how budgets stand, and what an operator does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from allowance.calls import lifeline
from allowance.errors import ConfigurationError
from allowance.ledger.names import DELETED
from allowance.manager.binding import Bound
from allowance.manager.terms import labelled, operators_terms
from allowance.manager.times import to_micros
from allowance.manager.twins import twin
from allowance.manager.views import hold_status, status_of
from allowance.money import UNSET, to_nanos, to_usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from allowance.calls.terms import Limit
    from allowance.ledger.records import Alignment, Entry, Uncapped
    from allowance.manager.records import BudgetStatus, HoldStatus
    from allowance.manager.times import Moment
    from allowance.money import Money

__all__ = ["Operations"]


class Operations(Bound):
    """Questions and changes of an operator. Amounts are Decimals of US dollars."""

    def status(self, user: str | int, *, kind: str = "user") -> tuple[BudgetStatus, ...]:
        """All budgets of a user as they stand now, the main one first, then by label.

        Raises:
            UnknownUserError: there is none.
        """
        return tuple(status_of(account) for account in self._family(user, kind))

    def statuses(self, *, kind: str | None = None) -> Iterator[BudgetStatus]:
        """Every budget of this project, or those of a kind, by kind, name and label; removed ones not."""
        lifeline.catch_up()
        for account in self.store.accounts(self.project_name):
            if account.key.kind != DELETED and kind in (None, account.key.kind):
                yield status_of(account)

    def remaining(self, user: str | int, *, model: str | None = None, kind: str = "user") -> Decimal | None:
        """US dollars that are left: the least over the user's budgets that count calls to this model.

        Without a model, over those that count every call. None where nothing is limited.
        """
        raise NotImplementedError

    def set_budget(
        self,
        user: str | int,
        limit: Limit = UNSET,
        *,
        duration: str | None = None,
        align: Alignment | None = None,
        timezone: str | None = None,
        uncapped: Uncapped | None = None,
        models: str | Sequence[str] | None = None,
        label: str = "",
        kind: str = "user",
    ) -> BudgetStatus:
        """Make a budget, or change of one only what is given; what was spent stays spent (R9).

        This is an operator's word: code that goes on declaring what it declared before does not undo it.

        Args:
            limit: US dollars per window; None lifts the limit.
            duration: ``"forever"`` makes it one window for good.
            models: with no label given, the budget's label is these globs, joined by a comma.

        Raises:
            UnknownUserError: there is no such budget, and no limit to make one with.
            ConfigurationError: a term is not one, or nothing was given.
        """
        terms = operators_terms(limit, duration, models, align=align, timezone=timezone, uncapped=uncapped)
        key = labelled(self._key(user, kind, label), terms.models)
        return status_of(self.store.define(key, terms))

    def add_budget(
        self,
        user: str | int,
        amount: Money,
        *,
        reason: str = "",
        until: Moment | None = None,
        label: str = "",
        kind: str = "user",
        adjustment_id: str | None = None,
    ) -> BudgetStatus:
        """Top up: let the user spend so much more than the limit, until a time.

        Args:
            amount: US dollars, above zero.
            until: when it ends; left out, with the current window, and where that never ends, never.
            reason: stands in the ledger.
            adjustment_id: the same id tops up once.

        Raises:
            UnknownUserError: there is no such budget.
            ConfigurationError: it has no limit, the time is over, or the amount is not above zero.
        """
        key = self._key(user, kind, label)
        nanos = to_nanos(amount)
        end = None if until is None else to_micros(until, what="until")
        account = self.store.extend(key, nanos, until=end, reason=reason, adjustment_id=adjustment_id)
        return status_of(account)

    def adjust(
        self,
        user: str | int,
        amount: Money,
        *,
        reason: str,
        label: str = "",
        kind: str = "user",
        adjustment_id: str | None = None,
    ) -> BudgetStatus:
        """Add to what was spent, by hand; a negative amount takes away, to zero at most.

        The amount counts on this one budget of the user's. With an ``adjustment_id`` the same counts once.
        """
        raise NotImplementedError

    def delete_user(
        self, user: str | int, *, kind: str = "user", label: str | None = None
    ) -> tuple[BudgetStatus, ...]:
        """Remove a user with all budgets, or the one of a label (``""``: all, for it is the main one).

        Returns them as they stood. Reports go on counting what was spent; the name is free again.

        Raises:
            UnknownUserError: there is no such budget.
        """
        lifeline.catch_up()
        return tuple(map(status_of, self.store.remove(self._key(user, kind, label or ""))))

    def holds(self, user: str | int | None = None, *, kind: str = "user") -> list[HoldStatus]:
        """Open and expired holds on a user's budgets, or on all of this project, oldest first."""
        raise NotImplementedError

    def release(self, call_id: str, *, reason: str = "") -> HoldStatus | None:
        """Let a hold go: its call was not made, or cost nothing. An expired one gives back what it was charged.

        Of a settled or released one nothing changes. None where the id is unknown here.
        """
        raise NotImplementedError

    def entries(
        self,
        user: str | int | None = None,
        *,
        kind: str = "user",
        label: str = "",
        since: Moment | None = None,
        until: Moment | None = None,
    ) -> Iterator[Entry]:
        """Lines of the ledger with ``since <= at < until``, as they were posted.

        Those of one budget, or of all in this project, removed ones too.
        """
        raise NotImplementedError

    def audit(self) -> list[str]:
        """Recompute every figure of the store, of all projects (R2); each difference in words."""
        return self.store.audit()


_ = (Any, uuid4, ConfigurationError, hold_status, to_usd, twin)
