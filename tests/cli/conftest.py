"""A place of their own for tests of the command line, and a store in which much has happened."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

import pytest

from allowance.cli import main
from allowance.ledger.names import account_key
from allowance.ledger.records import Ask, Declaration, Grant, Posting, Scope
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.cli.terminal import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from allowance.ledger.records import AccountKey
    from allowance.stores.base import Store

MINUTE = 60_000_000
DAY = 1440 * MINUTE
DOLLAR = 1_000_000_000

OPEN = "5a0b74c1b8a2f9d3aaaaaaaaaaaa"
EXPIRED = "5a0b74c1b8a2f9d3bbbbbbbbbbbb"
ENDED = "5a0b74c1b8a2f9d3cccccccccccc"
LONG = "a user whose name is longer than the column of any table should ever have to be"
WIDE = "日本語のユーザー名"


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the many runs of the program keep what was compiled: elsewhere they might not be let."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(autouse=True)
def terminal_that_can_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs the tests: on a dumb terminal nothing is drawn in place."""
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def env(tmp_path: Path, bytecode: Path) -> dict[str, str]:
    """An environment in which nothing of this machine's user is found, or written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALLOWANCE_", "XDG_"))}
    for name in (
        "NO_COLOR",
        "COLUMNS",
        "LINES",
        "FORCE_COLOR",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    ):
        kept.pop(name, None)
    return {
        **kept,
        "HOME": str(tmp_path / "home"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "TERM": "xterm",
        "TZ": "Europe/Berlin",
    }


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store in use, closed: to be copied."""
    path = tmp_path_factory.mktemp("store") / "filled.db"
    store = fill(lambda clock: SQLiteStore(path, clock=clock))
    store.close()
    return path


@pytest.fixture
def busy(tmp_path: Path, filled: Path, env: dict[str, str]) -> dict[str, str]:
    """An environment whose store has budgets of all sorts in use."""
    path = tmp_path / "busy.db"
    shutil.copy(filled, path)
    return {**env, "ALLOWANCE_STORE": f"sqlite:///{path}"}


class InProcess:
    """Runs commands in this process, on the store in use: quicker, where nothing else counts."""

    def __init__(self, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self.environment = environment
        self._capsys = capsys

    def __call__(self, *words: str, store: Store | None = None) -> Done:
        self._capsys.readouterr()
        code = main(words, store=store)
        printed = self._capsys.readouterr()
        return Done(code, printed.out, printed.err)


@pytest.fixture
def here(
    busy: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> InProcess:
    """Runs commands in this process, on the store in use."""
    for name in ("COLUMNS", "NO_COLOR", "ALLOWANCE_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_STATE_HOME", "ALLOWANCE_STORE"):
        monkeypatch.setenv(name, busy[name])
    return InProcess(busy, capsys)


def key(name: str, label: str = "", *, kind: str = "user", project: str = "default") -> AccountKey:
    return account_key(project, kind, name)._replace(label=label)


class History:
    """Makes budgets and calls in a store, at times of its own."""

    def __init__(self, make: Callable[[Callable[[], int]], Store]) -> None:
        # So long ago that every window that is in force now began days or hours ago, whenever it is run.
        self.now = time.time_ns() // 1000 - 45 * DAY - 12 * 60 * MINUTE
        self.store = make(lambda: self.now)

    def budget(self, whose: AccountKey, limit: float | None, **terms: object) -> None:
        nanos = None if limit is None else round(limit * DOLLAR)
        self.store.define(whose, Declaration(limit=nanos, creates=True, **terms))  # type: ignore[arg-type]

    def call(
        self, hold_id: str, whose: AccountKey, amount: float, model: str | None, *, settle: bool = True
    ) -> None:
        nanos = round(amount * DOLLAR)
        ask = Ask(
            hold_id=hold_id,
            scopes=(Scope(whose),),
            floor=nanos,
            amount=nanos,
            ceiling=nanos,
            expected=nanos,
            bounded=True,
            ttl=15 * MINUTE if hold_id != OPEN else DAY,  # it is to be open however long the tests take
            model=model,
            tags=("batch",),
            owner="worker-3:4711",
        )
        assert isinstance(self.store.reserve(ask), Grant)
        if settle:
            self.store.settle(Posting(hold_id, nanos, model=model, input_tokens=1200, output_tokens=300))

    def at(self, ago: int) -> None:
        """Go on to a moment so long before now."""
        self.now = max(self.now, time.time_ns() // 1000 - ago)


def fill(make: Callable[[Callable[[], int]], Store]) -> Store:
    """A store in use: open calls, one that was charged at its term, top-ups, labels, closed windows."""
    history = History(make)
    alice, red = key("alice"), key("red", kind="team")
    history.budget(alice, 5, duration="monthly")
    history.budget(key("alice", "day"), 1, duration="daily")
    history.budget(key("alice", "gpt-4o*"), 2, duration="monthly", models=("gpt-4o*",))
    history.budget(key("bob"), None)
    history.budget(key("carol"), 10)
    history.budget(key("dave"), 0, duration="daily", align="calendar", timezone="Europe/Berlin")
    history.budget(red, 50, duration="weekly", uncapped="refuse")
    history.budget(key(LONG), 12_345, duration="yearly")
    history.budget(key(WIDE), 3, duration="weekly")
    history.budget(key("zed", project="billing"), 3)
    for day in range(40, 2, -1):
        history.at(day * DAY)
        history.call(f"gpt-{day}", alice, 0.0301, "gpt-4o")
        history.call(f"claude-{day}", alice, 0.012345678, "claude-sonnet-4-5")
        history.call(f"red-{day}", red, 1.1, "gpt-4.1")
        history.call(f"bob-{day}", key("bob"), 0.21, "gpt-4o-mini")
    history.at(2 * DAY)
    history.call(ENDED, key("carol"), 9.5, "gpt-4o")
    history.call("long", key(LONG), 11_000.123456789, "o3")
    history.at(60 * MINUTE)
    history.call(EXPIRED, alice, 0.15, "gpt-4o", settle=False)
    history.at(30 * MINUTE)
    history.store.sweep()
    history.at(MINUTE)
    history.call(OPEN, alice, 0.22, "gpt-4o", settle=False)
    history.store.extend(alice, 2 * DOLLAR, reason="demo on Friday")
    history.at(0)
    return history.store


@pytest.fixture
def memory() -> Iterator[MemoryStore]:
    """The same in memory."""
    store = fill(lambda clock: MemoryStore(clock=clock))
    assert isinstance(store, MemoryStore)
    yield store
    store.close()
