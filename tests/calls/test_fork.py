"""A fork in mid-call: the parent's calls stay the parent's; the child's own are charged too. Each once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allowance.stores.memory import system_clock
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import CALL, HELD, books, key, lines, python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

TERM = 15 * 60_000_000

SETUP = """
    import os, sys
    import allowance
    from allowance import budget, budgeted
    from tests.calls.support import CHAT, MESSAGES, reply

    allowance.configure(store="sqlite:///" + {path!r}, project="tests")
    parent = os.getpid()

    def once(messages, model="gpt-4o", max_tokens=50):
        return reply()

    def leave(pid, way):
        if pid:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (way == "fails") * 1
            return reply()
        if way == "makes a call":
            budgeted()(once)(MESSAGES)
        elif way == "fails":
            sys.stderr = open(os.devnull, "w")
            raise LookupError("the child's own")
        elif way == "leaves":
            sys.exit(0)
        elif way == "drops out":
            os._exit(0)
        return reply(out=7)  # another answer than the parent's

    def each_way(call):
        for way in {ways!r}:
            call(way)
            if os.getpid() != parent:
                sys.exit(0)
"""

WAYS = {"returns": 0, "makes a call": 1, "fails": 0, "leaves": 0, "drops out": 0}
"""How the child goes on, and how many calls of its own it makes."""

CALLS = {
    "a decorated function": """
    @budgeted(user=lambda messages, way: way, limit=1, model="gpt-4o")
    def ask(messages, way):
        return leave(os.fork(), way)

    each_way(lambda way: ask(MESSAGES, way))
    """,
    "a scope": """
    @budgeted(user=lambda way: way, limit=1)
    def ask(way):
        return leave(os.fork(), way)

    each_way(ask)
    """,
    "a decorated function in another": """
    @budgeted(user=lambda messages, way: way, limit=1, model="gpt-4o")
    def outer(messages, way):
        return budgeted()(lambda messages, model, max_tokens: leave(os.fork(), way))(messages, "gpt-4o", 50)

    each_way(lambda way: outer(MESSAGES, way))
    """,
    "a generator": """
    @budgeted(user=lambda messages, way: way, limit=1, model="gpt-4o")
    def ask(messages, way):
        yield leave(os.fork(), way)

    each_way(lambda way: list(ask(MESSAGES, way)))
    """,
}


@pytest.mark.parametrize("call", CALLS)
def test_r13_a_fork_in_mid_call_charges_it_once(call: str, tmp_path: Path) -> None:
    path = str(tmp_path / "budgets.db")
    python(SETUP.format(path=path, ways=tuple(WAYS)) + CALLS[call], HOME=str(tmp_path))
    file = SQLiteStore(path)
    for way, own in WAYS.items():
        assert books(file, way) == ((1 + own) * CALL, 0)
        assert [entry.amount for entry in lines(file, way)] == [CALL] * (1 + own)
        # Each under its own hold: the child's call did not take over the parent's.
        assert not [entry for entry in lines(file, way) if str(entry.hold_id).endswith("-paid")]
    file.close()


def test_r13_a_call_of_a_forked_child_that_dies_is_charged_at_its_term(tmp_path: Path) -> None:
    path = str(tmp_path / "budgets.db")
    code = (
        SETUP.format(path=path, ways=())
        + """
    @budgeted(user="alice", limit=1)
    def ask(messages, model="gpt-4o", max_tokens=50):
        os._exit(0) if os.getpid() != parent else None

    with budget("alice", limit=1):
        pid = os.fork()
        if not pid:
            ask(MESSAGES)
        os.waitpid(pid, 0)
        budgeted()(once)(MESSAGES)
    """
    )
    python(code, HOME=str(tmp_path))
    now = system_clock()
    file = SQLiteStore(path, clock=lambda: now)
    assert books(file, "alice") == (CALL, HELD)
    now += TERM
    assert file.account(key("alice")) is not None
    assert books(file, "alice") == (CALL + HELD, 0)
    assert [entry.unconfirmed for entry in lines(file, "alice")] == [False, True]
    file.close()


def test_r13_an_open_stream_at_a_fork_is_charged_once(tmp_path: Path) -> None:
    path = str(tmp_path / "budgets.db")
    code = (
        SETUP.format(path=path, ways=())
        + """
    @budgeted(user="alice", limit=1)
    def ask(messages, model="gpt-4o", max_tokens=50):
        yield {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}
        yield reply()

    open_still, read, closed, dropped = (ask(MESSAGES) for _ in range(4))
    for stream in (open_still, read, closed, dropped):
        next(stream)
    pid = os.fork()
    if not pid:
        list(read)
        closed.close()
        del dropped
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for stream in (open_still, read, closed, dropped):
        list(stream)
    """
    )
    python(code, HOME=str(tmp_path))
    file = SQLiteStore(path)
    assert [entry.amount for entry in lines(file, "alice")] == [CALL] * 4
    assert books(file, "alice") == (4 * CALL, 0)
    file.close()


def test_r13_a_child_is_not_held_up_by_threads_that_it_has_not(tmp_path: Path) -> None:
    path = str(tmp_path / "budgets.db")
    code = (
        SETUP.format(path=path, ways=())
        + """
    import signal, threading
    from allowance.calls import books as rooms
    from allowance.calls.books import default_books

    books = default_books()
    inside, leave = threading.Event(), threading.Event()

    def busy():
        with books._lock, books.quoting._history._lock, rooms._default_lock:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=busy)
    thread.start()
    inside.wait()
    if not (pid := os.fork()):
        signal.alarm(20)  # instead of a hang
        budgeted(user="alice", limit=1)(once)(MESSAGES)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    leave.set()
    thread.join()
    """
    )
    python(code, HOME=str(tmp_path))
    file = SQLiteStore(path)
    assert books(file, "alice") == (CALL, 0)
    file.close()
