"""The database with the server's own tables: one engine per process, transactions, errors in our words."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

from sqlalchemy import NullPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from allowance.errors import ConfigurationError, StoreCorruptError, StoreUnavailableError
from allowance.server.state.schema import SCHEMA, migrate
from allowance.stores.sqlite import place
from allowance.stores.sqlite.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

__all__ = ["Database", "clock", "open_database", "server_file"]

_PATIENCE: Final = 5.0
"""Seconds to wait for another process, or for PostgreSQL's answer."""

_DAMAGED: Final = ("not a database", "malformed")
_CLOCK: Final = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_SILENT: Final[dict[str, Any]] = {"hide_parameters": True}  # what is bound to a statement stands in no error


class Database:
    """Transactions, in any thread and process; what has been forked makes an engine of its own."""

    def __init__(self, make: Callable[[], Engine], password: str = "") -> None:
        self._make = make
        self._password = password
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._pid = 0
        self._closed = False
        _databases.add(self)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that writes nothing.

        Raises:
            StoreUnavailableError: the database does not answer; so does `write`.
            StoreCorruptError: it is damaged, or no database of ours.
        """
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and undone when it raises."""
        with self._transaction(writes=True) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections of this process; nothing can be asked any more."""
        self._closed = True
        with self._lock:
            if self._engine is not None:
                self._engine.dispose(close=self._pid == os.getpid())
                self._engine = None

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            engine = self._of_this_process().execution_options(writes=writes)
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            # Without its cause: that may quote the URL, which may hold a password.
            raise self._translated(error) from None

    def _of_this_process(self) -> Engine:
        if self._closed:
            raise StoreUnavailableError("The server's own database was closed: the server is stopping.")
        with self._lock:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    self._engine.dispose(close=False)  # the connections are the parent's
                self._engine, self._pid = self._make(), os.getpid()
            return self._engine

    def _forked(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it

    def _translated(self, error: SQLAlchemyError) -> Exception:
        cause = error.orig if isinstance(error, DBAPIError) else error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        said = lines[0][:300]
        if self._password and self._password in said:
            said = type(cause).__name__
        if isinstance(cause, sqlite3.DatabaseError) and any(word in said for word in _DAMAGED):
            return StoreCorruptError(
                f"The server's own database cannot be read: {said}. Nothing was changed. Restore it "
                "from a copy."
            )
        return StoreUnavailableError(
            f"The server's own database does not answer: {said}. It holds the keys, so no request can be "
            "admitted without it. Nothing was changed; see that it runs and may be reached.",
            retry_after=1.0,
        )


def open_database(url: str) -> Database:
    """The database beside the store of this URL, its tables made or brought up to date.

    For ``sqlite:///x.db`` a file ``x-server.db`` beside it, for this user alone; for ``postgresql://...``
    the schema ``allowance_server`` in the same database.

    Raises:
        ConfigurationError: a server cannot stand on such a store, or on such a place.
        StoreUnavailableError, StoreCorruptError: it cannot be used.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return _in_file(server_file(os.path.expanduser(unquote(rest[1:]))))
    if scheme in ("postgresql", "postgres"):
        password = urlsplit(url).password or ""
        return _migrated(Database(lambda: _postgres_engine(url), unquote(password)))
    raise ConfigurationError(
        f"A server cannot stand on a store of the kind {scheme[:40]!r}: its keys must outlive it. "
        "Use sqlite:///allowance.db or postgresql://..."
    )


def server_file(path: str) -> str:
    """The file of the server's own that lies beside a store's: ``x.db`` has ``x-server.db``."""
    directory = os.path.realpath(os.path.dirname(path) or ".")
    stem, extension = os.path.splitext(os.path.basename(path))
    return os.path.join(directory, f"{stem}-server{extension or '.db'}")


def _in_file(path: str) -> Database:
    place.prepare(path)
    lock_path = path + ".lock"
    try:
        lock = LockFile(lock_path)
    except OSError as error:
        raise place.unreachable(lock_path, error) from error
    try:
        lock.acquire()
        if not os.path.lexists(path):
            place.make(path, lambda draft: _migrated(_of_file(draft)).close())
        return _migrated(_of_file(path))
    finally:
        lock.release()
        lock.close()


def _of_file(path: str) -> Database:
    return Database(lambda: _file_engine(path))


def _migrated(database: Database) -> Database:
    try:
        with database.write() as connection:
            migrate(connection)
    except BaseException:
        database.close()
        raise
    return database


def _file_engine(path: str) -> Engine:
    # Each transaction has a connection of its own: a fork between two inherits nothing of SQLite's, and
    # opening one takes a fifth of a millisecond. Not WAL: up to 3.51.2 SQLite can lose commits there when
    # two processes write and checkpoint at once, and here is little to write.
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool, **_SILENT)
    event.listen(engine, "begin", _begin)
    return engine.execution_options(schema_translate_map={SCHEMA: None})


def _connect(path: str) -> sqlite3.Connection:
    # mode=rw: a file that was taken away must not be made anew, without a single key.
    connection = sqlite3.connect(
        Path(path).as_uri() + "?mode=rw",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _begin(connection: Connection) -> None:
    # IMMEDIATE: two that read first and write then would refuse each other.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_engine(url: str) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        isolation_level="READ COMMITTED",  # whatever the role's own is: what is read after a lock must be new
        pool_size=2,
        max_overflow=6,
        pool_timeout=_PATIENCE,
        pool_pre_ping=True,
        connect_args={"connect_timeout": int(_PATIENCE), "prepare_threshold": None},
        **_SILENT,
    )

    def name_the_database(_: object, __: object, arguments: list[Any], ___: dict[str, Any]) -> None:
        arguments[:] = [url]  # as libpq reads it, and kept out of the engine's repr

    event.listen(engine, "do_connect", name_the_database)
    event.listen(engine, "begin", _limit_time)
    return engine


def _limit_time(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL statement_timeout = {int(_PATIENCE * 1000)}"))


def clock(connection: Connection) -> int:
    """The time by the database's clock, in microseconds: all servers on it agree."""
    if connection.dialect.name == "sqlite":
        return time.time_ns() // 1000
    return int(connection.execute(_CLOCK).scalar_one())


_databases: WeakSet[Database] = WeakSet()


def _after_fork_in_child() -> None:
    for database in list(_databases):
        database._forked()  # noqa: SLF001  # its own module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
