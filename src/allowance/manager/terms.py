"""Terms as a manager's methods take them, in the ledger's form."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from allowance.calls.terms import declaration
from allowance.errors import ConfigurationError
from allowance.ledger.records import Declaration
from allowance.ledger.windows import FOREVER
from allowance.manager.times import to_micros
from allowance.money import to_nanos

if TYPE_CHECKING:
    from allowance.calls.terms import Limit
    from allowance.manager.times import Moment
    from allowance.money import Money

__all__ = ["declared_terms", "operators_terms", "signed_nanos"]


def declared_terms(
    limit: Money | None, duration: str | None, created_at: Moment | None, **terms: Any
) -> Declaration:
    """What ``create_budget`` declares: the limit and the duration whole, of the others what is given.

    Raises:
        ConfigurationError: a term is not one.
    """
    given = declaration(limit, FOREVER if duration is None else duration, **terms) or Declaration()
    anchor = None if created_at is None else to_micros(created_at, what="created_at")
    # A budget for good has no windows that could repeat from it.
    return given if duration in (None, FOREVER) else replace(given, created_at=anchor)


def operators_terms(limit: Limit, duration: str | None, **terms: Any) -> Declaration:
    """What ``set_budget`` changes: only what is given.

    Raises:
        ConfigurationError: a term is not one, or nothing was given.
    """
    given = declaration(limit, duration, **terms)
    if given is None:
        raise ConfigurationError(
            "set_budget() was given nothing: name a limit, a duration, align, timezone, uncapped or models."
        )
    return given


def signed_nanos(amount: Any) -> int:
    """Nano-dollars of an amount that may be below zero.

    Raises:
        ConfigurationError: for what is no number of US dollars.
    """
    if isinstance(amount, str):
        text = amount.strip()
        return -to_nanos(text[1:]) if text.startswith("-") else to_nanos(text)
    if isinstance(amount, Decimal):
        return -to_nanos(amount.copy_abs()) if amount.is_signed() else to_nanos(amount)
    if isinstance(amount, (int, float)) and not isinstance(amount, bool) and amount < 0:
        return -to_nanos(-amount)
    return to_nanos(amount)
