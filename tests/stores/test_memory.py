"""What the memory store promises beyond the contract: bounded memory, and forks."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from allowance.errors import StoreUnavailableError
from allowance.ledger.records import AccountKey, Ask, Declaration, EntryKind, Grant, Posting, Scope
from allowance.stores import memory
from allowance.stores.contract import ManualClock
from allowance.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = AccountKey("p", "user", "n")
SCOPE = Scope(KEY, Declaration(limit=10**12, duration="1h", creates=True))
HOUR = 3_600_000_000


def in_child(work: Callable[[], bool]) -> bool:
    """Whether the work is true in a forked child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_old_entries_are_folded_and_still_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT_LINES", 10)
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    total = 0
    for number in range(200):
        if number % 15 == 0:
            clock.advance(HOUR)
        store.settle(Posting(f"h{number}", number, (SCOPE,), input_tokens=2, output_tokens=1))
        total += number
        assert store.audit() == []
    entries = list(store.entries(KEY))
    assert sum(entry.amount for entry in entries) == total
    assert sum(entry.input_tokens for entry in entries) == 400
    assert len(entries) <= 20
    assert entries[0].kind is EntryKind.CARRIED
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)
    assert [entry.hold_id for entry in entries[-10:]] == [f"h{number}" for number in range(190, 200)]


def test_a_sum_counts_where_its_newest_part_lies_so_that_no_spend_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "KEPT_LINES", 4)
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    store.define(KEY, Declaration(limit=1000, creates=True))
    for number in range(35):
        store.settle(Posting(f"h{number}", 1, (Scope(KEY),)))
        clock.advance(HOUR // 10)
    assert store.define(KEY, Declaration(duration="1h")).spent >= 5
    assert store.audit() == []
    assert store.define(KEY, Declaration(duration="forever")).spent == 35


def test_old_entries_are_folded_by_model_and_costs_still_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT_LINES", 10)
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    for number in range(300):
        if number % 40 == 0:
            clock.advance(HOUR)
        # Few models and more than are folded; late ones of windows that are over among them.
        model = f"m{number % 3 if number < 150 else number % 17}"
        at = clock.now - HOUR if number % 7 == 0 else None
        store.settle(Posting(f"h{number}", number, (SCOPE,), model, at=at))
        assert store.audit() == []
    entries = list(store.entries(KEY))
    assert sum(entry.amount for entry in entries) == sum(range(300))
    assert len(entries) <= 2 * 17 + 20
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)
    forever = store.define(KEY, Declaration(duration="forever", created_at=0))
    assert forever.spent == sum(range(300))
    expected: Counter[str | None] = Counter()
    for number in range(300):
        expected[f"m{number % 3 if number < 150 else number % 17}"] += number
    assert store.model_costs(KEY) == expected


def test_r2_an_audit_finds_costs_by_model_that_do_not_add_up() -> None:
    store = MemoryStore(clock=ManualClock())
    store.settle(Posting("a", 7, (SCOPE,), "gpt-4o"))
    store.settle(Posting("b", 5, (SCOPE,)))
    account = store.account(KEY)
    assert account is not None
    store._tables.keep_costs(account, {"gpt-4o": 8, None: 4})
    assert store.audit() == [
        f"p/user/n: the cost of {model} is kept as {kept} nano-dollars, "
        f"and adds up to {counted} in the window from {account.window_start}"
        for model, kept, counted in (("no model", 4, 5), ("'gpt-4o'", 8, 7))
    ]
    store._tables.keep_costs(account, {})
    assert len(store.audit()) == 2
    store._tables.keep_costs(account, {"gpt-4o": 7, None: 5, "free": 0})
    assert store.audit() == []


def test_a_family_is_found_by_its_name_and_forgotten_when_it_is_removed() -> None:
    store = MemoryStore(clock=ManualClock())
    labelled = [KEY._replace(label=label) for label in ("b", "a", "c")]
    for key in labelled:
        store.define(key, Declaration(limit=5, creates=True))
    assert [account.key.label for account in store.family(KEY)] == ["a", "b", "c"]
    store.remove(labelled[1])
    assert [account.key.label for account in store.family(labelled[2])] == ["b", "c"]
    store.remove(labelled[0])
    store.remove(labelled[2])
    assert store.family(KEY) == []
    assert KEY not in store._tables._labelled


def test_ids_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT_IDS", 10)
    store = MemoryStore(clock=ManualClock())
    ask = Ask("kept", (SCOPE,), 1, 1, 1, 1, True, HOUR)
    store.reserve(ask)
    for number in range(30):
        store.settle(Posting(f"h{number}", 1, (SCOPE,)))
        store.release(f"r{number}")
        store.adjust(KEY, 1, reason="x", adjustment_id=f"a{number}")
    assert not store.settle(Posting("h0", 1, (SCOPE,))).repeated
    assert store.settle(Posting("h29", 1, (SCOPE,))).repeated
    assert isinstance(store.reserve(ask), Grant)
    assert store.settle(Posting("kept", 1)).held == 1
    tables = store._tables
    assert (len(tables.holds), len(tables.adjustments)) == (10, 10)
    assert store.audit() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_r13_a_block_that_is_open_across_a_fork_fails_closed_in_the_child() -> None:
    store = MemoryStore()
    store.define(KEY, Declaration(limit=5, creates=True))

    def refused() -> bool:
        with pytest.raises(StoreUnavailableError, match="sqlite:///"):
            store.account(KEY)
        fresh = MemoryStore()
        fresh.define(KEY, Declaration(limit=5, creates=True))
        return fresh.account(KEY) is not None

    with store._lock:  # as if another thread had been inside at the fork
        assert in_child(refused)
    assert store.account(KEY) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_r13_a_store_that_counts_one_process_is_empty_in_the_child() -> None:
    store = MemoryStore(on_fork="empty")
    store.settle(Posting("a", 5, (SCOPE,)))

    def empty() -> bool:
        return store.account(KEY) is None and store.settle(Posting("a", 5, (SCOPE,))).posted == 5

    assert in_child(empty)
    account = store.account(KEY)
    assert account is not None
    assert account.spent == 5
