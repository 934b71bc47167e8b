"""Calls without an output cap: the four policies, through real calls, down to the HTTP request."""

# ruff: noqa: SIM117, PT012  # blocks, and what is raised inside them, are what this is about

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

import allowance
from allowance import BudgetExceededError, Price, budget, budgeted
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, GPT_4O_IN, GPT_4O_OUT, MESSAGES, books, reply, usd
from tests.provider import Provider, clients

UNCAPPED: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
INPUT = 9 * GPT_4O_IN
LIKELY = INPUT + 4_096 * GPT_4O_OUT
"""Of a model whose replies were not seen yet, 4,096 tokens are assumed."""
MOST = INPUT + 16_384 * GPT_4O_OUT


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


def _held(provider: Provider, gpt: openai.OpenAI, store: MemoryStore, **arguments: Any) -> int:
    """What is held for one call while it is open."""
    gate = threading.Event()
    provider.then(gate=gate)
    before = provider.count
    thread = threading.Thread(target=lambda: gpt.chat.completions.create(**arguments))
    thread.start()
    provider.wait_for_calls(before + 1)
    held = books(store, "alice")[1]
    gate.set()
    thread.join()
    return held


# -- shrink ----------------------------------------------------------------------------------------------


def test_an_uncapped_call_holds_its_likely_cost(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=usd(LIKELY + 1)):
        assert _held(provider, gpt, store, **UNCAPPED) == LIKELY
    assert books(store, "alice") == (CALL, 0)


def test_it_learns_how_long_replies_are(provider: Provider, gpt: openai.OpenAI, store: MemoryStore) -> None:
    provider.reply(output_tokens=100)
    with budget("alice", limit="0.12") as b:
        for _ in range(20):
            gpt.chat.completions.create(**UNCAPPED)
        assert _held(provider, gpt, store, **UNCAPPED) == INPUT + 100 * GPT_4O_OUT
        assert b.remaining is not None


def test_shrink_admits_while_the_input_fits_and_one_at_a_time(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    limit = LIKELY + INPUT
    gate = threading.Event()
    provider.reply(gate=gate)
    with budget("alice", limit=usd(limit)):
        helds = []
        threads = []
        for number in (1, 2):
            thread = threading.Thread(target=lambda: gpt.chat.completions.create(**UNCAPPED))
            thread.start()
            threads.append(thread)
            provider.wait_for_calls(number)
            helds.append(books(store, "alice")[1])
        assert helds == [LIKELY, limit]  # the second holds what remained
        with pytest.raises(BudgetExceededError) as refused:
            gpt.chat.completions.create(**UNCAPPED)
        assert refused.value.temporary
        assert "max_tokens" in str(refused.value)
        gate.set()
        for thread in threads:
            thread.join()
    assert books(store, "alice") == (2 * CALL, 0)
    assert provider.count == 2


def test_shrink_refuses_where_not_even_the_input_fits(provider: Provider, gpt: openai.OpenAI) -> None:
    with budget("alice", limit=usd(INPUT - 1)), pytest.raises(BudgetExceededError):
        gpt.chat.completions.create(**UNCAPPED)
    with budget("bob", limit=usd(INPUT)):
        gpt.chat.completions.create(**UNCAPPED)
    assert provider.count == 1


def test_what_a_shrunk_call_overruns_is_reported_and_refuses_the_next(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    events: list[allowance.Event] = []
    with budget("alice", limit=usd(INPUT), on_event=events.append) as b:
        gpt.chat.completions.create(**UNCAPPED)
        assert b.remaining == usd(INPUT - CALL)
        with pytest.raises(BudgetExceededError):
            gpt.chat.completions.create(**UNCAPPED)
    assert [event.amount for event in events if event.kind == "overrun"] == [usd(CALL - INPUT)]


# -- refuse and reserve ------------------------------------------------------------------------------------


def test_refuse(provider: Provider, gpt: openai.OpenAI) -> None:
    with budget("alice", limit=usd(LIKELY - 1), uncapped="refuse"), pytest.raises(BudgetExceededError) as no:
        gpt.chat.completions.create(**UNCAPPED)
    assert no.value.projected == usd(LIKELY)
    with budget("bob", limit=usd(LIKELY), uncapped="refuse"):
        gpt.chat.completions.create(**UNCAPPED)
    assert provider.count == 1


def test_reserve_holds_the_models_maximum(provider: Provider, gpt: openai.OpenAI, store: MemoryStore) -> None:
    with budget("bob", limit=usd(MOST - 1), uncapped="reserve"), pytest.raises(BudgetExceededError) as no:
        gpt.chat.completions.create(**UNCAPPED)
    assert no.value.projected == usd(MOST)
    with budget("alice", limit=usd(MOST), uncapped="reserve"):
        assert _held(provider, gpt, store, **UNCAPPED) == MOST
    assert provider.count == 1


def test_the_policies_do_not_touch_capped_calls(provider: Provider, gpt: openai.OpenAI) -> None:
    for number, policy in enumerate(("shrink", "clamp", "reserve", "refuse")):
        with budget(f"user{number}", limit=1, uncapped=policy):
            gpt.chat.completions.create(**CHAT)
        assert provider.calls[-1].body["max_tokens"] == 50
        with budget(limit="0.0005", uncapped=policy), pytest.raises(BudgetExceededError):
            gpt.chat.completions.create(**CHAT)
    assert provider.count == 4


# -- clamp -------------------------------------------------------------------------------------------------

FORTY = INPUT + 40 * GPT_4O_OUT


def test_clamp_puts_the_affordable_cap_into_openais_request(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.reply(usage="cap", input_tokens=9)
    arguments = dict(UNCAPPED)
    with budget("alice", limit=usd(FORTY + 9_999), uncapped="clamp"):
        gpt.chat.completions.create(**arguments)
    body = provider.calls[0].body
    caps = {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body}
    assert list(caps.values()) == [40]
    assert arguments == UNCAPPED
    assert books(store, "alice") == (FORTY, 0)


def test_clamp_leaves_a_call_alone_that_fits_at_its_longest(provider: Provider, gpt: openai.OpenAI) -> None:
    with budget("alice", limit=usd(MOST * 10), uncapped="clamp"):
        gpt.chat.completions.create(**UNCAPPED)
    body = provider.calls[0].body
    assert (
        not {"max_tokens", "max_completion_tokens"} & set(body)
        or (body.get("max_tokens") or body.get("max_completion_tokens")) >= 4_096
    )


def test_clamp_refuses_where_not_one_token_fits(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    with budget("alice", limit=usd(INPUT + GPT_4O_OUT - 1), uncapped="clamp"):
        with pytest.raises(BudgetExceededError):
            gpt.chat.completions.create(**UNCAPPED)
    assert provider.count == 0
    assert books(store, "alice") == (0, 0)


async def test_clamp_with_the_other_sdks(provider: Provider) -> None:
    import litellm

    tight: Callable[[], Any] = lambda: budget(limit="0.01", uncapped="clamp")  # noqa: E731
    gemini = clients.gemini(provider)
    async with clients.openai_async(provider) as agpt:
        with clients.openai_sync(provider) as gpt:
            with tight():
                gpt.responses.create(model="gpt-4o", input="hello")
            with tight():
                gpt.chat.completions.with_raw_response.create(**UNCAPPED)
            with tight():
                list(gpt.chat.completions.create(**UNCAPPED, stream=True))
        with tight():
            await agpt.chat.completions.create(**UNCAPPED)
    with tight():
        gemini.models.generate_content(model="gemini-2.5-pro", contents="hello")
    with tight():
        await gemini.aio.models.generate_content(
            model="gemini-2.5-pro", contents="hello", config={"temperature": 0}
        )
    with tight():
        litellm.completion(**UNCAPPED, **clients.litellm_kwargs(provider))
    with tight():
        await litellm.acompletion(**UNCAPPED, **clients.litellm_kwargs(provider))
    await gemini.aio.aclose()
    gemini.close()
    caps = []
    for call in provider.calls:
        body = {**call.body, **call.body.get("generationConfig", {})}
        names = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
        caps.append([body[name] for name in names if body.get(name) is not None])
    assert all(len(cap) == 1 and 900 <= cap[0] < 1_000 for cap in caps), caps
    assert provider.calls[5].body["generationConfig"]["temperature"] == 0


def test_anthropic_requires_a_cap_so_there_is_nothing_to_clamp(provider: Provider) -> None:
    with clients.anthropic_sync(provider) as client, budget(limit="0.001", uncapped="clamp"):
        with pytest.raises(BudgetExceededError):
            client.messages.create(model="claude-sonnet-4-5", messages=MESSAGES, max_tokens=5_000)  # type: ignore[arg-type]
    assert provider.count == 0
    assert issubclass(anthropic.Anthropic, object)


def test_clamp_with_decorated_functions() -> None:
    seen: list[Any] = []

    @budgeted(limit=usd(FORTY), uncapped="clamp")
    def named(messages: Any, model: str = "gpt-4o", max_tokens: int | None = None) -> Any:
        seen.append(max_tokens)
        return reply()

    @budgeted(limit=usd(FORTY), uncapped="clamp")
    def anything(messages: Any, **kwargs: Any) -> Any:
        seen.append(kwargs.get("max_tokens") or kwargs.get("max_completion_tokens"))
        return reply()

    @budgeted(limit=usd(FORTY), uncapped="clamp")
    def body(request: dict[str, Any]) -> Any:
        seen.append(request.get("max_tokens") or request.get("max_completion_tokens"))
        return reply()

    named(MESSAGES)
    anything(MESSAGES, model="gpt-4o")
    given = dict(UNCAPPED)
    body(given)
    assert seen == [40, 40, 40]
    assert given == UNCAPPED

    @budgeted(limit=usd(FORTY), uncapped="clamp")
    def takes_none(messages: Any, model: str = "gpt-4o") -> Any:
        raise AssertionError

    with pytest.raises(BudgetExceededError):
        takes_none(MESSAGES)


async def test_clamp_with_the_other_kinds_of_functions() -> None:
    seen: list[Any] = []

    @budgeted(limit=usd(FORTY), uncapped="clamp")
    async def coroutine(messages: Any, model: str = "gpt-4o", max_tokens: int | None = None) -> Any:
        seen.append(max_tokens)
        return reply()

    @budgeted(limit=usd(FORTY), uncapped="clamp")
    def generator(messages: Any, model: str = "gpt-4o", max_tokens: int | None = None) -> Iterator[Any]:
        seen.append(max_tokens)
        yield reply()

    await coroutine(MESSAGES)
    list(generator(MESSAGES))
    assert seen == [40, 40]


def test_the_strictest_of_several_policies_holds(provider: Provider, gpt: openai.OpenAI) -> None:
    with budget("alice", limit=usd(LIKELY - 1)), budget("bob", limit=1, uncapped="refuse"):
        with pytest.raises(BudgetExceededError):
            gpt.chat.completions.create(**UNCAPPED)
    with budget(limit=1), budget(limit=usd(FORTY), uncapped="clamp"):
        gpt.chat.completions.create(**UNCAPPED)
    body = provider.calls[0].body
    assert (body.get("max_tokens") or body.get("max_completion_tokens")) == 40


# -- cheap first -------------------------------------------------------------------------------------------


def test_far_from_the_end_nothing_is_counted_and_near_it_everything_is(store: MemoryStore) -> None:
    counted: list[str] = []

    def counter(model: str, texts: Any) -> int:
        counted.append(model)
        return 2

    allowance.configure(counter=counter)
    ask = budgeted(user="alice", limit=100)(lambda messages, model, max_tokens: reply())
    ask(MESSAGES, "gpt-4o", 50)
    counted.clear()
    ask(MESSAGES, "gpt-4o", 50)
    assert not counted
    with budget("alice", limit="0.001"), pytest.raises(BudgetExceededError):
        for _ in range(20):
            budgeted()(lambda messages, model, max_tokens: reply())(MESSAGES, "gpt-4o", 50)
    assert counted


def test_open_cheap_holds_stay_below_five_percent(store: MemoryStore) -> None:
    allowance.configure(prices={"flat": Price(input="10000", output="10000")})  # a cent a token
    counted: list[str] = []

    def counter(model: str, texts: Any) -> int:
        counted.append(model)
        return 1

    allowance.configure(counter=counter)
    with budget("alice", limit=1_000):

        def nest(depth: int) -> Any:
            """Open calls, one inside the other, none taking the place of another."""

            @budgeted(user="alice", model="flat")
            def ask(prompt: str, max_tokens: int) -> Any:
                if depth:
                    contextvars.Context().run(nest, depth - 1)
                return reply(1, 1, model="flat")

            return ask("x" * 60, 1)

        nest(0)
        counted.clear()
        nest(40)
    # 1.53 dollars each by their bytes: 31 of them are within 5 % of what remains. The others are counted.
    assert len(counted) == 41 - 31
