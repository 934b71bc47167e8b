"""What a key is: a name, scopes, and the projects that it sees. Its secret is no part of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from allowance.ledger.records import AccountKey

__all__ = ["KEY_PROJECT", "Key", "Scope", "described", "key_account"]

KEY_PROJECT: Final = "(keys)"
"""The project of the keys' own budgets, which no client may name."""


class Scope(StrEnum):
    """What a key may do."""

    SPEND = "spend"  # reserve, settle, release, renew, declare terms; and all that READ may
    READ = "read"  # look at budgets, entries and holds
    ADMIN = "admin"  # change limits and keys; and all that the others may


_IMPLIED: Final = {
    Scope.SPEND: frozenset({Scope.SPEND, Scope.READ}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without its secret: that is known to its owner alone.

    Attributes:
        projects: the projects whose budgets it sees; None: all.
        budgeted: whether a budget of its own, `key_account`, must admit each of its calls.
        fixed_terms: whether budgets must exist: it may not name terms for them.
        expires_at, created_at, revoked_at: microseconds since 1970.
        newest: whether it is the present one of its name; one that was rotated out works until it expires.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    projects: frozenset[str] | None
    budgeted: bool
    fixed_terms: bool
    expires_at: int | None
    revoked: bool
    created_at: int = 0
    revoked_at: int | None = None
    newest: bool = True

    def may(self, scope: Scope) -> bool:
        """Whether the key has this scope; admin implies all others, and spend implies read."""
        return any(scope in _IMPLIED[own] for own in self.scopes)

    def sees(self, project: str) -> bool:
        """Whether budgets of this project exist for the key."""
        return self.projects is None or project in self.projects


def key_account(name: str) -> AccountKey:
    """The account of the budget that a key of this name may have of its own."""
    return AccountKey(KEY_PROJECT, "key", name)


def described(key: Key) -> dict[str, Any]:
    """A key as the API and the audit log show it."""
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "projects": None if key.projects is None else sorted(key.projects),
        "budgeted": key.budgeted,
        "fixed_terms": key.fixed_terms,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "newest": key.newest,
    }
