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

__all__ = ["UNSET", "Limit", "declaration", "own_account", "user_name"]


Limit: TypeAlias = Money | None | Literal[Unset.UNSET]


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
