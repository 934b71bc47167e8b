"""The store: whether it is there and well. It is looked at without being changed, and nothing is made.

A file is opened read-only. Where others have it open, only opening and closing happen under the file's own
lock, as with every process of ours, so that nobody waits; where nobody has, the lock is held for the few
seconds that the look takes at most.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from allowance.cli.checks.check import Check
from allowance.cli.checks.place import place_checks
from allowance.cli.checks.remote import remote_checks
from allowance.cli.words import counted
from allowance.errors import BudgetError
from allowance.stores.open import default_url
from allowance.stores.sqlite import schema
from allowance.stores.sqlite.faults import translated
from allowance.stores.sqlite.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.config import Settings

__all__ = ["store_checks"]

_PATIENCE: Final = 2.0
"""Seconds after which the look at the file's pages is given up: `allowance audit` looks at all."""

_STEPS: Final = 10_000  # of SQLite's, between two looks at the clock

_AHEAD: Final = 60_000_000  # microseconds by which the store's time may be ahead: clocks are stepped


def store_checks(settings: Settings, *, quick: bool = False) -> Iterator[Check]:
    """The checks of the store that is set, the default file where none is."""
    asked = settings.store or default_url()
    if not isinstance(asked, str):
        yield Check("store", "ok", asked.url)  # open in this process: a second look would drop its locks
        return
    scheme, _, rest = asked.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        path = os.path.abspath(os.path.expanduser(unquote(rest[1:])))
        yield from _file_checks(
            os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)), quick=quick
        )
    elif asked == "memory://":
        yield Check(
            "store",
            "note",
            "memory://: each process counts for itself, and forgets with its end.",
            "For budgets that last, name a file: ALLOWANCE_STORE=sqlite:////path/to/allowance.db.",
        )
    else:
        yield from remote_checks(asked, api_key=settings.api_key, allow_insecure=settings.allow_insecure)


def _file_checks(path: str, *, quick: bool) -> Iterator[Check]:
    if not os.path.lexists(path):
        yield Check("store", "ok", f"{path} is not there yet; the first budget makes it")
        yield from place_checks(path)
        return
    places = list(place_checks(path))
    yield Check("store", "ok", f"{path} ({_size(path)})")
    yield from places
    if not any(check.state == "problem" for check in places):
        yield from _contents(path, quick=quick)


def _size(path: str) -> str:
    total = sum(os.path.getsize(path + end) for end in ("", "-wal") if os.path.exists(path + end))
    return f"{total / 1_000_000:,.1f} MB" if total >= 100_000 else f"{total:,} bytes"


def _contents(path: str, *, quick: bool) -> Iterator[Check]:
    try:
        with _reading(path) as connection:
            yield _schema(connection, path)
            yield _clock(connection)
            yield _counts(connection)
            if not quick:
                yield _pages(connection)
    except sqlite3.Error as error:
        yield Check("contents", "problem", str(translated(error, path)))
    except (BudgetError, OSError) as error:
        yield Check("contents", "problem", str(error))


@contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, opened and closed under the file's lock where it has one."""
    lock = LockFile(path + ".lock") if os.path.exists(path + ".lock") else None
    try:
        with _locked(lock):
            # Without its log nobody has the file open, and all that was written is in it. Read as a file that
            # does not change, it needs no log; the lock sees to it that it does not.
            if not os.path.exists(path + "-wal") or not os.path.exists(path + "-shm"):
                with closing(_connect(path, "?mode=ro&immutable=1")) as connection:
                    yield connection
                return
            connection = _connect(path, "?mode=ro")
        try:
            yield connection
        finally:
            with _locked(lock):
                connection.close()
    finally:
        if lock is not None:
            lock.close()


def _connect(path: str, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(Path(path).as_uri() + how, uri=True, isolation_level=None)
    connection.execute("PRAGMA application_id").fetchone()  # it is opened by the first that asks
    return connection


@contextmanager
def _locked(lock: LockFile | None) -> Iterator[None]:
    if lock is None:
        yield
        return
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _schema(connection: sqlite3.Connection, path: str) -> Check:
    schema.verify(connection, path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < schema.VERSION:
        return Check(
            "schema", "ok", f"{version}; the next budget that opens it brings it to {schema.VERSION}"
        )
    return Check("schema", "ok", str(version))


def _clock(connection: sqlite3.Connection) -> Check:
    (latest,) = connection.execute("SELECT clock FROM meta").fetchone()
    ahead = latest - time.time_ns() // 1000
    if ahead > _AHEAD:
        seen = datetime.fromtimestamp(latest / 1_000_000, UTC).astimezone()
        return Check(
            "store's clock",
            "problem",
            f"the store has seen {seen:%Y-%m-%d %H:%M:%S %z}, which this machine's clock has not: its "
            "time never runs back, so windows and holds wait until then.",
            "See that the clocks of all that use the file are right.",
        )
    return Check("store's clock", "ok", "not ahead of this machine's")


def _counts(connection: sqlite3.Connection) -> Check:
    (accounts,) = connection.execute("SELECT count(*) FROM account").fetchone()
    (held,) = connection.execute("SELECT count(*) FROM hold WHERE state = 'held'").fetchone()
    (expired,) = connection.execute("SELECT count(*) FROM hold WHERE state = 'expired'").fetchone()
    text = f"{counted(accounts, 'budget')}, {counted(held, 'open call')}"
    if expired:
        return Check(
            "contents",
            "note",
            f"{text}, {counted(expired, 'call')} charged unconfirmed, because nobody told what it cost.",
            "allowance show USER lists them; allowance release ID gives one back.",
        )
    return Check("contents", "ok", text)


def _pages(connection: sqlite3.Connection) -> Check:
    deadline = time.monotonic() + _PATIENCE
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
    try:
        rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
            raise
        return Check(
            "integrity",
            "ok",
            f"nothing wrong in {_PATIENCE:g} seconds; the file is too large to look at all of it here "
            "(allowance audit does)",
        )
    finally:
        connection.set_progress_handler(None, 0)
    found = [str(row[0]) for row in rows]
    if found == ["ok"]:
        return Check("integrity", "ok", "SQLite finds nothing wrong with the file")
    return Check(
        "integrity",
        "problem",
        f"SQLite finds the file damaged: {'; '.join(found)[:300]}",
        "Restore it from a backup. To give its budgets up, move it away.",
    )
