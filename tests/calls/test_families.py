"""Several budgets of one user, by `label=` and `models=`: whatever looks at one sees its siblings."""

# ruff: noqa: SIM117  # blocks, and what is raised inside them, are what this is about

from __future__ import annotations

import contextvars
import pickle
from decimal import Decimal
from typing import Any

import pytest

import allowance
from allowance import BudgetExceededError, Event, UnknownModelError, UnknownUserError, budget, budgeted
from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.ledger.records import AccountKey, Declaration
from allowance.stores.memory import MemoryStore
from tests.calls.support import (
    CALL,
    CHAT,
    HELD,
    MESSAGES,
    PROJECT,
    SONNET_CALL,
    Clock,
    Flaky,
    key,
    reply,
    usd,
)
from tests.provider import Provider, clients

MINI = AccountKey(PROJECT, "user", "alice", "gpt-4o*")
MONTH = AccountKey(PROJECT, "user", "alice", "month")


def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply(model=model)


def claude() -> Any:
    return budgeted()(ask)(model="claude-sonnet-4-5")


def figures(store: MemoryStore) -> dict[str, tuple[int | None, int, int]]:
    """Limit, spent and held of each of alice's budgets, by label; and the proof that the books balance."""
    assert store.audit() == []
    return {
        account.key.label: (account.limit, account.spent, account.held)
        for account in store.family(key("alice"))
    }


def define(store: MemoryStore, where: AccountKey, limit: int | None, **terms: Any) -> None:
    store.define(where, Declaration(limit, creates=True, **terms))


# -- both must admit -------------------------------------------------------------------------------------


def test_so_much_a_day_and_so_much_a_month(store: MemoryStore) -> None:
    with budget("alice", limit=usd(HELD + CALL), duration="daily"):
        with budget("alice", limit=usd(HELD), duration="monthly", label="month") as month:
            budgeted()(ask)()
            assert (month.user, month.label, month.spent, month.limit) == (
                "alice",
                "month",
                usd(CALL),
                usd(HELD),
            )
            assert figures(store) == {"": (HELD + CALL, CALL, 0), "month": (HELD, CALL, 0)}
            with pytest.raises(BudgetExceededError) as refused:
                budgeted()(ask)()
    assert (refused.value.label, refused.value.limit) == ("month", usd(HELD))


def test_naming_one_of_them_meets_all(store: MemoryStore) -> None:
    define(store, key("alice"), 10**9)
    define(store, MONTH, HELD)
    budgeted(user="alice")(ask)()
    with pytest.raises(BudgetExceededError) as refused:
        budgeted(user="alice")(ask)()
    assert refused.value.label == "month"
    define(store, MONTH, 10**9)
    define(store, key("alice"), CALL)
    with pytest.raises(BudgetExceededError) as refused:
        budgeted(user="alice", label="month")(ask)()
    assert refused.value.label == ""
    assert figures(store) == {"": (CALL, CALL, 0), "month": (10**9, CALL, 0)}


def test_one_for_some_models_leaves_the_others_alone(store: MemoryStore) -> None:
    with budget("alice", limit=usd(HELD), models="gpt-4o*"):
        budgeted()(ask)(model="GPT-4o")
        for _ in range(5):
            claude()
        with pytest.raises(BudgetExceededError) as refused:
            budgeted()(ask)(model="openai/gpt-4o")
    assert (refused.value.label, refused.value.models) == ("gpt-4o*", ("gpt-4o*",))
    # The main budget was made by the first call: it only counts.
    assert figures(store) == {"": (None, CALL + 5 * SONNET_CALL, 0), "gpt-4o*": (HELD, CALL, 0)}


def test_one_for_some_models_on_a_block_or_a_function_alone() -> None:
    with budget(limit=usd(HELD), models=("gpt-4o*",)) as block:
        claude()
        budgeted()(ask)()
        claude()
        assert (block.label, block.spent, block.remaining) == ("gpt-4o*", usd(CALL), usd(HELD - CALL))
        assert block.cost == usd(CALL + 2 * SONNET_CALL)
        with pytest.raises(BudgetExceededError, match=r"This block's budget 'gpt-4o\*'"):
            budgeted()(ask)()
    function = budgeted(limit=usd(HELD), models=("gpt-4o*",))(ask)
    for model in ("claude-sonnet-4-5", "gpt-4o", "claude-sonnet-4-5"):
        function(model=model)
    with pytest.raises(BudgetExceededError, match="This function's budget"):
        function()


async def test_asynchronously_over_an_sdk(provider: Provider, store: MemoryStore) -> None:
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=usd(HELD), models="gpt-4o*"):
            await client.chat.completions.create(**CHAT)
            with pytest.raises(BudgetExceededError) as refused:
                await client.chat.completions.create(**CHAT)
    assert refused.value.label == "gpt-4o*"
    assert figures(store)["gpt-4o*"] == (HELD, CALL, 0)


def test_a_label_that_nobody_made_is_unknown_whatever_the_default_terms() -> None:
    allowance.configure(default_limit=5)
    with pytest.raises(UnknownUserError, match="no budget 'month' for user 'alice'") as unknown:
        budgeted(user="alice", label="month")(ask)()
    assert unknown.value.label == "month"
    with pytest.raises(UnknownUserError, match="label='month'"):
        with budget("alice", label="month"):
            pass


# -- what is written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "label"),
    [
        ("gpt-4o*", "gpt-4o*"),
        (["o3*", "gpt-4o*", "o3*"], "o3*,gpt-4o*"),
        ({"o3*", "gpt-4o*", "a", "b", "c"}, "a,b,c,gpt-4o*,o3*"),
        (iter(("gpt-4o*", "o3*")), "gpt-4o*,o3*"),
    ],
)
def test_models_are_the_label_where_none_is_given(models: Any, label: str) -> None:
    with budget("alice", limit=1, models=models) as block:
        assert block.label == label
    with budget("alice", limit=1, models=("o3*",), label="thinking") as block:
        assert block.label == "thinking"


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ""},
        {"models": ()},
        {"models": ("gpt-4o", " ")},
        {"models": ("gpt-4o", None)},
        {"models": 5},
        {"models": b"gpt-4o"},
        {"label": " "},
        {"label": 5},
        {"label": "a\n"},
        {"label": "x" * 513},
        {"tags": ""},
        {"tags": ("search", "")},
        {"tags": ("search", 5)},
        {"tags": 5},
        {"tags": ("a\nb",)},
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        budget("alice", limit=1, **wrong)
    with pytest.raises(ConfigurationError):
        budgeted(user="alice", limit=1, **wrong)


def test_models_that_are_too_many_for_a_label_need_one() -> None:
    models = ["m" * 100 + str(number) for number in range(6)]
    with pytest.raises(ConfigurationError, match="give it a label of its own"):
        budget("alice", limit=1, models=models)
    budget("alice", limit=1, models=models, label="cheap")


def test_a_label_without_anybody_to_pay_is_refused() -> None:
    for given in ({"label": "month"}, {"models": "gpt-4o"}):
        with pytest.raises(ConfigurationError, match="name a user"):
            budgeted(**given)  # type: ignore[arg-type]  # a row of a table
    budgeted(label="month", limit=1)
    with pytest.raises(ConfigurationError):
        budget(label="month")


# -- what a refusal says -------------------------------------------------------------------------------------


def test_a_refusal_names_the_budget_and_survives_pickling(store: MemoryStore) -> None:
    define(store, key("alice"), 10**9)
    with pytest.raises(BudgetExceededError) as refused:
        budgeted(user="alice", label="cheap", models="gpt-4o*", limit=0)(ask)()
    error = pickle.loads(pickle.dumps(refused.value))
    assert str(error) == str(refused.value) == error.message
    assert str(error).startswith(
        "The budget 'cheap' of user 'alice' (for gpt-4o*) does not cover a call to gpt-4o:"
    )
    assert "raise the limit of its budget 'cheap'" in str(error)
    assert (error.label, error.models, error.user, error.limit) == (
        "cheap",
        ("gpt-4o*",),
        "alice",
        Decimal(0),
    )
    assert error.status_code == 422
    with pytest.raises(UnknownUserError) as unknown:
        budgeted(user="bob", label="month")(ask)()
    assert str(pickle.loads(pickle.dumps(unknown.value))) == str(unknown.value)


def test_top_ups_count_wherever_a_limit_is_shown(store: MemoryStore) -> None:
    events: list[Event] = []
    with budget("alice", limit=usd(HELD), on_event=events.append, warn_at=0.5) as block:
        store.extend(key("alice"), HELD, reason="more")
        assert block.refresh().limit == usd(2 * HELD)
        assert repr(block) == "<budget of user 'alice': $0.00 spent of $0.001045>"
        budgeted()(ask)()
        assert {event.limit for event in events} == {usd(2 * HELD)}
        assert [event.kind for event in events] == ["reserved", "settled"]  # far from half of it
        for _ in range(5):
            budgeted()(ask)()
        assert "threshold" not in [event.kind for event in events]
        budgeted()(ask)()
        assert "threshold" in [event.kind for event in events]
        with pytest.raises(BudgetExceededError) as refused:
            budgeted()(ask)()
    assert refused.value.limit == usd(2 * HELD)


# -- siblings ----------------------------------------------------------------------------------------------


def test_r10_a_limit_on_a_sibling_refuses_what_has_no_price(provider: Provider, store: MemoryStore) -> None:
    define(store, key("alice"), None)
    define(store, MONTH, 10**9)
    with pytest.raises(UnknownModelError):
        budgeted(user="alice")(ask)(model="nobody-knows")
    define(store, MONTH, None)
    budgeted(user="alice")(ask)(model="nobody-knows")
    define(store, MINI, 10**9, models=("gpt-4o*",))
    budgeted(user="alice")(ask)(model="nobody-knows")
    assert figures(store)["gpt-4o*"] == (10**9, 0, 0)
    with pytest.raises(UnknownModelError):
        budgeted(user="alice")(ask)(model="gpt-4o-that-nobody-knows")
    assert {held for _, _, held in figures(store).values()} == {0}


def test_events_are_sent_for_siblings_too(store: MemoryStore) -> None:
    events: list[Event] = []
    define(store, key("alice"), 10**9)
    define(store, MONTH, HELD)
    define(store, AccountKey(PROJECT, "user", "alice", "other"), HELD, models=("claude*",))
    budgeted(user="alice", on_event=events.append, warn_at=0.1)(ask)()
    assert [(event.kind, event.label) for event in events] == [
        ("reserved", ""),
        ("reserved", "month"),
        ("settled", ""),
        ("settled", "month"),
        ("threshold", "month"),
    ]
    assert (events[-1].user, events[-1].amount, events[-1].limit) == ("alice", usd(CALL), usd(HELD))
    events.clear()
    with pytest.raises(BudgetExceededError):
        budgeted(user="alice", on_event=events.append)(ask)()
    assert [(event.kind, event.label) for event in events] == [("denied", "month")]


def test_a_threshold_is_sent_once_for_each_of_them_however_they_are_named(store: MemoryStore) -> None:
    events: list[Event] = []
    define(store, MONTH, 10 * CALL)
    with budget("alice", limit=usd(10 * CALL), on_event=events.append, warn_at=0.1):
        with budget("alice", label="month", warn_at=0.2):
            for _ in range(3):
                budgeted()(ask)()
    told = [(event.label, event.spent) for event in events if event.kind == "threshold"]
    assert sorted(told) == [
        ("", usd(CALL)),
        ("", usd(2 * CALL)),
        ("month", usd(CALL)),
        ("month", usd(2 * CALL)),
    ]


def test_a_release_is_told_of_the_accounts_that_it_lay_on(store: MemoryStore) -> None:
    events: list[Event] = []
    define(store, key("alice"), 10**9)
    define(store, MONTH, 10**9)
    define(store, AccountKey(PROJECT, "user", "alice", "other"), HELD, models=("claude*",))

    def fails(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        raise ConnectionRefusedError

    budgeted(user="alice")(ask)(model="claude-sonnet-4-5", max_tokens=1)  # this process has seen all three
    with pytest.raises(ConnectionRefusedError):
        budgeted(user="alice", on_event=events.append)(fails)()
    released = [(event.label, event.held) for event in events if event.kind == "released"]
    assert released == [("", 0), ("month", 0)]


def test_an_expired_hold_is_told_of_siblings() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    allowance.configure(store=store)
    define(store, key("alice"), 10**9)
    define(store, MONTH, 10**9)
    events: list[Event] = []

    another = budgeted(user="alice", on_event=events.append)(ask)

    def slow(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        clock.forward(minutes=16)
        contextvars.Context().run(another)  # a call that knows nothing of this one
        return reply()

    budgeted(user="alice")(slow)()
    assert [event.label for event in events if event.kind == "expired"] == ["", "month"]


def test_clamp_names_the_sibling_that_has_the_least_room(store: MemoryStore) -> None:
    define(store, key("alice"), 10**9, uncapped="clamp")
    define(store, MONTH, HELD)
    uncappable = budgeted(user="alice")(lambda messages, model="gpt-4o": reply())
    with pytest.raises(BudgetExceededError) as refused:
        uncappable(MESSAGES)
    assert (refused.value.label, refused.value.limit) == ("month", usd(HELD))
    assert {held for _, _, held in figures(store).values()} == {0}


def test_a_block_sees_what_its_siblings_calls_cost(store: MemoryStore) -> None:
    files = Flaky()
    files.blocking = True
    allowance.configure(store=files)
    with budget("alice", limit=1) as main, budget("alice", limit=1, label="month") as month:
        budgeted(user="alice", limit=1)(ask)()
        assert (main.spent, month.spent) == (usd(CALL), usd(CALL))
        with pytest.raises(ConnectionRefusedError):
            budgeted(user="alice", label="month")(_refused_connection)()
        assert (main.held, month.held) == (0, 0)


def test_a_block_does_not_take_the_main_budget_for_its_own() -> None:
    files = Flaky()
    files.blocking = True
    allowance.configure(store=files)
    with budget("alice", limit=1, models="gpt-4o*") as block:
        claude()  # lies on the main budget alone, which only counts
        assert (block.limit, block.spent) == (1, 0)
        budgeted()(ask)()
        assert (block.limit, block.spent) == (1, usd(CALL))


def _refused_connection(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    raise ConnectionRefusedError


# -- a store that is down ------------------------------------------------------------------------------------


def test_r9_none_on_all_of_them_never_stops_a_call_and_a_limit_on_a_sibling_does() -> None:
    flaky = Flaky()
    allowance.configure(store=flaky)
    call = budgeted(user="alice", limit=None)(ask)
    define(flaky, MONTH, None)
    call()
    flaky.down.add("reserve")
    call()
    flaky.down.clear()
    define(flaky, MONTH, 10**9)
    call()
    flaky.down.add("reserve")
    with pytest.raises(StoreUnavailableError):
        call()


def test_r9_a_sibling_for_other_models_stops_nothing() -> None:
    flaky = Flaky()
    allowance.configure(store=flaky)
    define(flaky, key("alice"), None)
    call = budgeted(user="alice", limit=1, models="gpt-4o*")(ask)
    call()
    flaky.down.add("reserve")
    call(model="claude-sonnet-4-5")
    with pytest.raises(StoreUnavailableError):
        call()


def test_r14_an_unseen_main_budget_is_not_taken_for_one_without_a_limit() -> None:
    flaky = Flaky()
    allowance.configure(store=flaky)
    flaky.down.add("reserve")
    with pytest.raises(StoreUnavailableError):
        budgeted(user="alice", limit=1, models="gpt-4o*")(ask)(model="claude-sonnet-4-5")


# -- cheap first ---------------------------------------------------------------------------------------------


@pytest.fixture
def counted() -> list[str]:
    found: list[str] = []

    def counter(model: str, texts: Any) -> int:
        found.append(model)
        return 2

    allowance.configure(counter=counter)
    return found


LONG = [{"role": "user", "content": "hello " * 300}]


def test_a_sibling_near_its_end_is_counted_for(store: MemoryStore, counted: list[str]) -> None:
    define(store, key("alice"), 10**12)
    call = budgeted(user="alice")(ask)
    call(LONG)  # the first sight of alice
    counted.clear()
    call(LONG)
    assert counted == []
    # By its bytes LONG costs 4.5 thousandths of a dollar and more, by the count less than one.
    define(store, MONTH, 2_000_000)
    call(LONG)  # this process does not know of it yet: the cheap bound is refused, and counted
    assert len(counted) == 1
    call(LONG)
    assert len(counted) == 2  # now it does
    assert figures(store)["month"] == (2_000_000, 2 * CALL, 0)


def test_a_sibling_for_other_models_makes_nobody_count(store: MemoryStore, counted: list[str]) -> None:
    define(store, key("alice"), 10**12)
    define(store, MINI, HELD, models=("gpt-4o*",))
    call = budgeted(user="alice")(ask)
    call()
    call(model="claude-sonnet-4-5")
    counted.clear()
    call(model="claude-sonnet-4-5")
    assert counted == []
    function = budgeted(user="alice", models="o3*", limit=0)(ask)  # an account that no such call shows
    function(model="claude-sonnet-4-5")
    counted.clear()
    function(model="claude-sonnet-4-5")
    assert counted == []


def test_open_cheap_holds_leave_siblings_their_room(store: MemoryStore, counted: list[str]) -> None:
    """They stay below 5 % of each budget that the call lies on, however far the named one is from its end."""
    define(store, key("alice"), 10**12)
    define(store, MONTH, 600_000_000)

    def nest(depth: int) -> Any:
        def inner(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            if depth:
                contextvars.Context().run(nest, depth - 1)
            return reply()

        return budgeted(user="alice")(inner)(LONG)

    nest(0)
    counted.clear()
    nest(9)
    # Each takes 5.02 thousandths by its bytes: five are within 5 % of what remains on the sibling.
    assert len(counted) == 10 - 5
