"""The server's own tables, the same in SQLite and in PostgreSQL, and how older ones are migrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)

from allowance.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

__all__ = [
    "SCHEMA",
    "VERSION",
    "audit_line",
    "generation",
    "key",
    "lease",
    "mark",
    "migrate",
    "outbox",
    "refusal",
    "secret",
    "session",
    "told",
    "watched",
]

VERSION: Final = 1
SCHEMA: Final = "allowance_server"
"""Where the tables lie in PostgreSQL, beside the store's; in SQLite they have a file of their own."""

_MIGRATION_LOCK: Final = 0x616C775F73727631  # one number for all servers on one database

metadata: Final = MetaData(schema=SCHEMA)
_number: Final = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts itself up there

version: Final = Table("version", metadata, Column("number", Integer, primary_key=True, autoincrement=False))
key: Final = Table(
    "key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),  # SHA-256 of the token's secret part
    Column("scopes", Text, nullable=False),
    Column("projects", Text),  # JSON; NULL: all
    Column("budgeted", Boolean, nullable=False),
    Column("fixed_terms", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("newest", Boolean, nullable=False),  # of the keys of its name: not rotated out, not revoked
    Column("changed", BigInteger, nullable=False),  # the generation of its last change
    Index("key_by_changed", "changed"),
    Index("key_newest", "name", unique=True, sqlite_where=text("newest"), postgresql_where=text("newest")),
)
generation: Final = Table(
    "generation",  # one row, locked by who changes a key: what is read of a later one includes all earlier
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)
audit_line: Final = Table(
    "audit_line",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("project", Text),  # NULL: the server's own matters
    Column("target", Text, nullable=False),
    Column("before", Text),  # JSON
    Column("after", Text),  # JSON
)
refusal: Final = Table(
    "refusal",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("model", Text),
    Column("projected", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("limit", BigInteger, nullable=False),
    sqlite_autoincrement=True,  # the oldest go: a number must not come again
)
lease: Final = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
mark: Final = Table(
    "mark",  # how far a job of the server's has come
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
secret: Final = Table(
    "secret",  # what all servers on this database make ids with that nobody else can guess
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
session: Final = Table(
    "session",  # who is logged in at the page
    metadata,
    Column("hash", LargeBinary, primary_key=True),  # SHA-256 of the cookie's word
    Column("key_id", Text, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)
told: Final = Table(
    "told",  # events that were sent, so that none is sent twice
    metadata,
    Column("event", Text, primary_key=True),
    Column("until", BigInteger),  # when it may be forgotten; NULL: never
    Index("told_by_until", "until"),
)
watched: Final = Table(
    "watched",  # accounts in use whose windows end: then their reset is told
    metadata,
    Column("account", Text, primary_key=True),  # JSON: project, kind, name, label
    Column("ends_at", BigInteger, nullable=False),
    Index("watched_by_ends_at", "ends_at"),
)
outbox: Final = Table(
    "outbox",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),  # a fingerprint of the URL, which may hold a secret
    Column("event", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    UniqueConstraint("target", "event"),
    Index("outbox_by_due", "due_at"),
    sqlite_autoincrement=True,
)

_SQLITE_GUARDS: Final = (
    """CREATE TRIGGER audit_line_is_never_edited BEFORE UPDATE ON audit_line
    BEGIN SELECT RAISE(ABORT, 'audit lines are never edited'); END""",
    """CREATE TRIGGER audit_line_is_never_deleted BEFORE DELETE ON audit_line
    BEGIN SELECT RAISE(ABORT, 'audit lines are never deleted'); END""",
    # INSERT OR REPLACE deletes without a delete trigger.
    """CREATE TRIGGER audit_line_is_never_replaced BEFORE INSERT ON audit_line
    WHEN EXISTS (SELECT 1 FROM audit_line WHERE seq = new.seq)
    BEGIN SELECT RAISE(ABORT, 'audit lines are never replaced'); END""",
)
_POSTGRES_GUARDS: Final = (
    f"""CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'audit lines are never edited or deleted'; END $$""",
    f"""CREATE TRIGGER audit_line_is_never_changed BEFORE UPDATE OR DELETE ON {SCHEMA}.audit_line
    FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.refuse_change()""",
    f"""CREATE TRIGGER audit_line_is_never_emptied BEFORE TRUNCATE ON {SCHEMA}.audit_line
    FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change()""",
)

MIGRATIONS: Final[Mapping[int, Callable[[Connection], None]]] = {}
"""What brings the tables of a version to the next one's, by the version that it starts from."""


def current(connection: Connection) -> int:
    """The version of the tables that are there; 0 where there are none."""
    sqlite = connection.dialect.name == "sqlite"
    if not inspect(connection).has_table("version", schema=None if sqlite else SCHEMA):
        return 0
    return int(connection.execute(version.select()).scalar_one())


def migrate(connection: Connection) -> None:
    """Make the tables, or bring older ones up to date, in one transaction that is the caller's.

    Raises:
        StoreCorruptError: a later version of allowance wrote them; nothing was changed.
    """
    if current(connection) == VERSION:
        return  # without a lock, and for a role that may make no tables
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    found = current(connection)
    if found > VERSION:
        raise StoreCorruptError(
            f"The server's own tables were written by a later version of allowance (schema {found}; this "
            f"one knows {VERSION}). Nothing was changed. Upgrade: pip install --upgrade 'allowance[server]'."
        )
    if found == 0:
        _create(connection)
    for step in range(found or VERSION, VERSION):
        MIGRATIONS[step](connection)
        connection.execute(version.update().values(number=step + 1))


def _create(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    metadata.create_all(connection)
    for statement in _SQLITE_GUARDS if sqlite else _POSTGRES_GUARDS:
        connection.execute(text(statement))
    connection.execute(generation.insert().values(id=1, number=0))
    connection.execute(version.insert().values(number=VERSION))
