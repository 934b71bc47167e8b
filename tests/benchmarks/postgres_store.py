"""The store in PostgreSQL beside the plainest thing that could be done with the same driver.

    python -m tests.benchmarks.postgres_store [SECONDS]

A pair is one reserve and one settle of a call on one budget, each a transaction that waits for the disk.
*Plain* is two statements: one adds to a column where it fits, one takes away again, each one ``UPDATE`` in
autocommit; it keeps no holds and no ledger. Both sides run in turn with 1, 8 and 32 threads of this process,
a connection for each, spread over 1,000 budgets and on one. Then `many`: batches of reserves and then of
their settles by one caller, in microseconds for each operation, and how long this process and the server's
worked for it.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
import uuid
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from allowance.ledger.records import AccountKey, Ask, Declaration, Grant, Posting, Scope
from allowance.stores.postgres import PostgresStore
from tests.postgres import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGETS = 1_000
TERMS = Declaration(limit=10**17, creates=True)
SCOPES = [Scope(AccountKey("benchmark", "user", f"u{number}"), TERMS) for number in range(BUDGETS)]
BATCHES = (1, 16, 64, 256)


class Sample(NamedTuple):
    """Pairs a second of all threads, and how long one took, in milliseconds."""

    rate: float
    median: float
    worst: float


def main(seconds: float) -> None:
    """Print both tables."""
    with fresh_database() as url, closing(PostgresStore(url, pool_size=32)) as store:
        for first in range(0, BUDGETS, 250):
            store.many(
                [Posting(f"first-{scope.key.name}", 0, (scope,)) for scope in SCOPES[first : first + 250]]
            )
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("CREATE TABLE plain (id integer PRIMARY KEY, held bigint, cap bigint)")
            server.execute("INSERT INTO plain SELECT n, 0, 10::bigint ^ 17 FROM generate_series(0, 999) n")
            server.execute("VACUUM ANALYZE")
        print(f"{'threads':<10}{'budgets':<10}{'':<12}{'pairs/s':>9}{'p50':>10}{'p99':>10}")
        for threads in (1, 8, 32):
            for budgets in (BUDGETS, 1):
                row = f"{threads:<10}{budgets:<10}"
                for name, sample in in_turn(store, url, threads, budgets, seconds).items():
                    print(
                        f"{row}{name:<12}{sample.rate:>9,.0f}{sample.median:>7.1f} ms{sample.worst:>7.1f} ms"
                    )
        print(f"\n{'many':<10}{'budgets':<10}{'each':>10}{'here':>10}{'server':>10}")
        for size in BATCHES:
            for budgets in (BUDGETS, 1):
                each, here, there = batches(store, size, budgets, seconds)
                print(f"{size:<10}{budgets:<10}{each:>7.0f} µs{here:>7.0f} µs{there:>7.0f} µs")


def in_turn(store: PostgresStore, url: str, threads: int, budgets: int, seconds: float) -> dict[str, Sample]:
    """Both sides, three times each."""
    connections = [psycopg.connect(url, autocommit=True) for _ in range(threads)]
    sides: dict[str, Callable[[int], None]] = {
        "allowance": lambda _: pair(store, random.choice(SCOPES[:budgets])),
        "plain": lambda number: plain(connections[number], random.randrange(budgets)),
    }
    taken: dict[str, list[Sample]] = {name: [] for name in sides}
    for _ in range(3):
        for name, side in sides.items():
            taken[name].append(crowd(side, threads, seconds))
    for connection in connections:
        connection.close()
    return {name: Sample(*map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def crowd(side: Callable[[int], None], threads: int, seconds: float) -> Sample:
    """Threads that do nothing else for so long."""
    end = time.perf_counter() + seconds
    took: list[float] = []

    def run(number: int) -> None:
        times = [time.perf_counter()]
        while times[-1] < end:
            side(number)
            times.append(time.perf_counter())
        took.extend(after - before for before, after in pairwise(times))

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    marks = statistics.quantiles(took, n=100)
    return Sample(len(took) / seconds, marks[49] * 1e3, marks[98] * 1e3)


def ask_for(scope: Scope) -> Ask:
    """A call that holds a thousand nano-dollars."""
    return Ask(str(uuid.uuid4()), (scope,), 1000, 1000, 1000, 500, True, 900_000_000, None, "gpt-4o")


def pair(store: PostgresStore, scope: Scope) -> None:
    """One call of ours."""
    ask = ask_for(scope)
    assert isinstance(store.reserve(ask), Grant)
    store.settle(Posting(ask.hold_id, 900, model="gpt-4o", input_tokens=10, output_tokens=20))


def plain(connection: psycopg.Connection, number: int) -> None:
    """One call of the plainest kind."""
    connection.execute("UPDATE plain SET held = held + 1000 WHERE id = %s AND held + 1000 <= cap", (number,))
    connection.execute("UPDATE plain SET held = held - 1000 WHERE id = %s", (number,))


def batches(store: PostgresStore, size: int, budgets: int, seconds: float) -> tuple[float, float, float]:
    """Microseconds for each operation: by the clock, of this process's work, and of the server's."""
    with store._pool.connection(time.monotonic() + 5) as connection:
        backend = connection.info.backend_pid  # the one that comes next too: it was given back last
    began, here, there, done = time.perf_counter(), time.process_time(), worked(backend), 0
    while time.perf_counter() < began + 3 * seconds:
        asks = [ask_for(random.choice(SCOPES[:budgets])) for _ in range(size)]
        assert all(isinstance(outcome, Grant) for outcome in store.many(asks))
        store.many([Posting(ask.hold_id, 900, model="gpt-4o") for ask in asks])
        done += 2 * size
    ends = time.perf_counter(), time.process_time(), worked(backend)
    each = [(end - begin) / done * 1e6 for begin, end in zip((began, here, there), ends, strict=True)]
    return each[0], each[1], each[2]


def worked(process: int) -> float:
    """Seconds for which the server's process has worked; nan where it is on another machine."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
