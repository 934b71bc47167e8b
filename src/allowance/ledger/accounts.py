"""What happens to one account: it is made, topped up, its terms change, its window turns, money is posted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar, get_args

from allowance.errors import ConfigurationError
from allowance.ledger.models import check_models
from allowance.ledger.names import DELETED
from allowance.ledger.records import Account, Alignment, Declaration, Extra, Terms, Uncapped
from allowance.ledger.windows import FOREVER, LAST, parse_duration, parse_zone, window_at
from allowance.money import MAX_NANOS

if TYPE_CHECKING:
    from allowance.ledger.records import AccountKey, Scope

__all__ = [
    "amend",
    "check_terms",
    "declare",
    "extended",
    "in_window",
    "make_account",
    "open_account",
    "post",
    "turn",
]

T = TypeVar("T")

_NOTHING: Final = Declaration()


def check_terms(terms: Terms) -> None:
    """Refuse terms that cannot be kept.

    Raises:
        ConfigurationError: for a limit that is not None and not 0 to a billion dollars in whole
            nano-dollars, or a duration, an alignment, a time zone, a policy or a pattern for models that
            is not known.
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
    if terms.models != ():
        check_models(terms.models)


def make_account(
    key: AccountKey, terms: Terms, declared: Declaration | None, now: int, created_at: int | None = None
) -> Account:
    """A new account, whose first window is the one of ``now``; windows repeat from ``created_at``, or now.

    Raises:
        ConfigurationError: for terms that cannot be kept; models on an account without a label; a
            ``created_at`` that is later than now or before 1970; a kind that removed accounts have.
    """
    if key.kind == DELETED:
        raise ConfigurationError(f"The kind {DELETED!r} is for budgets that were removed. Use another word.")
    terms = _settled(terms)
    _check(key, terms)
    created = now if created_at is None else _checked(created_at, now)
    start, end = window_at(terms, created, now)
    # Of two accounts that bore the key, one after the other, the later one has the higher version.
    return Account(key, terms, declared, created, start, end, 0, 0, version=now)


def open_account(scope: Scope, now: int) -> Account | None:
    """The account that a scope's terms make: declared ones where they name a limit, else the default's (R11).

    None where neither may make one.
    """
    declared, default = scope.declared, scope.default
    if declared is None:
        return None if default is None else make_account(scope.key, default, None, now)
    if default is None and not declared.creates:
        return None
    terms = _amended(default or Terms(None), declared, lift=declared.creates)
    return make_account(scope.key, terms, declared, now, declared.created_at)


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
        models=_news(declared.models, last.models),
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
        models=_given(declared.models, last.models),
        created_at=last.created_at,
    )
    return _changed(account, _amended(account.terms, news, lift=False), now)._replace(declared=merged)


def amend(account: Account, given: Declaration, now: int) -> Account:
    """Apply an operator's terms as given; ``limit=None`` with ``creates`` lifts the limit.

    Returns the very same account where nothing changed. Where the window changed, the figures are to be
    counted anew.
    """
    terms = _amended(account.terms, given, lift=True)
    if given.created_at is not None and given.created_at != account.created_at:
        return _changed(account._replace(created_at=_checked(given.created_at, now)), terms, now)
    return account if terms == account.terms else _changed(account, terms, now)


def turn(account: Account, now: int) -> Account:
    """The account as of ``now``: in a new window nothing is spent or held yet (R8); old top-ups are gone."""
    end, extras = account.window_end, account.extras
    if extras and any(until is not None and until <= now for _, until in extras):
        extras = tuple([extra for extra in extras if extra.until is None or now < extra.until])
        account = account._replace(extras=extras, version=account.version + 1)
    if end is None or now < end:
        return account
    start, end = window_at(account.terms, account.created_at, now)
    return account._replace(window_start=start, window_end=end, spent=0, held=0, version=account.version + 1)


def extended(account: Account, amount: int, until: int | None, now: int) -> Account:
    """The account after a top-up: until a time, else to the end of its window (see `Store.extend`).

    Raises:
        ConfigurationError: for an account without a limit, an amount that is not above zero in whole
            nano-dollars or makes the limit more than a billion dollars, and a time that is over.
    """
    limit = account.limit
    if limit is None:
        raise ConfigurationError(
            f"The budget of {account.key.name!r:.80} has no limit, so there is nothing to top up: it only "
            "counts. Give it a limit first."
        )
    if type(amount) is not int or not 0 < amount <= MAX_NANOS - limit:
        raise ConfigurationError(
            f"A top-up is a whole number of nano-dollars above zero, and a limit at most {MAX_NANOS} with "
            f"it, not {amount!r:.60}. To take away, set a lower limit."
        )
    if until is not None and (type(until) is not int or not now < until <= LAST):
        raise ConfigurationError(
            f"A top-up lasts until a later time than now, {now}, in microseconds since 1970, not until "
            f"{until!r:.60}. Without one it lasts to the end of the window."
        )
    until = account.window_end if until is None else until
    amounts = {extra.until: extra.amount for extra in account.extras}
    amounts[until] = amounts.get(until, 0) + amount
    ends = sorted(amounts, key=lambda end: LAST + 1 if end is None else end)
    extras = tuple([Extra(amounts[end], end) for end in ends])
    return account._replace(extras=extras, version=account.version + 1)


def in_window(account: Account, at: int) -> bool:
    """Whether a call that was reserved at ``at`` belongs to the account's present window."""
    end = account.window_end
    return account.window_start <= at and (end is None or at < end)


def post(account: Account, spent: int, held: int) -> Account:
    """The account after ``spent`` and ``held`` were added to its figures."""
    key, terms, declared, created_at, start, end, spent_before, held_before, version, extras = account
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
        extras,
    )


def _changed(account: Account, terms: Terms, now: int) -> Account:
    _check(account.key, terms)
    start, end = window_at(terms, account.created_at, now)
    return account._replace(terms=terms, window_start=start, window_end=end, version=account.version + 1)


def _check(key: AccountKey, terms: Terms) -> None:
    check_terms(terms)
    if terms.models and not key.label:
        raise ConfigurationError(
            f"The budget of {key.name!r:.80} has no label: it is the main one, which counts every call, and "
            'cannot be for some models only. Give the one for these models a label, such as label="gpt-4o".'
        )


def _checked(created_at: int, now: int) -> int:
    if type(created_at) is not int or not 0 <= created_at <= now:
        raise ConfigurationError(
            f"created_at must lie between 1970 and now, {now}, in whole microseconds, not "
            f"{created_at!r:.60}: windows repeat from it."
        )
    return created_at


def _amended(terms: Terms, given: Declaration, *, lift: bool) -> Terms:
    lifted = lift and given.creates
    return _settled(
        Terms(
            limit=given.limit if lifted else _given(given.limit, terms.limit),
            duration=_given(given.duration, terms.duration),
            align=_given(given.align, terms.align),
            timezone=_given(given.timezone, terms.timezone),
            uncapped=_given(given.uncapped, terms.uncapped),
            models=_given(given.models, terms.models),
        )
    )


def _settled(terms: Terms) -> Terms:
    return replace(terms, duration=None) if terms.duration == FOREVER else terms


def _given(value: T | None, last: T) -> T:
    return last if value is None else value


def _news(value: T | None, last: T | None) -> T | None:
    return None if value == last else value
