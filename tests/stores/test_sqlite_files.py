"""The file store meets files that are missing, bad, foreign, replaced, locked, or on a full disk."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allowance.errors import ConfigurationError, StoreCorruptError, StoreUnavailableError
from allowance.ledger.records import AccountKey, Declaration, Posting, Scope
from allowance.stores.contract import ManualClock
from allowance.stores.sqlite import SQLiteStore, lockfile, place

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = AccountKey("p", "user", "n")
SCOPE = Scope(KEY, Declaration(limit=10**12, creates=True))
LIMIT = Declaration(limit=1000, creates=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    store.define(KEY, LIMIT)
    yield store
    store.close()


def unchanged(path: Path, error: type[Exception], says: str) -> None:
    """Opening is refused, and the file is left as it is."""
    before = path.read_bytes()
    with pytest.raises(error, match=says):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_what_was_kept_is_there_after_opening_again(path: Path) -> None:
    first = SQLiteStore(path)
    first.settle(Posting("a", 5, (SCOPE,)))
    first.close()
    again = SQLiteStore(path)
    account = again.account(KEY)
    assert account is not None
    assert account.spent == 5
    assert again.settle(Posting("a", 5)).repeated
    again.close()


def test_two_stores_on_one_file_share_it_and_close_apart(path: Path) -> None:
    first, second = SQLiteStore(path), SQLiteStore(path.parent / "." / "a.db")
    first.define(KEY, LIMIT)
    first.close()
    assert second.account(KEY) is not None
    second.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        second.account(KEY)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "made" / "deeper" / "a.db"
        store = SQLiteStore(path)
        store.define(KEY, LIMIT)
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in os.listdir(path.parent)}
    assert modes == dict.fromkeys(["a.db", "a.db-wal", "a.db-shm", "a.db.lock"], 0o600)
    for directory in (path.parent, path.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    store.close()


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_garbage_is_never_answered_by_starting_from_zero(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    unchanged(path, StoreCorruptError, "is empty" if not content else "cannot be read as a ledger")


def test_a_cut_off_file(store: SQLiteStore, path: Path) -> None:
    for number in range(200):
        store.settle(Posting(f"h{number}", 1, (SCOPE,), reason="x" * 400))
    store.close()
    with path.open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(StoreCorruptError):
        _read_all(path)


def _read_all(path: Path) -> None:
    store = SQLiteStore(path)
    try:
        list(store.entries())
    finally:
        store.close()


def test_damage_within_is_found_by_the_audit(store: SQLiteStore, path: Path) -> None:
    store.settle(Posting("a", 5, (SCOPE,)))
    store.close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE account SET spent = 4, held = 1")
    raw.execute("UPDATE hold SET charged = 6")
    raw.commit()
    raw.close()
    store = SQLiteStore(path)
    found = "\n".join(store.audit())
    assert "spent is kept as 4 nano-dollars, and adds up to 5" in found
    assert "held is kept as 1" in found
    assert "hold a: entries add up to 5, it was charged 6" in found
    store.close()


def test_entries_cannot_be_edited_or_deleted(store: SQLiteStore, path: Path) -> None:
    store.settle(Posting("a", 5, (SCOPE,)))
    store.close()
    raw = sqlite3.connect(path)
    for statement in ("UPDATE entry SET amount = 0", "DELETE FROM entry"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            raw.execute(statement)
    raw.close()


def test_another_programs_database(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE account (a)")
    raw.commit()
    raw.close()
    unchanged(path, StoreCorruptError, "not one of allowance's")


def test_a_later_versions_file(store: SQLiteStore, path: Path) -> None:
    store.close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    unchanged(path, StoreCorruptError, "later version of allowance .schema 99")


def test_a_missing_table_is_no_reason_to_begin_anew(store: SQLiteStore, path: Path) -> None:
    store.close()
    raw = sqlite3.connect(path)
    raw.execute("DROP TABLE meta")
    raw.close()
    unchanged(path, StoreCorruptError, "no such table")


def test_a_directory_or_a_link(tmp_path: Path, store: SQLiteStore) -> None:
    with pytest.raises(ConfigurationError, match="is a directory"):
        SQLiteStore(tmp_path)
    store.close()
    (tmp_path / "soft.db").symlink_to(tmp_path / "a.db")
    os.link(tmp_path / "a.db", tmp_path / "hard.db")
    for name in ("soft.db", "hard.db", "a.db"):
        with pytest.raises(ConfigurationError, match="Name the file itself"):
            SQLiteStore(tmp_path / name)


def test_a_directory_that_anyone_may_write(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        SQLiteStore(tmp_path / "open" / "a.db")
    (tmp_path / "open").chmod(0o1777)
    SQLiteStore(tmp_path / "open" / "a.db").close()


def test_a_file_in_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match="cannot be"):
        SQLiteStore(tmp_path / "file" / "deeper" / "a.db")


def test_a_directory_that_we_may_not_write(unprivileged_path: Path) -> None:
    (unprivileged_path / "shut").mkdir(mode=0o500)
    with pytest.raises(StoreUnavailableError, match="Permission denied"):
        SQLiteStore(unprivileged_path / "shut" / "a.db")


def test_a_file_that_we_may_not_write(unprivileged_path: Path) -> None:
    path = unprivileged_path / "a.db"
    SQLiteStore(path).close()
    path.chmod(0o400)
    with pytest.raises(StoreUnavailableError, match="may write it"):
        SQLiteStore(path).define(KEY, LIMIT)


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
def test_a_file_that_was_taken_away_while_open_is_no_fresh_budget(
    store: SQLiteStore, path: Path, how: str
) -> None:
    if how == "replaced":
        other = SQLiteStore(path.with_name("b.db"))
        other.close()
        os.replace(path.with_name("b.db"), path)
    else:
        os.rename(path, path.with_name("kept.db"))
        if how == "deleted":
            os.unlink(path.with_name("kept.db"))
    for _ in range(2):
        with pytest.raises(StoreCorruptError, match="deleted or replaced while it was open"):
            store.settle(Posting("a", 5, (SCOPE,)))
    if how == "moved":
        os.rename(path.with_name("kept.db"), path)
        assert store.settle(Posting("a", 5, (SCOPE,))).posted == 5


def test_a_log_without_its_file(store: SQLiteStore, path: Path) -> None:
    store.close()
    path.with_name("a.db-wal").write_bytes(path.read_bytes())
    path.unlink()
    with pytest.raises(StoreCorruptError, match="Put the file back"):
        SQLiteStore(path)
    assert not path.exists()


def test_what_an_interrupted_making_left_behind(path: Path) -> None:
    for suffix in (".new", ".new-wal", ".new-shm"):
        path.with_name(path.name + suffix).write_bytes(b"half")
    store = SQLiteStore(path)
    assert store.audit() == []
    assert not path.with_name("a.db.new").exists()
    store.close()


def test_a_full_disk(store: SQLiteStore) -> None:
    connection = store._engine._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    posting = Posting("large", 1, (SCOPE,), reason="x" * 100_000)
    before = store.account(KEY)
    with pytest.raises(StoreUnavailableError, match="full"):
        store.settle(posting)
    assert store.account(KEY) == before
    connection.execute("PRAGMA max_page_count = 1000000")
    assert store.audit() == []
    assert store.settle(posting).posted == 1


def test_a_lock_that_another_process_keeps(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "PATIENCE", 0.05)
    keeper = lockfile.LockFile(f"{path}.lock")  # a lock of its own, as another process has
    keeper.acquire()
    with pytest.raises(StoreUnavailableError, match="Another process has held") as caught:
        store.account(KEY)
    assert caught.value.retry_after == 1.0
    keeper.release()
    keeper.close()
    assert store.account(KEY) is not None


def test_a_stray_program_that_locks_the_database(store: SQLiteStore, path: Path) -> None:
    connection = store._engine._connection
    assert connection is not None
    connection.execute("PRAGMA busy_timeout = 20")
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    stray = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert stray.stdout is not None
    assert stray.stdout.readline() == "locked\n"
    with pytest.raises(StoreUnavailableError, match="Another program has locked") as caught:
        store.account(KEY)
    assert caught.value.retry_after == 1.0
    stray.communicate("")
    assert store.account(KEY) is not None


def test_values_that_sqlite_cannot_keep(store: SQLiteStore) -> None:
    bad = AccountKey("p", "user", "\ud800")
    with pytest.raises(ConfigurationError, match="valid Unicode"):
        store.define(bad, LIMIT)
    with pytest.raises(ConfigurationError, match="valid Unicode"):
        store.settle(Posting("a", 1, (Scope(bad, LIMIT),)))
    settled = store.settle(Posting("b", 1, (SCOPE,), model="m\ud800", reason="\udfff"))
    assert settled.posted == 1
    (entry,) = store.entries(hold_id="b")
    assert (entry.model, entry.reason) == ("m?", "?")


def test_r15_the_time_is_kept_across_openings(path: Path) -> None:
    clock = ManualClock()
    day = 86_400_000_000
    first = SQLiteStore(path, clock=clock)
    clock.advance(day)
    first.settle(Posting("a", 1, (SCOPE,)))
    first.close()
    second = SQLiteStore(path, clock=ManualClock())
    second.settle(Posting("b", 1, (SCOPE,)))
    assert [entry.at for entry in second.entries()] == [clock.now, clock.now]
    second.close()


def test_many_threads_open_and_close_at_once(path: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for round_ in range(5):
                store = SQLiteStore(path)
                store.settle(Posting(f"h{number}-{round_}", 1, (SCOPE,)))
                store.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    store = SQLiteStore(path)
    account = store.account(KEY)
    assert account is not None
    assert account.spent == 40
    store.close()


def test_an_old_sqlite_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(ConfigurationError, match=r"3\.37"):
        SQLiteStore(path)


def test_a_stat_that_fails_is_no_other_file(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "same_file", lambda *_: False)
    with pytest.raises(StoreCorruptError):
        store.account(KEY)


def test_every_table_is_strict(path: Path) -> None:
    SQLiteStore(path).close()
    connection = sqlite3.connect(path)
    made = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")]
    connection.close()
    assert made
    assert all("STRICT" in sql.rpartition(")")[2] for sql in made)
