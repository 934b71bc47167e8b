"""Streams that cost more than was held are given more as they run, or are stopped where there is no more."""

# ruff: noqa: SIM117, PT012  # blocks inside blocks

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from allowance import BudgetExceededError, ConfigurationError, budget, budgeted
from allowance.calls import lifeline, overrun
from allowance.calls.events import Event
from allowance.stores.memory import MemoryStore
from tests.calls.support import GEMINI_PRO_OUT, GPT_4O_IN, GPT_4O_OUT, MESSAGES, Flaky, books, lines, usd
from tests.provider import Provider, clients

UNCAPPED: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
INPUT = 9 * GPT_4O_IN
WORDS = " hello" * 8_000
"""8,000 tokens: more than the 4,096 that an uncapped call is held for at first."""


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    provider.reply(text=WORDS, chunks=100, input_tokens=9, output_tokens=8_000)
    with clients.openai_sync(provider) as made:
        yield made


COST = INPUT + 8_000 * GPT_4O_OUT


def test_a_stream_is_given_more_as_it_runs(gpt: openai.OpenAI, store: MemoryStore) -> None:
    events: list[Event] = []
    held = []
    with budget("alice", limit=1, on_event=events.append) as b:
        held.extend(b.held for _ in gpt.chat.completions.create(**UNCAPPED))
    assert max(held) >= usd(INPUT + 7_900 * GPT_4O_OUT)
    assert held[0] < usd(COST)
    assert books(store, "alice") == (COST, 0)
    assert [entry.amount for entry in lines(store, "alice")] == [COST]
    kinds = [event.kind for event in events]
    assert 1 < kinds.count("reserved") < 20
    assert "overrun" not in kinds
    assert store.audit() == []


def test_r1_others_see_what_a_running_stream_has_taken(gpt: openai.OpenAI, store: MemoryStore) -> None:
    with budget("alice", limit=usd(COST + 100 * GPT_4O_OUT)):
        stream = gpt.chat.completions.create(**UNCAPPED)
        for _ in range(95):
            next(stream)
        with pytest.raises(BudgetExceededError):
            gpt.chat.completions.create(**{**UNCAPPED, "stream": False, "max_tokens": 1_000})
        stream.close()
    assert books(store, "alice")[1] == 0


def test_finish_lets_it_run_and_reports_the_overrun(gpt: openai.OpenAI, store: MemoryStore) -> None:
    events: list[Event] = []
    limit = INPUT + 2_000 * GPT_4O_OUT
    with budget("alice", limit=usd(limit), on_event=events.append):
        assert (
            "".join(c.choices[0].delta.content or "" for c in gpt.chat.completions.create(**UNCAPPED))
            == WORDS
        )
    assert books(store, "alice") == (COST, 0)
    assert [event.kind for event in events if event.kind in ("denied", "overrun")] == ["overrun"]


def test_stop_closes_the_stream_and_charges_what_was_seen(gpt: openai.OpenAI, store: MemoryStore) -> None:
    events: list[Event] = []
    limit = INPUT + 2_000 * GPT_4O_OUT
    seen = 0
    with budget("alice", limit=usd(limit), on_overrun="stop", on_event=events.append):
        stream = gpt.chat.completions.create(**UNCAPPED)
        with pytest.raises(BudgetExceededError, match="stopped") as stopped:
            for chunk in stream:
                seen += len(chunk.choices[0].delta.content or "") // 6
        with pytest.raises(BudgetExceededError):
            next(stream)
        assert stream.response.is_closed
        stream.close()
    assert stopped.value.user == "alice"
    (entry,) = lines(store, "alice")
    assert entry.amount == pytest.approx(INPUT + seen * GPT_4O_OUT, rel=0.02)
    assert entry.counted
    assert limit < entry.amount < limit + 200 * GPT_4O_OUT
    assert books(store, "alice") == (entry.amount, 0)
    assert [event.kind for event in events if event.kind in ("denied", "overrun", "settled")] == [
        "denied",
        "settled",
        "overrun",
    ]


def test_the_stopped_streams_own_hold_does_not_stand_in_its_way(
    gpt: openai.OpenAI, store: MemoryStore
) -> None:
    limit = usd(INPUT + 2_000 * GPT_4O_OUT)
    with budget("alice", limit=limit, on_overrun="stop"):
        with pytest.raises(BudgetExceededError) as stopped:
            list(gpt.chat.completions.create(**UNCAPPED))
    error = stopped.value
    assert (error.spent, error.held, error.temporary) == (0, 0, False)
    assert error.projected > error.remaining == limit
    assert "open calls" not in str(error)


def test_a_stream_that_is_stopped_by_other_calls_says_so(gpt: openai.OpenAI, store: MemoryStore) -> None:
    held = INPUT + 500 * GPT_4O_OUT
    limit = usd(held + INPUT + 2_000 * GPT_4O_OUT)
    with budget("alice", limit=limit, on_overrun="stop"):
        other = gpt.chat.completions.create(**UNCAPPED, max_tokens=500)
        with pytest.raises(BudgetExceededError) as stopped:
            list(gpt.chat.completions.create(**UNCAPPED))
        other.close()
    error = stopped.value
    assert (error.spent, error.held, error.temporary) == (0, usd(held), True)
    assert error.remaining < error.projected < limit


async def test_stop_through_async_streams_and_a_store_that_does_io(provider: Provider) -> None:
    provider.reply(text=WORDS, chunks=100, output_tokens=8_000)
    import allowance

    file = Flaky()
    file.blocking = True
    allowance.configure(store=file)
    limit = usd(INPUT + 2_000 * GPT_4O_OUT)
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=limit, on_overrun="stop"):
            stream = await client.chat.completions.create(**UNCAPPED)
            with pytest.raises(BudgetExceededError):
                async for _ in stream:
                    pass
            await stream.close()
    assert books(file, "alice")[1] == 0
    assert lines(file, "alice")[0].counted


def test_stop_of_any_budget_is_enough_and_a_helper_passes_it_on(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    limit = usd(INPUT + 2_000 * GPT_4O_OUT)
    with budget("red", kind="team", limit=1, on_overrun="stop"), budget("alice", limit=limit):
        with pytest.raises(BudgetExceededError):
            with gpt.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
                stream.until_done()
    assert books(store, "alice")[1] == 0


def test_a_decorated_generator_is_stopped(store: MemoryStore) -> None:
    left: list[str] = []

    @budgeted(user="alice", limit=usd(INPUT + 100 * GPT_4O_OUT), on_overrun="stop")
    def ask(messages: Any, model: str = "gpt-4o") -> Iterator[str]:
        try:
            for _ in range(1_000):
                yield " hello"
        finally:
            left.append("closed")

    got: list[str] = []
    with pytest.raises(BudgetExceededError):
        got.extend(ask(MESSAGES))
    assert left == ["closed"]
    spent, held = books(store, "alice")
    assert held == 0
    assert spent == pytest.approx(INPUT + 101 * GPT_4O_OUT, rel=0.02)


def test_a_capped_stream_is_left_alone(provider: Provider, gpt: openai.OpenAI, store: MemoryStore) -> None:
    provider.reply(text=WORDS, chunks=100, output_tokens=50)
    with budget("alice", limit=1, on_overrun="stop"):
        list(gpt.chat.completions.create(**UNCAPPED, max_tokens=50))
    assert [hold for hold in store._tables.holds if "+" in hold] == []


def test_a_store_that_goes_down_stops_no_running_stream(gpt: openai.OpenAI) -> None:
    import allowance

    file = Flaky()
    allowance.configure(store=file)
    with budget("alice", limit=1, on_overrun="stop"):
        stream = gpt.chat.completions.create(**UNCAPPED)
        next(stream)
        file.down = {"reserve"}
        list(stream)
    assert books(file, "alice") == (COST, 0)


def test_a_stream_that_was_given_more_and_is_dropped_leaves_no_hold(
    gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        stream = gpt.chat.completions.create(**UNCAPPED)
        for _ in range(80):
            next(stream)
        assert sum("+" in hold.hold_id for hold in store.holds()) >= 1
        stream.response.close()
        del stream
        gc.collect()
        lifeline.drain()
    assert books(store, "alice")[1] == 0
    assert list(store.holds()) == []


async def test_a_cancel_while_more_is_asked_for_leaves_no_hold(provider: Provider) -> None:
    import threading

    import allowance

    asked, go = threading.Event(), threading.Event()

    class Slow(Flaky):
        blocking = True

        def reserve(self, ask: Any) -> Any:
            if "+" in ask.hold_id:
                asked.set()
                go.wait(10)
            return super().reserve(ask)

    provider.reply(text=WORDS, chunks=100, output_tokens=8_000)
    file = Slow()
    allowance.configure(store=file)

    async def consume(client: openai.AsyncOpenAI) -> None:
        async for _ in await client.chat.completions.create(**UNCAPPED):
            pass

    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=1):
            task = asyncio.ensure_future(consume(client))
            await asyncio.to_thread(asked.wait, 10)
            task.cancel()
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
    lifeline.drain()
    assert books(file, "alice")[1] == 0
    assert len(lines(file, "alice")) == 1


def test_other_words_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="on_overrun"):
        budget("alice", on_overrun="halt")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigurationError, match="on_overrun"):
        budgeted("alice", on_overrun=None)  # type: ignore[arg-type]  # what is refused


def test_anthropics_helper_is_stopped(provider: Provider, store: MemoryStore) -> None:
    # A family known by a factor only: what the vendor says of the input counts as the stream begins.
    provider.reply(text="hi", input_tokens=5_000, output_tokens=2)
    with clients.anthropic_sync(provider) as client:
        with budget("alice", limit="0.002", on_overrun="stop"), pytest.raises(BudgetExceededError):
            with client.messages.stream(
                model="claude-sonnet-4-5", messages=MESSAGES, max_tokens=50
            ) as stream:
                list(stream.text_stream)
    (entry,) = lines(store, "alice")
    assert entry.input_tokens == 5_000
    assert books(store, "alice") == (entry.amount, 0)


def thinking(tokens: int) -> dict[str, Any]:
    """A chunk of Gemini's that shows nothing, and says how much was thought so far."""
    usage = {"promptTokenCount": 9, "thoughtsTokenCount": tokens, "totalTokenCount": 9 + tokens}
    return {"modelVersion": "gemini-2.5-pro", "candidates": [{}], "usageMetadata": usage}


def test_figures_that_grow_unseen_stop_a_stream_as_well(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reckoned: list[int] = []
    catch_up = overrun.Watch.catch_up
    monkeypatch.setattr(overrun.Watch, "catch_up", lambda watch: (reckoned.append(1), catch_up(watch))[1])

    @budgeted(user="alice", limit=usd(20_000 * GEMINI_PRO_OUT), on_overrun="stop")
    def ask(contents: Any, model: str = "gemini-2.5-pro") -> Iterator[Any]:
        yield from (thinking(10 * number) for number in range(1, 4_000))

    chunks: list[Any] = []
    with pytest.raises(BudgetExceededError, match="stopped"):
        chunks.extend(ask("hello there"))
    seen = len(chunks)
    assert 19_900 < 10 * seen < 20_100
    spent, held = books(store, "alice")
    assert held == 0
    assert spent == 9 * 1_250 + 10 * seen * GEMINI_PRO_OUT
    assert len(reckoned) < 500  # of 2,000 chunks that all state their figures
