"""The ledger's records, as a manager shows them: in dollars and datetimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.ledger.records import HoldState
from allowance.ledger.times import to_datetime
from allowance.manager.records import BudgetStatus, HoldStatus, TopUp
from allowance.money import to_usd

if TYPE_CHECKING:
    from allowance.ledger.records import Account, Hold

__all__ = ["hold_status", "status_of"]


def status_of(account: Account) -> BudgetStatus:
    """A budget as it stands."""
    key, terms = account.key, account.terms
    limit, base, remaining, end = account.limit, terms.limit, account.remaining, account.window_end
    return BudgetStatus(
        project=key.project,
        kind=key.kind,
        user=key.name,
        label=key.label,
        models=terms.models,
        limit=None if limit is None else to_usd(limit),
        base_limit=None if base is None else to_usd(base),
        extra=to_usd(sum([extra.amount for extra in account.extras])),
        top_ups=tuple(
            TopUp(to_usd(amount), None if until is None else to_datetime(until))
            for amount, until in account.extras
        ),
        spent=to_usd(account.spent),
        held=to_usd(account.held),
        remaining=None if remaining is None else to_usd(remaining),
        duration=terms.duration,
        align=terms.align,
        timezone=terms.timezone,
        uncapped=terms.uncapped,
        created_at=to_datetime(account.created_at),
        window_start=to_datetime(account.window_start),
        resets_at=None if end is None else to_datetime(end),
    )


def hold_status(hold: Hold) -> HoldStatus:
    """A hold as it stands."""
    keys = sorted(key for key, _ in hold.windows)
    first = keys[0] if keys else None
    return HoldStatus(
        call_id=hold.hold_id,
        state=str(hold.state),
        project="" if first is None else first.project,
        kind="" if first is None else first.kind,
        user="" if first is None else first.name,
        budgets=tuple((key.kind, key.name, key.label) for key in keys),
        model=hold.model,
        tags=hold.tags,
        owner=hold.owner,
        amount=to_usd(hold.amount),
        bound=hold.bound,
        expected=to_usd(hold.expected),
        charged=to_usd(hold.charged),
        unconfirmed=hold.state is HoldState.EXPIRED,
        reserved_at=to_datetime(hold.reserved_at),
        expires_at=to_datetime(hold.expires_at),
    )
