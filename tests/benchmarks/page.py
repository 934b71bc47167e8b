"""How long the server's page takes, with 10,000 users and 200,000 lines of the ledger.

    python -m tests.benchmarks.page [USERS [LINES]]

The server runs in this process on a file store, and is asked over HTTP on loopback. The first view of the
overview finds where the last 30 days begin and reads on from there for a short time; the row below says how
many views, and how long in all, until all was read. The others are medians of 15.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from allowance.ledger.records import AccountKey
from allowance.server.page.listing import packed
from tests.server.browser import DAY, MODELS, USD, World, populate, spend, world

if TYPE_CHECKING:
    import httpx

ROUNDS = 15
USER = AccountKey("shop", "user", "user-00042")
PATHS = {
    "overview": "/",
    "budgets, first page": "/budgets",
    "search, found at once": "/budgets?q=user-0004",
    "search, nothing found": "/budgets?q=no+such",
    "one user": f"/budgets/{packed(USER)}",
    "holds": "/holds",
    "refusals": "/refusals",
    "export as CSV": "/export/budgets.csv",
}


def main(users: int, lines: int) -> None:
    """Print the table."""
    with world(Path(tempfile.mkdtemp())) as made:
        populate(made, users)
        with ThreadPoolExecutor(48) as pool:
            list(pool.map(lambda number: more(made, number, users), range(lines - users)))
        with made.client() as client:
            client.headers["authorization"] = f"Bearer {made.tokens['admin']}"
            print(f"{users:,} users, {lines:,} lines\n\n{'':32} ms")
            first, _ = timed(client, "/")
            print(f"{'overview, first view':30} {first:6.1f}")
            views, whole, counting = 1, first, True
            while counting:
                took, text = timed(client, "/")
                views, whole, counting = views + 1, whole + took, "Still counting" in text
            print(f"{f'until all was read, {views} views':30} {whole:6.1f}")
            for name, path in PATHS.items():
                median = statistics.median(timed(client, path)[0] for _ in range(ROUNDS))
                print(f"{name:30} {median:6.1f}")


def more(made: World, number: int, users: int) -> None:
    """One more call of somebody's, some time in the last 29 days."""
    key = USER._replace(name=f"user-{number % users:05d}")
    ago = number * 7_919_000_003 % (29 * DAY)
    spend(made.store, key, USD // 10_000, MODELS[number % len(MODELS)], f"more-{number}", ago=ago)


def timed(client: httpx.Client, path: str) -> tuple[float, str]:
    """Milliseconds, and the answer."""
    began = time.perf_counter()
    answer = client.get(path)
    took = (time.perf_counter() - began) * 1_000
    assert answer.status_code == 200, answer.text
    return took, answer.text


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [10_000, 200_000][len(numbers) :]))
