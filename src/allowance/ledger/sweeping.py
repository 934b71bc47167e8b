"""Charging what holds come to: at their term, when nobody is heard of, and whenever else (R6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.ledger.accounts import in_window, post
from allowance.ledger.families import known_account
from allowance.ledger.records import EntryKind, Hold, HoldState, Posting

if TYPE_CHECKING:
    from allowance.ledger.holds import HoldRow
    from allowance.ledger.records import Account
    from allowance.ledger.tables import Tables

__all__ = ["charge_account", "sweep"]


def sweep(tables: Tables, now: int) -> tuple[Hold, ...]:
    """Charge the open holds whose term is over: their amount where it was a bound, else as expected (R6)."""
    due = tables.due(now)
    if not due:
        return ()
    expired = []
    for row in due:
        row.charged = charged = row.amount if row.bound else row.expected
        row.state = HoldState.EXPIRED
        about = Posting(
            row.hold_id,
            charged,
            model=row.model,
            unconfirmed=True,
            reason="its owner was not heard of until its term",
            tags=row.tags,
        )
        for key, window_start in row.windows:
            account = known_account(tables, key, now)
            tables.add_entry(key, EntryKind.EXPIRY, charged, row.reserved_at, now, window_start, about)
            charge_account(tables, account, row, row.model, charged, row.amount, now)
        tables.keep_hold(row)
        expired.append(row.record())
    return tuple(expired)


def charge_account(
    tables: Tables, account: Account, row: HoldRow, model: str | None, spent: int, freed: int, now: int
) -> Account:
    """Bring an account's figures up to date with what was posted for a hold, and keep it."""
    if in_window(account, row.reserved_at):
        account = post(account, spent, -freed)
        if account.spent < 0:
            # A reset had brought the hold's charge to zero already: giving it back again would be credit.
            makeup = -account.spent
            about = Posting(
                row.hold_id, makeup, model=model, reason="an earlier reset had taken this charge back already"
            )
            start = account.window_start
            tables.add_entry(account.key, EntryKind.ADJUSTMENT, makeup, row.reserved_at, now, start, about)
            account = post(account, makeup, 0)
            spent += makeup
        if spent:
            tables.add_cost(account, model, spent)
    tables.keep(account)
    return account
