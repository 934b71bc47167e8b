"""One connection per process and file, and the transactions on it."""

from __future__ import annotations

import os
import sqlite3
import threading
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from allowance.errors import ConfigurationError, StoreCorruptError, StoreError, StoreUnavailableError
from allowance.stores.sqlite import place, schema
from allowance.stores.sqlite.batches import Batches, Operation
from allowance.stores.sqlite.faults import translated, unkeepable
from allowance.stores.sqlite.lockfile import PATIENCE, LockFile
from allowance.stores.sqlite.migration import migrate
from allowance.stores.sqlite.tables import SQLiteTables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from allowance.stores.sqlite.place import Identity

__all__ = ["Engine", "engine_for"]

T = TypeVar("T")

_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "journal_size_limit = 16777216",
)
_OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables


class Engine:
    """The file as this process has it open. All stores of the process on this file share it.

    Sharing is needed: closing any descriptor of a file drops all locks that the process has on it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.users = 0
        self._file = threading.Lock()
        self._batches = Batches(self._commit)
        self._pid = os.getpid()
        self._lock_file: LockFile | None = None
        self._connection: sqlite3.Connection | None = None
        self._tables: SQLiteTables | None = None
        self._identity: Identity | None = None
        self._latest = 0

    def run(self, verb: Callable[[SQLiteTables, int], T], clock: Callable[[], int]) -> T:
        """Run a verb at the store's time, alone and whole; what it raises undoes what it wrote.

        Verbs of threads that ask at the same time share a transaction, each in a savepoint of its own.

        Raises:
            StoreUnavailableError: the file cannot be read or written now.
            StoreCorruptError: it is no ledger, or not the one that was opened.
            ConfigurationError: a value that SQLite cannot keep.
        """
        outcome: T = self._batches.run(Operation(self._action(verb, clock)))
        return outcome

    def run_each(
        self, verbs: Sequence[Callable[[SQLiteTables, int], T]], clock: Callable[[], int]
    ) -> list[T | Exception]:
        """Run several verbs in one transaction, each whole or undone; an error stands in its place.

        Raises:
            StoreUnavailableError, StoreCorruptError: as `run`; of none is it known whether it was kept.
        """
        operations = [Operation(self._action(verb, clock)) for verb in verbs]

        def action(tables: SQLiteTables) -> None:
            connection = self._connection
            if connection is None:
                raise StoreUnavailableError(f"{self.path} was closed meanwhile. Nothing was changed.")
            for operation in operations:
                self._perform(operation, connection, tables)

        self._batches.run(Operation(action))
        return [
            operation.result if operation.error is None else operation.error  # type: ignore[misc]  # an Exception
            for operation in operations
        ]

    def _action(
        self, verb: Callable[[SQLiteTables, int], T], clock: Callable[[], int]
    ) -> Callable[[SQLiteTables], T]:
        """The verb at the store's time, which is that of its turn."""

        def action(tables: SQLiteTables) -> T:
            self._latest = now = max(clock(), self._latest)
            return verb(tables, now)

        return action

    def _commit(self, batch: Sequence[Operation]) -> None:
        with self._file:
            try:
                lock_file = self._held_lock_file()
                try:  # from here on, for a Ctrl-C may come as soon as it is locked
                    lock_file.acquire()
                    self._transact(batch)
                finally:
                    lock_file.release()
            except Exception as error:
                if len(batch) == 1:
                    batch[0].error = self._translated(error)
                elif isinstance(error, (sqlite3.Error, StoreError, ConfigurationError)):
                    for operation in batch:
                        # One for each thread: a raised error carries its thread's traceback.
                        operation.error = copy(self._translated(error))
                else:
                    raise

    def _transact(self, batch: Sequence[Operation]) -> None:
        connection, tables = self._opened()
        try:
            connection.execute("BEGIN IMMEDIATE")
            before = connection.total_changes
            self._latest = max(self._latest, tables.begin())
            if len(batch) == 1:
                # The whole transaction is its own: what it raises undoes that.
                batch[0].result = batch[0].action(tables)
            else:
                for operation in batch:
                    self._perform(operation, connection, tables)
            if connection.total_changes != before:
                tables.keep_clock(self._latest)
            connection.execute("COMMIT")
        except BaseException:
            tables.forget()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _perform(self, operation: Operation, connection: sqlite3.Connection, tables: SQLiteTables) -> None:
        connection.execute("SAVEPOINT operation")
        try:
            operation.result = operation.action(tables)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite has undone the others' operations too
            tables.forget()
            connection.execute("ROLLBACK TO operation")
            operation.error = self._translated(error)
        connection.execute("RELEASE operation")

    def close(self) -> None:
        """Close the connection, if it is open; what is kept in SQLite's log moves into the file."""
        with self._file:
            self._close()

    def _held_lock_file(self) -> LockFile:
        if self._pid != os.getpid():
            raise StoreUnavailableError(
                f"This process was forked by something that does not run Python's fork hooks, while "
                f"{self.path} was open; SQLite's connections do not survive that. Open it after the fork."
            )
        if self._lock_file is None:
            place.prepare(self.path)
            try:
                self._lock_file = LockFile(self.path + ".lock")
            except OSError as error:
                raise place.unreachable(self.path + ".lock", error) from error
        return self._lock_file

    def _opened(self) -> tuple[sqlite3.Connection, SQLiteTables]:
        """The connection, to the file that was there first."""
        connection, tables = self._connection, self._tables
        if connection is None or tables is None:
            if not os.path.lexists(self.path):
                self._refuse_another()
                place.make(self.path, _fill)
            self._identity = self._identity or place.identify(self.path)
            self._refuse_another()
            connection = _connect(self.path, schema.verify)
            tables = SQLiteTables(connection)
            self._connection, self._tables = connection, tables
        else:
            self._refuse_another()
        return connection, tables

    def _refuse_another(self) -> None:
        if self._identity is not None and not place.same_file(self.path, self._identity):
            raise StoreCorruptError(
                f"{self.path} was deleted or replaced while it was open here. What it held is not known to "
                "the new file, so no budget can be asked. Put the file back, or restart this process."
            )

    def _close(self) -> None:
        if self._connection is not None and self._lock_file is not None and self._pid == os.getpid():
            self._lock_file.acquire()
            try:
                self._connection.close()
            finally:
                self._lock_file.release()
            self._connection = self._tables = None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.Error):
            ours = translated(error, self.path)
        elif isinstance(error, (OverflowError, UnicodeEncodeError)):
            ours = unkeepable(error)
        else:
            return error
        ours.__cause__ = error
        return ours

    # -- forks ---------------------------------------------------------------------------------------

    def before_fork(self) -> bool:
        """Close, and keep others out: nothing of SQLite's must be inherited. False where that fails."""
        if not self._file.acquire(timeout=2 * PATIENCE):
            return False
        try:
            self._close()
        except (sqlite3.Error, StoreError):
            self._file.release()
            return False
        return True

    def after_fork_in_parent(self) -> None:
        """Let others in again."""
        self._file.release()

    def after_fork_in_child(self, closed: bool) -> None:
        """Begin anew with what was closed before the fork; what was not stays shut, and referenced."""
        self._file = threading.Lock()
        self._batches = Batches(self._commit)
        if closed:
            self._pid = os.getpid()
        elif self._lock_file is not None:
            self._lock_file.close()  # else the child would keep its parent's lock alive


def _connect(path: str, prepare: Callable[[sqlite3.Connection, str], None]) -> sqlite3.Connection:
    """A connection to a file that is there; ``prepare`` has it before anything is changed.

    Only under the lock: of processes that open an earlier version's file at once, the first migrates it.
    """
    # mode=rw: SQLite itself must never make a file, for an empty one would be a fresh budget.
    connection = sqlite3.connect(
        Path(path).as_uri() + "?mode=rw",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        prepare(connection, path)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _fill(path: str) -> None:
    _connect(path, schema.create).close()


_engines: dict[str, Engine] = {}
_engines_lock = threading.Lock()
_held_over_fork: list[tuple[Engine, bool]] = []


def engine_for(path: str) -> Engine:
    """The process's one engine for this file."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigurationError(
            f"The file store needs SQLite 3.37 or later; this Python has {sqlite3.sqlite_version}. "
            "Use a newer Python, or a memory store."
        )
    with _engines_lock:
        engine = _engines.get(path)
        if engine is None:
            engine = _engines[path] = Engine(path)
        engine.users += 1
        return engine


def leave(engine: Engine) -> None:
    """Close the engine with its last user."""
    with _engines_lock:
        engine.users -= 1
        if engine.users == 0:
            _engines.pop(engine.path, None)
            engine.close()


def _before_fork() -> None:
    _engines_lock.acquire()
    _held_over_fork.extend((engine, engine.before_fork()) for engine in _engines.values())


def _after_fork_in_parent() -> None:
    for engine, closed in _held_over_fork:
        if closed:
            engine.after_fork_in_parent()
    _held_over_fork.clear()
    _engines_lock.release()


def _after_fork_in_child() -> None:
    global _engines_lock
    for engine, closed in _held_over_fork:
        engine.after_fork_in_child(closed)
    _held_over_fork.clear()
    _engines_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
