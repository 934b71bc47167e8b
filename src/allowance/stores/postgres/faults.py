"""PostgreSQL's errors in our words: what happened, whether anything changed, and the remedy."""

from __future__ import annotations

from typing import Final

import psycopg

from allowance.errors import BudgetError, ConfigurationError, StoreCorruptError, StoreUnavailableError

__all__ = ["is_lost", "is_passing", "translated", "unkeepable"]

_PASSING: Final = ("40001", "40P01", "23505")
"""Others were in the way, or had the same id: asking again has another answer."""

_GONE: Final = ("08", "57P", "25P03", "53300")
"""The connection is, or never was, not its server's answer."""


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same statement may be tried again at once, on the same connection."""
    return error.sqlstate in _PASSING


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection was lost: the statement may have taken effect, or not."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return state.startswith(_GONE)


def translated(error: Exception, url: str) -> BudgetError:
    """The error of ours for one of psycopg's; ``url`` has no password."""
    if not isinstance(error, psycopg.Error):
        return unkeepable(error)
    state, what = error.sqlstate or "", str(error).partition("\n")[0]
    if is_lost(error) or is_passing(error):
        return StoreUnavailableError(
            f"{url} does not answer: {what}. Whether anything changed is not known: asking again with the "
            "same id is safe. See that the server runs and takes this user's connections.",
            retry_after=1.0,
        )
    if state in ("55P03", "57014"):
        return StoreUnavailableError(
            f"{url} took too long: {what}. Nothing was changed; try again. Where this lasts, look for "
            "sessions that wait or idle in a transaction (pg_stat_activity).",
            retry_after=1.0,
        )
    if state.startswith("53") or state in ("25006", "58030"):
        return StoreUnavailableError(
            f"{url} cannot write: {what}. Nothing was changed. Make room on its disk, or name the server "
            "that is not a standby."
        )
    if state == "42501":
        return ConfigurationError(
            f"{url} does not let this user do what a ledger needs: {what}. Let the schema's owner run: "
            "GRANT USAGE ON SCHEMA allowance TO the_user; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES "
            "IN SCHEMA allowance TO the_user; GRANT ALL ON ALL SEQUENCES IN SCHEMA allowance TO the_user."
        )
    if state == "ALW01":
        return ConfigurationError(
            f"{url} begins this user's transactions in another isolation than READ COMMITTED, in which a "
            "budget would be read before its lock is had. Mend it: ALTER ROLE the_user SET "
            "default_transaction_isolation = 'read committed'."
        )
    if state.startswith("22") or isinstance(error, psycopg.DataError) or not state:
        return unkeepable(error)
    return StoreCorruptError(
        f"{url} cannot be used as a ledger: {what} ({state}). Nothing was changed, and no budget is begun "
        "anew. A later version of allowance may have changed it: upgrade; or restore it from a backup."
    )


def unkeepable(error: Exception) -> ConfigurationError:
    """The error for a value that PostgreSQL has no place for."""
    return ConfigurationError(
        f"PostgreSQL cannot keep a value: {str(error).partition(chr(10))[0]}. Nothing was changed. Use whole "
        "nano-dollars that fit 64 bits, and names of valid Unicode (allowance.ledger.names.account_key)."
    )
