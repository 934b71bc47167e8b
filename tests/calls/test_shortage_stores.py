"""Every way out of a short budget, on a file store, and through the streams of SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import litellm
import openai
import pytest

import allowance
from allowance import BudgetExceededError, ask, budget, budgeted, clamp, downgrade, wait
from allowance.stores.base import Store
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GPT_4O_IN,
    GPT_4O_OUT,
    HELD,
    MESSAGES,
    PROJECT,
    SONNET_CALL,
    Clock,
    books,
    key,
    lines,
    race,
    reply,
    usd,
)
from tests.provider import Provider, clients

MINI = "gpt-4o-mini"
MINI_HELD = 9 * 150 + 50 * 600
MINI_CALL = 10 * 150 + 5 * 600
STREAM = {**CHAT, "stream": True}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """The store of the named budgets: a file, whose clock tells what it is told."""
    made = SQLiteStore(tmp_path / "budgets.db", clock=clock)
    allowance.configure(store=made, project=PROJECT)
    yield made
    made.close()


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


def echo(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    """Answers with the model and the cap that it was called with."""
    return {**reply(model=model), "max_tokens": max_tokens}


def full(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    """Answers with as much as was held."""
    return {**reply(9, max_tokens, model=model), "max_tokens": max_tokens}


def waiting(clock: Clock, pauses: list[float], timeout: float = 60) -> Any:
    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now += round(seconds * 1_000_000)

    return wait(timeout, sleep=sleep, clock=lambda: clock.now / 1_000_000)


def limit_of(store: Store, user: str) -> int | None:
    account = store.account(key(user))
    assert account is not None
    return account.limit


# -- on a file ---------------------------------------------------------------------------------------------


def test_downgrade_and_clamp_on_a_file(file: Store) -> None:
    cheaper = budgeted(user="alice", limit=usd(HELD - 1), on_exceeded=downgrade(MINI))(echo)
    assert cheaper(MESSAGES)["model"] == MINI
    assert books(file, "alice") == (MINI_CALL, 0)
    shorter = budgeted(user="bob", limit=usd(9 * GPT_4O_IN + 20 * GPT_4O_OUT), on_exceeded=clamp())(echo)
    assert shorter(MESSAGES)["max_tokens"] == 20
    assert books(file, "bob") == (CALL, 0)


def test_ask_on_a_file_leaves_its_reason_in_the_ledger(file: Store) -> None:
    asked = ask(lambda error: usd(HELD), reason="Carol said so")
    budgeted(user="alice", limit=usd(1), on_exceeded=asked)(echo)(MESSAGES)
    assert limit_of(file, "alice") == 1 + HELD
    assert [entry.reason for entry in lines(file, "alice")] == ["top-up of $0.0005225: Carol said so", ""]
    assert books(file, "alice") == (CALL, 0)
    budgeted(user="alice", limit=usd(1))(echo)(MESSAGES, max_tokens=30)  # the grant was for the budget


@pytest.mark.parametrize("answer", [None, False, 0])
def test_ask_that_is_refused_leaves_nothing_on_a_file(file: Store, answer: Any) -> None:
    with pytest.raises(BudgetExceededError):
        budgeted(user="alice", limit=usd(1), on_exceeded=ask(lambda error: answer))(echo)(MESSAGES)
    assert list(file.holds()) == []
    assert file.account(key("alice")) is None
    assert file.audit() == []


def test_wait_on_a_file_until_its_window_turns(file: Store, clock: Clock) -> None:
    pauses: list[float] = []
    strategy = waiting(clock, pauses)
    call = budgeted(user="alice", limit=usd(HELD), duration="30s", on_exceeded=strategy)(echo)
    call(MESSAGES)
    call(MESSAGES)
    assert pauses == [pytest.approx(30, abs=0.01)]
    assert [entry.amount for entry in lines(file, "alice")] == [CALL, CALL]


async def test_async_calls_on_a_file(file: Store, clock: Clock) -> None:
    async def grant(error: BudgetExceededError) -> bool:
        await asyncio.sleep(0)
        return True

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        clock.now += round(seconds * 1_000_000)

    async def aecho(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return echo(messages, model, max_tokens)

    later = wait(60, sleep=sleep, clock=lambda: clock.now / 1_000_000)
    asking = budgeted(user="alice", limit=usd(1), on_exceeded=ask(grant))(aecho)
    slow = budgeted(user="bob", limit=usd(HELD), duration="30s", on_exceeded=later)(aecho)
    assert (await asking(MESSAGES))["model"] == "gpt-4o"
    await slow(MESSAGES)
    await slow(MESSAGES)
    assert limit_of(file, "alice") == HELD
    assert [entry.amount for entry in lines(file, "bob")] == [CALL, CALL]


def test_all_in_order_on_a_file(file: Store, clock: Clock) -> None:
    """Each is tried where those before it do not help: model, cap, grant, window, and then the answer."""
    pauses: list[float] = []
    asked: list[str] = []

    def grant(error: BudgetExceededError) -> Any:
        asked.append(error.user)
        return usd(HELD) if error.user == "dora" else None

    def call(user: str, limit: int) -> Any:
        ladder = [downgrade(MINI), clamp(40), ask(grant), waiting(clock, pauses), lambda error: "sorry"]
        return budgeted(user=user, limit=usd(limit), duration="30s", on_exceeded=ladder)(full)(MESSAGES)

    assert call("alice", HELD) == full(MESSAGES)
    assert call("bob", MINI_HELD) == full(MESSAGES, MINI)
    assert call("carol", MINI_HELD - 1) == full(MESSAGES, MINI, 49)
    assert (asked, pauses) == ([], [])
    assert call("dora", 1) == full(MESSAGES)
    assert (asked, pauses) == (["dora"], [])
    assert call("erin", HELD) == full(MESSAGES)
    assert call("erin", HELD) == full(MESSAGES)
    assert asked == ["dora", "erin"]
    assert pauses == [pytest.approx(30, abs=0.01)]
    assert call("fred", 1) == "sorry"
    assert asked == ["dora", "erin", "fred"]
    assert len(pauses) == 1
    assert list(file.holds()) == []
    assert file.audit() == []


# -- many at once ------------------------------------------------------------------------------------------


def test_r1_fifty_threads_that_ask_at_once_are_each_given_what_they_lack(file: Store) -> None:
    asked: list[str] = []

    def grant(error: BudgetExceededError) -> bool:
        asked.append(error.call_id or "")
        return True

    call = budgeted(user="alice", limit=usd(HELD), on_exceeded=ask(grant))(full)
    assert race(lambda: call(MESSAGES)) == {"sent": 50}
    spent, held = books(file, "alice")
    assert (spent, held) == (50 * HELD, 0)
    assert spent <= (limit_of(file, "alice") or 0)
    assert len(asked) == len(set(asked)) <= 49  # each caller about its own call, and once


def test_r1_a_policy_that_grants_once_lets_so_many_through_and_no_more(file: Store) -> None:
    grants = [usd(3 * HELD)]

    def grant(error: BudgetExceededError) -> Any:
        try:
            return grants.pop()
        except IndexError:
            return None

    call = budgeted(user="alice", limit=usd(5 * HELD), on_exceeded=ask(grant))(full)
    outcomes = race(lambda: call(MESSAGES))
    spent, held = books(file, "alice")
    assert held == 0
    assert spent == outcomes["sent"] * HELD <= 8 * HELD == limit_of(file, "alice")
    assert outcomes["sent"] >= 5
    assert [entry.reason for entry in lines(file, "alice") if entry.reason] == [
        "top-up of $0.0015675: granted when a call was refused"
    ]


# -- through the streams of SDKs -----------------------------------------------------------------------------


def test_a_stream_goes_on_when_more_was_granted(provider: Provider, gpt: openai.OpenAI, file: Store) -> None:
    with budget("alice", limit=usd(1), on_exceeded=ask(lambda error: True, reason="Carol said so")):
        text = "".join(
            chunk.choices[0].delta.content or "" for chunk in gpt.chat.completions.create(**STREAM)
        )
    assert text == "Hello, how can I help?"
    assert provider.count == 1
    assert [entry.reason for entry in lines(file, "alice")] == ["top-up of $0.000522499: Carol said so", ""]
    assert books(file, "alice") == (CALL, 0)


async def test_an_async_stream_awaits_the_answer(provider: Provider, file: Store) -> None:
    async def grant(error: BudgetExceededError) -> bool:
        await asyncio.sleep(0)
        assert provider.count == 0
        return True

    async with (
        clients.anthropic_async(provider) as claude,
        budget("alice", limit=0, on_exceeded=ask(grant)),
        claude.messages.stream(**CLAUDE) as stream,
    ):
        assert "".join([text async for text in stream.text_stream]) == "Hello, how can I help?"
    assert books(file, "alice") == (SONNET_CALL, 0)


def test_a_stream_that_is_not_granted_is_not_sent(
    provider: Provider, gpt: openai.OpenAI, file: Store
) -> None:
    no = budget("alice", limit=usd(1), on_exceeded=ask(lambda error: False))
    with no, pytest.raises(BudgetExceededError):
        gpt.chat.completions.create(**STREAM)
    assert provider.count == 0
    assert list(file.holds()) == []


class OursError(Exception):
    """What a callback of the user's raises."""


def fail(error: BudgetExceededError) -> bool:
    raise OursError


def test_what_the_callback_raises_comes_out_of_every_sdk_unchanged(
    provider: Provider, gpt: openai.OpenAI, file: Store
) -> None:
    with clients.anthropic_sync(provider) as claude, budget("alice", limit=0, on_exceeded=ask(fail)):
        gemini = clients.gemini(provider)
        calls: list[Callable[[], Any]] = [
            lambda: gpt.chat.completions.create(**STREAM),
            lambda: gpt.responses.create(model="gpt-4o", input="hello"),
            lambda: enter(claude),
            lambda: gemini.models.generate_content(model="gemini-2.5-pro", contents="hello"),
            lambda: litellm.completion(
                model="openai/gpt-4o", messages=MESSAGES, **clients.litellm_kwargs(provider)
            ),
        ]
        for call in calls:
            with pytest.raises(OursError) as raised:
                call()
            assert type(raised.value) is OursError
        gemini.close()
    clients.close_litellm()
    assert provider.count == 0
    assert list(file.holds()) == []
    assert file.audit() == []


def enter(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(**CLAUDE):
        raise AssertionError


def test_a_stream_waits_for_its_window(
    provider: Provider, gpt: openai.OpenAI, file: Store, clock: Clock
) -> None:
    pauses: list[float] = []
    with budget("alice", limit=usd(HELD), duration="30s", on_exceeded=waiting(clock, pauses)):
        for _ in range(2):
            list(gpt.chat.completions.create(**STREAM))
    assert pauses == [pytest.approx(30, abs=0.01)]
    assert [entry.amount for entry in lines(file, "alice")] == [CALL, CALL]


def test_a_stream_waits_for_another_that_is_open(provider: Provider, gpt: openai.OpenAI, file: Store) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            list(first)

    with budget("alice", limit=usd(HELD + CALL), on_exceeded=wait(60, sleep=sleep)):
        first = gpt.chat.completions.create(**STREAM)
        list(gpt.chat.completions.create(**STREAM))
    assert pauses == [0.05, 0.1]
    assert books(file, "alice") == (2 * CALL, 0)


async def test_an_async_stream_waits_for_another_that_is_open(provider: Provider, file: Store) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        [chunk async for chunk in first]

    async with clients.openai_async(provider) as client:
        with budget("alice", limit=usd(HELD + CALL), on_exceeded=wait(60, sleep=sleep)):
            first: Any = await client.chat.completions.create(**STREAM)
            second: Any = await client.chat.completions.create(**STREAM)
            [chunk async for chunk in second]
    assert pauses == [0.05]
    assert books(file, "alice") == (2 * CALL, 0)
