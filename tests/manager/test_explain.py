"""`explain`: why a call would be refused now. It must say what a real call then meets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allowance import (
    BudgetExceededError,
    BudgetManager,
    ConfigurationError,
    UnknownModelError,
    UnknownUserError,
)
from allowance.ledger.records import Ask, Denial, Scope
from allowance.stores.memory import MemoryStore
from tests.calls.support import CHAT, GPT_4O_IN, HELD, MESSAGES, Clock, reply, usd

MODELS = ("gpt-4o", "openai/gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "nobody/knows-this")
GLOBS = (None, ("gpt-4o*",), ("claude*", "openai/*"))

amounts = st.one_of(
    st.none(), st.just(0), st.integers(0, 200_000), st.integers(0, 3_000_000), st.integers(0, 10**9)
)
budgets = st.fixed_dictionaries(
    {
        "limit": amounts,
        "models": st.sampled_from(GLOBS),
        "uncapped": st.sampled_from(("shrink", "clamp", "reserve", "refuse")),
        "spent": st.integers(0, 600_000),
        "duration": st.sampled_from((None, "daily", "monthly")),
        "top_up": st.integers(0, 300_000),
    }
)
calls = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS)},
    optional={"max_tokens": st.sampled_from((1, 50, 1000)), "n": st.sampled_from((1, 3))},
)


def make(manager: BudgetManager, user: str, number: int, terms: dict[str, Any]) -> None:
    """The first budget is the main one, the others have labels."""
    limit = terms["limit"]
    label = f"label {number}" if number else ""
    manager.set_budget(
        user,
        None if limit is None else usd(limit),
        duration=terms["duration"],
        uncapped=terms["uncapped"],
        models=terms["models"] if number else None,
        label=label,
    )
    manager.adjust(user, usd(terms["spent"]), reason="test", label=label)
    if limit is not None and terms["top_up"]:
        manager.add_budget(user, usd(terms["top_up"]), label=label)


def hold(manager: BudgetManager, user: str, hold_id: str, amount: int, model: str) -> None:
    scopes = (Scope(manager._key(user)),)
    manager.store.reserve(Ask(hold_id, scopes, amount, amount, amount, amount, True, 60_000_000, model=model))


users = iter(range(10**9))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    family=st.lists(budgets, min_size=1, max_size=3),
    held=st.lists(st.tuples(st.integers(1, 300_000), st.sampled_from(MODELS)), max_size=2),
    call=calls,
    words=st.sampled_from((1, 20, 400)),
)
def test_it_says_what_a_call_then_meets(
    family: list[dict[str, Any]], held: list[tuple[int, str]], call: dict[str, Any], words: int
) -> None:
    manager, user = BudgetManager("shop", store=_store), f"user {next(users)}"
    for number, terms in enumerate(family):
        make(manager, user, number, terms)
    for number, (amount, model) in enumerate(held):
        hold(manager, user, f"{user} {number}", amount, model)
    messages = [{"role": "user", "content": "hello " * words}]

    said = manager.explain(user, messages=messages, **call)
    one = Ask(f"{user} probe", (Scope(manager._key(user)),), 1, 1, 1, 1, True, 60_000_000)
    assert manager.explain(user).fits is not isinstance(manager.store.reserve(one), Denial)
    manager.release(one.hold_id)

    @manager.budgeted(user=user)
    def ask(**kwargs: Any) -> Any:
        return reply(0, 0, model="gpt-4o")

    met: Exception | None = None
    try:
        ask(messages=messages, **call)
    except (BudgetExceededError, UnknownModelError) as error:
        met = error
    assert said.fits is (met is None), (said.reason, met)
    assert said.fits is all(answer.fits for answer in said.budgets)
    assert said.price_known is (call["model"] != MODELS[-1])
    if isinstance(met, BudgetExceededError):
        assert said.temporary is met.temporary
        assert [answer for answer in said.budgets if not answer.fits]


_store = MemoryStore()


# -- what it says, case by case --------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(clock: Clock) -> BudgetManager:
    return BudgetManager("shop", store=MemoryStore(clock=clock))


def test_enough(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    said = manager.explain("alice", **CHAT)
    assert (said.fits, said.temporary, said.fits_at) == (True, False, None)
    assert said.needs == said.wants == usd(HELD)
    assert said.reason == "A call to gpt-4o fits: it would hold $0.0005225, and $1.00 is left."


def test_too_little_until_the_window_turns(manager: BudgetManager) -> None:
    manager.create_budget(usd(HELD), "alice", "daily")
    manager.update_cost("alice", reply())
    said = manager.explain("alice", **CHAT)
    [budget] = manager.status("alice")
    assert (said.fits, said.temporary, said.fits_at) == (False, False, budget.resets_at)
    assert said.needs == usd(HELD)
    for figure in ("$0.0004475 left of $0.0005225", "$0.000075 spent", "needs $0.0005225", "it fits at 2027"):
        assert figure in said.reason


def test_too_much_for_any_window(manager: BudgetManager) -> None:
    manager.create_budget(usd(HELD - 1), "alice", "daily")
    said = manager.explain("alice", **CHAT)
    assert (said.fits, said.fits_at) == (False, None)
    assert "Waiting does not help" in said.reason


def test_for_good_never_turns(manager: BudgetManager) -> None:
    manager.create_budget(usd(HELD), "alice")
    manager.update_cost("alice", reply())
    assert manager.explain("alice", **CHAT).fits_at is None


def test_only_an_open_call_stands_in_the_way(manager: BudgetManager, clock: Clock) -> None:
    manager.create_budget(usd(HELD), "alice", "daily")
    hold(manager, "alice", "one", 100_000, "gpt-4o")
    said = manager.explain("alice", **CHAT)
    assert (said.fits, said.temporary) == (False, True)
    [found] = said.holds
    assert (found.call_id, found.amount, found.model) == ("one", usd(100_000), "gpt-4o")
    assert said.fits_at == found.expires_at == manager.status("alice")[0].window_start + timedelta(minutes=1)
    assert "Only 1 open call stands in the way" in said.reason
    manager.release("one")
    assert manager.explain("alice", **CHAT).fits


def test_the_labelled_budget_is_the_one_that_refuses(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    manager.set_budget("alice", usd(HELD - 1), models="gpt-4o*", duration="monthly")
    said = manager.explain("alice", **CHAT)
    assert [(answer.budget.label, answer.fits) for answer in said.budgets] == [("", True), ("gpt-4o*", False)]
    assert "The budget 'gpt-4o*' of user 'alice'" in said.reason
    other = manager.explain("alice", model="claude-sonnet-4-5", max_tokens=50)
    assert other.fits
    assert [answer.applies for answer in other.budgets] == [True, False]


def test_a_top_up_that_is_over_by_then_does_not_help(manager: BudgetManager) -> None:
    manager.create_budget(usd(HELD - 1), "alice", "weekly")
    manager.add_budget("alice", 1)  # to the end of the week
    manager.set_budget("alice", usd(HELD), label="day", duration="weekly")
    manager.adjust("alice", usd(1), reason="test", label="day")
    said = manager.explain("alice", **CHAT)
    assert [answer.fits for answer in said.budgets] == [True, False]
    assert said.budgets[1].fits_at is not None
    assert said.fits_at is None


def test_without_a_model_the_question_is_whether_anything_is_left(manager: BudgetManager) -> None:
    manager.create_budget(usd(1), "alice")
    assert manager.explain("alice").reason == "Nothing stands in the way: $0.000000001 is left."
    manager.adjust("alice", usd(1), reason="test")
    said = manager.explain("alice")
    assert not said.fits
    assert said.reason.startswith("The main budget of user 'alice' has $0.00 left of $0.000000001")


def test_a_limit_of_zero(manager: BudgetManager) -> None:
    manager.create_budget(0, "alice", "daily")
    said = manager.explain("alice", **CHAT)
    assert (said.fits, said.fits_at) == (False, None)
    assert "limit of $0.00" in said.reason


def test_an_unknown_price_stands_in_the_way_of_a_limit_alone(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    said = manager.explain("alice", model="gpt-9", max_tokens=5)
    assert (said.fits, said.price_known) == (False, False)
    assert "No price is known" in said.reason
    manager.create_budget(None, "bob")
    said = manager.explain("bob", model="gpt-9", max_tokens=5)
    assert (said.fits, said.price_known) == (True, False)
    assert "no limit is in force" in said.reason


def test_an_uncapped_call_that_would_shrink(manager: BudgetManager) -> None:
    manager.create_budget(usd(9 * GPT_4O_IN), "alice")
    said = manager.explain("alice", model="gpt-4o", messages=MESSAGES)
    assert said.fits
    assert said.needs == usd(9 * GPT_4O_IN) < said.wants
    assert "give it an output cap" in said.reason
    manager.set_budget("alice", uncapped="clamp")  # not one token of output remains to cap it to
    said = manager.explain("alice", model="gpt-4o", messages=MESSAGES)
    assert not said.fits


def test_the_policy_of_one_budget_asks_for_room_on_the_others(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice", uncapped="reserve")
    manager.set_budget("alice", usd(HELD), label="month")
    said = manager.explain("alice", model="gpt-4o", messages=MESSAGES)
    assert not said.fits
    assert [answer.fits for answer in said.budgets] == [True, False]
    assert said.budgets[1].needs == said.needs > usd(HELD)
    manager.set_budget("alice", uncapped="shrink")
    assert manager.explain("alice", model="gpt-4o", messages=MESSAGES).fits


def test_the_input_may_be_given_in_the_words_of_any_api(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    said = manager.explain("alice", model="gpt-4o", input="hello there", max_output_tokens=50)
    assert said.needs == usd(HELD)


def test_a_stranger(manager: BudgetManager) -> None:
    with pytest.raises(UnknownUserError):
        manager.explain("nobody", **CHAT)
    ready = BudgetManager("shop", client_type="memory", default_limit=usd(HELD))
    assert ready.explain("nobody", **CHAT).fits
    assert not ready.explain("nobody", **{**CHAT, "max_tokens": 51}).fits
    assert not ready.is_valid_user("nobody")


def test_r11_the_main_budget_that_a_first_call_would_make_is_asked_too() -> None:
    manager = BudgetManager("shop", client_type="memory", default_limit=usd(HELD - 1))
    manager.set_budget("alice", 5, label="month")
    said = manager.explain("alice", **CHAT)
    assert [(answer.budget.label, answer.fits) for answer in said.budgets] == [("", False), ("month", True)]
    assert [budget.label for budget in manager.status("alice")] == ["month"]
    with pytest.raises(BudgetExceededError):
        manager.budgeted(user="alice")(lambda **kwargs: reply())(**CHAT)


def test_messages_without_a_model_are_refused(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    with pytest.raises(ConfigurationError, match="model"):
        manager.explain("alice", messages=MESSAGES)
    with pytest.raises(ConfigurationError, match="model"):
        manager.explain("alice", model=5)  # type: ignore[arg-type]  # that is the test


def test_asking_changes_nothing(manager: BudgetManager) -> None:
    manager.create_budget(1, "alice")
    before = manager.status("alice")
    manager.explain("alice", **CHAT)
    assert manager.status("alice") == before
    assert manager.holds() == []
