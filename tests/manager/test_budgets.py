"""Budgets and their terms: made, declared, changed by an operator, topped up, adjusted, removed."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from allowance import BudgetExceededError, BudgetManager, ConfigurationError, UnknownUserError
from allowance.ledger.records import Ask, Scope
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, HELD, Clock, reply, usd

DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(clock: Clock) -> BudgetManager:
    return BudgetManager("shop", store=MemoryStore(clock=clock))


def ask(manager: BudgetManager, user: str = "alice", **terms: Any) -> Any:
    """A decorated call that holds HELD and costs CALL."""
    return manager.budgeted(user=user, **terms)(lambda **kwargs: reply())(**CHAT)


def at(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now / 1_000_000, UTC)


# -- making ------------------------------------------------------------------------------------------------


def test_a_record_has_litellms_keys_in_its_units(manager: BudgetManager, clock: Clock) -> None:
    now = clock.now / 1_000_000
    assert manager.create_budget(10, "a") == {"total_budget": 10.0}
    for duration, days in (
        *(("daily", 1), ("weekly", 7), ("monthly", 28), ("yearly", 365)),
        *(("12h", 0.5), ("3d", 3), ("2w", 14), ("2mo", 56), ("1y", 365), ("90s", 90 / DAY)),
    ):
        record = manager.create_budget(10, duration, duration)
        assert record == {
            "total_budget": 10.0,
            "duration": days,
            "created_at": now,
            "last_updated_at": now,
        }
    assert all(type(record["total_budget"]) is float for record in manager.user_dict.values())


def test_months_are_months(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "monthly", "2027-01-01T00:00:00Z")
    [budget] = manager.status("alice")
    assert (budget.window_start, budget.resets_at) == (
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2027, 2, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "created_at",
    [1_799_996_400, 1_799_996_400.0, "2027-01-15T07:00:00Z", datetime(2027, 1, 15, 7, tzinfo=UTC)],
    ids=repr,
)
def test_created_at_is_where_windows_repeat_from(manager: BudgetManager, created_at: Any) -> None:
    record = manager.create_budget(10, "alice", "daily", created_at)
    assert record["created_at"] == record["last_updated_at"] == 1_799_996_400
    again = manager.create_budget(10, "alice", "daily", 1_700_000_000)
    assert again["created_at"] == 1_799_996_400  # only when it is made


def test_a_window_that_is_long_over_has_turned(manager: BudgetManager, clock: Clock) -> None:
    record = manager.create_budget(10, "alice", "daily", clock.now / 1_000_000 - 1000.5 * DAY)
    assert record["last_updated_at"] == clock.now / 1_000_000 - 0.5 * DAY
    assert record["created_at"] == clock.now / 1_000_000 - 1000.5 * DAY


def test_without_a_limit_it_only_counts_and_the_documented_check_passes(manager: BudgetManager) -> None:
    record = manager.create_budget(None, "alice")
    assert record["total_budget"] == manager.get_total_budget("alice") == math.inf
    manager.update_cost("alice", reply())
    assert manager.get_current_cost("alice") <= manager.get_total_budget("alice")
    assert manager.remaining("alice") is None
    [budget] = manager.status("alice")
    assert (budget.limit, budget.base_limit, budget.remaining) == (None, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"total_budget": bad} for bad in (-1, math.nan, math.inf, True, "much", [], 10**10)),
        *({"duration": bad} for bad in ("10dogs", "30days", "hourly", "0d", "", "Daily", 5)),
        *(
            {"created_at": bad}
            for bad in ("yesterday", math.nan, math.inf, -1, True, [], 10**12, 10**400, 1_900_000_000)
        ),
        *({"user": bad} for bad in ("", " ", None, True, 1.5, [], "a\x00b", "x" * 600)),
        *({"align": "sometimes"}, {"timezone": "Mars/Olympus"}, {"uncapped": "maybe"}),
        *({"models": ()}, {"models": 5}, {"models": "gpt*", "label": " "}, {"kind": "deleted"}, {"kind": ""}),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_makes_nothing(arguments: Any, manager: BudgetManager) -> None:
    given = {"total_budget": 1, "user": "alice", "duration": "daily", **arguments}
    with pytest.raises(ConfigurationError) as refused:
        manager.create_budget(**given)
    assert isinstance(refused.value, ValueError)
    assert list(manager.statuses()) == []


def test_an_int_is_its_digits(manager: BudgetManager) -> None:
    manager.create_budget(10, 7)
    assert manager.get_users() == ["7"]
    assert manager.is_valid_user(7)
    assert manager.is_valid_user("7")
    assert not manager.is_valid_user(8)


def test_names_that_look_the_same_are_the_same(manager: BudgetManager) -> None:
    manager.create_budget(10, "café")
    assert manager.is_valid_user("cafe\u0301")


# -- terms change, spend stays -----------------------------------------------------------------------------


def test_r9_creating_again_changes_terms_and_keeps_what_was_spent(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily")
    manager.update_cost("alice", reply())
    for limit, duration in ((20, "monthly"), (5, None), (0, "12h")):
        record = manager.create_budget(limit, "alice", duration)
        assert record["total_budget"] == limit
        assert record["current_cost"] == float(usd(CALL))
        assert manager.status("alice")[0].duration == duration
    assert manager.audit() == []


def test_what_an_operator_changed_stays_until_code_declares_something_else(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily")
    manager.set_budget("alice", 50, duration="weekly")
    for _ in range(2):
        assert manager.create_budget(10, "alice", "daily")["total_budget"] == 50
    assert manager.status("alice")[0].duration == "weekly"
    assert manager.create_budget(11, "alice", "daily")["total_budget"] == 11


def test_set_budget_changes_only_what_is_given(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily", align="calendar", timezone="Europe/Berlin", uncapped="refuse")
    manager.update_cost("alice", reply())
    before = manager.status("alice")[0]
    after = manager.set_budget("alice", 20)
    assert after.limit == after.base_limit == 20
    for name in ("duration", "align", "timezone", "uncapped", "spent", "window_start", "created_at"):
        assert getattr(after, name) == getattr(before, name)
    assert manager.set_budget("alice", duration="forever").duration is None
    assert manager.set_budget("alice", None).limit is None
    assert manager.set_budget("alice", uncapped="clamp").uncapped == "clamp"
    assert manager.status("alice")[0].spent == usd(CALL)


def test_set_budget_makes_a_budget_only_with_a_limit(manager: BudgetManager) -> None:
    with pytest.raises(UnknownUserError):
        manager.set_budget("alice", duration="daily")
    assert manager.set_budget("alice", None).limit is None
    with pytest.raises(ConfigurationError, match="nothing"):
        manager.set_budget("alice")


# -- several budgets of one user ---------------------------------------------------------------------------


def test_so_much_a_day_and_so_much_a_month(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(usd(HELD), "alice", "daily")
    manager.create_budget(usd(HELD + CALL), "alice", "monthly", label="month")
    ask(manager)
    with pytest.raises(BudgetExceededError):
        ask(manager)  # the day's
    clock.forward(days=1)
    ask(manager)
    clock.forward(days=1)
    with pytest.raises(BudgetExceededError) as refused:
        ask(manager)  # the month's
    assert refused.value.spent == usd(2 * CALL)
    assert [(budget.label, budget.spent) for budget in manager.status("alice")] == [
        ("", 0),
        ("month", usd(2 * CALL)),
    ]


def test_a_budget_for_some_models(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    manager.create_budget(0, "alice", models=("gpt-4o*", "o3*"))
    assert [(budget.label, budget.models) for budget in manager.status("alice")] == [
        ("", ()),
        ("gpt-4o*,o3*", ("gpt-4o*", "o3*")),
    ]
    with pytest.raises(BudgetExceededError):
        ask(manager)
    assert manager.remaining("alice") == manager.remaining("alice", model="claude-sonnet-4-5") == 1
    assert manager.remaining("alice", model="openai/GPT-4o-mini") == 0


def test_remaining_is_the_least(manager: BudgetManager) -> None:
    manager.create_budget(3, "alice")
    manager.set_budget("alice", 2, label="month", duration="monthly")
    manager.set_budget("alice", None, label="count")
    assert manager.remaining("alice") == 2


# -- top-ups, adjustments, resets --------------------------------------------------------------------------


def test_a_top_up_lasts_to_the_end_of_the_window(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice", "daily")
    after = manager.add_budget("alice", "2.50", reason="a long night")
    assert (after.limit, after.base_limit, after.extra) == (Decimal("12.5"), 10, Decimal("2.5"))
    [top_up] = after.top_ups
    assert (top_up.amount, top_up.until) == (Decimal("2.5"), after.resets_at)
    assert manager.get_total_budget("alice") == manager.user_dict["alice"]["total_budget"] == 12.5
    assert manager.create_budget(10, "alice", "daily")["total_budget"] == 12.5
    assert [entry.reason for entry in manager.entries("alice")] == [
        f"top-up of $2.50 until {after.resets_at:%Y-%m-%dT%H:%M:%SZ}: a long night"
    ]
    clock.forward(days=1)
    assert manager.status("alice")[0].limit == 10


def test_a_top_up_until_a_time(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice", "monthly")
    manager.add_budget("alice", 1, until=at(clock) + timedelta(days=3))
    manager.add_budget("alice", 2, until=(at(clock) + timedelta(days=2)).isoformat())
    assert manager.status("alice")[0].limit == 13
    clock.forward(days=2)
    assert manager.status("alice")[0].limit == 11
    clock.forward(days=1)
    assert manager.status("alice")[0].limit == 10


def test_a_top_up_counts_once_under_its_id(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    for _ in range(3):
        manager.add_budget("alice", 1, adjustment_id="invoice 7")
    assert manager.status("alice")[0].limit == 11


@pytest.mark.parametrize("amount", [0, -1, "-1", math.nan, math.inf, True, "much", None])
def test_what_is_no_top_up(amount: Any, manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    with pytest.raises(ConfigurationError):
        manager.add_budget("alice", amount)
    assert manager.status("alice")[0].limit == 10


def test_a_top_up_that_is_over_or_has_nothing_to_add_to(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    manager.create_budget(None, "bob")
    with pytest.raises(ConfigurationError):
        manager.add_budget("alice", 1, until="2020-01-01")
    with pytest.raises(ConfigurationError):
        manager.add_budget("bob", 1)
    with pytest.raises(UnknownUserError):
        manager.add_budget("carol", 1)


def test_adjusting_by_hand(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    assert manager.adjust("alice", 3, reason="a call elsewhere").spent == 3
    assert manager.adjust("alice", "-1.5", reason="a refund").spent == Decimal("1.5")
    assert manager.adjust("alice", -0.5, reason="another").spent == 1
    assert manager.adjust("alice", Decimal("-0.25"), reason="another").spent == Decimal("0.75")
    assert manager.adjust("alice", -5, reason="too much").spent == 0
    for _ in range(2):
        assert manager.adjust("alice", 1, reason="once", adjustment_id="x").spent == 1
    assert [entry.reason for entry in manager.entries("alice")][:2] == ["a call elsewhere", "a refund"]
    assert manager.audit() == []


@pytest.mark.parametrize("amount", [math.nan, -math.inf, Decimal("NaN"), "--1", "-", True, None, [], 10**10])
def test_what_is_no_adjustment(amount: Any, manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    with pytest.raises(ConfigurationError):
        manager.adjust("alice", amount, reason="test")
    assert manager.status("alice")[0].spent == 0


def test_a_reset_is_a_line_in_the_ledger(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily")
    manager.set_budget("alice", 100, label="month", duration="monthly")
    manager.update_cost("alice", reply())
    record = manager.reset_cost("alice", reason="a gift")["user"]
    assert (record["current_cost"], record["model_cost"]) == (0.0, {})
    assert [budget.spent for budget in manager.status("alice")] == [0, 0]
    assert [(entry.amount, entry.reason) for entry in manager.entries("alice")] == [
        (CALL, ""),
        (-CALL, "a gift"),
    ]
    assert manager.audit() == []


def test_one_budget_is_reset_by_its_label(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily")
    manager.set_budget("alice", 100, label="month", duration="monthly")
    manager.update_cost("alice", reply())
    manager.reset_cost("alice", label="month")
    assert [budget.spent for budget in manager.status("alice")] == [usd(CALL), 0]


def test_windows_turn_by_themselves(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice", "daily")
    manager.update_cost("alice", reply())
    clock.forward(days=1)
    assert manager.get_current_cost("alice") == 0
    assert manager.get_model_cost("alice") == {}
    assert "current_cost" not in manager.user_dict["alice"]
    assert manager.reset_on_duration("alice") is None
    assert manager.update_budget_all_users() is None
    assert manager.reset_on_duration(manager.create_budget(1, "bob") and "bob") is None


def test_r6_the_daily_job_charges_what_expired(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice")
    scopes = (Scope(manager._key("alice")),)
    manager.store.reserve(Ask("one", scopes, CALL, CALL, CALL, CALL, True, 1_000_000))
    clock.forward(minutes=1)
    manager.update_budget_all_users()
    [hold] = manager.holds()
    assert (hold.state, hold.unconfirmed, hold.charged) == ("expired", True, usd(CALL))


# -- holds -------------------------------------------------------------------------------------------------


def test_holds_are_listed_and_let_go(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice")
    manager.set_budget("alice", 10, label="month")
    manager.create_budget(10, "bob")
    for number, user in enumerate(("alice", "bob")):
        scopes = (Scope(manager._key(user)),)
        amounts = (CALL, CALL, CALL, CALL // 2)
        manager.store.reserve(
            Ask(f"call {number}", scopes, *amounts, True, 60_000_000, None, "gpt-4o", ("night",), "host:7")
        )
    [found] = manager.holds("alice")
    assert found.budgets == (("user", "alice", ""), ("user", "alice", "month"))
    assert (found.call_id, found.user, found.kind, found.project) == ("call 0", "alice", "user", "shop")
    assert (found.model, found.tags, found.owner, found.bound) == ("gpt-4o", ("night",), "host:7", True)
    assert (found.amount, found.expected, found.charged) == (usd(CALL), usd(CALL // 2), 0)
    assert (found.reserved_at, found.expires_at) == (at(clock), at(clock) + timedelta(minutes=1))
    assert [hold.user for hold in manager.holds()] == ["alice", "bob"]
    released = manager.release("call 0", reason="it hung")
    assert released is not None
    assert released.state == "released"
    assert manager.holds("alice") == []
    assert manager.release("call 0") is None
    assert manager.release("no such call") is None
    with pytest.raises(UnknownUserError):
        manager.holds("nobody")


def test_letting_an_expired_hold_go_gives_its_charge_back(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice")
    scopes = (Scope(manager._key("alice")),)
    manager.store.reserve(Ask("one", scopes, CALL, CALL, CALL, CALL, True, 1_000_000))
    clock.forward(minutes=1)
    assert manager.get_current_cost("alice") == float(usd(CALL))
    manager.release("one")
    assert manager.get_current_cost("alice") == 0
    assert manager.audit() == []


# -- removal, and other projects ---------------------------------------------------------------------------


def test_a_removed_user_is_gone_and_the_name_is_free(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    manager.set_budget("alice", 20, label="month")
    manager.update_cost("alice", reply())
    removed = manager.delete_user("alice")
    assert [(budget.label, budget.spent) for budget in removed] == [("", usd(CALL)), ("month", usd(CALL))]
    assert not manager.is_valid_user("alice")
    assert manager.get_users() == []
    assert list(manager.statuses()) == []
    with pytest.raises(UnknownUserError):
        manager.delete_user("alice")
    assert manager.create_budget(5, "alice") == {"total_budget": 5.0}
    assert manager.audit() == []


def test_one_budget_of_a_user_is_removed_by_its_label(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    manager.set_budget("alice", 20, label="month")
    [removed] = manager.delete_user("alice", label="month")
    assert removed.label == "month"
    assert [budget.label for budget in manager.status("alice")] == [""]


def test_two_projects_of_one_store_never_see_each_others_users(manager: BudgetManager, clock: Clock) -> None:
    other = BudgetManager("another", store=manager.store)
    manager.create_budget(10, "alice")
    manager.create_budget(10, "bob", kind="team")
    manager.update_cost("alice", reply())
    scopes = (Scope(manager._key("alice")),)
    manager.store.reserve(Ask("one", scopes, CALL, CALL, CALL, CALL, True, 60_000_000))
    manager.delete_user("bob", kind="team")
    assert other.get_users() == []
    assert other.user_dict == other.export_user_cost() == {}
    assert list(other.statuses()) == list(other.entries()) == other.holds() == []
    assert other.report("user") == []
    assert other.release("one") is None
    for question in (other.status, other.get_current_cost, other.history, other.explain, other.reset_cost):
        with pytest.raises(UnknownUserError, match="'shop'"):
            question("alice")
    other.create_budget(1, "alice")
    assert (manager.get_total_budget("alice"), other.get_total_budget("alice")) == (10, 1)


def test_statuses_are_those_of_the_project_in_order(manager: BudgetManager) -> None:
    manager.create_budget(1, "b")
    manager.create_budget(1, "a")
    manager.set_budget("a", 1, label="z")
    manager.create_budget(1, "red", kind="team")
    manager.delete_user("b")
    found = [(budget.kind, budget.user, budget.label) for budget in manager.statuses()]
    assert found == [("team", "red", ""), ("user", "a", ""), ("user", "a", "z")]
    assert [budget.user for budget in manager.statuses(kind="team")] == ["red"]
    assert manager.get_users() == ["a"]  # as LiteLLM: users


# -- records as JSON ---------------------------------------------------------------------------------------


def test_records_are_ready_for_json(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget("0.30", "alice", "daily", models=("gpt*",), label="x")
    manager.add_budget("alice", "0.000000001", label="x")
    budget = manager.status("alice")[0].as_dict()
    assert json.loads(json.dumps(budget)) == budget
    assert (budget["limit"], budget["extra"], budget["spent"]) == ("0.300000001", "0.000000001", "0")
    assert budget["models"] == ["gpt*"]
    assert budget["window_start"] == at(clock).isoformat()
    manager.create_budget(10, "alice")
    manager.update_cost("alice", reply())
    for record in (manager.explain("alice", **CHAT), *manager.history("alice"), *manager.report("model")):
        plain = record.as_dict()
        assert json.loads(json.dumps(plain)) == plain
    assert manager.history("alice")[0].as_dict()["by_model"] == {"gpt-4o": "0.000075"}
