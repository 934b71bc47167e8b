"""The verbs of a store, written once over its rows. A store calls them under its lock, with its clock.

Each begins by charging the holds whose term is over, so that what a store holds depends on its time
alone, and not on who asked before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError, HoldConflictError, UnknownUserError
from allowance.ledger.accounts import amend, declare, in_window, open_account, post, turn
from allowance.ledger.holds import HoldRow, admit, check_ask, check_posting, check_repeat, settle_charge
from allowance.ledger.records import (
    Denial,
    EntryKind,
    Grant,
    Hold,
    HoldState,
    Posting,
    Scope,
    Settlement,
)
from allowance.ledger.tables import Adjustment
from allowance.money import MAX_NANOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.ledger.records import Account, AccountKey, Ask, Declaration
    from allowance.ledger.tables import Tables

__all__ = ["adjust", "define", "difference", "look", "release", "renew", "reserve", "settle", "sweep"]

# Looking up a member of an enumeration takes longer than a global name, and each call does it six times.
_HELD: Final = HoldState.HELD
_SETTLED: Final = HoldState.SETTLED
_CALL: Final = EntryKind.CALL


def reserve(tables: Tables, ask: Ask, now: int) -> Grant | Denial:
    """See `Store.reserve`."""
    expired = sweep(tables, now)
    hold_id, scopes, _, asked, ceiling, expected, bounded, ttl, replacing, model = ask
    known = tables.hold(hold_id)
    if known is not None:
        return _again(tables, known, ask, now, expired)
    check_ask(ask)
    accounts = _gather(tables, scopes, now)
    old = None if replacing is None else _open_hold(tables, replacing)
    freed = () if old is None else [_freed(old, account) for account in accounts]
    amount, refused_by, temporary, clamped = admit(accounts, ask, freed)
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
        )
    )
    seen = tuple(holding) if len(holding) == len(scopes) else _as_named(holding, scopes)
    return Grant(hold_id, amount, shrunk, clamped, bound, replaced, expires_at, seen, expired)


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
        accounts = [_known(tables, key, now) for key, _ in row.windows]
        return Settlement(hold_id, tuple(accounts), amount, 0, held, overrun, repeated=True)
    kind, posted = charge
    freed = held if kind is _CALL else 0
    accounts = []
    for key, window_start in row.windows:
        account = _known(tables, key, now)
        tables.add_entry(key, kind, posted, row.reserved_at, now, window_start, posting)
        accounts.append(_charge(tables, account, row, posted, freed, now))
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
        back = Posting(hold_id, -row.charged, model=row.model, reason=reason or "released")
        for key, window_start in row.windows:
            account = _known(tables, key, now)
            tables.add_entry(key, EntryKind.CORRECTION, back.amount, row.reserved_at, now, window_start, back)
            _charge(tables, account, row, back.amount, 0, now)
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


def define(tables: Tables, key: AccountKey, given: Declaration, declared: bool, now: int) -> Account:
    """See `Store.define`."""
    sweep(tables, now)
    known = tables.account(key)
    if known is None:
        account = open_account(Scope(key, declared=given), now)
        if account is None:
            raise _unknown(tables, key)
        if not declared:
            account = account._replace(declared=None)
    else:
        account = turn(known, now)
        changed = declare(account, given, now) if declared else amend(account, given, now)
        account = _recounted(tables, account, changed)
    if account is not known:
        tables.keep(account)
    return account


def look(tables: Tables, key: AccountKey, now: int) -> Account | None:
    """See `Store.account`."""
    sweep(tables, now)
    return None if tables.account(key) is None else _known(tables, key, now)


def adjust(
    tables: Tables, key: AccountKey, amount: int | None, reason: str, adjustment_id: str | None, now: int
) -> Account:
    """See `Store.adjust`."""
    if amount is not None and (type(amount) is not int or abs(amount) > MAX_NANOS):
        raise ConfigurationError(
            f"An adjustment is None or a whole number of nano-dollars up to {MAX_NANOS}, not {amount!r:.60}."
        )
    sweep(tables, now)
    if tables.account(key) is None:
        raise _unknown(tables, key)
    account = _known(tables, key, now)
    asked = Adjustment(key, amount)
    if adjustment_id is not None:
        known = tables.adjustment(adjustment_id)
        if known == asked:
            return account
        if known is not None:
            raise HoldConflictError(
                f"The adjustment id {adjustment_id!r:.80} stands for another adjustment. Nothing changed. "
                "Give each adjustment an id of its own."
            )
        tables.add_adjustment(adjustment_id, asked)
    change = -account.spent if amount is None else max(amount, -account.spent)
    about = Posting("", change, reason=reason)
    tables.add_entry(key, EntryKind.ADJUSTMENT, change, now, now, account.window_start, about)
    account = post(account, change, 0)
    tables.keep(account)
    return account


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
        )
        for key, window_start in row.windows:
            account = _known(tables, key, now)
            tables.add_entry(key, EntryKind.EXPIRY, charged, row.reserved_at, now, window_start, about)
            _charge(tables, account, row, charged, row.amount, now)
        tables.keep_hold(row)
        expired.append(row.record())
    return tuple(expired)


def difference(tables: Tables, account: Account) -> list[str]:
    """What an account's figures should be by its entries and holds, where they are not (R2)."""
    start, end = account.window_start, account.window_end
    found = []
    for what, kept, counted in (
        ("spent", account.spent, tables.spent(account.key, start, end)),
        ("held", account.held, tables.held(account.key, start, end)),
    ):
        if kept != counted:
            found.append(
                f"{'/'.join(account.key)}: {what} is kept as {kept} nano-dollars, "
                f"and adds up to {counted} in the window from {start}"
            )
    return found


def _gather(tables: Tables, scopes: Sequence[Scope], now: int) -> list[Account]:
    """The accounts of some scopes, each once, in their present window; what was declared is applied and kept.

    Accounts that are new are not kept yet.
    """
    accounts = []
    changed = []
    for scope in scopes if len(scopes) == 1 else _once(scopes):
        known = tables.account(scope.key)
        if known is None:
            account = open_account(scope, now)
            if account is None:
                raise _unknown(tables, scope.key)
        else:
            account = turn(known, now)
            declared = scope.declared
            if declared is not None and declared is not account.declared:
                account = _recounted(tables, account, declare(account, declared, now))
            if account is not known:
                changed.append(account)
        accounts.append(account)
    for account in changed:
        tables.keep(account)
    return accounts


def _once(scopes: Iterable[Scope]) -> Iterable[Scope]:
    """Each account once; of terms that were declared twice the later ones stand."""
    by_key: dict[AccountKey, Scope] = {}
    for scope in scopes:
        other = by_key.get(scope.key)
        by_key[scope.key] = scope if other is None else _merged(other, scope)
    return by_key.values()


def _merged(outer: Scope, inner: Scope) -> Scope:
    declared, over = outer.declared, inner.declared
    if declared is None or over is None:
        return Scope(outer.key, declared or over, outer.default or inner.default)
    merged = replace(
        over,
        limit=declared.limit if over.limit is None else over.limit,
        duration=over.duration or declared.duration,
        align=over.align or declared.align,
        timezone=over.timezone or declared.timezone,
        uncapped=over.uncapped or declared.uncapped,
        creates=over.creates or declared.creates,
    )
    return Scope(outer.key, merged, outer.default or inner.default)


def _again(tables: Tables, row: HoldRow, ask: Ask, now: int, expired: tuple[Hold, ...]) -> Grant:
    """The answer to an ask that was granted before: the same figures, the accounts as they stand now."""
    check_repeat(row, ask)
    accounts = tuple([_known(tables, scope.key, now) for scope in ask.scopes])
    flags = (row.shrunk, row.clamped, row.bound, row.replaced)
    return Grant(row.hold_id, row.amount, *flags, row.expires_at, accounts, expired)


def _as_named(accounts: Sequence[Account], scopes: Sequence[Scope]) -> tuple[Account, ...]:
    """The accounts in the order of the scopes, of which some name the same one."""
    by_key = {account.key: account for account in accounts}
    return tuple([by_key[scope.key] for scope in scopes])


def _recounted(tables: Tables, before: Account, after: Account) -> Account:
    """The account after its terms changed: a new window's figures are the sums of what lies in it (R9)."""
    if after is before:
        return after
    start, end = after.window_start, after.window_end
    if (start, end) == (before.window_start, before.window_end):
        return after
    key = after.key
    return after._replace(spent=tables.spent(key, start, end), held=tables.held(key, start, end))


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
            _charge(tables, _known(tables, key, now), row, 0, row.amount, now)
    row.state = HoldState.RELEASED
    tables.keep_hold(row)
    return [post(account, 0, -_freed(row, account)) for account in accounts]


def _charge(tables: Tables, account: Account, row: HoldRow, spent: int, freed: int, now: int) -> Account:
    """Bring an account's figures up to date with what was posted for a hold, and keep it."""
    if in_window(account, row.reserved_at):
        account = post(account, spent, -freed)
        if account.spent < 0:
            # A reset had brought the hold's charge to zero already: giving it back again would be credit.
            makeup = -account.spent
            about = Posting(row.hold_id, makeup, reason="an earlier reset had taken this charge back already")
            start = account.window_start
            tables.add_entry(account.key, EntryKind.ADJUSTMENT, makeup, row.reserved_at, now, start, about)
            account = post(account, makeup, 0)
    tables.keep(account)
    return account


def _settle_without_hold(tables: Tables, posting: Posting, now: int) -> Settlement:
    if not posting.scopes:
        raise UnknownUserError(user=posting.hold_id, kind="hold", project="(none)")
    amount = posting.amount
    accounts = [post(account, amount, 0) for account in _gather(tables, posting.scopes, now)]
    for account in accounts:
        tables.keep(account)
        tables.add_entry(account.key, _CALL, amount, now, now, account.window_start, posting)
    windows = tuple([(account.key, account.window_start) for account in accounts])
    row = HoldRow(posting.hold_id, _SETTLED, 0, 0, False, windows, posting.model, now, now, amount)
    tables.add_hold(row)
    return Settlement(posting.hold_id, tuple(accounts), amount, amount, 0, 0)


def _known(tables: Tables, key: AccountKey, now: int) -> Account:
    """An account that must exist, in its present window."""
    account = tables.account(key)
    if account is None:
        raise _unknown(tables, key)
    turned = turn(account, now)
    if turned is not account:
        tables.keep(turned)
    return turned


def _unknown(tables: Tables, key: AccountKey) -> UnknownUserError:
    return UnknownUserError(
        user=key.name, kind=key.kind, project=key.project, projects=tables.projects(key.kind, key.name)
    )
