"""What a server takes: reserve + settle over HTTP, beside the same framework's empty endpoint, in one run.

``python -m tests.benchmarks.server [SECONDS] [CONNECTIONS]``: one server process and one generator of load
for each row, over loopback. PostgreSQL rows need one (see `tests.postgres`). Requests are counted one by one:
a call is two. The load generator shares the machine's processors, as the database does. Few connections
(64) leave the processors idle while a commit waits for the disk: the default is enough to keep them busy.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from fastapi import FastAPI

from tests.postgres import fresh_database, reachable
from tests.server.running import Running, running

BUDGETS = 1_000

empty = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@empty.post("/empty")
async def nothing() -> dict[str, str]:
    """The least that the framework does for a request."""
    return {}


def load(
    port: int, key: str, path: str, *, budgets: int, seconds: float, connections: int
) -> dict[str, float]:
    """What the generator saw."""
    words = [port, key, connections, seconds, budgets, path]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.loading", *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def the_empty_one() -> Iterator[int]:
    """The empty endpoint under uvicorn, set up as ours is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    words = ["--port", str(port), "--no-access-log", "--no-server-header", "--http", "httptools"]
    words += ["--loop", "uvloop", "--ws", "none", "--log-level", "warning"]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", "tests.benchmarks.server:empty", *words])
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def _make_budgets(server: Running, key: str) -> None:
    """Users are made once; it is their calls that are measured."""

    def make(number: int) -> None:
        terms = {"limit": 10**17, "creates": True}
        body = {"key": ["bench", "user", f"user-{number}"], "terms": terms, "declared": True}
        assert server.ask("/v1/define", body, key=key).status == 200

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, range(BUDGETS)))


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    bare = 0.0

    def row(name: str, found: dict[str, float]) -> None:
        share = f"{found['rate'] / bare:6.0%}" if bare else ""
        print(
            f"{name:34} {found['rate']:8.0f} requests/s {share:>6}   p50 {found['p50']:6.1f} ms   "
            f"p99 {found['p99']:6.1f} ms   failed {found['failed']:.0f}",
            flush=True,
        )

    def both(name: str, url: str) -> None:
        with running(url, "--sweep-seconds", "0") as server:
            key = server.mint("bench", ["spend"])
            _make_budgets(server, key)
            for words, budgets in ((f"{BUDGETS:,} budgets", BUDGETS), ("one hot budget", 1)):
                found = load(
                    server.port, key, "calls", budgets=budgets, seconds=seconds, connections=connections
                )
                row(f"{name}, {words}", found)

    with ExitStack() as stack:
        port = stack.enter_context(the_empty_one())
        found = load(port, "none", "/empty", budgets=1, seconds=seconds, connections=connections)
        row("FastAPI's empty endpoint", found)
        bare = found["rate"]
    with tempfile.TemporaryDirectory() as folder:
        both("SQLite", f"sqlite:///{folder}/bench.db")
    if reachable():
        print(f"no PostgreSQL: {reachable()}")
        return
    with fresh_database() as url:
        both("PostgreSQL", url)


if __name__ == "__main__":
    main()
