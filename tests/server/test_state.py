"""The server's own tables: made once, migrated, shared by several servers; what is written there."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from allowance.errors import ConfigurationError, StoreCorruptError, StoreUnavailableError
from allowance.server.keys import Keys
from allowance.server.state import State, open_state, outbox, refusals, schema
from allowance.server.state.database import _postgres_engine
from allowance.server.state.outbox import Event
from tests.postgres import fresh_database, needs_postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPAWN = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
if hasattr(os, "fork"):
    SPAWN.set_forkserver_preload([__name__])


def until(found: Callable[[], object]) -> None:
    """Wait for a condition; the end is generous."""
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def refuse(state: State, name: str = "bob", project: str = "app", at: int = 5) -> None:
    state.refused(project, "user", name, "", "gpt-4o", 30, -20, 10, at)


# -- making and migrating -----------------------------------------------------------------------------


def test_it_lies_beside_the_store_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        open_state(f"sqlite:///{tmp_path}/x.db").close()
    finally:
        os.umask(old)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["x-server.db", "x-server.db.lock"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_what_it_refuses_to_stand_on(tmp_path: Path) -> None:
    (tmp_path / "real-server.db").write_bytes(b"")
    (tmp_path / "link-server.db").symlink_to(tmp_path / "elsewhere.db")
    (tmp_path / "text-server.db").write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(StoreCorruptError, match="empty"):
        open_state(f"sqlite:///{tmp_path}/real.db")
    with pytest.raises(ConfigurationError, match="link"):
        open_state(f"sqlite:///{tmp_path}/link.db")
    with pytest.raises(StoreCorruptError, match="not a database"):
        open_state(f"sqlite:///{tmp_path}/text.db")
    for url in ("memory://", "https://budgets.example", "sqlite://", "nonsense"):
        with pytest.raises(ConfigurationError, match="sqlite:///allowance"):
            open_state(url)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_later_version_is_left_as_it_is(state: State, state_url: str) -> None:
    with state.database.write() as connection:
        connection.execute(schema.version.update().values(number=99))
    with pytest.raises(StoreCorruptError, match="Upgrade"):
        open_state(state_url)


def test_an_earlier_version_is_migrated_step_by_step(
    state: State, state_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.keep_mark("kept", 7)
    steps = {
        1: lambda connection: connection.execute(text("CREATE TABLE step_1 (a integer)")),
        2: lambda connection: connection.execute(text("ALTER TABLE step_1 ADD COLUMN b integer")),
    }
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "VERSION", 3)
    for _ in range(2):  # the second time there is nothing to do
        with closing(open_state(state_url)) as migrated:
            assert migrated.mark("kept") == 7
            with migrated.database.read() as connection:
                assert connection.execute(text("SELECT b FROM step_1")).all() == []
                assert connection.execute(schema.version.select()).scalar_one() == 3


def test_a_migration_that_fails_changes_nothing(
    state: State, state_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: object) -> None:
        raise RuntimeError("in the midst")

    monkeypatch.setattr(schema, "MIGRATIONS", {1: lambda _: None, 2: fail})
    monkeypatch.setattr(schema, "VERSION", 3)
    with pytest.raises(RuntimeError):
        open_state(state_url)
    with state.database.read() as connection:
        assert connection.execute(schema.version.select()).scalar_one() == 1


# -- the audit log ------------------------------------------------------------------------------------


def test_audit_lines_tell_who_changed_what_of_which_project(state: State) -> None:
    state.audit("k1", "budget.define", "user alice", None, {"limit": 5}, project="app")
    state.audit("k2", "budget.define", "user é\n<script>", {"limit": 5}, {"limit": 7}, project="other")
    state.audit("cli:me", "key.add", "app")
    third, second, first = state.audit_lines()
    assert (first.seq, first.actor, first.before, first.after) == (1, "k1", None, {"limit": 5})
    assert (second.target, second.before, second.project) == ("user é\n<script>", {"limit": 5}, "other")
    assert abs(third.at - time.time_ns() // 1000) < 3_600_000_000
    assert state.audit_lines(["app"]) == [first]
    assert state.audit_lines([]) == []
    assert state.audit_lines(before=third.seq, limit=1) == [second]


CHANGES = {
    "update": "UPDATE {} SET actor = 'nobody'",
    "delete": "DELETE FROM {}",
    "replace": "INSERT OR REPLACE INTO {} (seq, at, actor, action, target) VALUES (1, 0, 'x', 'x', 'x')",
    "upsert": "INSERT INTO {} (seq, at, actor, action, target) VALUES (1, 0, 'x', 'x', 'x')"
    " ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'",
    "empty": "TRUNCATE {}",
}


def test_an_audit_line_can_be_neither_changed_nor_taken_away(state: State) -> None:
    state.audit("k1", "key.add", "app", None, {"name": "app"})
    before = state.audit_lines()
    with state.database.read() as connection:
        dialect = connection.dialect.name
    table = "audit_line" if dialect == "sqlite" else "allowance_server.audit_line"
    unknown = "empty" if dialect == "sqlite" else "replace"  # a statement that this database does not have
    for change in CHANGES.keys() - {unknown}:
        refused = pytest.raises(StoreUnavailableError, match="never")
        with refused, state.database.write() as connection:
            connection.execute(text(CHANGES[change].format(table)))
        assert state.audit_lines() == before, change


# -- refusals -----------------------------------------------------------------------------------------


def test_refusals_are_listed_newest_first_and_by_project(state: State) -> None:
    refuse(state, "bob")
    refuse(state, "ann", project="other")
    refuse(state, "eve")
    assert [one.name for one in state.refusals()] == ["eve", "ann", "bob"]
    assert [one.name for one in state.refusals(["app"], limit=1)] == ["eve"]
    assert state.refusals([]) == []
    found = state.refusals(["app"])[1]
    assert found[1:] == (5, "app", "user", "bob", "", "gpt-4o", 30, -20, 10)
    assert [one.name for one in state.refusals(after=found.seq)] == ["ann", "eve"]


def test_refusals_are_bounded_and_so_is_what_waits(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KEPT", 10)
    for number in range(40):
        refuse(state, str(number))
    assert [one.name for one in state.refusals()] == [str(number) for number in range(39, 29, -1)]
    refuse(state, "last")
    assert [one.name for one in state.refusals()][:2] == ["last", "39"]
    assert len(state.refusals()) == 10


def test_refusals_are_written_by_a_thread_of_their_own(state: State, state_url: str) -> None:
    refuse(state)
    with closing(open_state(state_url)) as other:
        until(other.refusals)


def test_a_flood_of_refusals_neither_waits_nor_fills_memory_when_the_database_is_away(tmp_path: Path) -> None:
    state = open_state(f"sqlite:///{tmp_path}/x.db")
    (tmp_path / "x-server.db").unlink()
    for number in range(10_000):
        refuse(state, str(number))
    assert len(state._refusals._waiting) <= 2_000
    state.close()


# -- what servers agree on ----------------------------------------------------------------------------


def test_a_lease_is_one_holders_until_it_runs_out(state: State, state_url: str) -> None:
    with closing(open_state(state_url)) as other:
        assert state.take_lease("sweeps", "a", 60)
        assert not other.take_lease("sweeps", "b", 60)
        assert state.take_lease("sweeps", "a", 60)
        assert other.take_lease("webhooks", "b", 60)
        other.give_back_lease("sweeps", "b")  # it is not b's
        assert not other.take_lease("sweeps", "b", 60)
        state.give_back_lease("sweeps", "a")
        assert other.take_lease("sweeps", "b", 0.2)
        until(lambda: state.take_lease("sweeps", "a", 60))


def _all_at_once(url: str, name: str, answers: multiprocessing.Queue[tuple[str, str]]) -> None:
    with closing(open_state(url)) as state:
        for number in range(10):
            if state.take_lease(f"job {number}", name, 60):
                answers.put(("lease", f"{number}"))
        keys = Keys(state)
        for number in range(3):
            try:
                keys.mint(f"key {number}", ["spend"], actor=name)
                answers.put(("key", f"key {number}"))
            except ConfigurationError:
                pass
    answers.put(("done", name))


def test_of_eight_processes_one_makes_the_tables_has_the_lease_and_makes_the_key(state_url: str) -> None:
    answers: multiprocessing.Queue[tuple[str, str]] = SPAWN.Queue()
    processes = [SPAWN.Process(target=_all_at_once, args=(state_url, f"p{n}", answers)) for n in range(8)]
    for process in processes:
        process.start()
    found: list[tuple[str, str]] = []
    while sum(what == "done" for what, _ in found) < 8:
        found.append(answers.get(timeout=60))
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert sorted(one for what, one in found if what == "lease") == [str(number) for number in range(10)]
    assert sorted(one for what, one in found if what == "key") == ["key 0", "key 1", "key 2"]
    with closing(open_state(state_url)) as state:
        assert [key.name for key in Keys(state).listed()] == ["key 0", "key 1", "key 2"]
        assert len(state.audit_lines()) == 3
    answers.close()
    answers.join_thread()


@needs_postgres
def test_a_server_that_waited_while_another_made_the_tables_sees_them() -> None:
    with fresh_database() as url, closing(psycopg.connect(url, autocommit=True)) as watching:
        strict = f"{url}?options=-c%20default_transaction_isolation%3Dserializable"
        opened: list[State] = []
        waiting = threading.Thread(target=lambda: opened.append(open_state(strict)))
        engine = _postgres_engine(url)
        with engine.begin() as first:
            schema.migrate(first)
            waiting.start()
            asked = (
                "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            until(lambda: watching.execute(asked).rowcount == 1)
        waiting.join()
        engine.dispose()
        (state,) = opened
        assert state.audit_lines() == []
        state.close()


def test_an_event_goes_to_each_receiver_once_whoever_finds_it(state: State, state_url: str) -> None:
    events = [Event(f"e{number}", {"type": "threshold"}, until=1) for number in range(3)]
    with closing(open_state(state_url)) as other:
        assert state.outbox.put(events, ["x", "y"]) == 3
        assert other.outbox.put(list(reversed(events)), ["x", "y"]) == 0
        letters = other.outbox.due(["x"])
        assert [letter.event for letter in letters] == ["e0", "e1", "e2"]
        state.outbox.delivered(letters[0].seq)
        other.outbox.put_off(letters[1].seq, 60)
        assert [letter.event for letter in state.outbox.due(["x"])] == ["e2"]
        assert len(state.outbox.due(["x", "y"])) == 4
        assert state.outbox.waiting() == 5


def test_the_outbox_is_bounded_and_drops_the_oldest(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT", 5)
    for start in range(0, 30, 10):
        state.outbox.put([Event(f"e{number:02}", {}) for number in range(start, start + 10)], ["x"])
    assert [letter.event for letter in state.outbox.due(["x"])] == [f"e{number}" for number in range(25, 30)]


# -- when it is away, or forked -----------------------------------------------------------------------


def test_a_database_that_is_away_is_said_to_be_so(tmp_path: Path) -> None:
    state = open_state(f"sqlite:///{tmp_path}/x.db")
    (tmp_path / "x-server.db").rename(tmp_path / "moved.db")
    with pytest.raises(StoreUnavailableError, match="own database") as error:
        state.mark("x")
    assert error.value.retry_after == 1.0
    assert not (tmp_path / "x-server.db").exists(), "it must not be made anew, without a key"
    (tmp_path / "moved.db").rename(tmp_path / "x-server.db")
    assert state.mark("x") is None
    state.close()
    with pytest.raises(StoreUnavailableError, match="stopping"):
        state.mark("x")


def test_no_password_stands_in_errors_or_reprs() -> None:
    for url in (
        "postgresql://user:hunter2canary@127.0.0.1:9/none",
        "postgresql://user:hunter2canary@127.0.0.1:9/none?sslmode=hunter2canary",
        "postgresql://user:hunter2canary@127.0.0.1:9/none?hunter2canary",
    ):
        with pytest.raises(StoreUnavailableError) as error:
            open_state(url)
        chain = [error.value, error.value.__cause__]
        assert "hunter2canary" not in repr(chain) + str(error.value)
        assert error.value.__suppress_context__ or error.value.__context__ is None


@needs_postgres
def test_connections_that_the_database_dropped_are_replaced() -> None:
    with fresh_database() as url, closing(open_state(url)) as state:
        state.keep_mark("x", 1)
        with closing(open_state(url)) as other, other.database.write() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert state.mark("x") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_r13_a_forked_child_makes_connections_of_its_own(state: State) -> None:
    state.keep_mark("parent", 1)
    child = os.fork()
    if child == 0:
        try:
            fine = state.mark("parent") == 1
            state.keep_mark("child", 2)
            refuse(state, "of the child")
            state.close()
        finally:
            os._exit(0 if fine else 1)
    refuse(state, "of the parent")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (state.mark("parent"), state.mark("child")) == (1, 2)
    assert sorted(one.name for one in state.refusals()) == ["of the child", "of the parent"]


def test_the_file_has_no_write_ahead_log(tmp_path: Path) -> None:
    # With one, SQLite up to 3.51.2 can lose commits when two processes write and checkpoint at once.
    with closing(open_state(f"sqlite:///{tmp_path}/x.db")) as state:
        state.keep_mark("x", 1)
        with closing(sqlite3.connect(tmp_path / "x-server.db")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
