"""Files of version 1 of the schema: what becomes of them when this version opens them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allowance.errors import StoreCorruptError
from allowance.ledger.records import (
    AccountKey,
    Declaration,
    HoldState,
    Posting,
    Scope,
    Terms,
)
from allowance.stores.contract import ManualClock
from allowance.stores.contract.bench import DAY, START
from allowance.stores.sqlite import SQLiteStore, migration

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = AccountKey("app", "user", "alice")
BOB = AccountKey("app", "user", "bob")
DECLARED = Declaration(limit=1000, duration="daily", creates=True)

VERSION_1 = """
PRAGMA application_id = 1095520087; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    clock INTEGER NOT NULL  -- the latest time that a transaction saw: the store's time never runs back
) STRICT;
INSERT INTO meta (id, clock) VALUES (1, 0);

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    cap INTEGER CHECK (cap >= 0), duration TEXT, align TEXT NOT NULL, timezone TEXT NOT NULL,
    uncapped TEXT NOT NULL,
    declared TEXT,  -- JSON: what code last declared
    created_at INTEGER NOT NULL, window_start INTEGER NOT NULL, window_end INTEGER,
    spent INTEGER NOT NULL, held INTEGER NOT NULL CHECK (held >= 0), version INTEGER NOT NULL,
    UNIQUE (project, kind, name)
) STRICT;
CREATE INDEX account_by_name ON account (kind, name);

CREATE TABLE hold (
    hold_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released', 'expired')),
    amount INTEGER NOT NULL CHECK (amount >= 0), expected INTEGER NOT NULL, bound INTEGER NOT NULL,
    windows TEXT NOT NULL,  -- JSON: [[project, kind, name, start of window], ...]
    model TEXT, reserved_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, charged INTEGER NOT NULL,
    shrunk INTEGER NOT NULL, clamped INTEGER NOT NULL, replaced INTEGER NOT NULL,
    content BLOB  -- the fingerprint of the ask
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_open ON hold (expires_at) WHERE state = 'held';
CREATE INDEX hold_expired ON hold (reserved_at) WHERE state = 'expired';

CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL, amount INTEGER NOT NULL,
    at INTEGER NOT NULL, posted_at INTEGER NOT NULL, window_start INTEGER NOT NULL,
    hold_id TEXT, model TEXT, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    unconfirmed INTEGER NOT NULL, counted INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE INDEX entry_by_account ON entry (account, at);
CREATE TRIGGER entry_is_never_edited BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'entries are never edited: add a correction'); END;
CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'entries are never deleted: add a correction'); END;

CREATE TABLE adjustment (
    adjustment_id TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    amount INTEGER  -- as asked; NULL is a reset
) STRICT, WITHOUT ROWID;
"""


ACCOUNT = "INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, 'created', 'UTC', 'shrink', ?, ?, ?, ?, ?, ?, 7)"
HOLD = "INSERT INTO hold VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?)"
ENTRY = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 3, 4, 0, 1, 'why')"
YESTERDAY = START - DAY


def windows(*keys: AccountKey, start: int = START) -> str:
    """As version 1 wrote them: without labels."""
    return json.dumps([[*key[:3], start] for key in keys])


def make_version_1(path: Path) -> None:
    """Alice has a day's budget and an open hold; Bob one for good, a hold with her, and a reset."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.executescript(VERSION_1)
    raw.execute("UPDATE meta SET clock = ?", (START,))
    declared = '[1000, "daily", null, null, null, true]'
    raw.executemany(
        ACCOUNT,
        [
            (1, *ALICE[:3], 1000, "daily", declared, YESTERDAY, START, START + DAY, 50, 20),
            (2, *BOB[:3], None, None, None, YESTERDAY, YESTERDAY, None, 10, 0),
        ],
    )
    raw.executemany(
        HOLD,
        [
            ("old", "settled", 9, 9, 1, windows(ALICE, start=YESTERDAY), "gpt-4o", YESTERDAY, START, 9, None),
            ("a", "settled", 40, 40, 1, windows(ALICE), "gpt-4o", START, START + 9, 40, None),
            ("b", "settled", 9, 9, 1, windows(ALICE, BOB), None, START, START + 9, 10, None),
            ("open", "held", 20, 20, 1, windows(ALICE), "gpt-4o", START, START + DAY, 0, b"x" * 16),
            ("late", "expired", 5, 5, 1, windows(BOB, start=YESTERDAY), "", YESTERDAY, START, 5, b"x" * 16),
        ],
    )
    raw.executemany(
        ENTRY,
        [
            (1, 1, "call", 9, YESTERDAY, YESTERDAY, YESTERDAY, "old", "gpt-4o"),
            (2, 2, "expiry", 5, YESTERDAY, START, YESTERDAY, "late", ""),
            (3, 2, "adjustment", -5, START, START, YESTERDAY, None, None),
            (4, 1, "call", 40, START, START, START, "a", "gpt-4o"),
            (5, 1, "call", 10, START, START, START, "b", None),
            (6, 2, "call", 10, START, START, YESTERDAY, "b", None),
        ],
    )
    raw.execute("INSERT INTO adjustment VALUES ('reset', 2, NULL)")
    raw.close()


def version_of(path: Path) -> int:
    raw = sqlite3.connect(path)
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    raw.close()
    return int(version)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    make_version_1(path)
    return path


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, clock=ManualClock())
    yield store
    assert store.audit() == []
    store.close()


def test_reading_is_enough_to_migrate(path: Path) -> None:
    store = SQLiteStore(path, clock=ManualClock())
    assert store.account(ALICE) is not None
    connection = store._engine._connection
    assert connection is not None
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    store.close()
    assert version_of(path) == 2


def test_accounts_are_as_they_were(store: SQLiteStore) -> None:
    alice, bob = store.accounts()
    assert (alice.key, bob.key) == (ALICE, BOB)
    assert alice.terms == Terms(1000, "daily")
    assert alice.declared == DECLARED
    assert (alice.spent, alice.held, alice.limit, alice.extras, alice.version) == (50, 20, 1000, (), 7)
    assert (alice.created_at, alice.window_start, alice.window_end) == (YESTERDAY, START, START + DAY)
    assert (bob.spent, bob.held, bob.limit, bob.window_end) == (10, 0, None, None)
    assert store.define(ALICE, DECLARED, declared=True).version == 7


def test_costs_by_model_are_those_of_the_present_windows(store: SQLiteStore) -> None:
    assert store.model_costs(ALICE) == {"gpt-4o": 40, None: 10}
    assert store.model_costs(BOB) == {"": 5, None: 5}
    store.settle(Posting("c", 2, (Scope(ALICE),), model="gpt-4o"))
    assert store.model_costs(ALICE) == {"gpt-4o": 42, None: 10}


def test_entries_are_untouched(path: Path) -> None:
    raw = sqlite3.connect(path)
    before = raw.execute("SELECT * FROM entry ORDER BY seq").fetchall()
    raw.close()
    SQLiteStore(path, clock=ManualClock()).close()
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT * FROM entry ORDER BY seq").fetchall() == [(*row, None) for row in before]
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    for statement in ("UPDATE entry SET amount = 0", "DELETE FROM entry"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            raw.execute(statement)
    raw.close()


def test_holds_without_labels_are_settled_released_and_repeated(store: SQLiteStore) -> None:
    late, held = store.holds()
    assert (late.hold_id, late.state, late.windows) == ("late", HoldState.EXPIRED, ((BOB, YESTERDAY),))
    assert (held.hold_id, held.windows, held.tags, held.owner) == ("open", ((ALICE, START),), (), "")
    assert store.settle(Posting("open", 21, model="gpt-4o")).overrun == 1
    assert store.settle(Posting("a", 40)).repeated
    assert store.release("late") is not None
    assert [entry.hold_id for entry in store.entries(ALICE)] == ["old", "a", "b", "open"]
    (alice,) = store.family(ALICE)
    assert (alice.spent, alice.held) == (71, 0)


def test_an_adjustment_id_of_before_still_counts_once(store: SQLiteStore) -> None:
    assert store.adjust(BOB, None, reason="again", adjustment_id="reset").spent == 10


def test_a_removed_account_takes_holds_without_labels_along(store: SQLiteStore) -> None:
    store.remove(ALICE)
    assert store.account(ALICE) is None
    (hold,) = [hold for hold in store.holds() if hold.hold_id == "open"]
    assert [key.kind for key, _ in hold.windows] == ["deleted"]
    assert store.settle(Posting("open", 20)).posted == 20


def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
    raw = sqlite3.connect(path)
    tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: raw.execute(f"PRAGMA table_info({name})").fetchall() for name in tables}
    made = "SELECT name, type, tbl_name FROM sqlite_master ORDER BY name"
    found["(all)"] = raw.execute(made).fetchall()
    found["(strict)"] = raw.execute("SELECT name, strict, wr FROM pragma_table_list ORDER BY name").fetchall()
    raw.close()
    return found


def test_a_migrated_file_has_the_tables_of_a_new_one(path: Path) -> None:
    for each in (path, path.with_name("new.db")):
        SQLiteStore(each).close()
    assert columns(path) == columns(path.with_name("new.db"))


def test_version_1s_own_statements_fail_closed(store: SQLiteStore, path: Path) -> None:
    raw = sqlite3.connect(path)
    with pytest.raises(sqlite3.OperationalError, match="no such column: cap"):
        raw.execute("SELECT cap FROM account")
    raw.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "_TO_2", (*migration._TO_2, "INSERT INTO nowhere VALUES (1)"))
    before = columns(path)
    for _ in range(2):
        with pytest.raises(StoreCorruptError, match="no such table"):
            SQLiteStore(path)
    assert columns(path) == before
    assert version_of(path) == 1
    monkeypatch.undo()
    store = SQLiteStore(path, clock=ManualClock())
    assert store.audit() == []
    store.close()


OPENER = """
import sys
from allowance.stores.sqlite import SQLiteStore, engine, migration
from allowance.stores.contract import ManualClock
original = engine.migrate
def migrate(connection):
    before = connection.execute("PRAGMA user_version").fetchone()
    original(connection)
    print("migrated" if before == (1,) else "found")
engine.migrate = migrate
print("ready", flush=True)
sys.stdin.read()
store = SQLiteStore(sys.argv[1], clock=ManualClock())
assert store.audit() == []
"""


def test_of_processes_that_open_it_at_once_one_migrates(path: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.close()
        opener.stdin = None
    said = sorted(opener.communicate()[0].strip() for opener in openers)
    assert [opener.returncode for opener in openers] == [0] * 4
    assert said == ["found", "found", "found", "migrated"]


STOPPED = """
import sqlite3, sys, time
from allowance.stores.sqlite import SQLiteStore, migration
def stop():
    print("stopped", flush=True)
    time.sleep(60)
class Connection(sqlite3.Connection):
    def execute(self, statement, *values):
        if statement.startswith("BEGIN"):
            self.create_function("stop", 0, stop)
        return super().execute(statement, *values)
connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connect(*args, factory=Connection, **more)
step = int(sys.argv[2])
migration._TO_2 = (*migration._TO_2[:step], "SELECT stop()", *migration._TO_2[step:])
SQLiteStore(sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system does not kill as POSIX does")
@pytest.mark.parametrize("step", range(len(migration._TO_2) + 1))
def test_a_process_killed_in_the_midst_leaves_version_1(path: Path, step: int) -> None:
    before = columns(path)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(path), str(step)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stopped\n"
    process.kill()
    process.communicate()
    assert version_of(path) == 1
    assert columns(path) == before
    store = SQLiteStore(path, clock=ManualClock())
    assert store.audit() == []
    assert store.model_costs(ALICE) == {"gpt-4o": 40, None: 10}
    store.close()
    assert version_of(path) == 2
