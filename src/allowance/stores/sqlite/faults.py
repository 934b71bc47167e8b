"""SQLite's errors in our words: what happened, whether anything changed, and the remedy."""

from __future__ import annotations

import sqlite3

from allowance.errors import BudgetError, ConfigurationError, StoreCorruptError, StoreUnavailableError
from allowance.stores.sqlite.lockfile import PATIENCE

__all__ = ["translated", "unkeepable"]

_UNREACHABLE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_AUTH")


def translated(error: sqlite3.Error, path: str) -> BudgetError:
    """The error of ours for one of SQLite's."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailableError(
            f"Another program has locked {path} for {PATIENCE:g} seconds. Nothing was changed. "
            "Close it (a sqlite3 shell, a browser of databases), or try again.",
            retry_after=1.0,
        )
    if name.startswith("SQLITE_FULL"):
        return StoreUnavailableError(
            f"The disk of {path} is full. Nothing was changed. Make room, and try again."
        )
    if name.startswith(_UNREACHABLE):
        return StoreUnavailableError(
            f"{path} cannot be read or written: {error} ({name}). See that this user may write it and its "
            "directory, and that the disk is well; asking again with the same id is safe."
        )
    if isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)):
        return unkeepable(error)
    return StoreCorruptError(
        f"{path} cannot be read as a ledger: {error} ({name}). Nothing was changed, and no budget is begun "
        "anew. Restore the file from a backup; to give its budgets up, move it away."
    )


def unkeepable(error: Exception) -> ConfigurationError:
    """The error for a value that SQLite has no place for."""
    return ConfigurationError(
        f"SQLite cannot keep a value: {error}. Nothing was changed. Use whole nano-dollars that fit 64 bits, "
        "and names of valid Unicode (allowance.ledger.names.account_key)."
    )
