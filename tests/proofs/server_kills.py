"""The server killed with ``kill -9`` in mid-load, many times: nothing acknowledged lost, nothing twice.

``python -m tests.proofs.server_kills [sqlite|postgres] [CYCLES]``; 50 cycles take about three minutes.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack

from allowance.stores.open import open_store
from tests.postgres import fresh_database
from tests.server.kills import differences, kill_under_load
from tests.server.running import running


def main() -> int:
    """Print what came of it; 1 where anything was lost, or counted twice."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    cycles = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with ExitStack() as stack:
        if kind == "postgres":
            url = stack.enter_context(fresh_database())
        else:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/a.db"
        with running(url, "--sweep-seconds", "0") as server:
            books = kill_under_load(server, cycles)
        store = open_store(url)
        try:
            wrong = differences(store, books)
        finally:
            store.close()
    print(
        f"{kind}: {cycles} kills; {len(books.settled)} calls settled and {len(books.held)} left open; "
        f"{books.asked_again} requests were asked again; {len(wrong)} differences"
    )
    print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
