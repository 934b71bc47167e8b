"""The store in a file beside bare SQLite: one caller, and many.

    python -m tests.benchmarks.file_store [SECONDS]

Row of DESIGN §9 (file store). A pair is one reserve and one settle of a call on one budget; *bare* is two
commits of a connection of its own with the same settings (write-ahead log, `synchronous=FULL`, so each waits
for the disk): one inserts a row and updates another, one updates both. With many callers, 4 processes of 16
threads each, the other side does the same work as ours, by the same verbs on the same tables, with one
connection per thread and SQLite's own busy handler. The sides run in turn (one caller pair by pair, many
round by round) on files in one directory; medians are printed, and who waited longest.
"""

from __future__ import annotations

import multiprocessing
import secrets
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from allowance.ledger import verbs
from allowance.ledger.records import AccountKey, Ask, Declaration, Grant, Posting, Scope
from allowance.stores.memory import system_clock
from allowance.stores.sqlite import SQLiteStore
from allowance.stores.sqlite.tables import SQLiteTables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.ledger.tables import Tables

    Pair = Callable[[], None]

ROUNDS = 9
PROCESSES, THREADS = 4, 16
KEY = AccountKey("benchmark", "user", "alice")
SCOPES = (Scope(KEY),)
TTL = 900_000_000


class Sample(NamedTuple):
    """Pairs a second of all callers, and the longest that one pair took, in seconds."""

    rate: float
    longest: float


def main(seconds: float) -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp())
    print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, medians of {ROUNDS} rounds\n")
    makers = {"allowance": partial(our_pair, folder), "bare SQLite": partial(bare_pair, folder)}
    one = alternate({name: make() for name, make in makers.items()}, seconds * ROUNDS)
    ratio = one["bare SQLite"].rate / one["allowance"].rate
    report("one caller", one, f"{ratio:.2f} times two bare commits (at most 1.3)")
    many = in_turn({each.__name__: partial(crowd, each, folder, seconds) for each in (our_pair, apart_pair)})
    ratio = statistics.median(a.rate / b.rate for a, b in zip(*many.values(), strict=True))
    each = {name: median(taken) for name, taken in many.items()}
    report(f"{PROCESSES} processes x {THREADS} threads", each, f"{ratio:.1f} times as many (at least 10)")


def report(what: str, samples: dict[str, Sample], verdict: str) -> None:
    """Print one comparison."""
    for name, (rate, longest) in samples.items():
        each, wait = f"{1e6 / rate:,.0f} µs each", f"{longest * 1e3:,.0f} ms longest"
        print(f"{what:<26}{name:<14}{rate:>9,.0f} pairs/s {each:>16} {wait:>20}")
    print(f"{'':<26}{verdict}\n")


def alternate(pairs: dict[str, Pair], seconds: float) -> dict[str, Sample]:
    """One pair of each in turn, for so long on each side: a disk's pace changes from second to second."""
    taken: dict[str, list[float]] = {name: [] for name in pairs}
    end = time.perf_counter() + seconds * len(pairs)
    while time.perf_counter() < end:
        for name, pair in pairs.items():
            begun = time.perf_counter()
            pair()
            taken[name].append(time.perf_counter() - begun)
    return {name: Sample(1 / statistics.median(times), max(times)) for name, times in taken.items()}


def median(samples: list[Sample]) -> Sample:
    """The middle of each figure."""
    rates, longest = zip(*samples, strict=True)
    return Sample(statistics.median(rates), statistics.median(longest))


def in_turn(functions: dict[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
    """Samples of each function in turn, after one round that does not count."""
    taken: dict[str, list[Sample]] = {name: [] for name in functions}
    for number in range(ROUNDS + 1):
        for name, function in functions.items():
            sample = function()
            if number:
                taken[name].append(sample)
    return taken


def our_pair(folder: Path) -> Pair:
    """A function that reserves and settles once."""
    store = SQLiteStore(str(folder / "ours.db"))
    store.define(KEY, Declaration(limit=10**18, creates=True))
    names = unique_names()

    def pair() -> None:
        ask, posting = call(next(names))
        assert isinstance(store.reserve(ask), Grant)
        store.settle(posting)

    return pair


def apart_pair(folder: Path) -> Pair:
    """The same on a connection of its own."""
    SQLiteStore(str(folder / "apart.db")).define(KEY, Declaration(limit=10**18, creates=True))
    connection = connected(folder / "apart.db")
    tables = SQLiteTables(connection)
    names = unique_names()

    def run(verb: Callable[[Tables, int], object]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        now = max(tables.begin(), system_clock())
        verb(tables, now)
        tables.keep_clock(now)
        connection.execute("COMMIT")

    def pair() -> None:
        ask, posting = call(next(names))
        run(lambda tables, now: verbs.reserve(tables, ask, now))
        run(lambda tables, now: verbs.settle(tables, posting, now))

    return pair


def call(name: str) -> tuple[Ask, Posting]:
    """What one call reserves, and what it cost."""
    ask = Ask(name, SCOPES, 1000, 1000, 1000, 1000, True, TTL, model="gpt-4o")
    return ask, Posting(name, 900, model="gpt-4o", input_tokens=10, output_tokens=5)


def unique_names() -> Iterator[str]:
    """Ids as calls have them: of random beginnings."""
    return (secrets.token_hex(16) for _ in count())


def connected(path: Path) -> sqlite3.Connection:
    """A connection with the settings of ours."""
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def bare_pair(folder: Path) -> Pair:
    """A function that commits twice on a connection of its own."""
    connection = connected(folder / "bare.db")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, spent INTEGER, held INTEGER)"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS hold (id TEXT PRIMARY KEY, amount INTEGER, state TEXT)")
    connection.execute("INSERT OR IGNORE INTO account VALUES (1, 0, 0)")
    names = unique_names()

    def pair() -> None:
        name = next(names)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO hold VALUES (?, 1000, 'held')", (name,))
        connection.execute("UPDATE account SET held = held + 1000 WHERE id = 1")
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE hold SET state = 'settled' WHERE id = ?", (name,))
        connection.execute("UPDATE account SET held = held - 1000, spent = spent + 900 WHERE id = 1")
        connection.execute("COMMIT")

    return pair


def measure(pairs: list[Pair], seconds: float) -> Sample:
    """Have each function called by a thread of its own for so long."""
    done: list[int] = []
    longest: list[float] = []

    def work(pair: Pair) -> None:
        number, slowest, end = 0, 0.0, time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            pair()
            number += 1
            slowest = max(slowest, time.perf_counter() - begun)
        done.append(number)
        longest.append(slowest)

    threads = [threading.Thread(target=work, args=(pair,)) for pair in pairs]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sample(sum(done) / (time.perf_counter() - begun), max(longest))


def crowd(make: Callable[[Path], Pair], folder: Path, seconds: float) -> Sample:
    """The same from several processes of several threads each."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        samples = pool.starmap(_crowd_member, [(make, folder, seconds)] * PROCESSES)
    return Sample(sum(sample.rate for sample in samples), max(sample.longest for sample in samples))


def _crowd_member(make: Callable[[Path], Pair], folder: Path, seconds: float) -> Sample:
    return measure([make(folder) for _ in range(THREADS)], seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
