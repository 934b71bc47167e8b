"""The tables in the database, and how they come to be there: versioned, once, whoever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

from allowance.errors import ConfigurationError, StoreCorruptError
from allowance.stores.postgres.functions import FUNCTIONS

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["VERSION", "prepare"]

VERSION: Final = 1

_TABLES: Final[LiteralString] = """
CREATE SCHEMA IF NOT EXISTS allowance;

CREATE TABLE allowance.meta (version integer NOT NULL);
INSERT INTO allowance.meta (version) VALUES (0);

-- The latest time that a transaction saw. The accounts' own `seen` is exact; this one tells the others.
CREATE SEQUENCE allowance.clock AS bigint MINVALUE 0 START 0;

CREATE TABLE allowance.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL, label text COLLATE "C" NOT NULL,
    stripe integer NOT NULL,  -- which lock the family is under
    base_limit bigint CHECK (base_limit >= 0),  -- without top-ups; NULL only counts
    duration text, align text NOT NULL, timezone text NOT NULL, uncapped text NOT NULL,
    models text,  -- JSON: the globs of the models that it is for; NULL: for all
    declared text,  -- JSON: what code last declared
    created_at bigint NOT NULL, window_start bigint NOT NULL, window_end bigint,
    spent bigint NOT NULL, held bigint NOT NULL CHECK (held >= 0), version bigint NOT NULL,
    extras text,  -- JSON: [[amount, until], ...] of the top-ups; NULL: none
    extra bigint NOT NULL, extra_until bigint,  -- their sum, and when the first of them ends
    seen bigint NOT NULL,  -- when it was last written: no transaction on it may see an earlier time
    UNIQUE (project, kind, name, label)
) WITH (fillfactor = 50);
CREATE INDEX account_by_name ON allowance.account (kind, name, project);

CREATE TABLE allowance.cost (
    account bigint NOT NULL,
    model text COLLATE "C" NOT NULL,  -- '' for what belongs to no model, else '=' and the model's name
    window_start bigint NOT NULL,  -- of an older window than the account's: as if it were not there
    amount bigint NOT NULL,
    PRIMARY KEY (account, model)
) WITH (fillfactor = 50);

CREATE TABLE allowance.hold (
    hold_id text COLLATE "C" PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('held', 'settled', 'released', 'expired')),
    amount bigint NOT NULL CHECK (amount >= 0), expected bigint NOT NULL, bound boolean NOT NULL,
    accounts bigint[] NOT NULL, starts bigint[] NOT NULL,  -- and of each the start of its window
    model text, reserved_at bigint NOT NULL, expires_at bigint NOT NULL, charged bigint NOT NULL,
    shrunk boolean NOT NULL, clamped boolean NOT NULL, replaced boolean NOT NULL,
    content bytea,  -- the fingerprint of the ask
    tags text,  -- JSON; NULL: none
    owner text NOT NULL,
    CHECK (cardinality(accounts) = cardinality(starts))
) WITH (fillfactor = 80);
CREATE INDEX hold_open ON allowance.hold (expires_at) WHERE state = 'held';
CREATE INDEX hold_expired ON allowance.hold (reserved_at) WHERE state = 'expired';

CREATE TABLE allowance.entry (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account bigint NOT NULL,
    kind text NOT NULL, amount bigint NOT NULL,
    at bigint NOT NULL, posted_at bigint NOT NULL, window_start bigint NOT NULL,
    hold_id text COLLATE "C", model text COLLATE "C",
    input_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    unconfirmed boolean NOT NULL, counted boolean NOT NULL, reason text NOT NULL,
    tags text  -- JSON; NULL: none
);
CREATE INDEX entry_by_account ON allowance.entry (account, at);

CREATE TABLE allowance.adjustment (
    adjustment_id text COLLATE "C" PRIMARY KEY,
    account bigint NOT NULL,
    amount bigint,  -- as asked; NULL is a reset
    until bigint  -- NULL for what is no top-up; its end as asked, 0 where none was given
);

CREATE FUNCTION allowance.entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('allowance.pruning', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'entries are never edited or deleted: add a correction';
END $$;
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE ON allowance.entry
    FOR EACH ROW EXECUTE FUNCTION allowance.entries_stay();
CREATE TRIGGER entries_stay_all BEFORE TRUNCATE ON allowance.entry
    FOR EACH STATEMENT EXECUTE FUNCTION allowance.entries_stay();
"""

# From each version to the next one: whole or not at all, in the order of the numbers.
_MIGRATIONS: Final[dict[int, LiteralString]] = {
    1: _TABLES + FUNCTIONS,
}

_LOCK: Final = "SELECT pg_advisory_xact_lock(1634496375, -1)"
# Read from the catalogue itself, for what another session made while this one waited is not in its cache.
_KNOWN: Final = """
    SELECT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = 'allowance' AND relname = 'meta'
    )
"""
_ENCODING: Final = "SELECT current_setting('server_encoding')"


def prepare(connection: Connection[Any]) -> None:
    """See that the database has the tables of this version; make or migrate them where it has not.

    Where they are there already nothing is written and no right to make tables is needed. Of several that
    come at once the first does it, and the others wait for it.

    Raises:
        StoreCorruptError: the tables are a later version's.
        ConfigurationError: the database cannot hold every text.
    """
    version = _version(connection)
    if version == VERSION:
        return
    if version is None:
        row = connection.execute(_ENCODING).fetchone()
        if row is None or row[0] != "UTF8":
            raise ConfigurationError(
                "The database does not keep its texts in UTF8, which names of users may need. Make one that "
                "does: CREATE DATABASE budgets ENCODING 'UTF8' TEMPLATE template0."
            )
    with connection.transaction():
        # In any other isolation the tables that were made while this one waited would not be seen.
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.execute("SET LOCAL lock_timeout = '60s'")
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(_LOCK)
        version = _version(connection) or 0
        for step in range(version + 1, VERSION + 1):
            connection.execute(_MIGRATIONS[step])
            connection.execute("UPDATE allowance.meta SET version = %s", (step,))


def _version(connection: Connection[Any]) -> int | None:
    known = connection.execute(_KNOWN).fetchone()
    if known is None or not known[0]:
        return None
    row = connection.execute("SELECT max(version) FROM allowance.meta").fetchone()
    version = int(row[0]) if row is not None and row[0] is not None else 0
    if version == 0:
        raise StoreCorruptError(
            "The schema allowance of this database does not say which version it is: it is no ledger, or "
            "something else wrote to it. Nothing was changed. Restore it from a backup, or rename the schema."
        )
    if version > VERSION:
        raise StoreCorruptError(
            f"The ledger in this database is a later version's (schema {version}; this one knows {VERSION}). "
            "Nothing was changed. Upgrade: pip install --upgrade allowance."
        )
    return version
