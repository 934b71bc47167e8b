"""Each test of calls begins with a configuration, a memory store and a process of nothing spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import allowance
from allowance import sdks
from allowance.calls import books, call, lifeline, process, ready
from allowance.calls.sdk_meter import SdkMeter
from allowance.calls.stack import replace_stack
from allowance.manager import configuring as manager
from allowance.stores.memory import MemoryStore
from tests.calls.support import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryStore]:
    """The store of the named budgets."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("STORE", "PROJECT", "MAX_BUDGET", "PRICES"):
        monkeypatch.delenv(f"ALLOWANCE_{name}", raising=False)
    monkeypatch.setattr(manager, "_given", {})
    monkeypatch.setattr(manager, "_store", None)
    monkeypatch.setattr(manager, "_quoting", None)
    monkeypatch.setattr(call, "_warned", False)
    made = MemoryStore()
    allowance.configure(store=made, project=PROJECT)
    _nothing_spent()
    replace_stack(())
    ready.prepare()
    sdks.instrument(SdkMeter())  # the SDKs' own tests put the original functions back
    yield made
    allowance.max_budget = None
    lifeline.drain()
    lifeline._lifeline.unwritten.clear()
    replace_stack(())
    books.set_default_books(manager._default_books)


def _nothing_spent() -> None:
    allowance.max_budget = None
    process.STORE._forked()
    process._after_fork()
    allowance.max_budget = None
