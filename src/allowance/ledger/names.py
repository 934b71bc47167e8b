"""Whose budget: names as they are kept."""

from __future__ import annotations

import unicodedata
from typing import Final

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey

__all__ = ["DELETED", "MAX_NAME", "account_key", "clean"]

MAX_NAME: Final = 512
"""Characters that a project, a kind, a name or a label may have."""

DELETED: Final = "deleted"
"""The kind of accounts that were removed; see `Store.remove`."""


def account_key(project: str, kind: str, name: str, label: str = "") -> AccountKey:
    """The key of a budget, its parts in Unicode's composed form (NFC): equal to the eye is equal.

    Raises:
        ConfigurationError: for a part that is no text, is empty or blank (a label may be empty: the main
            budget has none), is longer than 512 characters, or holds control characters or halves of
            surrogate pairs; for the kind ``deleted``, which removed budgets have.
    """
    kind = clean(kind, "kind")
    if kind == DELETED:
        raise ConfigurationError(f"The kind {DELETED!r} is for budgets that were removed. Use another word.")
    return AccountKey(
        clean(project, "project"), kind, clean(name, "name"), clean(label, "label") if label != "" else ""
    )


def clean(text: str, what: str) -> str:
    """A part of a key, or a tag, as it is kept; ``what`` is its name in errors.

    Raises:
        ConfigurationError: as for `account_key`.
    """
    if not isinstance(text, str):
        raise ConfigurationError(
            f"A budget's {what} must be a str, not {type(text).__name__}: pass str(...)."
        )
    if len(text) > MAX_NAME:
        raise ConfigurationError(
            f"A budget's {what} may have {MAX_NAME} characters; this one has {len(text)}. "
            "Use the user's id, or a hash of it."
        )
    if not text or text.isspace():
        remedy = "leave it out" if what in ("label", "tag") else "give the id of the one who pays"
        raise ConfigurationError(f"A budget's {what} is empty: {remedy}.")
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ConfigurationError(
            f"A budget's {what} holds control characters or broken Unicode: {text[:60]!a}. Remove them."
        )
    return text
