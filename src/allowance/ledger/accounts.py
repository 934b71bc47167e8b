"""What happens to one account: it is made, its terms change, its window turns, money is posted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar, get_args

from allowance.errors import ConfigurationError
from allowance.ledger.records import Account, Alignment, Declaration, Terms, Uncapped
from allowance.ledger.windows import FOREVER, parse_duration, parse_zone, window_at
from allowance.money import MAX_NANOS

if TYPE_CHECKING:
    from allowance.ledger.records import AccountKey, Scope

__all__ = ["amend", "check_terms", "declare", "in_window", "make_account", "open_account", "post", "turn"]

T = TypeVar("T")

_NOTHING: Final = Declaration()


def check_terms(terms: Terms) -> None:
    """Refuse terms that cannot be kept.

    Raises:
        ConfigurationError: for a limit that is not None and not 0 to a billion dollars in whole
            nano-dollars, or a duration, an alignment, a time zone or a policy that is not known.
    """
    limit = terms.limit
    if limit is not None and (type(limit) is not int or not 0 <= limit <= MAX_NANOS):
        raise ConfigurationError(
            f"A limit must be None or 0 to {MAX_NANOS} whole nano-dollars, not {limit!r:.60}: "
            "read amounts of dollars with allowance.money.to_nanos."
        )
    parse_duration(terms.duration)
    parse_zone(terms.timezone)
    if terms.align not in get_args(Alignment):
        raise ConfigurationError(f"align must be 'created' or 'calendar', not {terms.align!r:.60}.")
    if terms.uncapped not in get_args(Uncapped):
        choices = ", ".join(repr(choice) for choice in get_args(Uncapped))
        raise ConfigurationError(f"uncapped must be one of {choices}, not {terms.uncapped!r:.60}.")


def make_account(key: AccountKey, terms: Terms, declared: Declaration | None, now: int) -> Account:
    """A new account, whose first window is the one of ``now``."""
    terms = _settled(terms)
    check_terms(terms)
    start, end = window_at(terms, now, now)
    return Account(key, terms, declared, now, start, end, 0, 0, 1)


def open_account(scope: Scope, now: int) -> Account | None:
    """The account that a scope's terms make: declared ones where they name a limit, else the default's (R11).

    None where neither may make one.
    """
    declared, default = scope.declared, scope.default
    if declared is not None and declared.creates:
        return make_account(scope.key, _amended(default or Terms(None), declared, lift=True), declared, now)
    if default is None:
        return None
    terms = default if declared is None else _amended(default, declared, lift=False)
    return make_account(scope.key, terms, declared, now)


def declare(account: Account, declared: Declaration, now: int) -> Account:
    """Apply what code declares, field by field, where it differs from what code declared last.

    An operator's change to a field stays until code declares something else for it. Returns the very
    same account where nothing changed. Where the window changed, the figures are to be counted anew.
    """
    last = account.declared or _NOTHING
    news = Declaration(
        limit=_news(declared.limit, last.limit),
        duration=_news(declared.duration, last.duration),
        align=_news(declared.align, last.align),
        timezone=_news(declared.timezone, last.timezone),
        uncapped=_news(declared.uncapped, last.uncapped),
    )
    if news == _NOTHING:
        return account
    merged = Declaration(
        limit=_given(declared.limit, last.limit),
        duration=_given(declared.duration, last.duration),
        align=_given(declared.align, last.align),
        timezone=_given(declared.timezone, last.timezone),
        uncapped=_given(declared.uncapped, last.uncapped),
        creates=declared.creates or last.creates,
    )
    return _changed(account, _amended(account.terms, news, lift=False), now)._replace(declared=merged)


def amend(account: Account, given: Declaration, now: int) -> Account:
    """Apply an operator's terms as given; ``limit=None`` with ``creates`` lifts the limit.

    Returns the very same account where nothing changed. Where the window changed, the figures are to be
    counted anew.
    """
    terms = _amended(account.terms, given, lift=True)
    return account if terms == account.terms else _changed(account, terms, now)


def turn(account: Account, now: int) -> Account:
    """The account in the window of ``now``: where the last one is over, nothing is spent or held yet (R8)."""
    end = account.window_end
    if end is None or now < end:
        return account
    start, end = window_at(account.terms, account.created_at, now)
    return account._replace(window_start=start, window_end=end, spent=0, held=0, version=account.version + 1)


def in_window(account: Account, at: int) -> bool:
    """Whether a call that was reserved at ``at`` belongs to the account's present window."""
    end = account.window_end
    return account.window_start <= at and (end is None or at < end)


def post(account: Account, spent: int, held: int) -> Account:
    """The account after ``spent`` and ``held`` were added to its figures."""
    key, terms, declared, created_at, start, end, spent_before, held_before, version = account
    return Account(
        key,
        terms,
        declared,
        created_at,
        start,
        end,
        spent_before + spent,
        held_before + held,
        version + 1,
    )


def _changed(account: Account, terms: Terms, now: int) -> Account:
    check_terms(terms)
    start, end = window_at(terms, account.created_at, now)
    return account._replace(terms=terms, window_start=start, window_end=end, version=account.version + 1)


def _amended(terms: Terms, given: Declaration, *, lift: bool) -> Terms:
    lifted = lift and given.creates
    return _settled(
        Terms(
            limit=given.limit if lifted else _given(given.limit, terms.limit),
            duration=_given(given.duration, terms.duration),
            align=_given(given.align, terms.align),
            timezone=_given(given.timezone, terms.timezone),
            uncapped=_given(given.uncapped, terms.uncapped),
        )
    )


def _settled(terms: Terms) -> Terms:
    return replace(terms, duration=None) if terms.duration == FOREVER else terms


def _given(value: T | None, last: T) -> T:
    return last if value is None else value


def _news(value: T | None, last: T | None) -> T | None:
    return None if value == last else value
