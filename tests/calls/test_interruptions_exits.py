"""Processes and threads that end in mid-call: what they held is charged at their end or at its term, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from allowance.stores.memory import system_clock
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import CALL, GPT_4O_IN, GPT_4O_OUT, HELD, books, lines, python

INPUT = 9 * GPT_4O_IN

SETUP = """
    import atexit, os, sys, threading
    import allowance
    from allowance import budget, budgeted
    from allowance.calls import lifeline
    from tests.calls.support import MESSAGES, reply

    allowance.configure(store="sqlite:///" + {path!r}, project="tests")
    sys.stderr = open(os.devnull, "w")
    piece = {{"choices": [{{"index": 0, "delta": {{"content": "Hello"}}}}]}}
    long = {{"choices": [{{"index": 0, "delta": {{"content": " hello" * 3000}}}}]}}

    @budgeted(user="alice", limit=1)
    def stream(messages, model="gpt-4o", max_tokens=50):
        yield piece
        yield reply()

    @budgeted(user="alice", limit=1)
    def uncapped(messages, model="gpt-4o"):
        yield long
        yield long
        yield reply()

    @budgeted(user="alice", limit=1)
    def leaves(messages, model="gpt-4o", max_tokens=50):
        sys.exit(3)

    @budgeted(user="alice", limit=1)
    def stays(messages, model="gpt-4o", max_tokens=50):
        inside.set()
        threading.Event().wait()

    inside = threading.Event()
"""

# What the program does, its exit, what is charged at once, and what is at its term.
PROGRAMS: dict[str, tuple[str, int, int]] = {
    "sys.exit in a call": ("try: leaves(MESSAGES)\n    finally: os._exit(0)", HELD, 0),
    "sys.exit in the body of a loop": (
        "try:\n        for _ in stream(MESSAGES): sys.exit(3)\n    except SystemExit: pass",
        INPUT + GPT_4O_OUT,
        0,
    ),
    "sys.exit in a thread's call": (
        "t = threading.Thread(target=leaves, args=(MESSAGES,)); t.start(); t.join()",
        HELD,
        0,
    ),
    "sys.exit in a hook": (
        "with budget('alice', limit=1, on_event=lambda e: e.kind == 'settled' and sys.exit(3)):\n"
        "        try: budgeted()(lambda messages, model, max_tokens: reply())(MESSAGES, 'gpt-4o', 50)\n"
        "        except SystemExit: pass",
        CALL,
        0,
    ),
    "streams that are open at the exit": (
        "a, b = stream(MESSAGES), stream(MESSAGES); next(a); next(b)",
        2 * (INPUT + GPT_4O_OUT),
        0,
    ),
    "a daemon thread in a call at the exit": (
        "threading.Thread(target=stays, args=(MESSAGES,), daemon=True).start(); inside.wait()",
        0,
        HELD,
    ),
    "os._exit in a call": (
        "threading.Thread(target=stays, args=(MESSAGES,)).start(); inside.wait(); os._exit(0)",
        0,
        HELD,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_r6_a_program_that_ends_in_mid_call(name: str, tmp_path: Path) -> None:
    code, at_once, at_its_term = PROGRAMS[name]
    path = str(tmp_path / "budgets.db")
    python(SETUP.format(path=path) + "\n    " + code + "\n", HOME=str(tmp_path))
    now = system_clock()
    file = SQLiteStore(path, clock=lambda: now)
    assert books(file, "alice") == (at_once, at_its_term)
    now += 16 * 60_000_000
    file.sweep()
    assert books(file, "alice") == (at_once + at_its_term, 0)
    file.close()


def test_r6_a_process_that_dies_with_a_stream_that_was_given_more(tmp_path: Path) -> None:
    path = str(tmp_path / "budgets.db")
    code = "it = uncapped(MESSAGES); next(it); next(it); os._exit(0)"
    python(SETUP.format(path=path) + "\n    " + code + "\n", HOME=str(tmp_path))
    now = system_clock()
    file = SQLiteStore(path, clock=lambda: now)
    holds = list(file.holds())
    assert {hold.hold_id.partition("+")[2] for hold in holds} == {"", "1"}
    now += 16 * 60_000_000
    file.sweep()
    spent, held = books(file, "alice")
    assert held == 0
    assert spent == sum(entry.amount for entry in lines(file, "alice"))
    assert INPUT + 6_000 * GPT_4O_OUT <= spent <= sum(hold.amount for hold in holds)
    assert all(entry.unconfirmed for entry in lines(file, "alice"))
    file.close()
