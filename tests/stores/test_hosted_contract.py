"""The hosted store passes the public suite, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from allowance.stores.contract import StoreContract
from allowance.stores.hosted import HostedStore
from allowance.stores.memory import MemoryStore
from tests.stores.hosted_server import serving


class TestHostedStore(StoreContract):
    def setup_method(self) -> None:
        self.servers = ExitStack()
        super().setup_method()

    def teardown_method(self) -> None:
        super().teardown_method()
        self.servers.close()

    def make_store(self, clock: Callable[[], int]) -> HostedStore:
        server = self.servers.enter_context(serving(MemoryStore(clock=clock)))
        return HostedStore(server.url, timeout=60)
