"""The verbs of a store, written once over its rows. A store calls them under its lock, with its clock.

Each begins by charging the holds whose term is over, so that what a store holds depends on its time
alone, and not on who asked before. Those about calls are here, those about accounts in `budgets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError, UnknownUserError
from allowance.ledger.accounts import in_window, post
from allowance.ledger.budgets import (
    adjust,
    define,
    difference,
    extend,
    family,
    look,
    model_costs,
    remove,
)
from allowance.ledger.families import gather, known_account
from allowance.ledger.holds import HoldRow, admit, check_ask, check_posting, check_repeat, settle_charge
from allowance.ledger.records import Denial, EntryKind, Grant, Hold, HoldState, Posting, Settlement
from allowance.ledger.sweeping import charge_account, sweep
from allowance.ledger.windows import window_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.ledger.records import Account, Ask
    from allowance.ledger.tables import Tables

__all__ = [
    "adjust",
    "define",
    "difference",
    "extend",
    "family",
    "look",
    "model_costs",
    "release",
    "remove",
    "renew",
    "reserve",
    "settle",
    "sweep",
]

# Looking up a member of an enumeration takes longer than a global name, and each call does it six times.
_HELD: Final = HoldState.HELD
_SETTLED: Final = HoldState.SETTLED
_CALL: Final = EntryKind.CALL


def reserve(tables: Tables, ask: Ask, now: int) -> Grant | Denial:
    """See `Store.reserve`."""
    expired = sweep(tables, now)
    hold_id, scopes, _, asked, ceiling, expected, bounded, ttl, replacing, model, tags, owner = ask
    known = tables.hold(hold_id)
    if known is not None:
        return _again(tables, known, ask, now, expired)
    check_ask(ask)
    accounts = gather(tables, scopes, model, now)
    old = None if replacing is None else _open_hold(tables, replacing)
    freed = () if old is None else [_freed(old, account) for account in accounts]
    amount, refused_by, temporary, clamped, _ = admit(accounts, ask, freed)
    if refused_by is not None:
        return Denial(accounts[refused_by], amount, temporary, expired)
    if old is not None:
        accounts = _let_go(tables, old, accounts, now)
    holding = []
    windows = []
    for account in accounts:
        account = post(account, 0, amount)
        tables.keep(account)
        holding.append(account)
        windows.append((account.key, account.window_start))
    shrunk, replaced, expires_at = amount < asked, old is not None, now + ttl
    bound = bounded and (amount >= ceiling or clamped)
    tables.add_hold(
        HoldRow(
            hold_id,
            _HELD,
            amount,
            expected,
            bound,
            tuple(windows),
            model,
            now,
            expires_at,
            0,
            shrunk,
            clamped,
            replaced,
            ask,
            tags,
            owner,
        )
    )
    return Grant(hold_id, amount, shrunk, clamped, bound, replaced, expires_at, tuple(holding), expired)


def settle(tables: Tables, posting: Posting, now: int) -> Settlement:
    """See `Store.settle`."""
    check_posting(posting)
    sweep(tables, now)
    hold_id, amount = posting.hold_id, posting.amount
    row = tables.hold(hold_id)
    if row is None:
        return _settle_without_hold(tables, posting, now)
    charge = settle_charge(row, amount)
    held = row.amount
    overrun = amount - held if amount > held and row.content is not None else 0
    if charge is None:
        return Settlement(hold_id, _standing(tables, row, now), amount, 0, held, overrun, repeated=True)
    kind, posted = charge
    freed = held
    if kind is not _CALL:
        # What was charged at the term was so to the model that was asked for: there it is corrected.
        freed, posting = 0, posting._replace(model=row.model)
    if row.tags and not posting.tags:
        posting = posting._replace(tags=row.tags)
    accounts = []
    for key, window_start in row.windows:
        account = known_account(tables, key, now)
        tables.add_entry(key, kind, posted, row.reserved_at, now, window_start, posting)
        accounts.append(charge_account(tables, account, row, posting.model, posted, freed, now))
    row.state, row.charged = _SETTLED, amount
    tables.keep_hold(row)
    return Settlement(hold_id, tuple(accounts), amount, posted, held, overrun)


def release(tables: Tables, hold_id: str, reason: str, now: int) -> Hold | None:
    """See `Store.release`."""
    if not hold_id:
        raise ConfigurationError("A release needs the id of a hold.")
    sweep(tables, now)
    row = tables.hold(hold_id)
    if row is None:
        tables.add_hold(HoldRow(hold_id, HoldState.RELEASED, 0, 0, False, (), None, now, now))
        return None
    if not row.windows:
        return None
    if row.state is _HELD:
        _let_go(tables, row, [], now)
    elif row.state is HoldState.EXPIRED:
        back = Posting(hold_id, -row.charged, model=row.model, reason=reason or "released", tags=row.tags)
        for key, window_start in row.windows:
            account = known_account(tables, key, now)
            tables.add_entry(key, EntryKind.CORRECTION, back.amount, row.reserved_at, now, window_start, back)
            charge_account(tables, account, row, row.model, back.amount, 0, now)
        row.state, row.charged = HoldState.RELEASED, 0
        tables.keep_hold(row)
    return row.record()


def renew(tables: Tables, hold_ids: Sequence[str], ttl: int, now: int) -> None:
    """See `Store.renew`."""
    if ttl <= 0:
        raise ConfigurationError(f"A hold is renewed for a time above zero, not {ttl} microseconds.")
    sweep(tables, now)
    for hold_id in hold_ids:
        row = tables.hold(hold_id)
        if row is not None and row.state is _HELD and row.expires_at < now + ttl:
            row.expires_at = now + ttl
            tables.keep_hold(row)


def _again(tables: Tables, row: HoldRow, ask: Ask, now: int, expired: tuple[Hold, ...]) -> Grant:
    """The answer to an ask that was granted before: the same figures, the accounts as they stand now."""
    check_repeat(row, ask)
    flags = (row.shrunk, row.clamped, row.bound, row.replaced)
    return Grant(row.hold_id, row.amount, *flags, row.expires_at, _standing(tables, row, now), expired)


def _standing(tables: Tables, row: HoldRow, now: int) -> tuple[Account, ...]:
    """The accounts of a hold as they stand now; those of one that is over may have been removed."""
    keys = [key for key, _ in row.windows if tables.account(key) is not None]
    return tuple([known_account(tables, key, now) for key in keys])


def _open_hold(tables: Tables, hold_id: str) -> HoldRow | None:
    row = tables.hold(hold_id)
    return row if row is not None and row.state is _HELD else None


def _freed(old: HoldRow, account: Account) -> int:
    named = any(key == account.key for key, _ in old.windows)
    return old.amount if named and in_window(account, old.reserved_at) else 0


def _let_go(tables: Tables, row: HoldRow, accounts: Sequence[Account], now: int) -> list[Account]:
    """Release an open hold. Of the given accounts, which the caller will keep, it hands back what remains."""
    given = {account.key for account in accounts}
    for key, _ in row.windows:
        if key not in given:
            charge_account(tables, known_account(tables, key, now), row, None, 0, row.amount, now)
    row.state = HoldState.RELEASED
    tables.keep_hold(row)
    return [post(account, 0, -_freed(row, account)) for account in accounts]


def _settle_without_hold(tables: Tables, posting: Posting, now: int) -> Settlement:
    hold_id, amount, model = posting.hold_id, posting.amount, posting.model
    if not posting.scopes:
        raise UnknownUserError(user=hold_id, kind="hold", project="(none)")
    at = now if posting.at is None else posting.at
    if type(at) is not int or not 0 <= at <= now:
        raise ConfigurationError(
            f"A call was made between 1970 and now, {now}, in whole microseconds, and not at {at!r:.60}."
        )
    accounts = []
    windows = []
    for account in gather(tables, posting.scopes, model, now):
        key, window_start = account.key, account.window_start
        present = in_window(account, at)
        if present:
            account = post(account, amount, 0)
        else:
            # A window that is over, or the time before a budget for good was made: the entry says it all.
            window_start = min(at, window_at(account.terms, account.created_at, at)[0])
        tables.keep(account)
        if present and amount:
            tables.add_cost(account, model, amount)
        tables.add_entry(key, _CALL, amount, at, now, window_start, posting)
        accounts.append(account)
        windows.append((key, window_start))
    tables.add_hold(
        HoldRow(hold_id, _SETTLED, 0, 0, False, tuple(windows), model, at, now, amount, tags=posting.tags)
    )
    return Settlement(hold_id, tuple(accounts), amount, amount, 0, 0)
