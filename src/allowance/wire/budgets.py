"""Budgets as JSON objects, both ways: accounts, terms, what code declares, and the scopes of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError
from allowance.ledger.records import Account, Declaration, Extra, Scope, Terms
from allowance.wire.fields import (
    choice,
    each,
    flag,
    key_of,
    obj_or_none,
    sent,
    sent_texts,
    text,
    text_or_none,
    texts,
    whole,
    whole_or_none,
)

if TYPE_CHECKING:
    from allowance.ledger.records import Alignment, Uncapped
    from allowance.wire.json import Json

__all__ = [
    "dump_account",
    "dump_declaration",
    "dump_scope",
    "dump_terms",
    "load_account",
    "load_declaration",
    "load_scope",
    "load_terms",
]

_ALIGNMENTS: Final[dict[str, Alignment]] = {"created": "created", "calendar": "calendar"}
_POLICIES: Final[dict[str, Uncapped]] = {
    "shrink": "shrink",
    "clamp": "clamp",
    "reserve": "reserve",
    "refuse": "refuse",
}
_USUAL: Final = Terms(None)


def dump_terms(terms: Terms) -> Json:
    """See `load_terms`."""
    data: Json = {"limit": None if terms.limit is None else sent(terms.limit, "limit")}
    if terms.duration is not None:
        data["duration"] = terms.duration
    if terms.align != "created":
        data["align"] = terms.align
    if terms.timezone != "UTC":
        data["timezone"] = terms.timezone
    if terms.uncapped != "shrink":
        data["uncapped"] = terms.uncapped
    if terms.models:
        data["models"] = sent_texts(terms.models, "models")
    return data


def load_terms(data: Json) -> Terms:
    """Terms. The limit must be said, be it as null: one that was left out by mistake would limit nothing."""
    if "limit" not in data:
        raise ConfigurationError("The field 'limit' is missing: a number of nano-dollars, or null to count.")
    limit = whole_or_none(data, "limit")
    if len(data) == 1 and limit is None:
        return _USUAL
    return Terms(
        limit,
        text_or_none(data, "duration"),
        choice(data, "align", _ALIGNMENTS) or "created",
        text(data, "timezone", "UTC"),
        choice(data, "uncapped", _POLICIES) or "shrink",
        texts(data, "models"),
    )


def dump_declaration(terms: Declaration) -> Json:
    """See `load_declaration`."""
    data: Json = {}
    if terms.limit is not None:
        data["limit"] = sent(terms.limit, "limit")
    if terms.duration is not None:
        data["duration"] = terms.duration
    if terms.align is not None:
        data["align"] = terms.align
    if terms.timezone is not None:
        data["timezone"] = terms.timezone
    if terms.uncapped is not None:
        data["uncapped"] = terms.uncapped
    if terms.creates:
        data["creates"] = True
    if terms.models is not None:
        data["models"] = sent_texts(terms.models, "models")
    if terms.created_at is not None:
        data["created_at"] = sent(terms.created_at, "created_at")
    return data


def load_declaration(data: Json) -> Declaration:
    """Terms as they were given: what is missing was not."""
    return Declaration(
        whole_or_none(data, "limit"),
        text_or_none(data, "duration"),
        choice(data, "align", _ALIGNMENTS),
        text_or_none(data, "timezone"),
        choice(data, "uncapped", _POLICIES),
        flag(data, "creates"),
        None if data.get("models") is None else texts(data, "models"),
        whole_or_none(data, "created_at"),
    )


def dump_scope(scope: Scope) -> Json:
    """See `load_scope`."""
    data: Json = {"key": list(scope.key)}
    if scope.declared is not None:
        data["declared"] = dump_declaration(scope.declared)
    if scope.default is not None:
        data["default"] = dump_terms(scope.default)
    return data


def load_scope(data: Json) -> Scope:
    """One budget that applies to a call."""
    declared, default = obj_or_none(data, "declared"), obj_or_none(data, "default")
    return Scope(
        key_of(data.get("key")),
        None if declared is None else load_declaration(declared),
        None if default is None else load_terms(default),
    )


def dump_account(account: Account) -> Json:
    """See `load_account`."""
    key, terms, declared, created_at, window_start, window_end, spent, held, version, extras = account
    data: Json = {
        "key": list(key),
        "terms": dump_terms(terms),
        "created_at": created_at,
        "window_start": window_start,
        "spent": spent,
        "held": held,
        "version": version,
    }
    if declared is not None:
        data["declared"] = dump_declaration(declared)
    if window_end is not None:
        data["window_end"] = window_end
    if extras:
        data["extras"] = [{"amount": extra.amount, "until": extra.until} for extra in extras]
    return data


def load_account(data: Json) -> Account:
    """One budget as it stood when the store answered."""
    declared = obj_or_none(data, "declared")
    return Account(
        key_of(data.get("key")),
        load_terms(obj_or_none(data, "terms") or {}),
        None if declared is None else load_declaration(declared),
        whole(data, "created_at"),
        whole(data, "window_start"),
        whole_or_none(data, "window_end"),
        whole(data, "spent"),
        whole(data, "held"),
        whole(data, "version", 0),
        each(data, "extras", _load_extra),
    )


def _load_extra(data: Json) -> Extra:
    return Extra(whole(data, "amount"), whole_or_none(data, "until"))
