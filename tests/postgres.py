"""PostgreSQL for tests: where it is, what is skipped without it, and databases of one's own.

``ALLOWANCE_TEST_POSTGRES`` is the URL of a server whose user may make databases; without it 127.0.0.1:5432 as
``postgres``. Where none answers, tests that need one are skipped and say so; where ``CI`` is set they run,
and fail.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

__all__ = ["emptied", "forgetful", "fresh_database", "needs_postgres", "postgres_url", "reachable"]

LOCAL = "postgresql://postgres@127.0.0.1:5432"


def postgres_url(database: str = "") -> str:
    """The server's URL; with a database's name, that of the database."""
    url = os.environ.get("ALLOWANCE_TEST_POSTGRES", LOCAL)
    if not database:
        return url
    address, question, options = url.partition("?")
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}{question}{options}"


@lru_cache(maxsize=1)
def reachable() -> str:
    """Empty where a server answers, else why none does."""
    try:
        import psycopg

        with psycopg.connect(postgres_url(), connect_timeout=3):
            return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]


def needs_postgres(test: Any) -> Any:
    """Mark a test or a class of them: skipped where no server answers, but not where ``CI`` is set."""
    missing = "" if os.environ.get("CI") else reachable()
    return pytest.mark.skipif(bool(missing), reason=f"no PostgreSQL for tests: {missing}")(test)


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of a new and empty database; it is dropped afterwards, whoever is still connected to it."""
    import psycopg

    name = f"allowance_test_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url(), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
    try:
        yield postgres_url(name)
    finally:
        with psycopg.connect(postgres_url(), autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def emptied(server: psycopg.Connection[Any]) -> None:
    """Take everything out of a store's tables, as no store would; much quicker than a new database."""
    found = server.execute("SELECT to_regclass('allowance.entry') IS NOT NULL").fetchone()
    if found is not None and found[0]:
        with server.transaction():
            server.execute("SET LOCAL session_replication_role = replica")  # no triggers
            server.execute("SET LOCAL synchronous_commit = off")
            for table in ("entry", "cost", "hold", "adjustment", "account"):
                server.execute(f"DELETE FROM allowance.{table}")
            server.execute("SELECT setval('allowance.clock', 0), setval('allowance.entry_seq_seq', 1, false)")


def forgetful(server: psycopg.Connection[Any]) -> None:
    """Let a store's tables not outlive a crash of the server: so no commit waits for the disk.

    A store sees to it itself that nobody turns ``synchronous_commit`` off for it.
    """
    with server.transaction():
        for table in ("entry", "cost", "hold", "adjustment", "account"):
            server.execute(f"ALTER TABLE allowance.{table} SET UNLOGGED")
        if server.info.server_version >= 150000:
            server.execute("ALTER SEQUENCE allowance.clock SET UNLOGGED")
