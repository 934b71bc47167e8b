"""R14: what a remote store has not answered lies in a journal, and reaches the store once."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import allowance
from allowance import ConfigurationError, StoreUnavailableError, UnknownUserError, budget, budgeted
from allowance.calls import journal, lifeline
from allowance.calls.journal import files as journal_files
from allowance.calls.journal import place, refusals
from allowance.calls.journal.frames import framed, read_frames
from allowance.calls.journal.operations import LetGo, Post, load
from allowance.calls.writing import settle
from allowance.ledger.records import Declaration, Posting, Scope, Terms
from allowance.stores.base import Store
from tests.calls import remote
from tests.calls.remote import Remote, on_disk
from tests.calls.support import CALL, HELD, MESSAGES, PROJECT, books, key, lines, reply

PATIENCE = 30
"""Seconds after which a test gives up: a guard, not a measure."""


@pytest.fixture(autouse=True)
def _journals_of_its_own() -> Iterator[None]:
    yield
    journal._after_fork()


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Remote]:
    """The store of the named budgets; alice has a dollar there."""
    made = Remote(tmp_path / "server.db")
    made.define(key("alice"), Declaration(limit=1_000_000_000, creates=True))
    allowance.configure(store=made, project=PROJECT)
    yield made
    made.go(away=False)
    made.close()


def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


def paid_while(change: Callable[..., object], *given: Any) -> Callable[..., Any]:
    """A call in whose midst something changes."""

    def call(messages: Any, model: str, max_tokens: int) -> Any:
        change(*given)
        return reply()

    return call


def until(true: Callable[[], object]) -> None:
    """Wait for it; whoever would otherwise do it each minute is not waited for."""
    assert PATIENCE < lifeline.WAKE_EVERY
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.005)


def posting(name: str = "c1", user: str = "alice", amount: int = 5) -> Posting:
    return Posting(name, amount, (Scope(key(user)),), "gpt-4o", 10, 5)


# -- the file ----------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_went() -> None:
    terms = Terms(limit=7, duration="daily")
    declared = Declaration(limit=9, creates=True, timezone="Europe/Berlin")
    scope = Scope(key("alice"), declared, terms)
    full = Posting("c1", 2**62, (scope, scope), "gpt-4o", 10, 5, True, True, "why", ("a", "ß"), 2**61)
    for operation in (Post(full), Post(posting()), Post(Posting("bare", 0)), LetGo("c2", "two\nlines")):
        (record,), damaged = read_frames(framed(operation.dump()))
        assert (load(record), damaged) == (operation, 0)


def test_a_torn_end_is_left_out_and_a_damaged_record_hides_no_other() -> None:
    whole = [framed({"n": number, "text": "x\ny"}) for number in range(4)]
    torn = b"".join(whole)[:-1]
    assert read_frames(torn) == ([{"n": number, "text": "x\ny"} for number in range(3)], 0)
    for at in range(len(whole[0])):
        for byte in (b"\0", b"\n", b"9", b'"'):
            bad = whole[1][:at] + byte + whole[1][at + 1 :]
            if bad == whole[1]:
                continue
            numbers = [record["n"] for record in read_frames(whole[0] + bad + whole[2])[0]]
            # Without its own line break a line takes the next one with it; what went is never made up.
            assert numbers == ([0] if at == len(bad) - 1 else [0, 2]), bad


@pytest.mark.parametrize("damage", [b"\xff\xfe\n", b"0 0 0\n", b"{}\n", b"[" * 9000 + b"\n", b"\n"])
def test_what_is_no_record_is_counted(damage: bytes) -> None:
    assert read_frames(damage) == ([], 1)


@pytest.mark.parametrize("wrong", [{"n": []}, {"at": "then"}, {"n": None}])
def test_r14_a_record_whose_numbers_are_none_is_told_and_hides_no_other(
    away: Remote, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = leave_behind(Post(posting("whole")))
    record = {"n": 2, "at": 1, "store": remote.URL, **Post(posting("wrong")).dump(), **wrong}
    path.write_bytes(path.read_bytes() + framed(record) + framed({"done": [3]}))
    lifeline.drain()
    journal.journal_of(away)
    lifeline.drain()
    assert [entry.hold_id for entry in lines(away, "alice")] == ["whole"]
    assert "2 records" in caplog.text


def test_r14_the_directory_and_the_file_are_this_users_alone(away: Remote) -> None:
    before = os.umask(0)
    try:
        away.go(away=True)
        settle(away, posting())
    finally:
        os.umask(before)
    (file,) = remote.files()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for directory in (file.parent, file.parent.parent, file.parent.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_r14_a_directory_that_is_a_link_is_not_followed(
    away: Remote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    remote.directory().parent.mkdir(parents=True)
    remote.directory().symlink_to(elsewhere)
    settle(away, posting())
    assert "cannot be written" in caplog.text
    assert not list(elsewhere.iterdir())


def test_r14_files_that_are_no_journals_of_this_user_are_left(away: Remote, tmp_path: Path) -> None:
    directory = remote.directory()
    directory.mkdir(parents=True, mode=0o700)
    secret = tmp_path / "secret"
    secret.write_bytes(framed({"n": 1, "at": 0, **Post(posting()).dump()}))
    (directory / "link.journal").symlink_to(secret)
    os.link(secret, directory / "second-name.journal")
    os.mkfifo(directory / "pipe.journal")
    (directory / "folder.journal").mkdir()
    journal.journal_of(away).adopt()
    assert journal.journal_of(away).waiting() == 0
    assert len(list(directory.iterdir())) == 4


def test_r14_a_disk_that_is_full_tears_no_record(away: Remote, tmp_path: Path) -> None:
    path, descriptor = place.make_file(str(tmp_path), "full")
    file = journal_files.JournalFile(path, descriptor)
    resource = pytest.importorskip("resource")
    line = framed({"n": 1, "text": "x" * 100})
    file.write(line)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line) + 10, before[1]))
    try:
        with pytest.raises(OSError, match=r"space|large"):
            file.write(line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.write(line)
    file.let_go()
    assert read_frames(Path(path).read_bytes()) == ([{"n": 1, "text": "x" * 100}] * 2, 0)


# -- one call ----------------------------------------------------------------------------------------------


def test_r14_a_cost_is_on_disk_before_the_store_is_asked_and_marked_afterwards(away: Remote) -> None:
    seen: list[list[Any]] = []
    real = away.settle
    away.settle = lambda posting: seen.append([record.operation for record in on_disk()]) or real(posting)  # type: ignore[func-returns-value,method-assign]  # it watches
    settle(away, posting())
    assert seen == [[Post(posting())]]
    assert not on_disk()
    lifeline.drain()
    assert not remote.files()


def test_r14_a_settle_never_raises_and_arrives_soon_after_the_store_is_back_once(away: Remote) -> None:
    with budget("alice"):
        budgeted()(paid_while(away.go, True))(MESSAGES, "gpt-4o", 50)
    assert not lines(away, "alice")
    assert books(away, "alice")[1] >= HELD, "it stays held until it is posted"
    away.go(away=False)
    until(lambda: lines(away, "alice"))
    lifeline.drain()
    assert books(away, "alice") == (CALL, 0)
    assert len(lines(away, "alice")) == 1
    assert not on_disk()


def test_r14_a_reply_that_was_lost_is_not_counted_twice(away: Remote) -> None:
    with budget("alice"):
        away.loses_replies = True
        with pytest.raises(StoreUnavailableError):
            budgeted()(ask)(MESSAGES)  # held, and nobody knows
        assert books(away, "alice")[1] >= HELD
        away.loses_replies = False
        until(lambda: books(away, "alice") == (0, 0))
        budgeted()(paid_while(setattr, away, "loses_replies", True))(MESSAGES, "gpt-4o", 50)
        away.loses_replies = False
        until(lambda: not on_disk())
    assert books(away, "alice") == (CALL, 0)
    assert len(lines(away, "alice")) == 1


def test_r14_open_goes_on_and_posts_by_name_what_was_never_held(away: Remote) -> None:
    allowance.configure(on_store_error="open")
    with budget("alice"), budget("bob", limit=1):
        away.go(away=True)
        budgeted()(ask)(MESSAGES)
    away.go(away=False)
    until(lambda: not on_disk())
    lifeline.drain()
    assert books(away, "alice") == books(away, "bob") == (CALL, 0)


def test_r14_while_it_is_away_nobody_waits_for_it(away: Remote) -> None:
    away.go(away=True)
    known = journal.journal_of(away)
    known.failed(StoreUnavailableError("down", retry_after=60))
    for number in range(100):
        settle(away, posting(f"c{number}"))
    assert not away.asked
    assert known.waiting() == 100


def test_r14_a_full_journal_refuses_calls_and_still_takes_what_was_paid(away: Remote) -> None:
    allowance.configure(journal_megabytes=0.001)
    away.go(away=True)
    for number in range(5):
        settle(away, posting(f"c{number}"))
    away.go(away=False)
    journal.journal_of(away).failed(StoreUnavailableError("down", retry_after=60))
    for policy in ("closed", "open"):
        allowance.configure(on_store_error=policy)
        with budget("alice"), pytest.raises(StoreUnavailableError, match="journal_megabytes"):
            budgeted()(ask)(MESSAGES)
    assert len(on_disk()) == 5, "a refused call must not fill it further"
    with budget("counted", limit=None):
        budgeted()(ask)(MESSAGES)  # nothing stops what only counts (R9)
    assert len(on_disk()) == 6
    journal.journal_of(away).answered()
    until(lambda: not on_disk())
    with budget("alice"):
        budgeted()(ask)(MESSAGES)
    assert books(away, "alice") == (5 * 5 + CALL, 0)


def test_r14_without_a_place_for_it_memory_has_to_do(
    away: Remote, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    away.go(away=True)
    for number in range(3):
        assert settle(away, posting(f"c{number}")) is None
    assert caplog.text.count("cannot be written") == 1
    assert not on_disk()
    away.go(away=False)
    until(lambda: len(lines(away, "alice")) == 3)


def test_r14_no_prompt_reply_or_key_is_in_it(away: Remote) -> None:
    away.go(away=True)
    allowance.configure(on_store_error="open")
    canary = "canary-4711"

    def tell(messages: Any, model: str = "gpt-4o", max_tokens: int = 50, api_key: str = canary) -> Any:
        answer = reply()
        answer["choices"][0]["message"]["content"] = canary
        return answer

    with budget("alice", limit=1):
        budgeted()(tell)([{"role": "user", "content": canary}])
    (file,) = remote.files()
    text = file.read_bytes()
    assert b"alice" in text
    assert canary.encode() not in text


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_r14_an_interrupted_settle_is_done_later(away: Remote, interruption: type[BaseException]) -> None:
    real = away.settle

    def interrupted(posting: Posting) -> Any:
        away.settle = real  # type: ignore[method-assign]
        raise interruption

    away.settle = interrupted  # type: ignore[method-assign]
    with pytest.raises(interruption):
        settle(away, posting())
    until(lambda: len(lines(away, "alice")) == 1)


def test_r14_many_threads_write_one_journal(away: Remote) -> None:
    away.go(away=True)
    threads = [
        threading.Thread(
            target=lambda number=number: [settle(away, posting(f"{number}-{i}")) for i in range(50)]
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.operation.hold_id for record in on_disk()} == {
        f"{number}-{i}" for number in range(8) for i in range(50)
    }
    away.go(away=False)
    until(lambda: not on_disk())
    assert len(lines(away, "alice")) == 400
    assert away.audit() == []


def test_r14_a_long_journal_goes_on_in_further_files_and_leaves_none(
    away: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_files, "LARGEST", 2_000)
    monkeypatch.setattr(journal_files, "RECYCLED", 500)
    away.go(away=True)
    for number in range(40):
        settle(away, posting(f"c{number}"))
    assert len(remote.files()) > 3
    assert len(on_disk()) == 40
    away.go(away=False)
    until(lambda: not on_disk())
    assert len(remote.files()) == 1
    for number in range(40):
        settle(away, posting(f"d{number}"))
    assert sum(file.stat().st_size for file in remote.files()) < 2_000
    lifeline.drain()
    assert not remote.files()


# -- what a store refuses ----------------------------------------------------------------------------------


def refused() -> list[dict[str, Any]]:
    path = remote.directory() / refusals.REFUSED
    return read_frames(path.read_bytes())[0] if path.exists() else []


def test_r14_what_is_refused_for_good_is_told_and_put_aside(
    away: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    away.go(away=True)
    settle(away, posting("lost", "")._replace(scopes=(Scope(key("nobody")),), amount=1_230_000_000))
    settle(away, posting("kept"))
    away.go(away=False)
    until(lambda: not on_disk())
    assert [entry.hold_id for entry in lines(away, "alice")] == ["kept"]
    assert "$1.23 of the call lost" in caplog.text
    (record,) = refused()
    assert (record["posting"]["hold_id"], record["posting"]["amount"]) == ("lost", 1_230_000_000)
    assert record["error"].startswith("UnknownUserError")
    asked = len(away.asked)
    lifeline.drain()
    assert len(away.asked) == asked


def test_r14_a_cost_that_the_store_does_not_take_holds_up_no_other(away: Remote) -> None:
    real = away.settle
    cured = threading.Event()

    def sick(posting: Posting) -> Any:
        if posting.hold_id == "sick" and not cured.is_set():
            raise StoreUnavailableError("The server failed.")
        return real(posting)

    away.settle = sick  # type: ignore[method-assign]
    settle(away, posting("sick", amount=7))
    for number in range(20):
        settle(away, posting(f"c{number}"))
    until(lambda: len(lines(away, "alice")) == 20)
    until(lambda: len(on_disk()) == 1)
    assert journal.journal_of(away).waiting() == 1
    cured.set()
    lifeline.drain()
    assert sorted(entry.amount for entry in lines(away, "alice")) == [*[5] * 20, 7]
    assert not on_disk()


def test_r14_what_is_not_taken_is_tried_again_by_itself(
    away: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allowance.calls.journal.journal.SHORTEST_OFF", 0.01)
    real, asked = away.settle, []

    def slow_to_take(posting: Posting) -> Any:
        asked.append(posting.hold_id)
        if len(asked) < 7:
            raise StoreUnavailableError("The server failed.")
        return real(posting)

    away.settle = slow_to_take  # type: ignore[method-assign]
    settle(away, posting())
    until(lambda: not on_disk())
    assert [entry.hold_id for entry in lines(away, "alice")] == ["c1"]


def test_r14_one_id_with_two_costs_counts_both(away: Remote) -> None:
    settle(away, posting("c", amount=5))
    settle(away, posting("c", amount=7))
    settle(away, posting("c", amount=7))
    assert [entry.amount for entry in lines(away, "alice")] == [5, 7]
    assert not refused()


def test_r14_a_key_that_is_refused_loses_nothing(away: Remote, caplog: pytest.LogCaptureFixture) -> None:
    real_settle, real_hold = away.settle, away.hold

    def locked(*_: object) -> Any:
        raise ConfigurationError("The key k1 was revoked.")

    away.settle, away.hold = locked, locked  # type: ignore[method-assign]
    with budget("alice"):
        budgeted()(ask)(MESSAGES)
    lifeline.drain()
    assert len(on_disk()) == 1
    assert not refused()
    assert "revoked" in caplog.text
    away.settle, away.hold = real_settle, real_hold  # type: ignore[method-assign]
    journal.journal_of(away).answered()
    until(lambda: books(away, "alice") == (CALL, 0))


def test_r14_a_cost_that_cannot_be_kept_is_refused_though_the_key_is_good(away: Remote) -> None:
    settle(away, posting()._replace(at=2**62))
    until(refused)
    assert refused()[0]["error"].startswith("ConfigurationError")
    assert not on_disk()


def leave_behind(operation: Post | LetGo, *, at: int | None = None) -> Path:
    """A journal of a process that is gone."""
    directory = remote.directory()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"1-{operation.hold_id}-0.journal"
    now = time.time_ns() // 1000
    path.write_bytes(
        framed({"n": 1, "at": now if at is None else at, "store": remote.URL, **operation.dump()})
    )
    return path


def test_r14_a_dead_ones_record_that_this_key_may_not_post_waits_a_week_for_one_that_may(
    away: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    strange = posting("strange")._replace(scopes=(Scope(key("of another program")),))
    left = leave_behind(Post(strange))
    old = leave_behind(Post(strange._replace(hold_id="old")), at=time.time_ns() // 1000 - refusals.WEEK - 1)
    good = leave_behind(Post(posting("good")))
    with budget("alice"):
        budgeted()(ask)(MESSAGES)
    until(lambda: not old.exists() and not good.exists())
    assert [entry.hold_id for entry in lines(away, "alice")].count("good") == 1
    assert [record["posting"]["hold_id"] for record in refused()] == ["old"]
    until(lambda: "is left for a process that may post it" in caplog.text)
    assert left.exists()
    asked = away.asked.count(("settle", "strange"))
    journal.journal_of(away).adopt_at = 0.0
    lifeline.drain()
    journal.work()
    assert away.asked.count(("settle", "strange")) == asked
    # Another process, whose key sees that user, finds it whole.
    journal._after_fork()
    away.define(key("of another program"), Declaration(limit=None, creates=True))
    with budget("alice"):
        budgeted()(ask)(MESSAGES)
    until(lambda: not left.exists())
    assert books(away, "of another program") == (5, 0)


def test_r14_a_damaged_record_of_a_dead_process_is_told_and_the_rest_read(
    away: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave_behind(Post(posting("first")))
    bad = framed({"n": 2, "at": 0, **Post(posting("bad", amount=999)).dump()}).replace(b"999", b"111")
    unknown = framed({"n": 3, "at": 0, "op": "dance"})
    last = framed({"n": 4, "at": 0, **Post(posting("last")).dump()})
    path.write_bytes(path.read_bytes() + bad + unknown + last + last[:-5].replace(b"last", b"torn"))
    journal.journal_of(away)
    until(lambda: len(lines(away, "alice")) == 2)
    assert [entry.hold_id for entry in lines(away, "alice")] == ["first", "last"]
    assert "2 records of the journal" in caplog.text


def test_r14_update_cost_is_journaled_too_and_says_what_is_refused(away: Remote) -> None:
    manager = allowance.BudgetManager(PROJECT, store=away)
    with pytest.raises(UnknownUserError):
        manager.update_cost("nobody", completion_obj=reply())
    assert not on_disk()
    away.go(away=True)
    assert manager.update_cost("alice", completion_obj=reply()) == {"user": {}}
    assert len(on_disk()) == 1
    away.go(away=False)
    until(lambda: books(away, "alice") == (CALL, 0))


def test_r14_what_ends_after_its_store_was_closed_is_posted_by_the_next_one(
    away: Remote, tmp_path: Path
) -> None:
    journal.leave(away)
    away.go(away=True)
    settle(away, posting("late"))
    away.go(away=False)
    assert len(on_disk()) == 1
    asked = len(away.asked)
    next_one = Remote(tmp_path / "server.db")
    journal.journal_of(next_one)
    lifeline.drain()
    assert [entry.hold_id for entry in lines(next_one, "alice")] == ["late"]
    assert len(away.asked) == asked
    next_one.close()


def test_r14_stores_of_other_ranks_have_no_journal(store: Store, tmp_path: Path) -> None:
    with budget("alice", limit=1):
        budgeted()(ask)(MESSAGES)
    assert not (tmp_path / "state" / "allowance" / "journal").exists()
    assert not journal._journals


def test_a_store_that_is_gone_leaves_no_journal_behind(tmp_path: Path) -> None:
    made = Remote(tmp_path / "server.db")
    made.define(key("alice"), Declaration(limit=None, creates=True))
    settle(made, posting())
    assert remote.files()
    made.close()
    del made
    for known in journal._journals.values():
        known.adopt_at = 0.0
    until(lambda: journal.work() or not journal._journals)  # type: ignore[func-returns-value]
    assert not remote.files()


@pytest.mark.usefixtures("caplog")
def test_one_line_tells_of_an_outage_however_many_calls_it_meets(
    away: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    away.go(away=True)
    for number in range(20):
        settle(away, posting(f"c{number}"))
    assert caplog.text.count("does not answer") == 1
    away.go(away=False)
    until(lambda: not on_disk())
    until(lambda: "All that waited" in caplog.text)
