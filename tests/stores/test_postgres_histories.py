"""The store in PostgreSQL and a plain model live through the same histories, and give the same replies.

It does so thrice: by the verbs alone, by its own functions where they serve, and by those for a crowd. It
takes fewer histories than the local stores, for each question is a round trip; ``ALLOWANCE_TEST_HISTORIES``
sets how many.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from typing import Any, ClassVar

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize

from allowance.stores.contract.bench import ManualClock
from allowance.stores.postgres import PostgresStore
from tests.postgres import emptied, forgetful, fresh_database, needs_postgres
from tests.stores.model import Model
from tests.stores.test_histories import Histories


class PostgresHistories(Histories):
    servers: ClassVar[dict[str, Any]] = {}

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.model = Model()
        self.stores = []
        for url, server in self.servers.items():
            emptied(server)
            self.stores.append(PostgresStore(url, pool_size=1, clock=self.clock))
        self.stores[0]._calls.hot = False  # type: ignore[attr-defined]
        self.stores[2]._calls.few = 0  # type: ignore[attr-defined]
        self.asks = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()


@needs_postgres
class TestPostgresHistories(PostgresHistories.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.kept = ExitStack()
        for _ in range(3):
            url = cls.kept.enter_context(fresh_database())
            server = cls.kept.enter_context(psycopg.connect(url, autocommit=True))
            with closing(PostgresStore(url)) as store:
                store.sweep()  # makes the tables
            forgetful(server)
            PostgresHistories.servers[url] = server

    @classmethod
    def tearDownClass(cls) -> None:
        PostgresHistories.servers.clear()
        cls.kept.close()


TestPostgresHistories.settings = settings(
    max_examples=int(os.environ.get("ALLOWANCE_TEST_HISTORIES", "8")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
