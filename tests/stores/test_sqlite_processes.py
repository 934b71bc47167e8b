"""Real processes on one file: none overspends, none loses what it acknowledged, whatever kills them.

``ALLOWANCE_TEST_KILLS`` sets how many writers are killed; 25 unless told.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allowance.errors import StoreUnavailableError
from allowance.ledger.records import AccountKey, Ask, Declaration, Grant, HoldState, Posting, Scope
from allowance.stores.sqlite import SQLiteStore, engine
from tests.stores.test_memory import in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = AccountKey("p", "user", "n")
SCOPE = Scope(KEY, Declaration(limit=10**12, creates=True))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SPENDER = """
import sys
from allowance.ledger.records import *
from allowance.stores.sqlite import SQLiteStore
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
scope = Scope(AccountKey("p", "user", "n"), Declaration(limit=1000, creates=True))
store = SQLiteStore(path)
spent = 0
for number in range(count):
    hold = f"{name}-{number}"
    if isinstance(store.reserve(Ask(hold, (scope,), 7, 7, 7, 7, True, 60_000_000)), Grant):
        spent += store.settle(Posting(hold, number % 8)).posted
print(spent)
"""

WRITER = """
import sys
from allowance.ledger.records import *
from allowance.stores.sqlite import SQLiteStore
scope = Scope(AccountKey("p", "user", "n"), Declaration(limit=10**12, creates=True))
store = SQLiteStore(sys.argv[1])
number = 0
while True:
    hold = f"{sys.argv[2]}-{number}"
    store.reserve(Ask(hold, (scope,), 10, 10, 10, 5, True, 60_000_000))
    print("reserved", hold, flush=True)
    if number % 3:
        store.settle(Posting(hold, 7))
        print("settled", hold, flush=True)
    number += 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    store.close()


def test_r1_eight_processes_share_one_budget_to_the_last_nano(path: Path) -> None:
    spenders = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, str(path), f"s{number}", "60"], stdout=subprocess.PIPE, text=True
        )
        for number in range(8)
    ]
    spent = sum(int(spender.communicate()[0]) for spender in spenders)
    assert [spender.returncode for spender in spenders] == [0] * 8
    store = SQLiteStore(path)
    account = store.account(KEY)
    assert account is not None
    assert (account.spent, account.held) == (spent, 0)
    assert 1000 - 7 < spent <= 1000
    assert store.audit() == []
    store.close()


def test_r6_writers_that_are_killed_lose_nothing_that_was_acknowledged(path: Path) -> None:
    chance = random.Random(7)
    acknowledged: dict[str, set[str]] = {"reserved": set(), "settled": set()}
    kills = int(os.environ.get("ALLOWANCE_TEST_KILLS", "25"))
    for number in range(kills):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), f"w{number}-{part}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for part in range(2)
        ]
        enough = threading.Event()
        least = chance.randrange(1, 60)
        readers = [
            threading.Thread(target=_read, args=(writer, acknowledged, least, enough)) for writer in writers
        ]
        for reader in readers:
            reader.start()
        enough.wait()
        time.sleep(chance.random() * 0.005)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for reader, writer in zip(readers, writers, strict=True):
            reader.join()
            writer.communicate()
    later = time.time_ns() // 1000 + 3_600_000_000
    store = SQLiteStore(path, clock=lambda: later)
    assert len(acknowledged["settled"]) > 2 * kills
    settled = {entry.hold_id for entry in store.entries(KEY) if entry.amount == 7}
    assert acknowledged["settled"] <= settled
    expired = {hold.hold_id for hold in store.sweep()}
    assert acknowledged["reserved"] <= settled | expired
    account = store.account(KEY)
    assert account is not None
    assert account.held == 0
    assert account.spent == 7 * len(settled) + 10 * len(expired)
    assert {hold.state for hold in store.holds()} <= {HoldState.EXPIRED}
    assert store.audit() == []
    store.close()


def _read(
    writer: subprocess.Popen[str], acknowledged: dict[str, set[str]], least: int, enough: threading.Event
) -> None:
    assert writer.stdout is not None
    for number, line in enumerate(writer.stdout):
        if line.endswith("\n"):
            what, hold = line.split()
            acknowledged[what].add(hold)
        if number >= least:
            enough.set()
    enough.set()


def test_r13_child_and_parent_open_the_file_anew(store: SQLiteStore) -> None:
    store.settle(Posting("before", 1, (SCOPE,)))

    for _ in range(3):
        assert in_child(lambda: store.settle(Posting("child", 10, (SCOPE,))).amount == 10)
        store.settle(Posting("parent", 100, (SCOPE,)))
    account = store.account(KEY)
    assert account is not None
    assert account.spent == 111
    assert store.audit() == []


def test_r13_nothing_of_sqlites_is_inherited(store: SQLiteStore, path: Path) -> None:
    store.settle(Posting("before", 1, (SCOPE,)))

    def nothing_open() -> bool:
        names = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            except OSError:
                continue
        return not [name for name in names if str(path) in name]

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list a process's descriptors")
    assert not nothing_open()
    assert in_child(nothing_open)


def test_r13_a_fork_while_other_threads_are_inside(store: SQLiteStore) -> None:
    stop = threading.Event()
    posted = 0

    def spend() -> None:
        nonlocal posted
        while not stop.is_set():
            posted += store.settle(Posting(f"thread-{posted}", 1, (SCOPE,))).posted

    thread = threading.Thread(target=spend)
    thread.start()
    try:
        for number in range(10):
            posting = Posting(f"child-{number}", 1000, (SCOPE,))
            assert in_child(lambda posting=posting: store.settle(posting).posted == 1000)
    finally:
        stop.set()
        thread.join()
    account = store.account(KEY)
    assert account is not None
    assert account.spent == 10_000 + posted
    assert store.audit() == []


def test_r13_a_childs_death_does_not_free_or_keep_its_parents_lock(store: SQLiteStore, path: Path) -> None:
    store.settle(Posting("before", 1, (SCOPE,)))
    pid = os.fork()
    if pid == 0:
        store.account(KEY)
        time.sleep(60)
        os._exit(0)
    store.settle(Posting("after", 1, (SCOPE,)))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    store.settle(Posting("later", 1, (SCOPE,)))
    assert store.audit() == []


def test_r13_a_fork_without_pythons_hooks_fails_closed(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.settle(Posting("before", 1, (SCOPE,)))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(StoreUnavailableError, match="after the fork"):
        store.account(KEY)


def test_r13_a_fork_that_could_not_close_the_file_fails_closed(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.01)
    store.settle(Posting("before", 1, (SCOPE,)))

    def refused() -> bool:
        with pytest.raises(StoreUnavailableError, match="after the fork"):
            store.account(KEY)
        return True

    with store._engine._file:
        assert in_child(refused)
    assert isinstance(store.reserve(Ask("a", (SCOPE,), 1, 1, 1, 1, True, 1000)), Grant)


def test_r15_a_clock_a_day_behind_in_another_process(path: Path, store: SQLiteStore) -> None:
    store.settle(Posting("a", 1, (SCOPE,)))
    code = (
        "import sys, time\nfrom allowance.ledger.records import *\n"
        "from allowance.stores.sqlite import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1], clock=lambda: time.time_ns() // 1000 - 86_400_000_000)\n"
        "store.settle(Posting('b', 1, (Scope(AccountKey('p', 'user', 'n')),)))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    first, second = store.entries(KEY)
    assert first.at <= second.at


def test_the_file_is_whole_by_sqlites_own_account(store: SQLiteStore, path: Path) -> None:
    for number in range(50):
        store.settle(Posting(f"h{number}", 1, (SCOPE,)))
    store.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()
