"""The file's tables, and how a file is known as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import StoreCorruptError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["ACCOUNT_INDEX", "ACCOUNT_TABLE", "COST_TABLE", "GUARD", "VERSION", "create", "verify"]

APPLICATION_ID: Final = 0x414C4F57  # "ALOW": what file(1) and other programs know the file by
VERSION: Final = 2

ACCOUNT_TABLE: Final = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, label TEXT NOT NULL,
    base_limit INTEGER CHECK (base_limit >= 0),  -- without top-ups; NULL only counts
    duration TEXT, align TEXT NOT NULL, timezone TEXT NOT NULL, uncapped TEXT NOT NULL,
    models TEXT,  -- JSON: the globs of the models that it is for; NULL: for all
    declared TEXT,  -- JSON: what code last declared
    created_at INTEGER NOT NULL, window_start INTEGER NOT NULL, window_end INTEGER,
    spent INTEGER NOT NULL, held INTEGER NOT NULL CHECK (held >= 0), version INTEGER NOT NULL,
    extras TEXT,  -- JSON: [[amount, until], ...] of the top-ups; NULL: none
    UNIQUE (project, kind, name, label)
) STRICT;
"""
ACCOUNT_INDEX: Final = "CREATE INDEX account_by_name ON account (kind, name, project);"
COST_TABLE: Final = """
CREATE TABLE cost (
    account INTEGER NOT NULL REFERENCES account (id),
    model ANY NOT NULL,  -- 0 for what belongs to no model
    window_start INTEGER NOT NULL,  -- of an older window than the account's: as if it were not there
    amount INTEGER NOT NULL,
    PRIMARY KEY (account, model)
) STRICT, WITHOUT ROWID;
"""

GUARD: Final = """
CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'entries are never deleted: add a correction'); END
"""

_OTHER_TABLES: Final = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    clock INTEGER NOT NULL  -- the latest time that a transaction saw: the store's time never runs back
) STRICT;
INSERT INTO meta (id, clock) VALUES (1, 0);

CREATE TABLE hold (
    hold_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released', 'expired')),
    amount INTEGER NOT NULL CHECK (amount >= 0), expected INTEGER NOT NULL, bound INTEGER NOT NULL,
    windows TEXT NOT NULL,  -- JSON: [[project, kind, name, label, start], ...]; of version 1: without labels
    model TEXT, reserved_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, charged INTEGER NOT NULL,
    shrunk INTEGER NOT NULL, clamped INTEGER NOT NULL, replaced INTEGER NOT NULL,
    content BLOB,  -- the fingerprint of the ask
    tags TEXT,  -- JSON; NULL: none
    owner TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_open ON hold (expires_at) WHERE state = 'held';
CREATE INDEX hold_expired ON hold (reserved_at) WHERE state = 'expired';

CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL, amount INTEGER NOT NULL,
    at INTEGER NOT NULL, posted_at INTEGER NOT NULL, window_start INTEGER NOT NULL,
    hold_id TEXT, model TEXT, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    unconfirmed INTEGER NOT NULL, counted INTEGER NOT NULL, reason TEXT NOT NULL,
    tags TEXT  -- JSON; NULL: none
) STRICT;
CREATE INDEX entry_by_account ON entry (account, at);
CREATE TRIGGER entry_is_never_edited BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'entries are never edited: add a correction'); END;

CREATE TABLE adjustment (
    adjustment_id TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    amount INTEGER,  -- as asked; NULL is a reset
    until INTEGER  -- NULL for what is no top-up; its end as asked, 0 where none was given
) STRICT, WITHOUT ROWID;
"""


def create(connection: sqlite3.Connection, path: str) -> None:  # noqa: ARG001  as `verify` has it
    """Make the tables in a new and empty file."""
    connection.executescript(
        f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
        f"{ACCOUNT_TABLE}{ACCOUNT_INDEX}{COST_TABLE}{_OTHER_TABLES}{GUARD};COMMIT;"
    )


def verify(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file that is not a ledger of a version that we know or can migrate; nothing is changed.

    Raises:
        StoreCorruptError: it is another program's, or a later version's.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreCorruptError(
            f"{path} is a SQLite database, but not one of allowance's. Nothing was changed. "
            "Name another file for the budgets."
        )
    if version > VERSION:
        raise StoreCorruptError(
            f"{path} was written by a later version of allowance (schema {version}; this one knows "
            f"{VERSION}). Nothing was changed. Upgrade: pip install --upgrade allowance."
        )
