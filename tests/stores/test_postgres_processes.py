"""PostgreSQL under many threads and processes, and when they, or its own, are stopped or killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from allowance.errors import StoreUnavailableError
from allowance.ledger.records import Ask, Grant, HoldState, Posting
from allowance.stores.contract.bench import ALICE, MINUTE, budget
from allowance.stores.postgres import PostgresStore, engine
from tests.postgres import emptied, fresh_database, needs_postgres, postgres_url
from tests.stores.postgres_worker import KEYS, LIMIT, work
from tests.stores.test_memory import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database() as url, closing(PostgresStore(url)) as store:
        store.account(ALICE)
        yield url


@pytest.fixture
def server(database: str) -> Iterator[psycopg.Connection]:
    """A look from outside."""
    with psycopg.connect(database, autocommit=True) as connection:
        emptied(connection)
        yield connection


@pytest.fixture
def store(database: str, server: psycopg.Connection) -> Iterator[PostgresStore]:
    with closing(PostgresStore(database, pool_size=32)) as opened:
        yield opened


def ask(hold_id: str, amount: int = 10) -> Ask:
    return Ask(hold_id, (budget(limit=1000),), amount, amount, amount, amount, True, 15 * MINUTE)


def check(store: PostgresStore, lines: Sequence[str]) -> Counter[str]:
    """Nothing that was said is lost, nothing is there twice, in part or beyond a limit; how much was said."""
    assert store.audit() == []
    for account in store.accounts():
        assert account.spent + account.held <= LIMIT, account
    posted = Counter((entry.hold_id, entry.key.name) for entry in store.entries())
    assert not posted or max(posted.values()) == 1
    charged: dict[str, int] = {}
    for line in lines:
        kind, hold_id, *rest = line.split()
        if kind == "G":
            hold = store.hold(hold_id)
            assert hold is not None, line
            assert hold.amount == int(rest[0]), line
        elif kind == "S":
            charged[hold_id] = int(rest[0])
    for hold_id, cost in charged.items():
        hold = store.hold(hold_id)
        assert hold is not None, hold_id
        assert (hold.state, hold.charged) == (HoldState.SETTLED, cost), hold_id
        assert all((hold_id, key.name) in posted for key, _ in hold.windows), hold_id
    return Counter(line.partition(" ")[0] for line in lines)


def in_threads(count: int, run: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def workers(url: str, count: int, *arguments: int) -> list[subprocess.Popen[str]]:
    threads, pairs, budgets = map(str, arguments)
    command = [sys.executable, "-m", "tests.stores.postgres_worker", url, threads, pairs]
    return [
        subprocess.Popen([*command, f"seed-{number}", budgets], stdout=subprocess.PIPE, text=True)
        for number in range(count)
    ]


def deadlocks(server: psycopg.Connection) -> int:
    server.execute("SELECT pg_stat_force_next_flush()") if server.info.server_version >= 150000 else None
    row = server.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


@needs_postgres
def test_r4_connections_that_take_budgets_in_any_order_never_deadlock(
    store: PostgresStore, server: psycopg.Connection
) -> None:
    """32 connections, one to eight of twenty budgets each time, in random order, from cold."""
    lines: list[str] = []
    in_threads(32, lambda number: work(store, lines.append, 12, f"t{number}", len(KEYS)))
    said = check(store, lines)
    assert (said["E"], deadlocks(server)) == (0, 0)
    assert said["S"] == said["G"] > 100


@needs_postgres
def test_r1_cold_processes_never_overspend_one_budget(database: str, store: PostgresStore) -> None:
    """Four processes of sixteen threads, on a budget that nobody has made."""
    running = workers(database, 4, 16, 5, 1)
    lines = [line for process in running for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in running] == [0] * 4
    said = check(store, lines)
    assert said["E"] == 0
    assert said["G"] + said["D"] == 320
    assert said["D"] > 50


@needs_postgres
def test_r3_what_processes_that_are_killed_were_told_is_kept(database: str, store: PostgresStore) -> None:
    running = workers(database, 3, 4, 10_000, len(KEYS))
    said = []
    for process in running:
        assert process.stdout is not None
        said += [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        # A line may be cut where it was killed.
        said += [
            line for line in process.communicate(timeout=60)[0].splitlines(keepends=True) if line[-1] == "\n"
        ]
    found = check(store, said)
    assert found["S"] > 10


@needs_postgres
def test_r3_connections_that_are_cut_in_mid_load_cost_nothing_and_nothing_twice(
    store: PostgresStore, server: psycopg.Connection
) -> None:
    lines: list[str] = []
    done = threading.Event()
    dice = random.Random(7)
    cut = 0

    def load(number: int) -> None:
        work(store, lines.append, 25, f"c{number}", len(KEYS))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        rows = server.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
        if rows:
            server.execute("SELECT pg_terminate_backend(%s)", dice.choice(rows))
            cut += 1
        done.wait(0.03)
    for thread in threads:
        thread.join()
    said = check(store, lines)
    assert cut > 5
    assert said["S"] > 20


@needs_postgres
def test_r14_a_server_that_does_not_answer_is_given_up(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped: its machine still acknowledges what is sent to it."""
    monkeypatch.setattr(engine, "PATIENCE", 0.5)
    store.reserve(ask("a"))
    backend = store._pool._idle[-1].info.backend_pid
    if "127.0.0.1" not in postgres_url():
        pytest.skip("the server is on another machine")
    # A stopped process would stop whoever drops a database; so it goes on even where this test is killed.
    later = f"import os, time; time.sleep(20); os.kill({backend}, {int(signal.SIGCONT)})"
    guard = subprocess.Popen([sys.executable, "-c", later], start_new_session=True)
    try:
        os.kill(backend, signal.SIGSTOP)
        with pytest.raises(StoreUnavailableError, match="not answered in time"):
            store.settle(Posting("a", 5))
    except PermissionError:
        pytest.skip("this user may not stop the server's processes")
    finally:
        with suppress(PermissionError):
            os.kill(backend, signal.SIGCONT)
        guard.kill()
        guard.wait()
    for _ in range(200):
        if store.settle(Posting("a", 5)).repeated:
            break
        time.sleep(0.05)
    assert store.settle(Posting("a", 5)).repeated
    assert store.audit() == []


@needs_postgres
def test_r14_who_waits_too_long_for_a_lock_is_told(store: PostgresStore, database: str) -> None:
    store.reserve(ask("a"))
    with psycopg.connect(database) as other:
        other.execute("SELECT pg_advisory_xact_lock(1634496375, stripe) FROM allowance.account")
        with pytest.raises(StoreUnavailableError, match="took too long"):
            store.reserve(ask("b"))
        other.rollback()
    assert isinstance(store.reserve(ask("b")), Grant)


@needs_postgres
def test_r13_a_forked_child_connects_anew_and_leaves_its_parents_alone(store: PostgresStore) -> None:
    store.reserve(ask("parent"))
    pid = store._pool._idle[-1].info.backend_pid

    def child() -> bool:
        granted = isinstance(store.reserve(ask("child")), Grant)
        other = store._pool._idle[-1].info.backend_pid != pid
        store.close()
        return granted and other

    assert in_child(child)
    assert store._pool._idle[-1].info.backend_pid == pid
    assert store.settle(Posting("parent", 5)).posted == 5
    assert store.settle(Posting("child", 5)).posted == 5
