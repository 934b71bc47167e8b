"""Whose budget and on what terms, as users write them, checked and brought into the ledger's form."""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import uuid4

from allowance.calls.views import View
from allowance.errors import ConfigurationError
from allowance.ledger.accounts import check_terms
from allowance.ledger.records import AccountKey, Alignment, Declaration, Scope, Terms, Uncapped
from allowance.money import UNSET, Money, Unset, to_nanos
from allowance.stores.memory import MemoryStore

__all__ = ["UNSET", "Limit", "check_callables", "check_warn_at", "declaration", "own_account", "user_name"]


Limit: TypeAlias = Money | Literal[Unset.UNSET] | None


def declaration(
    limit: Limit = UNSET,
    duration: str | None = None,
    align: Alignment | None = None,
    timezone: str | None = None,
    uncapped: Uncapped | None = None,
) -> Declaration | None:
    """The terms that were written, or None where none were.

    Raises:
        ConfigurationError: a term is not one: the message lists what is.
    """
    nanos = None if limit is UNSET or limit is None else to_nanos(limit, what="limit")
    if limit is UNSET and duration is align is timezone is uncapped is None:
        return None
    check_terms(Terms(nanos, duration, align or "created", timezone or "UTC", uncapped or "shrink"))
    return Declaration(nanos, duration, align, timezone, uncapped, creates=limit is not UNSET)


def own_account(declared: Declaration, kind: str) -> tuple[Scope, View]:
    """A budget that belongs to no user: to one block, or one function; in memory, for as long as it lives."""
    key = AccountKey("", kind, uuid4().hex)
    return Scope(key, declared), View(MemoryStore(), key)


def user_name(user: object) -> str:
    """A user's name as text; an ``int`` becomes its digits.

    Raises:
        ConfigurationError: for anything else, a bool included.
    """
    if isinstance(user, str):
        return user
    if isinstance(user, int) and not isinstance(user, bool):
        return str(user)
    raise ConfigurationError(
        f"A user must be a str or an int, not {type(user).__name__}: pass str(...) of it, or its id."
    )


def check_warn_at(part: float | None) -> None:
    """Refuse a threshold that is no part of a limit.

    Raises:
        ConfigurationError: for anything but None and a number above 0, up to 1.
    """
    if part is None or (type(part) in (int, float) and 0 < part <= 1):
        return
    raise ConfigurationError(
        f"warn_at must be a part of the limit above 0, up to 1, such as 0.8, not {part!r:.40}."
    )


def check_callables(**given: object) -> None:
    """Refuse what cannot be called where a function is wanted; None was not given.

    Raises:
        ConfigurationError: names the argument.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise ConfigurationError(f"{name}= takes a function, not {type(value).__name__}.")
