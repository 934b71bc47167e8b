"""Ctrl-C at every place of a call on a file where Python lets it in, and as a signal to another process."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import allowance
from allowance import budget, budgeted
from allowance.calls import lifeline
from allowance.calls.stack import replace_stack
from allowance.stores.memory import system_clock
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import CALL, MESSAGES, PROJECT, ROOT, Clock, books, lines, reply
from tests.provider import Provider


class CtrlC:
    """Raises KeyboardInterrupt at the place number ``at`` in our own code.

    Python handles signals where a function begins and where a call has returned, and nowhere else.
    """

    def __init__(self, at: int) -> None:
        self.left = at
        self.reached = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_return") and frame.f_globals.get("__name__", "").startswith("allowance."):
            if not self.left:
                self.reached = True
                sys.setprofile(None)
                raise KeyboardInterrupt
            self.left -= 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a __del__
def test_a_ctrl_c_at_every_place_of_a_call_on_a_file(tmp_path: Path) -> None:
    """Each user's one call is broken off at another place."""
    clock = Clock()
    file = SQLiteStore(tmp_path / "budgets.db", clock=clock)
    allowance.configure(store=file, project=PROJECT)
    ask = budgeted()(lambda messages, model, max_tokens: reply())
    with budget("first", limit=1):
        ask(MESSAGES, "gpt-4o", 50)  # what is loaded once is loaded
    for at in itertools.count():
        ctrl_c = CtrlC(at)
        sys.setprofile(ctrl_c)
        try:
            with budget(f"user {at}", limit=1):
                ask(MESSAGES, "gpt-4o", 50)
        except KeyboardInterrupt:
            assert ctrl_c.reached
        finally:
            sys.setprofile(None)
            replace_stack(())
        if not ctrl_c.reached:
            break
    assert at > 300
    with budget("next", limit=1):
        ask(MESSAGES, "gpt-4o", 50)
    lifeline.drain()
    assert books(file, "next") == (CALL, 0)
    clock.forward(minutes=16)
    file.sweep()
    assert file.audit() == []
    charged: Counter[str] = Counter()
    for account in file.accounts(PROJECT):
        entries = lines(file, account.key.name)
        assert account.held == 0
        assert len(entries) <= 1
        sure = entries and not entries[0].unconfirmed
        assert not sure or account.spent == CALL
        charged["once" if sure else "likely" if entries else "not"] += 1
    assert min(charged.values()) > 10
    file.close()
    lifeline._lifeline.renew()  # forgets those whose end was broken off
    assert not lifeline._lifeline.open


PROGRAM = """
    import os, sys, threading, time
    import allowance
    from allowance import budget
    from tests.calls.support import CHAT
    from tests.provider import clients
    import openai

    path, url = sys.argv[1:]
    allowance.configure(store="sqlite:///" + path, project="tests")
    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0,
                           http_client=openai.DefaultHttpxClient(trust_env=False))
    with budget("alice", limit=1):
        client.chat.completions.create(**CHAT)
    interrupted = 0
    with budget("alice", limit=1):
        print("ready", flush=True)
        while interrupted < 12:
            try:
                client.chat.completions.create(**CHAT)
                for _ in client.chat.completions.create(**CHAT, stream=True):
                    pass
            except KeyboardInterrupt:
                interrupted += 1
                print("interrupted", flush=True)
        client.chat.completions.create(**CHAT)  # the next one works
    client.close()
    print("done", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_a_ctrl_c_that_is_a_signal_in_the_midst_of_calls_over_http(
    provider: Provider, tmp_path: Path
) -> None:
    path = tmp_path / "budgets.db"
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), f"{provider.url}/v1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    for number in range(12):
        time.sleep(0.003 + number * 0.001)
        worker.send_signal(signal.SIGINT)
        while not select.select([worker.stdout], [], [], 5)[0]:
            worker.send_signal(signal.SIGINT)  # it came in a finalizer, where Python drops it
        assert worker.stdout.readline() == "interrupted\n"
    output, errors = worker.communicate(timeout=60)
    assert (output, worker.returncode) == ("done\n", 0), errors
    now = system_clock()
    file = SQLiteStore(path, clock=lambda: now)
    now += 16 * 60_000_000
    file.sweep()
    spent, held = books(file, "alice")
    assert held == 0
    entries = lines(file, "alice")
    assert len({entry.hold_id for entry in entries}) == len(entries) <= provider.count + 12
    assert spent >= CALL * sum(not entry.unconfirmed and not entry.counted for entry in entries)
    last = max(entries, key=lambda entry: entry.at)  # what went at its term was posted after it
    assert entries[0].amount == last.amount == CALL
    file.close()


class AlarmError(Exception):
    """What a program's own handler of a signal raises."""


def _alarm(*_: object) -> None:
    raise AlarmError


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_r12_what_a_signals_handler_raises_in_the_midst_of_a_settle_goes_through(tmp_path: Path) -> None:
    due = False

    def clock() -> int:
        nonlocal due
        if due:
            due = False
            signal.raise_signal(signal.SIGUSR1)
        return system_clock()

    def call(messages: Any, model: str, max_tokens: int) -> Any:
        nonlocal due
        due = True
        return reply()

    file = SQLiteStore(tmp_path / "budgets.db", clock=clock)
    allowance.configure(store=file, project=PROJECT)
    before = signal.signal(signal.SIGUSR1, _alarm)
    try:
        with pytest.raises(AlarmError):
            budgeted(user="alice", limit=1)(call)(MESSAGES, "gpt-4o", 50)
    finally:
        signal.signal(signal.SIGUSR1, before)
    lifeline.drain()
    assert books(file, "alice") == (CALL, 0)
    file.close()
