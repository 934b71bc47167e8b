"""`on_event=`: one frozen record for whatever happens to a budget."""

# ruff: noqa: PT012  # blocks, and what is raised inside them, are what this is about

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime
from typing import Any

import openai
import pytest

import allowance
from allowance import BudgetExceededError, Event, budget, budgeted
from allowance.errors import ConfigurationError
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, HELD, MESSAGES, Clock, Flaky, key, lines, reply, usd
from tests.provider import Provider, clients


def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


def _told(events: list[Event]) -> list[tuple[str, Any]]:
    return [(event.kind, event.amount) for event in events]


def test_a_call_is_reserved_and_settled() -> None:
    events: list[Event] = []
    before = datetime.now(UTC)
    budgeted(user="alice", limit=usd(HELD), on_event=events.append)(ask)()
    assert _told(events) == [("reserved", usd(HELD)), ("settled", usd(CALL))]
    reserved, settled = events
    assert (reserved.user, reserved.account_kind, reserved.project) == ("alice", "user", "tests")
    assert (reserved.model, reserved.limit) == ("gpt-4o", usd(HELD))
    assert (reserved.spent, reserved.held) == (0, usd(HELD))
    assert (settled.spent, settled.held) == (usd(CALL), 0)
    assert reserved.call_id == settled.call_id != ""
    assert before <= reserved.at <= settled.at
    with pytest.raises(dataclasses.FrozenInstanceError):
        settled.amount = usd(0)  # type: ignore[misc]  # that is the test


def test_a_denial_a_release_and_an_overrun(provider: Provider) -> None:
    events: list[Event] = []
    with clients.openai_sync(provider) as client, budget("alice", limit=usd(HELD), on_event=events.append):
        provider.then(status=500)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**CHAT)
        assert _told(events) == [("reserved", usd(HELD)), ("released", usd(HELD))]
        assert "InternalServerError" in events[1].reason
        events.clear()
        provider.then(input_tokens=1_000)
        client.chat.completions.create(**CHAT)
        assert ("overrun", usd(1_000 * 2_500 + 50_000 - HELD)) in _told(events)
        events.clear()
        with pytest.raises(BudgetExceededError) as refused:
            client.chat.completions.create(**CHAT)
        assert _told(events) == [("denied", usd(HELD))]
        assert events[0].call_id == refused.value.call_id


def test_an_unconfirmed_cost_says_so() -> None:
    events: list[Event] = []

    @budgeted(user="alice", limit=usd(HELD), on_event=events.append)
    def fails(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        raise ValueError

    with pytest.raises(ValueError):
        fails(MESSAGES)
    (settled,) = [event for event in events if event.kind == "settled"]
    assert (settled.amount, settled.unconfirmed) == (usd(HELD), True)


def test_a_call_over_three_budgets_sends_three() -> None:
    events: list[Event] = []
    allowance.configure(on_event=events.append)
    allowance.max_budget = 1
    with budget(limit=1), budget("alice", limit=1):
        budgeted()(ask)()
    settled = [(event.account_kind, event.amount) for event in events if event.kind == "settled"]
    assert sorted(settled) == [("block", usd(CALL)), ("process", usd(CALL)), ("user", usd(CALL))]


def test_each_hook_is_told_once_wherever_it_was_given() -> None:
    events: list[Event] = []
    allowance.configure(on_event=[events.append])
    with budget("alice", limit=1):
        budgeted()(ask)()
    assert len(events) == 2


def test_the_same_hook_on_the_block_and_the_function_is_told_once() -> None:
    events: list[Event] = []
    hook = events.append
    with budget("alice", limit=1, on_event=hook):
        budgeted(on_event=hook)(ask)()
    assert len(events) == 2


def test_one_account_named_twice_is_told_of_once() -> None:
    events: list[Event] = []
    with budget("alice", limit=1, on_event=events.append), budget("alice"):
        budgeted()(ask)()
    assert [event.kind for event in events] == ["reserved", "settled"]


def test_the_threshold_is_not_told_again_after_a_reset_in_its_window(store: MemoryStore) -> None:
    events: list[Event] = []
    call = budgeted(user="alice", limit=usd(HELD), warn_at=0.1, on_event=events.append)(ask)
    call()
    store.adjust(key("alice"), None, reason="a reset by hand")
    call()
    assert [event.kind for event in events].count("threshold") == 1


def test_the_threshold_is_told_once_a_window() -> None:
    clock = Clock()
    allowance.configure(store=MemoryStore(clock=clock))
    events: list[Event] = []
    call = budgeted(
        user="alice", limit=usd(10 * CALL + HELD), duration="daily", warn_at=0.5, on_event=events.append
    )(ask)
    line = (10 * CALL + HELD) * 0.5
    for number in range(1, 11):
        call()
        crossed = [event for event in events if event.kind == "threshold"]
        assert len(crossed) == (number * CALL >= line)
    assert crossed[0].amount == crossed[0].spent
    clock.forward(days=1)
    for _ in range(10):
        call()
    assert len([event for event in events if event.kind == "threshold"]) == 2


def test_a_hook_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture, store: MemoryStore) -> None:
    def broken(event: Event) -> None:
        raise ValueError("broken hook")

    seen: list[Event] = []
    allowance.configure(on_event=[broken, seen.append])
    budgeted(user="alice", limit=1)(ask)()
    assert len(seen) == 2
    assert [entry.amount for entry in lines(store, "alice")] == [CALL]
    assert "broken hook" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


def test_what_is_no_hook_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="on_event"):
        allowance.configure(on_event=[1])
        budgeted(user="alice", limit=1)(ask)()


def test_a_hook_may_call_a_model_itself(store: MemoryStore) -> None:
    calls = []

    def hook(event: Event) -> None:
        if event.kind == "settled" and not calls:
            calls.append(event)
            budgeted(user="bob", limit=1)(ask)()

    budgeted(user="alice", limit=1, on_event=hook)(ask)()
    assert len(lines(store, "alice")) == len(lines(store, "bob")) == 1


def test_observing_only(provider: Provider) -> None:
    events: list[Event] = []
    with clients.openai_sync(provider) as client, budget("alice", limit=None, on_event=events.append) as b:
        for _ in range(3):
            client.chat.completions.create(**CHAT)
    assert (b.spent, b.limit, b.remaining) == (usd(3 * CALL), None, None)
    assert {event.kind for event in events} == {"reserved", "settled"}


def test_no_event_or_log_line_holds_a_prompt_or_a_reply(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="allowance")
    secret = "the quick brown fox"
    events: list[Event] = []
    file = Flaky()
    allowance.configure(store=file)
    provider.reply(text=secret, usage=False)
    errors = []
    with clients.openai_sync(provider) as client, budget("alice", limit="0.01", on_event=events.append):
        arguments = {**CHAT, "messages": [{"role": "user", "content": secret}]}
        list(client.chat.completions.create(**arguments, stream=True))
        file.down = {"settle"}
        client.chat.completions.create(**arguments)
        file.down = set()
        with pytest.raises(BudgetExceededError) as refused:
            client.chat.completions.create(**{**arguments, "max_tokens": 9_000})
        errors.append(refused.value)
    told = (
        f"{events} {caplog.text} {errors!r} {errors[0].__dict__} {list(file.entries())} {list(file.holds())}"
    )
    assert secret not in told
    assert "test-key" not in told
