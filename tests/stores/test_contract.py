"""Every store passes the public suite."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from typing import TYPE_CHECKING

from allowance.stores.contract import StoreContract
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import Callable


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
