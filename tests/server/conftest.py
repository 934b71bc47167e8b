"""A server's state on either database, each test's its own."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from allowance.server.state import State, open_state
from allowance.server.state.schema import SCHEMA
from tests.postgres import fresh_database, reachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def postgres_of_module() -> Iterator[str]:
    """The URL of a database that the tests of a module use one after the other."""
    if reachable() and not os.environ.get("CI"):
        pytest.skip(f"no PostgreSQL for tests: {reachable()}")
    with fresh_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store, beside which a state may be opened; the store itself is not made."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/budgets.db"
    import psycopg

    url: str = request.getfixturevalue("postgres_of_module")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    return url


@pytest.fixture
def state(state_url: str) -> Iterator[State]:
    with closing(open_state(state_url)) as found:
        yield found
