"""What `@budgeted` can be put on, and what it leaves as it was."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

import allowance
from allowance import BudgetExceededError, UnknownUserError, budget, budgeted
from allowance.calls import lifeline
from allowance.errors import ConfigurationError
from allowance.stores.memory import MemoryStore
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI,
    GEMINI_CALL,
    GPT_4O_IN,
    GPT_4O_OUT,
    HELD,
    MESSAGES,
    SONNET_CALL,
    books,
    key,
    lines,
    reply,
    usd,
)
from tests.provider import Provider, clients

alices = budgeted(user="alice", limit=1)


@alices
def module_level(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    """It completes."""
    return reply()


@alices
async def module_level_coroutine(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


# -- the kinds of function -------------------------------------------------------------------------------


def test_a_plain_function_and_its_reply_is_the_very_object(store: MemoryStore) -> None:
    given = reply()

    @alices
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return given

    assert ask(MESSAGES) is given
    assert books(store, "alice") == (CALL, 0)


async def test_a_coroutine(store: MemoryStore) -> None:
    given = reply()

    @alices
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        await asyncio.sleep(0)
        return given

    assert await ask(MESSAGES) is given
    assert books(store, "alice") == (CALL, 0)


def _chunks() -> list[dict[str, Any]]:
    return [
        {"choices": [{"index": 0, "delta": {"content": "Hel"}}]},
        {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
        {"choices": [], "model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    ]


def test_a_generator(store: MemoryStore) -> None:
    begun = []

    @alices
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
        begun.append(True)
        yield from _chunks()

    stream = ask(MESSAGES)
    assert not begun
    assert store.account(key("alice")) is None
    assert list(stream) == _chunks()
    assert books(store, "alice") == (CALL, 0)


def test_a_generators_send_throw_close_and_return_value(store: MemoryStore) -> None:
    closed = []

    @alices
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        got = None
        try:
            while True:
                try:
                    got = yield {"choices": [{"index": 0, "delta": {"content": "Hello"}}], "got": got}
                except KeyError as error:
                    got = error
                if got == "end":
                    return "the value"
        finally:
            closed.append(True)

    stream = ask(MESSAGES)
    assert next(stream)["got"] is None
    assert stream.send("x")["got"] == "x"
    thrown = KeyError("thrown")
    assert stream.throw(thrown)["got"] is thrown
    with pytest.raises(StopIteration) as stop:
        stream.send("end")
    assert stop.value.value == "the value"
    assert closed == [True]

    second = ask(MESSAGES)
    next(second)
    second.close()
    assert closed == [True, True]
    first_entry, second_entry = lines(store, "alice")
    assert first_entry.amount == 9 * GPT_4O_IN + first_entry.output_tokens * GPT_4O_OUT
    assert second_entry.amount == 9 * GPT_4O_IN + 1 * GPT_4O_OUT
    assert books(store, "alice")[1] == 0


async def test_an_async_generator(store: MemoryStore) -> None:
    @alices
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        for chunk in _chunks():
            yield chunk

    assert [chunk async for chunk in ask(MESSAGES)] == _chunks()
    assert books(store, "alice") == (CALL, 0)


async def test_an_async_generators_asend_athrow_and_aclose(store: MemoryStore) -> None:
    closed = []

    @alices
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        got = None
        try:
            while True:
                try:
                    got = yield {"choices": [{"index": 0, "delta": {"content": "Hello"}}], "got": got}
                except KeyError as error:
                    got = error
        finally:
            closed.append(True)

    stream = ask(MESSAGES)
    assert (await anext(stream))["got"] is None
    assert (await stream.asend("x"))["got"] == "x"
    thrown = KeyError("thrown")
    assert (await stream.athrow(thrown))["got"] is thrown
    await stream.aclose()
    assert closed == [True]
    (entry,) = lines(store, "alice")
    assert (entry.counted, entry.output_tokens) == (True, 3)


async def test_leaving_an_async_generator_early_charges_what_was_seen(store: MemoryStore) -> None:
    @alices
    async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        for chunk in _chunks():
            yield chunk

    async with aclosing(ask(MESSAGES)) as stream:
        async for _ in stream:
            break
    (entry,) = lines(store, "alice")
    assert (entry.counted, entry.amount) == (True, 9 * GPT_4O_IN + 1 * GPT_4O_OUT)


class Service:
    name = "alice"

    @budgeted(user=lambda self, messages, **_: self.name, limit=1)
    def method(self, messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return self, reply()

    @classmethod
    @alices
    def class_inside(cls, messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return cls, reply()

    @alices
    @classmethod
    def class_outside(cls, messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return cls, reply()

    @staticmethod
    @alices
    def static_inside(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return None, reply()

    @alices
    @staticmethod
    def static_outside(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return None, reply()

    @alices
    async def coroutine(self, messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return self, reply()

    @alices
    def __call__(self, messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return self, reply()


class Named(Service):
    pass


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("method", "instance"),
        ("class_inside", "class"),
        ("class_outside", "class"),
        ("static_inside", "nothing"),
        ("static_outside", "nothing"),
        ("__call__", "instance"),
    ],
)
def test_methods(name: str, first: str, store: MemoryStore) -> None:
    service = Named()
    expected = {"instance": service, "class": Named, "nothing": None}[first]
    got, _ = getattr(service, name)(MESSAGES)
    assert got is expected
    if first == "instance":
        got, _ = getattr(Named, name)(service, MESSAGES)
    else:
        got, _ = getattr(Named, name)(MESSAGES)
    assert got is expected
    assert books(store, "alice") == (2 * CALL, 0)
    assert [entry.model for entry in lines(store, "alice")] == ["gpt-4o"] * 2


async def test_a_method_that_is_a_coroutine(store: MemoryStore) -> None:
    service = Service()
    assert inspect.iscoroutinefunction(service.coroutine)
    assert (await service.coroutine(MESSAGES))[0] is service
    assert books(store, "alice") == (CALL, 0)


def test_partials_and_callable_objects(store: MemoryStore) -> None:
    def ask(model: str, messages: Any, max_tokens: int = 50) -> Any:
        return reply()

    class Callable:
        def __call__(self, model: str, messages: Any, max_tokens: int = 50) -> Any:
            return reply()

        def helper(self) -> str:
            return "helper"

    alices(functools.partial(ask, "gpt-4o"))(MESSAGES)
    functools.partial(alices(ask), "gpt-4o")(MESSAGES)
    wrapped = alices(Callable())
    wrapped("gpt-4o", MESSAGES)
    assert wrapped.helper() == "helper"
    assert isinstance(wrapped, Callable)
    assert books(store, "alice") == (3 * CALL, 0)


async def test_async_partials_and_callable_objects(store: MemoryStore) -> None:
    async def ask(model: str, messages: Any, max_tokens: int = 50) -> Any:
        return reply()

    class Callable:
        async def __call__(self, model: str, messages: Any, max_tokens: int = 50) -> Any:
            return reply()

    await alices(functools.partial(ask, "gpt-4o"))(MESSAGES)
    await alices(Callable())("gpt-4o", MESSAGES)
    assert books(store, "alice") == (2 * CALL, 0)


# -- functions that do not say what they are ---------------------------------------------------------------


async def test_the_async_clients_create_is_no_coroutine_function(
    provider: Provider, store: MemoryStore
) -> None:
    async with clients.openai_async(provider) as gpt, clients.anthropic_async(provider) as claude:
        assert not inspect.iscoroutinefunction(gpt.chat.completions.create)
        made = await alices(gpt.chat.completions.create)(**CHAT)
        assert type(made) is openai.types.chat.ChatCompletion
        assert books(store, "alice") == (CALL, 0)
        message = await alices(claude.messages.create)(**CLAUDE)
        assert type(message) is anthropic.types.Message
    assert books(store, "alice") == (CALL + SONNET_CALL, 0)


async def test_a_plain_function_that_returns_a_coroutine_a_task_or_a_future(store: MemoryStore) -> None:
    async def work() -> Any:
        return reply()

    for make in (work, lambda: asyncio.ensure_future(work()), lambda: asyncio.gather(work())):

        @alices
        def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50, *, _make: Any = make) -> Any:
            return _make()

        await ask(MESSAGES)
    assert books(store, "alice") == (3 * CALL, 0)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_a_coroutine_that_is_never_awaited_costs_nothing(store: MemoryStore) -> None:
    async def work() -> Any:
        return reply()

    @alices
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return work()

    ask(MESSAGES)
    gc.collect()
    lifeline.drain()
    assert books(store, "alice") == (0, 0)


# -- what stays as it was --------------------------------------------------------------------------------


def test_signature_names_and_kind_stay() -> None:
    def plain(messages: Any, model: str = "gpt-4o", *, n: int = 1) -> int:
        """Its words."""
        return 1

    async def coroutine() -> None: ...
    def generator() -> Iterator[int]:
        yield 1

    async def agenerator() -> AsyncIterator[int]:
        yield 1

    wrapped = alices(plain)
    assert inspect.signature(wrapped) == inspect.signature(plain)
    assert (wrapped.__name__, wrapped.__qualname__) == (plain.__name__, plain.__qualname__)
    assert (wrapped.__doc__, wrapped.__module__) == (plain.__doc__, __name__)
    assert wrapped.__wrapped__ is plain  # type: ignore[attr-defined]  # a wrapt proxy has it
    assert inspect.iscoroutinefunction(alices(coroutine))
    assert inspect.isgeneratorfunction(alices(generator))
    assert inspect.isasyncgenfunction(alices(agenerator))
    assert not inspect.iscoroutinefunction(wrapped)
    assert inspect.isfunction(wrapped) == inspect.isfunction(plain)


def test_a_decorated_function_of_a_module_can_be_pickled(store: MemoryStore) -> None:
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert pickle.loads(pickle.dumps(module_level_coroutine)) is module_level_coroutine
    service = pickle.loads(pickle.dumps(Service.class_inside))
    assert service(MESSAGES)[0] is Service
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(alices(lambda: None))


def test_bare_budgeted_says_what_to_write() -> None:
    def ask(messages: Any, model: str = "gpt-4o") -> Any: ...

    with pytest.raises(ConfigurationError, match=r"@budgeted\(\.\.\.\)"):
        budgeted(ask)(MESSAGES)
    with pytest.raises(ConfigurationError, match="wraps a function"):
        budgeted(user="alice")("not a function")  # type: ignore[arg-type]  # that is the test


def test_wrong_arguments_raise_as_the_function_itself_would(store: MemoryStore) -> None:
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    wrapped = alices(ask)
    for args, kwargs in (
        ((), {}),
        ((1, 2, 3, 4), {}),
        ((MESSAGES,), {"nope": 1}),
        ((MESSAGES,), {"messages": 1}),
    ):
        with pytest.raises(TypeError) as theirs:
            ask(*args, **kwargs)  # type: ignore[arg-type]  # that is the test
        with pytest.raises(TypeError) as ours:
            wrapped(*args, **kwargs)  # type: ignore[arg-type]
        assert type(ours.value) is type(theirs.value)
    assert store.account(key("alice")) is None or books(store, "alice") == (0, 0)


# -- whose budget ----------------------------------------------------------------------------------------


def test_the_user_is_taken_from_the_calls_own_arguments(store: MemoryStore) -> None:
    seen = []

    def who(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return kwargs["user"]

    @budgeted(user=who, limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50, *, user: Any) -> Any:
        return reply()

    ask(MESSAGES, user="alice")
    ask(MESSAGES, max_tokens=10, user=1234)
    assert seen == [((MESSAGES,), {"user": "alice"}), ((MESSAGES,), {"max_tokens": 10, "user": 1234})]
    assert books(store, "alice") == (CALL, 0)
    assert books(store, "1234") == (CALL, 0)


def test_a_user_of_none_is_the_enclosing_budget(store: MemoryStore) -> None:
    @budgeted(user=lambda *args, **kwargs: None)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    with pytest.raises(ConfigurationError, match="no budget"):
        ask(MESSAGES)
    with budget("alice", limit=1):
        ask(MESSAGES)
    assert books(store, "alice") == (CALL, 0)


@pytest.mark.parametrize("user", [True, 1.5, b"alice", ["alice"], object()])
def test_users_that_are_none(user: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a str or an int"):
        budgeted(user=lambda *args, **kwargs: user, limit=1)(reply_to)(MESSAGES)
    if not callable(user):
        with pytest.raises(ConfigurationError, match="must be a str or an int"):
            budgeted(user=user, limit=1)


def reply_to(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


def test_an_unknown_user_is_an_error_that_names_other_projects(store: MemoryStore) -> None:
    budgeted(user="alice", limit=1, project="elsewhere")(reply_to)(MESSAGES)
    with pytest.raises(UnknownUserError, match="elsewhere") as unknown:
        budgeted(user="alice")(reply_to)(MESSAGES)
    assert unknown.value.projects == ("elsewhere",)
    with pytest.raises(KeyError):
        budgeted(user="alice")(reply_to)(MESSAGES)


def test_a_limit_without_a_user_is_the_functions_own(store: MemoryStore) -> None:
    ask = budgeted(limit=usd(HELD + CALL))(reply_to)
    ask(MESSAGES)
    ask(MESSAGES)
    with pytest.raises(BudgetExceededError):
        ask(MESSAGES)
    assert not list(store.accounts())


def test_model_and_request_supply_what_the_arguments_lack(provider: Provider, store: MemoryStore) -> None:
    with clients.openai_sync(provider) as client:

        def send(text: str) -> str:
            return text.upper()

        def shape(text: str) -> dict[str, Any]:
            return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "max_tokens": 50}

        given = reply()
        by_request = budgeted(user="alice", limit=1, request=shape)(lambda text: given)
        assert by_request("hello there") is given
        assert books(store, "alice") == (CALL, 0)
        by_model = budgeted(user="bob", limit=usd(HELD), model="gpt-4o")(lambda messages, max_tokens: given)
        by_model(MESSAGES, 50)
        with pytest.raises(BudgetExceededError) as refused:
            by_model(MESSAGES, 50)
        assert refused.value.projected == usd(HELD)
        named = budgeted(user="carl", limit=1, model=lambda messages, fast: "gpt-4o" if fast else "gpt-4")(
            lambda messages, fast: given
        )
        named(MESSAGES, True)
        assert [entry.model for entry in lines(store, "carl")] == ["gpt-4o"]
        assert send("x") == "X"
        assert client


def test_the_request_may_be_one_argument_of_its_own(store: MemoryStore) -> None:
    @alices
    def ask(body: dict[str, Any]) -> Any:
        return reply()

    ask({**CHAT})
    assert books(store, "alice") == (CALL, 0)


# -- the SDKs ----------------------------------------------------------------------------------------------


def test_the_same_function_over_every_sdk(provider: Provider, store: MemoryStore) -> None:
    import litellm

    @budgeted(user="alice", limit=1)
    def ask(send: Any, **arguments: Any) -> Any:
        return send(**arguments)

    gemini = clients.gemini(provider)
    with clients.openai_sync(provider) as gpt, clients.anthropic_sync(provider) as claude:
        ask(gpt.chat.completions.create, **CHAT)
        ask(claude.messages.create, **CLAUDE)
        ask(gemini.models.generate_content, **GEMINI)
        ask(litellm.completion, **CHAT, **clients.litellm_kwargs(provider))
        assert [entry.amount for entry in lines(store, "alice")] == [CALL, SONNET_CALL, GEMINI_CALL, CALL]
        ask(gpt.responses.create, model="gpt-4o", input="hello", max_output_tokens=50)
        ask(gpt.embeddings.create, model="text-embedding-3-small", input="hello")
    gemini.close()
    assert [entry.amount for entry in lines(store, "alice")][4:] == [CALL, 10 * 20]
    assert books(store, "alice")[1] == 0


async def test_the_same_coroutine_over_every_sdk(provider: Provider, store: MemoryStore) -> None:
    import litellm

    @budgeted(user="alice", limit=1)
    async def ask(send: Any, **arguments: Any) -> Any:
        return await send(**arguments)

    gemini = clients.gemini(provider)
    async with clients.openai_async(provider) as gpt, clients.anthropic_async(provider) as claude:
        await ask(gpt.chat.completions.create, **CHAT)
        await ask(claude.messages.create, **CLAUDE)
        await ask(gemini.aio.models.generate_content, **GEMINI)
        await ask(litellm.acompletion, **CHAT, **clients.litellm_kwargs(provider))
    await gemini.aio.aclose()
    gemini.close()
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, SONNET_CALL, GEMINI_CALL, CALL]
    assert books(store, "alice")[1] == 0


# -- scopes ------------------------------------------------------------------------------------------------


def test_a_scope_holds_nothing_and_pays_for_the_calls_inside(provider: Provider, store: MemoryStore) -> None:
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=1)
        def answer(question: str) -> str:
            account = store.account(key("alice"))
            assert account is None or account.held == 0
            first = client.chat.completions.create(**CHAT)
            client.chat.completions.create(**CHAT)
            return first.choices[0].message.content or ""

        assert answer("what?") == "Hello, how can I help?"
        assert books(store, "alice") == (2 * CALL, 0)


def test_an_inner_call_of_a_scope_is_refused(provider: Provider) -> None:
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=usd(HELD - 1))
        def answer(question: str) -> Any:
            return client.chat.completions.create(**CHAT)

        with pytest.raises(BudgetExceededError):
            answer("what?")
    assert provider.count == 0


def test_a_scope_whose_result_carries_usage_is_charged_afterwards_with_one_warning(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    @budgeted(user="alice", limit=1)
    def answer(question: str) -> Any:
        return reply()

    answer("what?")
    answer("what?")
    assert books(store, "alice") == (2 * CALL, 0)
    said = [
        record
        for record in caplog.records
        if "charged only afterwards" in record.getMessage() or "only after" in record.getMessage()
    ]
    assert len(said) == 1


def test_a_scope_with_nothing_inside_costs_nothing(store: MemoryStore) -> None:
    @budgeted(user="alice", limit=1)
    def answer(question: str) -> str:
        return question

    assert answer("what?") == "what?"
    assert not lines(store, "alice")


# -- on_exceeded -----------------------------------------------------------------------------------------


def test_on_exceeded_is_handed_back_in_place_of_the_call(store: MemoryStore) -> None:
    errors: list[BudgetExceededError] = []

    def sorry(error: BudgetExceededError) -> str:
        errors.append(error)
        return "Sorry - no budget!"

    ran = []

    @budgeted(user="alice", limit=0, on_exceeded=sorry)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        ran.append(True)

    assert ask(MESSAGES) == "Sorry - no budget!"
    assert not ran
    assert (errors[0].limit, errors[0].projected) == (0, usd(HELD))


async def test_on_exceeded_of_coroutines_is_awaited_where_it_must_be() -> None:
    async def asorry(error: BudgetExceededError) -> str:
        return "async sorry"

    for sorry, said in ((asorry, "async sorry"), (lambda error: "sorry", "sorry")):

        @budgeted(user="alice", limit=0, on_exceeded=sorry)
        async def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            raise AssertionError

        assert await ask(MESSAGES) == said


async def test_on_exceeded_of_the_async_clients_create_can_be_awaited(provider: Provider) -> None:
    async def asorry(error: BudgetExceededError) -> str:
        return "async sorry"

    async with clients.openai_async(provider) as client:
        ask = budgeted(user="alice", limit=0, on_exceeded=asorry)(client.chat.completions.create)
        assert await ask(**CHAT) == "async sorry"
    assert provider.count == 0


@pytest.mark.parametrize(
    ("instead", "given"), [("sorry", ["sorry"]), (["a", "b"], ["a", "b"]), (None, [None])]
)
async def test_on_exceeded_of_generators(instead: Any, given: list[Any]) -> None:
    @budgeted(user="alice", limit=0, on_exceeded=lambda error: instead)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
        raise AssertionError
        yield

    @budgeted(user="alice", limit=0, on_exceeded=lambda error: instead)
    async def aask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        raise AssertionError
        yield

    assert list(ask(MESSAGES)) == given
    assert [value async for value in aask(MESSAGES)] == given


async def test_generators_without_on_exceeded_raise_at_the_first_step() -> None:
    @budgeted(user="alice", limit=0)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
        yield 1

    @budgeted(user="alice", limit=0)
    async def aask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> AsyncIterator[Any]:
        yield 1

    stream, astream = ask(MESSAGES), aask(MESSAGES)
    with pytest.raises(BudgetExceededError):
        next(stream)
    with pytest.raises(BudgetExceededError):
        await anext(astream)


def test_on_exceeded_serves_a_refused_inner_call_too(provider: Provider) -> None:
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=usd(HELD - 1), on_exceeded=lambda error: "sorry")
        def answer(question: str) -> Any:
            return client.chat.completions.create(**CHAT)

        assert answer("what?") == "sorry"


def test_what_on_exceeded_raises_goes_through() -> None:
    ours = LookupError("ours")

    def sorry(error: BudgetExceededError) -> None:
        raise ours

    with pytest.raises(LookupError) as raised:
        budgeted(user="alice", limit=0, on_exceeded=sorry)(reply_to)(MESSAGES)
    assert raised.value is ours


# -- a call inside a call --------------------------------------------------------------------------------


def test_nested_decorators_are_charged_once(store: MemoryStore) -> None:
    inner = budgeted(user="alice", limit=usd(HELD))(reply_to)

    @budgeted(user="alice", limit=usd(HELD))
    def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return inner(messages, model, max_tokens)

    outer(MESSAGES)  # the inner hold takes the place of the outer: two would not fit
    assert [entry.amount for entry in lines(store, "alice")] == [CALL]
    assert books(store, "alice") == (CALL, 0)


def test_three_decorators_on_one_function_are_charged_once_to_each(store: MemoryStore) -> None:
    ask = budgeted(user="team", kind="team", limit=1)(alices(budgeted(user="bob", limit=1)(reply_to)))
    ask(MESSAGES)
    assert books(store, "alice") == (CALL, 0)
    assert books(store, "bob") == (CALL, 0)
    team = store.account(key("team", "team"))
    assert team is not None
    assert (team.spent, team.held) == (CALL, 0)


def test_a_metered_call_replaces_the_outer_hold_and_later_ones_reserve_for_themselves(
    provider: Provider, store: MemoryStore
) -> None:
    helds = []
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=1)
        def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            helds.append(books(store, "alice")[1])
            client.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens)
            helds.append(books(store, "alice")[1])
            return client.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens)

        outer(MESSAGES)
    assert helds[0] > 0
    assert helds[1] == 0
    assert books(store, "alice") == (2 * CALL, 0)


async def test_of_several_in_a_gather_one_takes_the_outer_hold_over(
    provider: Provider, store: MemoryStore
) -> None:
    # Room for three holds: were the outer one kept beside the three, one would be refused.
    async with clients.openai_async(provider) as client:

        @budgeted(user="alice", limit=usd(3 * HELD))
        async def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            calls = [client.chat.completions.create(**CHAT) for _ in range(3)]
            return await asyncio.gather(*calls)

        await outer(MESSAGES)
    assert books(store, "alice") == (3 * CALL, 0)
    assert provider.count == 3


def test_an_inner_call_that_is_refused_leaves_the_outer_hold(provider: Provider, store: MemoryStore) -> None:
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=usd(HELD))
        def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            with pytest.raises(BudgetExceededError):
                client.chat.completions.create(**{**CHAT, "max_tokens": 51})
            assert books(store, "alice") == (0, HELD)
            return reply()

        outer(MESSAGES)
    assert provider.count == 0
    assert books(store, "alice") == (CALL, 0)


def test_an_inner_call_that_failed_costs_nothing(provider: Provider, store: MemoryStore) -> None:
    provider.reply(status=500)
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=1)
        def outer(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            return client.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens)

        with pytest.raises(openai.InternalServerError):
            outer(MESSAGES)
    assert books(store, "alice") == (0, 0)
    assert not lines(store, "alice")


def test_litellm_over_openai_is_one_call(provider: Provider, store: MemoryStore) -> None:
    import litellm

    allowance.max_budget = 1
    with budget("alice", limit=1) as b:
        budgeted(user="bob", limit=1)(litellm.completion)(**CHAT, **clients.litellm_kwargs(provider))
        assert b.cost == usd(CALL)
    assert books(store, "alice") == (CALL, 0)
    assert books(store, "bob") == (CALL, 0)
    assert allowance.current_cost == usd(CALL) == Decimal("0.000075")
