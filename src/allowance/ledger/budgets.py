"""The verbs of a store that are about accounts: define, look, adjust, top up, remove, audit. See `verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.errors import ConfigurationError, HoldConflictError
from allowance.ledger.accounts import amend, declare, extended, open_account, post, turn
from allowance.ledger.families import keep_recounted, known_account, recounted, unknown
from allowance.ledger.names import DELETED
from allowance.ledger.records import EntryKind, Posting, Scope
from allowance.ledger.sweeping import sweep
from allowance.ledger.tables import Adjustment
from allowance.ledger.times import to_datetime
from allowance.money import MAX_NANOS, format_usd

if TYPE_CHECKING:
    from allowance.ledger.records import Account, AccountKey, Declaration
    from allowance.ledger.tables import Tables

__all__ = ["adjust", "define", "difference", "extend", "family", "look", "model_costs", "remove"]


def define(tables: Tables, key: AccountKey, given: Declaration, declared: bool, now: int) -> Account:
    """See `Store.define`."""
    sweep(tables, now)
    known = tables.account(key)
    if known is None:
        account = open_account(Scope(key, declared=given), now)
        if account is None:
            raise unknown(tables, key)
        account = account if declared else account._replace(declared=None)
        tables.keep(account)
        return account
    account = turn(known, now)
    changed = declare(account, given, now) if declared else amend(account, given, now)
    account, costs = recounted(tables, account, changed)
    if account is not known:
        keep_recounted(tables, account, costs)
    return account


def look(tables: Tables, key: AccountKey, now: int) -> Account | None:
    """See `Store.account`."""
    sweep(tables, now)
    return None if tables.account(key) is None else known_account(tables, key, now)


def family(tables: Tables, key: AccountKey, now: int) -> list[Account]:
    """See `Store.family`."""
    sweep(tables, now)
    return [known_account(tables, account.key, now) for account in tables.family(key)]


def model_costs(tables: Tables, key: AccountKey, now: int) -> dict[str | None, int]:
    """See `Store.model_costs`."""
    sweep(tables, now)
    costs = tables.model_costs(known_account(tables, key, now))
    return {model: cost for model, cost in costs.items() if cost}


def adjust(
    tables: Tables, key: AccountKey, amount: int | None, reason: str, adjustment_id: str | None, now: int
) -> Account:
    """See `Store.adjust`. A reset takes from each model what it has cost."""
    if amount is not None and (type(amount) is not int or abs(amount) > MAX_NANOS):
        raise ConfigurationError(
            f"An adjustment is None or a whole number of nano-dollars up to {MAX_NANOS}, not {amount!r:.60}."
        )
    sweep(tables, now)
    account = known_account(tables, key, now)
    asked = Adjustment(key, amount)
    if _made_before(tables, adjustment_id, asked):
        return account
    if adjustment_id is not None:
        tables.add_adjustment(adjustment_id, asked)
    changes: dict[str | None, int]
    if amount is None:
        changes = {model: -cost for model, cost in tables.model_costs(account).items() if cost} or {None: 0}
    else:
        changes = {None: max(amount, -account.spent)}
    for model in sorted(changes, key=lambda model: model or ""):
        about = Posting("", changes[model], model=model, reason=reason)
        start = account.window_start
        # What takes back lies at the window's start, before all that it takes back: a shorter window that
        # begins later has none of it for a credit.
        at = start if amount is None or amount < 0 else now
        tables.add_entry(key, EntryKind.ADJUSTMENT, changes[model], at, now, start, about)
    account = post(account, sum(changes.values()), 0)
    tables.keep(account)
    if amount is None:
        tables.keep_costs(account, {})
    elif changes[None]:
        tables.add_cost(account, None, changes[None])
    return account


def extend(
    tables: Tables,
    key: AccountKey,
    amount: int,
    until: int | None,
    reason: str,
    adjustment_id: str | None,
    now: int,
) -> Account:
    """See `Store.extend`."""
    sweep(tables, now)
    account = known_account(tables, key, now)
    asked = Adjustment(key, amount, until or 0)
    if _made_before(tables, adjustment_id, asked):
        return account
    account = extended(account, amount, until, now)
    if adjustment_id is not None:
        tables.add_adjustment(adjustment_id, asked)
    lasting = account.window_end if until is None else until
    note = f"top-up of {format_usd(amount)}" + ("" if lasting is None else f" until {_iso(lasting)}")
    about = Posting("", 0, reason=f"{note}: {reason}" if reason else note)
    tables.add_entry(key, EntryKind.ADJUSTMENT, 0, now, now, account.window_start, about)
    tables.keep(account)
    return account


def remove(tables: Tables, key: AccountKey, now: int) -> list[Account]:
    """See `Store.remove`."""
    sweep(tables, now)
    if key.kind == DELETED:
        raise ConfigurationError(f"The budget of {key.name!r:.80} was removed before. Nothing changed.")
    account = known_account(tables, key, now)
    removed = [account] if key.label else family(tables, key, now)
    for account in removed:
        tables.rename(account.key, _grave(tables, account.key, now))
    return removed


def difference(tables: Tables, account: Account) -> list[str]:
    """What an account's figures should be by its entries and holds, where they are not (R2)."""
    start, end = account.window_start, account.window_end
    costs, kept = tables.costs(account.key, start, end), tables.model_costs(account)
    figures = [
        ("spent", account.spent, sum(costs.values())),
        ("held", account.held, tables.held(account.key, start, end)),
    ]
    for model in sorted({*costs, *kept}, key=lambda model: model or ""):
        what = "the cost of no model" if model is None else f"the cost of {model!r:.200}"
        figures.append((what, kept.get(model, 0), costs.get(model, 0)))
    name = "/".join([part for part in account.key if part])
    return [
        f"{name}: {what} is kept as {figure} nano-dollars, "
        f"and adds up to {counted} in the window from {start}"
        for what, figure, counted in figures
        if figure != counted
    ]


def _made_before(tables: Tables, adjustment_id: str | None, asked: Adjustment) -> bool:
    """Whether this very adjustment was made under its id already (R3)."""
    known = None if adjustment_id is None else tables.adjustment(adjustment_id)
    if known is not None and known != asked:
        raise HoldConflictError(
            f"The adjustment id {adjustment_id!r:.80} stands for another adjustment. Nothing changed. "
            "Give each adjustment an id of its own."
        )
    return known is not None


def _grave(tables: Tables, key: AccountKey, now: int) -> AccountKey:
    """A key for what was removed, that no other has."""
    label = " ".join([part for part in (key.kind, key.label, _iso(now)) if part])
    grave, number = key._replace(kind=DELETED, label=label), 1
    while tables.account(grave) is not None:
        number += 1
        grave = grave._replace(label=f"{label} {number}")
    return grave


def _iso(at: int) -> str:
    """A time in words, as long as it must be: ``2026-12-01T00:00:00Z``."""
    return to_datetime(at).isoformat().replace("+00:00", "Z")
