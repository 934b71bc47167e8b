"""Every store passes the public suite."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from allowance.stores.contract import StoreContract
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.postgres import emptied, fresh_database, needs_postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.stores.postgres import PostgresStore


class TestMemoryStore(StoreContract):
    def make_store(self, clock: Callable[[], int]) -> MemoryStore:
        return MemoryStore(clock=clock)


class TestSQLiteStore(StoreContract):
    def setup_method(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.numbers = count()
        super().setup_method()

    def teardown_method(self) -> None:
        super().teardown_method()
        shutil.rmtree(self.directory)

    def make_store(self, clock: Callable[[], int]) -> SQLiteStore:
        return SQLiteStore(f"{self.directory}/{next(self.numbers)}.db", clock=clock)


@needs_postgres
class TestPostgresStore(StoreContract):
    url: ClassVar[str]
    server: ClassVar[Any]
    closing: ClassVar[ExitStack]

    @classmethod
    def setup_class(cls) -> None:
        import psycopg

        cls.closing = ExitStack()
        cls.url = cls.closing.enter_context(fresh_database())
        cls.server = cls.closing.enter_context(psycopg.connect(cls.url, autocommit=True))

    @classmethod
    def teardown_class(cls) -> None:
        cls.closing.close()

    def make_store(self, clock: Callable[[], int]) -> PostgresStore:
        from allowance.stores.postgres import PostgresStore

        emptied(self.server)
        return PostgresStore(self.url, pool_size=4, clock=clock)


@needs_postgres
class TestPostgresStoreByTheVerbs(TestPostgresStore):
    """The same without the database's own functions, which are to say the same."""

    # These are about listing and folding thousands of lines, which is the same here, and takes long.
    test_many_entries_are_read_in_order_whatever_is_asked = None  # type: ignore[assignment]
    test_r2_many_lines_are_folded_in_steps_and_the_books_balance = None  # type: ignore[assignment]

    def make_store(self, clock: Callable[[], int]) -> PostgresStore:
        store = super().make_store(clock)
        store._calls.hot = False
        return store
