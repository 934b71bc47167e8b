"""What LiteLLM's manager lacks: how budgets stand, and what an operator does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.calls import lifeline
from allowance.calls.terms import label_for, patterns
from allowance.ledger.models import applies
from allowance.manager.binding import Bound
from allowance.manager.terms import operators_terms, signed_nanos
from allowance.manager.times import to_micros
from allowance.manager.twins import listed, twin
from allowance.manager.views import hold_status, status_of
from allowance.money import UNSET, to_nanos, to_usd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from allowance.calls.terms import Limit, Words
    from allowance.ledger.records import Alignment, Entry, Hold, Uncapped
    from allowance.manager.records import BudgetStatus, HoldStatus
    from allowance.manager.times import Moment
    from allowance.money import Money

__all__ = ["Operations"]


class Operations(Bound):
    """Questions and changes of an operator. Amounts are Decimals of US dollars, but for `entries`."""

    def status(self, user: str | int, *, kind: str = "user") -> tuple[BudgetStatus, ...]:
        """All budgets of a user as they stand now, the main one first, then by label.

        Raises:
            UnknownUserError: there is none.
        """
        return tuple(status_of(account) for account in self._family(user, kind))

    def statuses(self, *, kind: str | None = None) -> Iterator[BudgetStatus]:
        """Every budget of this project, or those of a kind, by kind, name and label; removed ones not."""
        lifeline.catch_up()
        for account in self.store.accounts(self._project):
            if kind in (None, account.key.kind):
                yield status_of(account)

    def remaining(self, user: str | int, *, model: str | None = None, kind: str = "user") -> Decimal | None:
        """US dollars that are left: the least over the user's budgets that count calls to this model.

        Without a model, over those that count every call. None where nothing is limited.

        Raises:
            UnknownUserError: there is no such budget.
        """
        counting = [account for account in self._family(user, kind) if applies(account.terms, model)]
        left = [account.remaining for account in counting if account.remaining is not None]
        return to_usd(min(left)) if left else None

    def set_budget(
        self,
        user: str | int,
        limit: Limit = UNSET,
        *,
        duration: str | None = None,
        align: Alignment | None = None,
        timezone: str | None = None,
        uncapped: Uncapped | None = None,
        models: Words | None = None,
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
        named = patterns(models)
        terms = operators_terms(
            limit, duration, align=align, timezone=timezone, uncapped=uncapped, models=named
        )
        return status_of(self.store.define(self._key(user, kind, label_for(label, named)), terms))

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
            HoldConflictError: the ``adjustment_id`` stands for another change.
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

        It counts on this one budget of the user's. With an ``adjustment_id`` the same counts once.

        Raises:
            UnknownUserError: there is no such budget.
            ConfigurationError: the amount is no number of US dollars.
            HoldConflictError: the ``adjustment_id`` stands for another change.
        """
        lifeline.catch_up()
        key, nanos = self._key(user, kind, label), signed_nanos(amount)
        return status_of(self.store.adjust(key, nanos, reason=reason, adjustment_id=adjustment_id))

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
        """Open and expired holds on a user's budgets, or on all of this project, oldest first.

        Raises:
            UnknownUserError: there is no such budget.
        """
        if user is None:
            return [hold_status(hold) for hold in self._project_holds()]
        # Every call on one of a user's budgets counts on the main one too.
        return [hold_status(hold) for hold in self.store.holds(self._family(user, kind)[0].key.main)]

    def release(self, call_id: str, *, reason: str = "") -> HoldStatus | None:
        """Let a hold go, whose call was not made or cost nothing; an expired one gives back its charge.

        Returns it as it stands then; None where this project has no open or expired hold of this id.
        """
        if not any(hold.hold_id == call_id for hold in self._project_holds()):
            return None
        hold = self.store.release(call_id, reason=reason or "released by hand")
        return None if hold is None else hold_status(hold)

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

        Those of one budget, or of all in this project, removed ones too. A time without a zone is in UTC.
        Lines are as the ledger has them: amounts in nano-dollars, times in microseconds since 1970.
        """
        lifeline.catch_up()
        key = None if user is None else self._key(user, kind, label)
        start = None if since is None else to_micros(since, what="since")
        end = None if until is None else to_micros(until, what="until")
        for entry in self.store.entries(key, since=start, until=end):
            if entry.key.project == self._project:
                yield entry

    def audit(self) -> list[str]:
        """Recompute every figure of the store, of all projects (R2); each difference in words."""
        return self.store.audit()

    astatus = twin(status)
    astatuses = listed(statuses)
    aremaining = twin(remaining)
    aset_budget = twin(set_budget)
    aadd_budget = twin(add_budget)
    aadjust = twin(adjust)
    adelete_user = twin(delete_user)
    aholds = twin(holds)
    arelease = twin(release)
    aentries = listed(entries)
    aaudit = twin(audit)

    def _project_holds(self) -> Iterator[Hold]:
        lifeline.catch_up()
        for hold in self.store.holds():
            if any(key.project == self._project for key, _ in hold.windows):
                yield hold
