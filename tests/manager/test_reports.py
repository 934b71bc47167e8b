"""Windows that are over, and what was spent by user, model, day and tag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from allowance import BudgetManager, ConfigurationError, UnknownUserError
from allowance.ledger.records import Ask, Posting, Scope
from allowance.manager import reporting
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, SONNET_CALL, Clock, reply, usd

MORNING = datetime(2027, 1, 15, 8, tzinfo=UTC)
"""What `Clock` shows at first."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(clock: Clock) -> BudgetManager:
    return BudgetManager("shop", store=MemoryStore(clock=clock))


def spend(manager: BudgetManager, user: str, model: str = "gpt-4o", *tags: str, kind: str = "user") -> None:
    cost = {"gpt-4o": CALL, "claude-sonnet-4-5": SONNET_CALL}[model]
    spend.number += 1  # type: ignore[attr-defined]  # an id for each
    scopes = (Scope(manager._key(user, kind)),)
    manager.store.settle(Posting(f"{spend.number}", cost, scopes, model, 10, 5, tags=tags))  # type: ignore[attr-defined]


spend.number = 0  # type: ignore[attr-defined]


def expire(manager: BudgetManager, clock: Clock, user: str, hold_id: str) -> None:
    scopes = (Scope(manager._key(user)),)
    manager.store.reserve(Ask(hold_id, scopes, CALL, CALL, CALL, CALL, True, 1, model="gpt-4o"))
    clock.forward(minutes=1)
    manager.store.sweep()


# -- history ---------------------------------------------------------------------------------------------


def test_windows_that_are_over_stay_readable(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice", "daily")
    spend(manager, "alice")
    spend(manager, "alice", "claude-sonnet-4-5")
    clock.forward(days=2)
    spend(manager, "alice")
    clock.forward(days=1)
    closed, later, present = manager.history("alice")
    assert (closed.start, closed.end, closed.current) == (MORNING, MORNING + timedelta(days=1), False)
    assert closed.by_model == {"claude-sonnet-4-5": usd(SONNET_CALL), "gpt-4o": usd(CALL)}
    assert (closed.spent, closed.calls) == (usd(CALL + SONNET_CALL), 2)
    assert (closed.input_tokens, closed.output_tokens) == (20, 10)
    assert (later.start, later.spent) == (MORNING + timedelta(days=2), usd(CALL))
    assert (present.start, present.end) == (MORNING + timedelta(days=3), MORNING + timedelta(days=4))
    assert (present.current, present.spent, present.calls, present.by_model) == (True, 0, 0, {})


def test_a_budget_for_good_has_one_window_without_an_end(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice")
    spend(manager, "alice")
    clock.forward(days=400)
    [present] = manager.history("alice")
    assert (present.start, present.end, present.current) == (MORNING, None, True)
    assert present.spent == usd(CALL)


def test_the_present_window_shows_what_the_budget_shows_after_its_terms_changed(
    manager: BudgetManager, clock: Clock
) -> None:
    manager.create_budget(10, "alice", "daily")
    for _ in range(3):
        spend(manager, "alice")
        clock.forward(days=1)
    manager.set_budget("alice", duration="2d")
    *closed, present = manager.history("alice")
    assert present.spent == manager.status("alice")[0].spent == usd(CALL)
    assert [window.spent for window in closed] == [usd(CALL)] * 2
    assert closed[1].end is None  # a window of terms that are no more
    manager.set_budget("alice", duration="monthly")
    [present] = manager.history("alice")
    assert present.spent == manager.status("alice")[0].spent == usd(3 * CALL)


def test_windows_that_would_reach_back_before_all_calendars_have_no_end(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily", MORNING - timedelta(days=2))
    spend(manager, "alice")
    scopes = (Scope(manager._key("alice")),)
    long_ago = int((MORNING - timedelta(days=9)).timestamp()) * 1_000_000
    manager.store.settle(Posting("imported", CALL, scopes, "gpt-4o", at=long_ago))
    manager.set_budget("alice", duration="1000y")
    closed, present = manager.history("alice")
    assert (closed.spent, closed.end, present.spent) == (usd(CALL), None, usd(CALL))


def test_what_was_entered_by_hand_is_told_apart(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    spend(manager, "alice")
    manager.adjust("alice", 2, reason="test")
    [present] = manager.history("alice")
    assert (present.spent, present.adjusted, present.calls) == (2 + usd(CALL), Decimal(2), 1)
    assert present.by_model == {"": Decimal(2), "gpt-4o": usd(CALL)}
    manager.reset_cost("alice")
    [present] = manager.history("alice")
    assert (present.spent, present.adjusted) == (0, -usd(CALL))
    assert present.by_model == {}


def test_r6_what_nobody_could_tell_is_unconfirmed_until_word_comes(
    manager: BudgetManager, clock: Clock
) -> None:
    manager.create_budget(10, "alice")
    expire(manager, clock, "alice", "lost")
    expire(manager, clock, "alice", "late")
    [present] = manager.history("alice")
    assert (present.spent, present.unconfirmed, present.calls) == (usd(2 * CALL), usd(2 * CALL), 2)
    manager.store.settle(Posting("late", CALL // 3, (), "gpt-4o", 1, 2))
    [present] = manager.history("alice")
    assert (present.spent, present.unconfirmed) == (usd(CALL + CALL // 3), usd(CALL))
    assert (present.calls, present.input_tokens) == (2, 1)
    [row] = manager.report("user")
    assert (row.spent, row.unconfirmed, row.calls) == (usd(CALL + CALL // 3), usd(CALL), 2)
    manager.store.settle(Posting("guess", 7, (Scope(manager._key("alice")),), "gpt-4o", unconfirmed=True))
    assert manager.history("alice")[0].unconfirmed == usd(CALL + 7)
    spend(manager, "alice")  # and of this one everything is known
    manager.store.settle(Posting("lost", CALL + 5, (), "gpt-4o", unconfirmed=True))  # late, and still a guess
    [present] = manager.history("alice")
    assert (present.spent, present.unconfirmed) == (usd(2 * CALL + CALL // 3 + 12), usd(CALL + 12))
    expire(manager, clock, "alice", "never sent")
    manager.release("never sent")
    assert manager.history("alice")[0].unconfirmed == usd(CALL + 12)


def test_history_of_one_budget_of_several(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", "daily")
    manager.set_budget("alice", 10, models="claude*")
    spend(manager, "alice")
    spend(manager, "alice", "claude-sonnet-4-5")
    assert manager.history("alice", label="claude*")[0].spent == usd(SONNET_CALL)
    with pytest.raises(UnknownUserError):
        manager.history("alice", label="month")


# -- reports ---------------------------------------------------------------------------------------------


@pytest.fixture
def sold(manager: BudgetManager, clock: Clock) -> BudgetManager:
    """Two users, two models, two days, some tags; and what reports must not count, or not twice."""
    manager.create_budget(10, "alice", "daily")
    manager.set_budget("alice", 10, label="month", duration="monthly")
    manager.create_budget(10, "bob")
    manager.create_budget(10, "red", kind="team")
    spend(manager, "alice", "gpt-4o", "night", "search")
    spend(manager, "alice", "claude-sonnet-4-5", "night")
    spend(manager, "red", "gpt-4o", kind="team")
    clock.forward(days=1)
    spend(manager, "bob")
    manager.reset_cost("alice")
    manager.adjust("bob", 5, reason="not a call")
    BudgetManager("another", store=manager.store).create_budget(1, "alice")
    BudgetManager("another", store=manager.store).update_cost("alice", reply())
    return manager


def rows(found: Any) -> list[tuple[str, Decimal, int]]:
    return [(row.name, row.spent, row.calls) for row in found]


def test_by_user(sold: BudgetManager) -> None:
    assert rows(sold.report("user")) == [("alice", usd(CALL + SONNET_CALL), 2), ("bob", usd(CALL), 1)]
    assert rows(sold.report("user", kind="team")) == [("red", usd(CALL), 1)]


def test_by_model_the_dearest_first(sold: BudgetManager) -> None:
    assert rows(sold.report("model")) == [
        ("gpt-4o", usd(2 * CALL), 2),
        ("claude-sonnet-4-5", usd(SONNET_CALL), 1),
    ]
    [first, _] = sold.report("model")
    assert (first.input_tokens, first.output_tokens) == (20, 10)


def test_by_day_in_a_zone(sold: BudgetManager, clock: Clock) -> None:
    both = [("2027-01-15", usd(CALL + SONNET_CALL), 2), ("2027-01-16", usd(CALL), 1)]
    assert rows(sold.report("day")) == both
    clock.forward(minutes=15.5 * 60)  # 23:30 in London, and the next day in Berlin
    spend(sold, "bob")
    assert rows(sold.report("day"))[-1] == ("2027-01-16", usd(2 * CALL), 2)
    assert rows(sold.report("day", timezone="Europe/Berlin"))[-1] == ("2027-01-17", usd(CALL), 1)


def test_days_are_in_order_whatever_is_dearer(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(10, "alice")
    for model in ("gpt-4o", "claude-sonnet-4-5"):
        spend(manager, "alice", model)
        clock.forward(days=1)
    assert rows(manager.report("day")) == [
        ("2027-01-15", usd(CALL), 1),
        ("2027-01-16", usd(SONNET_CALL), 1),
    ]


def test_a_call_whose_model_nobody_knows_has_a_row(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    spend(manager, "alice")
    manager.store.settle(Posting("?", 7, (Scope(manager._key("alice")),)))
    assert rows(manager.report("model")) == [("gpt-4o", usd(CALL), 1), ("", usd(7), 1)]


def test_by_tag_a_call_counts_under_each(sold: BudgetManager) -> None:
    assert rows(sold.report("tag")) == [
        ("night", usd(CALL + SONNET_CALL), 2),
        ("", usd(CALL), 1),
        ("search", usd(CALL), 1),
    ]


def test_between_times(sold: BudgetManager) -> None:
    assert rows(sold.report("user", until="2027-01-16")) == [("alice", usd(CALL + SONNET_CALL), 2)]
    assert rows(sold.report("user", since="2027-01-16")) == [("bob", usd(CALL), 1)]
    assert rows(sold.report("user", since=MORNING, until=MORNING + timedelta(days=1))) == [
        ("alice", usd(CALL + SONNET_CALL), 2)
    ]
    # 8 o'clock in UTC is 9 in Berlin: a time without a zone is in the report's.
    assert rows(sold.report("user", since="2027-01-16T09:00", timezone="Europe/Berlin")) == [
        ("bob", usd(CALL), 1)
    ]
    assert sold.report("user", since="2027-01-16T09:01", timezone="Europe/Berlin") == []


def test_removed_users_count_under_the_name_they_had(sold: BudgetManager, clock: Clock) -> None:
    before = sold.report("user")
    sold.delete_user("alice")
    assert sold.report("user") == before
    sold.create_budget(1, "alice")
    spend(sold, "alice")
    assert rows(sold.report("user"))[0] == ("alice", usd(2 * CALL + SONNET_CALL), 3)
    sold.delete_user("alice")  # in the same second as before
    assert rows(sold.report("user"))[0] == ("alice", usd(2 * CALL + SONNET_CALL), 3)
    sold.delete_user("red", kind="team")
    assert rows(sold.report("user", kind="team")) == [("red", usd(CALL), 1)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"by": "colour"},
        {"by": "day", "timezone": "Mars/Olympus"},
        {"by": "user", "since": "yesterday"},
        {"by": "user", "until": True},
        {"by": "user", "since": []},
    ],
    ids=str,
)
def test_bad_questions(arguments: Any, manager: BudgetManager) -> None:
    with pytest.raises(ConfigurationError):
        manager.report(**arguments)


def test_progress_counts_the_lines(manager: BudgetManager, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    manager.report("user", progress=told.append)
    assert told == [0]
    manager.create_budget(10, "alice")
    for _ in range(5):
        spend(manager, "alice")
    manager.report("user", progress=told.append)
    assert told == [0, 5]
    monkeypatch.setattr(reporting, "TELL_EVERY", 2)
    assert manager.report("user", progress=told.append) == manager.report("user")
    assert told == [0, 5, 2, 4, 5]


# -- entries ---------------------------------------------------------------------------------------------


def test_entries_of_a_budget_and_of_the_project(sold: BudgetManager) -> None:
    assert [entry.amount for entry in sold.entries("bob")] == [CALL, 5_000_000_000]
    assert [entry.tags for entry in sold.entries("alice")][:2] == [("night", "search"), ("night",)]
    assert len(list(sold.entries("alice", label="month"))) == 4
    everything = list(sold.entries())
    assert {entry.key.project for entry in everything} == {"shop"}
    assert {entry.key.kind for entry in everything} == {"user", "team"}
    later = list(sold.entries(since="2027-01-16"))
    assert later
    assert all(entry.at >= 1_800_057_600_000_000 for entry in later)
