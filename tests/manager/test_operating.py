"""An operator's questions and changes, at their edges: other projects, removed budgets, ids given twice."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from allowance import BudgetManager, HoldConflictError, StoreUnavailableError, UnknownUserError
from allowance.ledger.records import Ask, Scope
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, Clock, Flaky, reply, usd


def test_a_project_is_the_same_however_its_name_is_written() -> None:
    store = MemoryStore()
    one, other = (BudgetManager(name, store=store) for name in ("cafe\u0301", "caf\u00e9"))
    one.create_budget(1, "alice")
    one.update_cost("alice", reply())
    for manager in (one, other):
        assert manager.get_users() == [budget.user for budget in manager.statuses()] == ["alice"]
        assert manager.user_dict == manager.export_user_cost() != {}
        assert manager.report("user")[0].spent == usd(CALL)
        assert len(list(manager.entries())) == 1


def test_the_label_of_the_main_budget_means_the_whole_user(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    manager.set_budget("alice", 5, label="month")
    assert [budget.label for budget in manager.delete_user("alice", label="")] == ["", "month"]
    assert list(manager.statuses()) == []


def test_a_user_with_labelled_budgets_alone_is_reset_too(manager: BudgetManager) -> None:
    manager.set_budget("alice", 5, label="month")
    manager.adjust("alice", 1, reason="x", label="month")
    assert manager.reset_cost("alice")["user"] == {"total_budget": 5.0, "current_cost": 0.0, "model_cost": {}}
    assert [budget.spent for budget in manager.status("alice")] == [0]


def test_lines_of_removed_budgets_are_the_projects_still(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    manager.update_cost("alice", reply())
    manager.delete_user("alice")
    assert [(entry.key.name, entry.amount) for entry in manager.entries()] == [("alice", CALL)]
    assert list(manager.entries("alice")) == []


def test_the_ledger_says_why_a_charge_was_given_back() -> None:
    clock = Clock()
    manager = BudgetManager("shop", store=MemoryStore(clock=clock))
    manager.create_budget(1, "alice")
    for name, reason in (("one", ""), ("other", "never sent")):
        manager.store.reserve(Ask(name, (Scope(manager._key("alice")),), CALL, CALL, CALL, CALL, True, 1))
        clock.forward(minutes=1)
        assert manager.release(name, reason=reason) is not None
    assert [entry.reason for entry in manager.entries("alice") if entry.amount < 0] == [
        "released by hand",
        "never sent",
    ]


@pytest.mark.parametrize("change", ["adjust", "add_budget"])
def test_r3_an_id_stands_for_one_change(change: str, manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    manager.adjust("alice", 1, reason="x", adjustment_id="one")
    before = manager.status("alice")
    with pytest.raises(HoldConflictError, match="'one'"):
        getattr(manager, change)("alice", 2, reason="x", adjustment_id="one")
    assert manager.status("alice") == before


@pytest.mark.parametrize("change", ["adjust", "add_budget", "reset_cost", "delete_user", "remaining"])
def test_strangers_are_unknown_to_each(change: str, manager: BudgetManager) -> None:
    amounts = {"adjust": (1,), "add_budget": (1,)}.get(change, ())
    reasons = {"reason": "x"} if change == "adjust" else {}
    for label in ("", "month"):
        given = reasons if change == "remaining" else {**reasons, "label": label}
        with pytest.raises(UnknownUserError):
            getattr(manager, change)("nobody", *amounts, **given)
    assert list(manager.statuses()) == []


def test_a_budget_for_good_was_made_when_it_was_made(manager: BudgetManager) -> None:
    """Without windows there is nothing that could repeat from ``created_at``."""
    clock = Clock()
    here = BudgetManager("shop", store=MemoryStore(clock=clock))
    assert "created_at" not in here.create_budget(1, "alice", None, "2020-01-01")
    assert here.status("alice")[0].created_at.timestamp() == clock.now / 1_000_000


def test_an_import_whose_store_went_away_goes_on_with_the_next(tmp_path: Path) -> None:
    store = Flaky()
    manager = BudgetManager("shop", store=store)
    users = {
        name: {"total_budget": 1, "current_cost": 0.25, "model_cost": {"gpt-4": 0.25}} for name in "abcde"
    }
    path = tmp_path / "user_cost.json"
    path.write_text(json.dumps(users))
    store.down.add("settle")
    with pytest.raises(StoreUnavailableError):
        manager.import_user_cost(path)
    store.down.clear()
    manager.import_user_cost(path)
    assert {budget.user: budget.spent for budget in manager.statuses()} == dict.fromkeys(
        "abcde", Decimal("0.25")
    )


async def test_a_manager_is_closed_without_blocking_the_loop() -> None:
    manager = BudgetManager("shop", store="memory://")
    await manager.aclose()
    with pytest.raises(StoreUnavailableError):
        await manager.aget_users()
