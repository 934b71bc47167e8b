"""R14 over processes: what one that died has left is posted by the next, once; a living one's is its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from allowance.calls import journal
from allowance.ledger.records import Declaration
from tests.calls import remote
from tests.calls.remote import Remote, on_disk
from tests.calls.support import ROOT, key, lines

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SETUP = """
    import logging, os, signal, sys, time
    import allowance
    from allowance import budget, budgeted
    from allowance.calls import journal, lifeline
    from allowance.calls.journal import place
    from allowance.calls.writing import settle
    from allowance.ledger.records import Posting, Scope
    from tests.calls import remote
    from tests.calls.remote import Remote, on_disk
    from tests.calls.support import key

    logging.basicConfig(format="%(message)s")
    store = Remote(sys.argv[1])

    def post(name):
        settle(store, Posting(name, 5, (Scope(key("alice")),)))

    def told(word):
        print(word, flush=True)
"""


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Remote]:
    """A store that is away; alice has a budget there."""
    made = Remote(tmp_path / "server.db")
    made.define(key("alice"), Declaration(limit=1_000_000_000, creates=True))
    made.go(away=True)
    yield made
    made.close()
    journal._after_fork()


class Process:
    """A script that runs beside the test, and tells by a word how far it is."""

    def __init__(self, store: Remote, code: str) -> None:
        script = textwrap.dedent(SETUP) + textwrap.dedent(code)
        self.running = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, store.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )

    def says(self) -> str:
        """The next word."""
        assert self.running.stdout is not None
        return self.running.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it read a line."""
        assert self.running.stdin is not None
        self.running.stdin.write("\n")
        self.running.stdin.flush()

    def end(self) -> str:
        """Wait for its end; what it logged."""
        _, errors = self.running.communicate(timeout=60)
        return errors


NEXT = "post('next')"
"""A process that uses the store once, as any program would."""


def ids(store: Remote) -> list[str]:
    return sorted(str(entry.hold_id) for entry in lines(store, "alice"))


def test_r14_what_a_killed_process_left_arrives_once(away: Remote) -> None:
    process = Process(
        away,
        """
    for number in range(20):
        post(f"c{number:02}")
    os.kill(os.getpid(), signal.SIGKILL)
    """,
    )
    process.end()
    assert len(on_disk()) == 20
    away.go(away=False)
    for _ in range(2):
        Process(away, NEXT).end()
        assert ids(away) == [*(f"c{number:02}" for number in range(20)), "next"]
        assert not remote.files()
    assert away.audit() == []


def test_r14_one_that_is_killed_in_the_midst_of_a_settle_has_written_it_down(away: Remote) -> None:
    away.go(away=False)
    process = Process(
        away,
        """
    store.settle = lambda posting: os.kill(os.getpid(), signal.SIGKILL)
    post("c")
    """,
    )
    process.end()
    assert not lines(away, "alice")
    Process(away, NEXT).end()
    assert ids(away) == ["c", "next"]


def test_r14_what_was_answered_is_not_asked_again(away: Remote) -> None:
    away.go(away=False)
    Process(away, "post('c')\nos.kill(os.getpid(), signal.SIGKILL)").end()
    assert len(remote.files()) == 1
    after = Process(away, NEXT + "\nlifeline.drain()\ntold(store.asked)")
    assert after.says() == "[('settle', 'next')]"
    after.end()
    assert not remote.files()


def test_r14_a_living_process_keeps_its_own(away: Remote) -> None:
    living = Process(
        away,
        """
    journal.journal_of(store).failed(allowance.StoreUnavailableError("down", retry_after=60))
    post("mine")
    told("ready")
    input()
    """,
    )
    assert living.says() == "ready"
    away.go(away=False)
    other = Process(away, "post('other')\nlifeline.drain()\ntold(store.asked)")
    assert other.says() == "[('settle', 'other')]"
    other.end()
    assert len(on_disk()) == 1
    living.go_on()
    living.end()
    assert ids(away) == ["mine", "other"]
    assert not remote.files()


def test_r14_r13_a_forked_child_leaves_its_parents_journal_alone(away: Remote) -> None:
    process = Process(
        away,
        """
    post("the parent's")
    (before,) = [path.read_bytes() for path in remote.files()]
    if not os.fork():
        assert journal._journals == {}
        own = Remote(sys.argv[1])
        settle(own, Posting("the child's", 5, (Scope(key("alice")),)))
        assert len(remote.files()) == 2, "it has one of its own"
        journal.journal_of(own).adopt()
        assert journal.journal_of(own).waiting() == 1, "its parent lives"
        own.close()
        os._exit(0)
    assert os.wait()[1] == 0
    assert any(path.read_bytes() == before for path in remote.files())
    (taken,) = [path for path, _ in place.abandoned(str(remote.directory()))]
    told("the parent's is taken" if open(taken, "rb").read() == before else "the child's")
    """,
    )
    assert process.says() == "the child's", "which is dead; the parent lives"
    process.end()
    assert process.running.returncode == 0


def test_r14_r13_a_child_that_outlives_its_parent_does_not_hold_its_journal(away: Remote) -> None:
    process = Process(
        away,
        """
    post("the parent's")
    if not os.fork():
        input()
        os._exit(0)
    told("ready")
    os.kill(os.getpid(), signal.SIGKILL)
    """,
    )
    assert process.says() == "ready"
    process.running.wait(timeout=60)
    away.go(away=False)
    Process(away, NEXT).end()
    assert ids(away) == ["next", "the parent's"]
    process.go_on()
    process.end()


def test_r14_at_its_exit_a_process_tries_once_more_and_says_what_stays(away: Remote) -> None:
    process = Process(away, "for number in range(500): post(f'c{number}')")
    told = process.end()
    assert process.running.returncode == 0
    assert told.count("stay in") == 1
    assert "500 costs" in told
    assert len(on_disk()) == 500
    away.go(away=False)
    assert "stay in" not in Process(away, NEXT).end()
    assert len(lines(away, "alice")) == 501


def test_r14_two_that_come_at_once_post_what_is_left_once(away: Remote) -> None:
    Process(
        away,
        "for number in range(50): post(f'c{number}')\nos.kill(os.getpid(), signal.SIGKILL)",
    ).end()
    away.go(away=False)
    several = [
        Process(
            away,
            "post(sys.argv[0] + str(os.getpid()))\nlifeline.drain()\ntold(len(store.asked))",
        )
        for _ in range(3)
    ]
    asked = sum(int(process.says()) for process in several)
    for process in several:
        process.end()
    assert asked == 53, "each record was asked for once, not by each of them"
    assert len(lines(away, "alice")) == 53
    assert not remote.files()
