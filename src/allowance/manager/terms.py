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
    from collections.abc import Sequence

    from allowance.calls.terms import Limit
    from allowance.ledger.records import AccountKey
    from allowance.manager.times import Moment
    from allowance.money import Money

__all__ = ["declared_terms", "labelled", "operators_terms", "signed_nanos"]


def declared_terms(
    key: AccountKey,
    limit: Money | None,
    duration: str | None,
    created_at: Moment | None,
    *,
    models: str | Sequence[str] | None,
    **terms: Any,
) -> tuple[AccountKey, Declaration]:
    """What ``create_budget`` declares: the limit and the duration whole, and the key of the budget it is for.

    Raises:
        ConfigurationError: a term is not one.
    """
    named = globs(models)
    given = declaration(limit, duration or FOREVER, **terms)
    anchor = None if created_at is None else to_micros(created_at, what="created_at")
    return labelled(key, named), replace(given or Declaration(), models=named, created_at=anchor)


def operators_terms(
    limit: Limit, duration: str | None, models: str | Sequence[str] | None, **terms: Any
) -> Declaration:
    """What ``set_budget`` changes: only what is given.

    Raises:
        ConfigurationError: a term is not one, or nothing was given.
    """
    given = declaration(limit, duration, **terms)
    named = globs(models)
    if given is None and named is None:
        raise ConfigurationError(
            "set_budget() was given nothing: name a limit, a duration, align, timezone, uncapped or models."
        )
    return replace(given or Declaration(), models=named)


def globs(models: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Patterns of model names; one may stand by itself.

    Raises:
        ConfigurationError: for what is no text, or is empty.
    """
    if models is None:
        return None
    named = (models,) if isinstance(models, str) else tuple(models)
    if not all(str(name).strip() for name in named):
        raise ConfigurationError(f'models= takes names or globs, such as ("gpt-4o*",), not {models!r:.80}.')
    return named


def labelled(key: AccountKey, models: tuple[str, ...] | None) -> AccountKey:
    """The key of a budget for some models: its label is their names, where it was given none."""
    return key._replace(label=",".join(models)) if models and not key.label else key


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
