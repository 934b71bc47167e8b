"""``kill -9`` of a server under load; the long form is ``python -m tests.proofs.server_kills``."""

from __future__ import annotations

from pathlib import Path

from allowance.stores.sqlite import SQLiteStore
from tests.server.kills import differences, kill_under_load
from tests.server.running import running


def test_nothing_acknowledged_is_lost_or_counts_twice(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/a.db", "--sweep-seconds", "0") as server:
        books = kill_under_load(server, 3)
    store = SQLiteStore(tmp_path / "a.db")
    try:
        assert differences(store, books) == []
        assert len(books.settled) > 20
        assert books.asked_again > 0, "the server was never killed in the midst of a request"
    finally:
        store.close()
