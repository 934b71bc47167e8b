"""Names of budgets as they may come over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError
from allowance.ledger.names import DELETED, clean

if TYPE_CHECKING:
    from allowance.ledger.records import AccountKey

__all__ = ["MAX_NAME", "check_name"]

MAX_NAME: Final = 128
"""Characters of a project's, a kind's, a user's or a label's name on a server."""


def check_name(key: AccountKey) -> None:
    """Hold a budget's name to be short, printable, and in Unicode's composed form.

    Raises:
        ConfigurationError: with which part is not.
    """
    for part, what in zip(key, ("project", "kind", "name", "label"), strict=True):
        if not part and what == "label":
            continue
        if len(part) > MAX_NAME:
            raise ConfigurationError(
                f"A budget's {what} may have {MAX_NAME} characters on a server; this one has {len(part)}. "
                "Use the user's id, or a hash of it."
            )
        if clean(part, what) != part:
            raise ConfigurationError(
                f"A budget's {what} must be in Unicode's composed form (NFC): {part[:60]!a} is not."
            )
    if key.kind == DELETED:
        raise ConfigurationError(f"The kind {DELETED!r} is for budgets that were removed. Use another word.")
