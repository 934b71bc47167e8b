"""The short version of `tests.proofs.hosted_faults`: over a network that fails, each call counts once."""

from __future__ import annotations

from pathlib import Path

from allowance.stores.hosted import HostedStore
from tests.faults import KINDS, faulty
from tests.proofs.hosted_faults import check, storm
from tests.server.running import running


def test_r3_r14_each_call_counts_once_over_a_network_that_fails(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/budgets.db") as server, faulty(server.url, rate=0.3) as proxy:
        found = storm(proxy.url, server.admin_key, processes=2, threads=16, calls=10)
        assert set(proxy.counts) == {*KINDS, "passed on"}
        proxy.rate = 0.0
        store = HostedStore(proxy.url, api_key=server.admin_key, timeout=60)
        check(store, found)
        store.close()
    assert len(found.settled) > 50
    assert found.unsure + found.again > 0
