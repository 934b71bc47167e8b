"""A file of an earlier version becomes one of this version: whole or not at all, and with nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.stores.sqlite.schema import ACCOUNT_INDEX, ACCOUNT_TABLE, COST_TABLE, VERSION

if TYPE_CHECKING:
    import sqlite3

__all__ = ["migrate"]

# Entries and holds only gain columns, which changes no row. What makes accounts unique changes, for which
# SQLite needs a new table. Its column for the limit has a new name, too: a process that still runs version
# 1's code on the open file then fails closed at its next statement; it would post without costs by model.
_TO_2: Final = (
    "ALTER TABLE entry ADD COLUMN tags TEXT",
    "ALTER TABLE hold ADD COLUMN tags TEXT",
    "ALTER TABLE hold ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE adjustment ADD COLUMN until INTEGER",
    ACCOUNT_TABLE.replace("TABLE account", "TABLE account_2"),
    """
    INSERT INTO account_2
        SELECT id, project, kind, name, '', cap, duration, align, timezone, uncapped, NULL, declared,
               created_at, window_start, window_end, spent, held, version, NULL
        FROM account
    """,
    "DROP TABLE account",
    "ALTER TABLE account_2 RENAME TO account",
    ACCOUNT_INDEX,
    COST_TABLE,
    """
    INSERT INTO cost (account, model, window_start, amount)
        SELECT account, coalesce(model, 0), account.window_start, sum(amount)
        FROM account CROSS JOIN entry ON account = account.id
        WHERE at >= account.window_start AND (window_end IS NULL OR at < window_end)
        GROUP BY account, coalesce(model, 0)
    """,
    "PRAGMA user_version = 2",
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this version, if it is not; only under the lock, and outside of a transaction.

    One transaction: a process that is killed within it leaves the earlier version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    connection.execute("PRAGMA foreign_keys = OFF")  # else dropping the table would look at every entry
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TO_2:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
