"""When a budget is short: a cheaper model, a shorter reply, waiting, asking for more."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
import tenacity

import allowance
from allowance import BudgetExceededError, Price, ask, budget, budgeted, clamp, downgrade, wait
from allowance.errors import ConfigurationError, UnknownModelError
from allowance.stores.memory import MemoryStore
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI,
    GPT_4O_IN,
    GPT_4O_OUT,
    HELD,
    MESSAGES,
    Clock,
    Flaky,
    books,
    key,
    lines,
    race,
    reply,
    thousand_tokens,
    usd,
)
from tests.provider import Provider, clients

MINI = "gpt-4o-mini"
MINI_IN, MINI_OUT = 150, 600
MINI_HELD = 9 * MINI_IN + 50 * MINI_OUT
MINI_CALL = 10 * MINI_IN + 5 * MINI_OUT
DIME = 100_000_000


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


def echo(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    """Answers with the model and the cap that it was called with."""
    return {**reply(model=model), "max_tokens": max_tokens}


def asked(limit: int, on_exceeded: Any, function: Any = echo) -> Any:
    return budgeted(user="alice", limit=usd(limit), on_exceeded=on_exceeded)(function)


def untouched(store: MemoryStore, user: str = "alice") -> bool:
    """Whether nothing is spent or held, be it that the budget was never made."""
    assert store.audit() == []
    account = store.account(key(user))
    return list(store.holds()) == [] and (account is None or (account.spent, account.held) == (0, 0))


class Pauses:
    """A sleep that moves a store's clock, or does what it is told, and keeps what it was asked for."""

    def __init__(self, clock: Clock | None = None, then: Callable[[], Any] | None = None) -> None:
        self.asked: list[float] = []
        self._clock = clock
        self._then = then

    def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        if self._clock is not None:
            self._clock.now += round(seconds * 1_000_000)
        if self._then is not None:
            self._then()

    async def later(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self(seconds)


# -- downgrade -------------------------------------------------------------------------------------------


def test_downgrade_replaces_the_model_and_charges_what_ran(store: MemoryStore) -> None:
    call = asked(HELD - 1, downgrade(MINI))
    assert call(MESSAGES)["model"] == MINI
    assert call(MESSAGES, "gpt-4o", 50)["model"] == MINI
    assert call(messages=MESSAGES, model="gpt-4o")["model"] == MINI
    assert books(store, "alice") == (3 * MINI_CALL, 0)
    assert {entry.model for entry in lines(store, "alice")} == {MINI}


def test_downgrade_holds_what_the_cheaper_model_costs(store: MemoryStore) -> None:
    helds: list[int] = []

    def look(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        helds.append(books(store, "alice")[1])
        return reply(model=model)

    asked(HELD - 1, downgrade(MINI), look)(MESSAGES)
    assert helds == [MINI_HELD]


def test_downgrade_leaves_a_call_that_fits(store: MemoryStore) -> None:
    assert asked(HELD, downgrade(MINI))(MESSAGES)["model"] == "gpt-4o"


def test_downgrade_takes_the_first_of_a_chain_that_fits(store: MemoryStore) -> None:
    assert asked(MINI_HELD, downgrade("gpt-4.1", MINI))(MESSAGES)["model"] == MINI


def test_downgrade_gives_up_with_the_first_refusal(store: MemoryStore) -> None:
    with pytest.raises(BudgetExceededError) as refused:
        asked(MINI_HELD - 1, downgrade(MINI))(MESSAGES)
    assert (refused.value.model, refused.value.projected) == ("gpt-4o", usd(HELD))
    assert untouched(store)


def test_downgrade_does_nothing_where_the_model_comes_from_elsewhere(store: MemoryStore) -> None:
    def fixed(messages: Any, max_tokens: int = 50) -> Any:
        raise AssertionError

    with pytest.raises(BudgetExceededError):
        budgeted(user="alice", limit=usd(HELD - 1), model="gpt-4o", on_exceeded=downgrade(MINI))(fixed)(
            MESSAGES
        )

    def other(messages: Any, model: str = "gpt-4o") -> Any:
        raise AssertionError

    with pytest.raises(BudgetExceededError):
        budgeted(
            user="bob", limit=usd(HELD - 1), request=lambda messages, **_: CHAT, on_exceeded=downgrade(MINI)
        )(other)(MESSAGES)


def test_downgrade_changes_a_whole_request_in_one_argument_and_not_the_callers_own() -> None:
    def post(request: Any) -> Any:
        return reply(model=request["model"])

    request = dict(CHAT)
    assert asked(HELD - 1, downgrade(MINI), post)(request)["model"] == MINI
    assert request == CHAT


def test_downgrade_to_a_model_without_a_price_says_so(store: MemoryStore) -> None:
    with pytest.raises(UnknownModelError, match="gpt-4o-mni"):
        asked(HELD - 1, downgrade("gpt-4o-mni"))(MESSAGES)
    assert untouched(store)


def test_downgrade_of_a_method_gives_its_user_the_arguments() -> None:
    class Client:
        name = "alice"

        @budgeted(user=lambda self, *args, **_: self.name, limit=usd(HELD - 1), on_exceeded=downgrade(MINI))
        def ask(self, messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            return reply(model=model)

    assert Client().ask(MESSAGES)["model"] == MINI


# -- clamp -----------------------------------------------------------------------------------------------


def test_clamp_puts_in_the_cap_that_fits(store: MemoryStore) -> None:
    limit = 9 * GPT_4O_IN + 20 * GPT_4O_OUT
    for given in ({}, {"max_tokens": 400}):
        store.adjust(key("alice"), None, reason="a new start") if given else None
        assert asked(limit, clamp())(MESSAGES, **given)["max_tokens"] == 20
    assert books(store, "alice") == (CALL, 0)


def test_clamp_caps_a_call_that_has_no_cap(store: MemoryStore) -> None:
    def uncapped(messages: Any, model: str = "gpt-4o", max_tokens: int | None = None) -> Any:
        return {**reply(model=model), "max_tokens": max_tokens}

    limit = 9 * GPT_4O_IN + 20 * GPT_4O_OUT
    call = budgeted(user="alice", limit=usd(limit), uncapped="refuse", on_exceeded=clamp())(uncapped)
    assert call(MESSAGES)["max_tokens"] == 20


def test_clamp_keeps_to_its_minimum_and_to_calls_that_take_a_cap(store: MemoryStore) -> None:
    limit = 9 * GPT_4O_IN + 20 * GPT_4O_OUT
    assert asked(limit, clamp(20))(MESSAGES)["max_tokens"] == 20
    store.adjust(key("alice"), None, reason="a new start")
    with pytest.raises(BudgetExceededError):
        asked(limit, clamp(21))(MESSAGES)

    def no_cap(messages: Any, model: str = "gpt-4o") -> Any:
        raise AssertionError

    with pytest.raises(BudgetExceededError) as refused:
        budgeted(user="bob", limit=usd(limit), uncapped="refuse", on_exceeded=clamp())(no_cap)(MESSAGES)
    assert refused.value.projected == usd(9 * GPT_4O_IN + 4_096 * GPT_4O_OUT)
    assert list(store.holds()) == []


def test_clamp_after_downgrade_shortens_the_call_to_the_cheaper_model() -> None:
    limit = 9 * MINI_IN + 20 * MINI_OUT
    said = asked(limit, [downgrade(MINI), clamp()])(MESSAGES)
    assert (said["model"], said["max_tokens"]) == (MINI, 20)


def test_an_sdks_reply_says_that_its_length_ended_it(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.reply(input_tokens=9, usage="cap")
    limit = 9 * GPT_4O_IN + 20 * GPT_4O_OUT
    with budget("alice", limit=usd(limit), on_exceeded=clamp()):
        gpt.chat.completions.create(**CHAT)
    assert provider.calls[0].body["max_tokens"] == 20
    assert books(store, "alice") == (limit, 0)


# -- wait ------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    allowance.configure(store=MemoryStore(clock=clock))
    return clock


def waiting(clock: Clock, timeout: float, pauses: Pauses) -> Any:
    return wait(timeout, sleep=pauses, clock=lambda: clock.now / 1_000_000)


def test_wait_sleeps_until_the_window_turns_once(clock: Clock) -> None:
    pauses = Pauses(clock)
    call = budgeted(user="alice", limit=usd(HELD), duration="30s", on_exceeded=waiting(clock, 60, pauses))(
        echo
    )
    call(MESSAGES)
    assert pauses.asked == []
    clock.forward(minutes=1 / 6)
    call(MESSAGES)
    assert pauses.asked == [pytest.approx(20, abs=0.01)]


@pytest.mark.parametrize(
    ("timeout", "duration", "limit"),
    [(10, "30s", HELD), (60, None, HELD), (60, "30s", 0), (60, "30s", HELD - 1)],
    ids=["too late", "never turns", "nothing at all", "too small"],
)
def test_wait_gives_up_at_once_where_it_cannot_help(
    clock: Clock, timeout: float, duration: str | None, limit: int
) -> None:
    pauses = Pauses(clock)
    call = budgeted(
        user="alice", limit=usd(limit), duration=duration, on_exceeded=waiting(clock, timeout, pauses)
    )(echo)
    if limit == HELD:
        call(MESSAGES)
    with pytest.raises(BudgetExceededError):
        call(MESSAGES)
    assert pauses.asked == []


def test_wait_goes_on_when_open_calls_have_settled(store: MemoryStore) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        inside.set()
        go_on.wait()
        return reply()

    def settle() -> None:
        if len(pauses.asked) == 3:
            go_on.set()
            thread.join()

    pauses = Pauses(then=settle)
    thread = threading.Thread(target=lambda: budgeted(user="alice", limit=usd(HELD + CALL))(slow)(MESSAGES))
    thread.start()
    inside.wait()
    budgeted(user="alice", on_exceeded=wait(60, sleep=pauses))(echo)(MESSAGES)
    assert pauses.asked == [0.05, 0.1, 0.2]
    assert books(store, "alice") == (2 * CALL, 0)


def test_wait_gives_up_when_its_time_is_over(store: MemoryStore) -> None:
    pauses = Pauses()

    @budgeted(user="alice", limit=usd(HELD))
    def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        with pytest.raises(BudgetExceededError) as refused:
            thread_result(lambda: budgeted(user="alice", on_exceeded=wait(5, sleep=pauses))(echo)(MESSAGES))
        assert refused.value.temporary
        return reply()

    outer(MESSAGES)
    assert pauses.asked[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert sum(pauses.asked) == pytest.approx(5)
    assert books(store, "alice") == (CALL, 0)


def thread_result(call: Callable[[], Any]) -> Any:
    """Call it where no decorated call's hold can be taken over."""
    from contextvars import Context

    return Context().run(call)


async def test_wait_does_not_block_the_event_loop(clock: Clock) -> None:
    pauses = Pauses(clock)
    strategy = wait(60, sleep=pauses.later, clock=lambda: clock.now / 1_000_000)

    @budgeted(user="alice", limit=usd(HELD), duration="30s", on_exceeded=strategy)
    async def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    await call(MESSAGES)
    await call(MESSAGES)
    assert pauses.asked == [pytest.approx(30, abs=0.01)]


async def test_a_cancelled_wait_leaves_nothing_held(store: MemoryStore) -> None:
    @budgeted(user="alice", limit=usd(HELD), duration="30s", on_exceeded=wait(60))
    async def call(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply(into=100)

    await call(MESSAGES)
    task = asyncio.create_task(call(MESSAGES))
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert books(store, "alice")[1] == 0


# -- ask -------------------------------------------------------------------------------------------------


def test_ask_adds_what_was_granted_with_its_reason(store: MemoryStore) -> None:
    errors: list[BudgetExceededError] = []

    def grant(error: BudgetExceededError) -> Any:
        errors.append(error)
        return usd(HELD)

    assert asked(1, ask(grant, reason="Carol said so"))(MESSAGES)["model"] == "gpt-4o"
    assert [error.projected for error in errors] == [usd(HELD)]
    account = store.account(key("alice"))
    assert account is not None
    assert account.limit == 1 + HELD
    assert [entry.reason for entry in lines(store, "alice")] == ["top-up of $0.0005225: Carol said so", ""]
    assert books(store, "alice") == (CALL, 0)


def test_ask_true_grants_what_the_call_lacks(store: MemoryStore) -> None:
    asked(1, ask(lambda error: True))(MESSAGES)
    account = store.account(key("alice"))
    assert account is not None
    assert account.limit == HELD


@pytest.mark.parametrize("answer", [None, False, 0, "0"])
def test_ask_refused_raises_the_refusal(store: MemoryStore, answer: Any) -> None:
    with pytest.raises(BudgetExceededError):
        asked(1, ask(lambda error: answer))(MESSAGES)
    assert untouched(store)
    assert store.account(key("alice")) is None  # a refusal keeps nothing


def test_ask_asks_once_about_one_budget_and_again_about_another(store: MemoryStore) -> None:
    users: list[str] = []

    def grant(error: BudgetExceededError) -> Any:
        users.append(error.user)
        return usd(HELD)

    call = budgeted(user="alice", limit=usd(1), on_exceeded=ask(grant))(echo)
    with budget("red", kind="team", limit=usd(2)):
        call(MESSAGES)
    assert users == ["alice", "red"]
    users.clear()
    with pytest.raises(BudgetExceededError):
        budgeted(user="bob", limit=0, on_exceeded=ask(lambda error: users.append("bob") or "0.000001"))(echo)(
            MESSAGES
        )
    assert users == ["bob"]


def test_ask_raises_the_cap_of_the_process(store: MemoryStore) -> None:
    allowance.max_budget = usd(1)
    asked(DIME, ask(lambda error: usd(HELD)))(MESSAGES)
    assert allowance.max_budget == usd(1 + HELD)
    with pytest.raises(BudgetExceededError):
        budgeted(user="alice")(echo)(MESSAGES, max_tokens=100)


def test_ask_of_a_block_and_a_function_of_their_own() -> None:
    with budget(limit=usd(1), on_exceeded=ask(lambda error: True)) as b:
        budgeted()(echo)(MESSAGES)
        assert b.limit == usd(HELD)


@pytest.mark.parametrize("answer", [-1, "much", float("nan"), [1]])
def test_ask_takes_only_amounts(store: MemoryStore, answer: Any) -> None:
    with pytest.raises(ConfigurationError):
        asked(1, ask(lambda error: answer))(MESSAGES)
    assert untouched(store)


async def test_ask_awaits_in_async_calls_and_only_there(store: MemoryStore) -> None:
    async def grant(error: BudgetExceededError) -> bool:
        await asyncio.sleep(0)
        return True

    async def aecho(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return echo(messages, model, max_tokens)

    assert (await asked(1, ask(grant), aecho)(MESSAGES))["model"] == "gpt-4o"
    with pytest.raises(ConfigurationError, match="not async"):
        budgeted(user="bob", limit=0, on_exceeded=ask(grant))(echo)(MESSAGES)


def test_what_the_callback_raises_goes_through(store: MemoryStore) -> None:
    def no(error: BudgetExceededError) -> Any:
        raise StopIteration("ours")

    with pytest.raises(StopIteration, match="ours"):
        asked(1, ask(no))(MESSAGES)


async def test_a_call_that_the_callback_makes_itself_is_refused_without_asking(store: MemoryStore) -> None:
    told: list[str] = []

    def think(error: BudgetExceededError) -> bool:
        told.append(error.user)
        with pytest.raises(BudgetExceededError, match="'alice'"):
            budgeted()(echo)(MESSAGES)  # what would we answer? by alice's budget, which is short
        return True

    async def athink(error: BudgetExceededError) -> bool:
        await asyncio.sleep(0)
        return think(error)

    async def aecho(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return echo(messages, model, max_tokens)

    with budget("alice", limit=usd(1), on_exceeded=ask(think)):
        budgeted()(echo)(MESSAGES)
        budgeted()(echo)(MESSAGES)  # nobody is being asked any more: it is asked again
    async with budget("alice", on_exceeded=ask(athink)):
        await budgeted()(aecho)(MESSAGES)
    assert told == ["alice"] * 3
    assert books(store, "alice") == (3 * CALL, 0)


# -- several, kinds of functions, and blocks ---------------------------------------------------------------


def test_the_first_that_lets_the_call_go_wins() -> None:
    pauses = Pauses()
    ladder = [downgrade(MINI), clamp(10), wait(60, sleep=pauses), lambda error: error]
    assert asked(HELD, ladder)(MESSAGES)["model"] == "gpt-4o"
    assert budgeted(user="b", limit=usd(MINI_HELD), on_exceeded=ladder)(echo)(MESSAGES)["model"] == MINI
    said = budgeted(user="c", limit=usd(MINI_HELD - 1), on_exceeded=ladder)(echo)(MESSAGES)
    assert (said["model"], said["max_tokens"]) == (MINI, 49)
    error = budgeted(user="d", limit=usd(1), on_exceeded=ladder)(echo)(MESSAGES)
    assert (error.model, error.projected) == ("gpt-4o", usd(HELD))
    assert pauses.asked == []


async def test_every_kind_of_function() -> None:
    async def coroutine(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return model

    def generator(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
        yield model

    async def agenerator(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        yield model

    assert await asked(HELD - 1, downgrade(MINI), coroutine)(MESSAGES) == MINI
    assert list(asked(HELD - 1, downgrade(MINI), generator)(MESSAGES)) == [MINI]
    assert [model async for model in asked(HELD - 1, downgrade(MINI), agenerator)(MESSAGES)] == [MINI]


def test_a_scopes_strategies_serve_the_calls_inside(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    @budgeted(user="alice", limit=usd(HELD - 1), on_exceeded=[downgrade(MINI), lambda error: "sorry"])
    def answer(question: str) -> Any:
        return gpt.chat.completions.create(**CHAT)

    answer("what?")
    assert provider.calls[0].body["model"] == MINI
    assert CHAT["model"] == "gpt-4o"
    provider.reply(input_tokens=10_000)
    while answer("what?") != "sorry":
        pass
    assert books(store, "alice")[1] == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_block_changes_the_sdks_calls_inside(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore, stream: bool
) -> None:
    with budget("alice", limit=usd(HELD - 1), on_exceeded=downgrade(MINI)):
        list(gpt.chat.completions.create(**CHAT, stream=stream))
        async with clients.openai_async(provider) as client:
            amade: Any = await client.chat.completions.create(**CHAT, stream=stream)
            if stream:
                [chunk async for chunk in amade]
    assert [call.body["model"] for call in provider.calls] == [MINI, MINI]
    assert {entry.model for entry in lines(store, "alice")} == {MINI}
    assert books(store, "alice")[1] == 0


def test_other_sdks_calls_are_changed_too(provider: Provider, store: MemoryStore) -> None:
    ladder = [downgrade("claude-haiku-4-5"), clamp()]
    with clients.anthropic_sync(provider) as claude, budget("alice", limit="0.0001", on_exceeded=ladder):
        claude.messages.create(**CLAUDE)
    (sent,) = provider.calls
    assert sent.body["model"] == "claude-haiku-4-5"
    assert 1 <= sent.body["max_tokens"] < 50
    (entry,) = lines(store, "alice")
    assert (entry.model, entry.amount) == ("claude-haiku-4-5", 10 * 1_000 + 5 * 5_000)
    with budget("bob", limit="0.000300", on_exceeded=[downgrade("gemini-2.5-flash"), clamp()]):
        client = clients.gemini(provider)
        client.models.generate_content(**GEMINI)
    assert "gemini-2.5-flash" in provider.calls[1].path
    assert {entry.model for entry in lines(store, "bob")} == {"gemini-2.5-flash"}


def test_of_nested_blocks_the_inner_ones_come_first(provider: Provider, gpt: openai.OpenAI) -> None:
    with budget("team", limit=1, on_exceeded=downgrade("gpt-4.1-nano")):
        with budget("alice", limit=usd(HELD - 1), on_exceeded=downgrade(MINI)):
            gpt.chat.completions.create(**CHAT)
        with budget("bob", limit=usd(HELD - 1)):
            gpt.chat.completions.create(**CHAT)
    assert [call.body["model"] for call in provider.calls] == [MINI, "gpt-4.1-nano"]


def test_a_function_that_answers_keeps_out_what_is_around_it() -> None:
    with budget("team", limit=usd(HELD - 1), on_exceeded=downgrade(MINI)):
        assert budgeted(on_exceeded=lambda error: "sorry")(echo)(MESSAGES) == "sorry"
        assert budgeted()(echo)(MESSAGES)["model"] == MINI


def test_an_inner_call_may_use_what_the_outer_one_holds(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    @budgeted(user="alice", limit=usd(HELD), on_exceeded=clamp())
    def answer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return gpt.chat.completions.create(model=model, messages=messages, max_tokens=500)

    answer(MESSAGES)
    assert provider.calls[0].body["max_tokens"] == 50
    assert books(store, "alice") == (CALL, 0)


@pytest.mark.parametrize(
    "wrong",
    [[], "gpt-4o-mini", 5, clamp, [downgrade], [lambda error: 1, clamp()], [clamp(), None]],
    ids=["empty", "text", "number", "not called", "one not called", "after a function", "none"],
)
def test_what_on_exceeded_does_not_take(wrong: Any) -> None:
    for make in (budget, budgeted):
        with pytest.raises(ConfigurationError, match="on_exceeded"):
            make("alice", limit=1, on_exceeded=wrong)
    with pytest.raises(ConfigurationError, match="block"):
        budget("alice", limit=1, on_exceeded=lambda error: 1)  # type: ignore[arg-type]


def test_what_the_strategies_do_not_take() -> None:
    wrong: list[Callable[[], Any]] = [
        downgrade,
        lambda: downgrade(""),
        lambda: downgrade(5),  # type: ignore[arg-type]
        lambda: clamp(0),
        lambda: clamp(1.5),  # type: ignore[arg-type]
        lambda: wait(0),
        lambda: wait(float("nan")),
        lambda: wait(True),
        lambda: ask(5),  # type: ignore[arg-type]
    ]
    for make in wrong:
        with pytest.raises(ConfigurationError):
            make()


# -- money -----------------------------------------------------------------------------------------------


def test_r1_fifty_threads_never_overspend_under_any_strategy(store: MemoryStore) -> None:
    arguments = thousand_tokens()

    def full(**kwargs: Any) -> Any:
        return reply(1_000, kwargs["max_tokens"], model=kwargs["model"])

    def run(user: str, strategy: Any) -> tuple[Counter[str], int]:
        call = budgeted(user=user, limit=usd(DIME), on_exceeded=strategy)(full)
        outcomes = race(lambda: call(**arguments))
        spent, held = books(store, user)
        assert held == 0
        return outcomes, spent

    _, spent = run("downgrade", downgrade(MINI))
    assert spent <= DIME
    outcomes, spent = run("clamp", clamp(100))
    assert DIME - 2_500_000 - 100 * GPT_4O_OUT < spent <= DIME
    outcomes, spent = run("wait", wait(0.2))
    assert (outcomes, spent) == (Counter(sent=8, refused=42), DIME)
    outcomes, spent = run("ask", ask(lambda error: True))
    account = store.account(key("ask"))
    assert account is not None
    assert outcomes["sent"] == 50
    assert spent == 50 * 12_500_000 <= (account.limit or 0)


def test_r7_refused_attempts_leave_no_hold_and_have_ids_of_their_own() -> None:
    ids: list[str] = []

    class Watched(Flaky):
        def reserve(self, ask: Any) -> Any:
            ids.append(ask.hold_id)
            return super().reserve(ask)

    store = Watched()
    allowance.configure(store=store)
    with pytest.raises(BudgetExceededError):
        asked(1, [downgrade(MINI), clamp(), ask(lambda error: "0.000000001")])(MESSAGES)
    assert len(ids) == len(set(ids)) >= 3
    assert untouched(store)


# -- tenacity ----------------------------------------------------------------------------------------------

three_times = tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)


def test_retries_around_a_decorated_function_are_each_charged_for_what_they_did(store: MemoryStore) -> None:
    tries: list[str] = []

    @three_times
    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        tries.append(model)
        if len(tries) < 3:
            raise TimeoutError("nobody knows what the provider did")
        return reply()

    ask(MESSAGES)
    posted = lines(store, "alice")
    assert [entry.unconfirmed for entry in posted] == [True, True, False]
    assert [entry.amount for entry in posted] == [HELD, HELD, CALL]


def test_retries_inside_a_decorated_function_are_each_charged_for_what_they_did(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    replies: list[Any] = []

    @budgeted(user="alice", limit=1)
    @three_times
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        replies.append(gpt.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens))
        if len(replies) < 2:
            raise ValueError("not the JSON that was asked for")
        return replies[-1]

    provider.then(status=500)  # not billed
    ask(MESSAGES)
    assert provider.count == 3
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, CALL]
    assert books(store, "alice") == (2 * CALL, 0)


def test_a_refusal_is_not_changed_by_retries(store: MemoryStore) -> None:
    with pytest.raises(BudgetExceededError):
        three_times(budgeted(user="alice", limit=0)(echo))(MESSAGES)
    assert untouched(store)


def test_prices_of_users_own_serve_downgrades() -> None:
    allowance.configure(prices={"local/*": Price(input=0, output=0)}, store=MemoryStore())
    assert asked(0, downgrade("local/llama"))(MESSAGES)["model"] == "local/llama"
