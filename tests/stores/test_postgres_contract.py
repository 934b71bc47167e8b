"""The store in PostgreSQL passes the public suite."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

from allowance.stores.contract import StoreContract
from allowance.stores.postgres import PostgresStore
from tests.postgres import emptied, forgetful, fresh_database, needs_postgres

if TYPE_CHECKING:
    from collections.abc import Callable


@needs_postgres
class TestPostgresStore(StoreContract):
    url: ClassVar[str]
    server: ClassVar[Any]
    kept: ClassVar[ExitStack]

    @classmethod
    def setup_class(cls) -> None:
        cls.kept = ExitStack()
        cls.url = cls.kept.enter_context(fresh_database())
        cls.server = cls.kept.enter_context(psycopg.connect(cls.url, autocommit=True))
        with closing(PostgresStore(cls.url)) as store:
            store.sweep()  # makes the tables
        forgetful(cls.server)

    @classmethod
    def teardown_class(cls) -> None:
        cls.kept.close()

    def make_store(self, clock: Callable[[], int]) -> PostgresStore:
        emptied(self.server)
        return PostgresStore(self.url, pool_size=4, clock=clock)
