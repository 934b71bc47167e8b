"""Where a call meets another's failure, a cap that changes under it, a fork, an interrupt, a router."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import openai
import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted
from allowance.calls import lifeline
from allowance.calls.views import view_of
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, CHAT, HELD, MESSAGES, books, key, lines, reply
from tests.provider import clients
from tests.provider.server import Provider

LIKELY = HELD  # CHAT's cap is shorter than any reply that is expected, so it is what is expected


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def never_connected(provider: Provider) -> openai.OpenAI:
    return clients.openai_sync(provider, base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize("first", ["never connected", "refused by the provider"])
def test_r12_the_failure_that_a_fallback_answers_says_nothing_of_the_fallback(
    provider: Provider, store: MemoryStore, first: str
) -> None:
    provider.reply(gate=threading.Event())
    if first != "never connected":
        provider.then(status=429)
    other = never_connected(provider) if first == "never connected" else clients.openai_sync(provider)
    with other, clients.openai_sync(provider, timeout=0.2) as client, budget("alice", limit=1):
        try:
            other.chat.completions.create(**CHAT)
        except openai.OpenAIError:
            with pytest.raises(openai.APITimeoutError):
                client.chat.completions.create(**CHAT)
    (entry,) = lines(store, "alice")
    assert (entry.amount, entry.unconfirmed) == (LIKELY, True)


def test_r12_what_the_caller_was_handling_says_nothing_of_the_call(store: MemoryStore) -> None:
    class RefusedError(Exception):
        status_code = 429

    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> None:
        raise ValueError("paid for, and not readable")

    try:
        raise RefusedError
    except RefusedError:
        with pytest.raises(ValueError, match="paid for"):
            ask(MESSAGES)
    (entry,) = lines(store, "alice")
    assert (entry.amount, entry.unconfirmed) == (LIKELY, True)


def test_r12_an_inner_call_that_was_let_go_does_not_make_the_outer_free(
    provider: Provider, store: MemoryStore
) -> None:
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=1)
        def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
            provider.then(status=500)
            try:
                return client.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens)
            except openai.InternalServerError:
                body = json.dumps({"model": model, "messages": messages}).encode()
                headers = {"Content-Type": "application/json"}
                sent = urllib.request.Request(f"{provider.url}/v1/chat/completions", body, headers)
                with urllib.request.urlopen(sent) as answer:
                    return json.load(answer)

        ask(MESSAGES)
    assert books(store, "alice") == (CALL, 0)


class HostileError(Exception):
    @property
    def status_code(self) -> int:
        raise RuntimeError("not to be read")


class OddError(Exception):
    response: ClassVar[Any] = {"ResponseMetadata": None}


@pytest.mark.parametrize("kind", [HostileError, OddError])
def test_r12_an_exception_that_cannot_be_read_goes_through(store: MemoryStore, kind: type[Exception]) -> None:
    mine = kind("mine")

    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> None:
        raise mine

    with pytest.raises(kind) as caught:
        ask(MESSAGES)
    assert caught.value is mine
    assert books(store, "alice") == (LIKELY, 0)


def test_r5_a_cap_that_is_set_and_taken_away_under_calls_loses_none(
    store: MemoryStore, hurried: None
) -> None:
    calls, errors = [0] * 4, []
    until = time.monotonic() + 1.5

    def work(number: int) -> None:
        ask = budgeted(user="alice", limit=100, on_event=lambda event: None)(
            lambda messages, model="gpt-4o", max_tokens=50: reply()
        )
        while time.monotonic() < until:
            try:
                ask(MESSAGES)
            except BaseException as error:  # whatever it is, it is none of the caller's
                errors.append(error)
            calls[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while time.monotonic() < until:
        allowance.max_budget = 1000
        allowance.max_budget = None
    for thread in threads:
        thread.join()
    assert errors == []
    assert books(store, "alice") == (CALL * sum(calls), 0)


def test_r6_an_interrupt_between_the_grant_and_the_call_lets_the_hold_go(store: MemoryStore) -> None:
    def interrupt(event: allowance.Event) -> None:
        if event.kind == "reserved":
            raise KeyboardInterrupt

    @budgeted(user="alice", limit=1, on_event=interrupt)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return reply()

    try:
        ask(MESSAGES)
    except KeyboardInterrupt:
        pass
    else:
        pytest.fail("the interrupt was swallowed")
    lifeline.drain()
    assert books(store, "alice") == (0, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_r13_a_lock_that_another_thread_held_at_the_fork_is_remade(tmp_path: Any) -> None:
    allowance.configure(store=f"sqlite:///{tmp_path}/budgets.db")
    ask: Callable[..., Any] = budgeted(user="alice", limit=1)(
        lambda messages, model="gpt-4o", max_tokens=50: reply()
    )
    ask(MESSAGES)
    from allowance.calls.books import default_books

    view = view_of(default_books().store, key("alice"))
    with view.lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that hangs ends by it
            ask(MESSAGES)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_litellms_router_hands_the_refusal_on(provider: Provider) -> None:
    import litellm

    target = {"model": "gpt-4o", **clients.litellm_kwargs(provider)}
    router = litellm.Router(
        model_list=[{"model_name": "m", "litellm_params": target}], num_retries=3, allowed_fails=0
    )
    with budget("poor", limit=0), pytest.raises(BudgetExceededError) as refused:
        router.completion(model="m", messages=MESSAGES, max_tokens=50)
    assert refused.value.user == "poor"
    assert provider.count == 0
    with budget("rich", limit=1) as rich:
        router.completion(model="m", messages=MESSAGES, max_tokens=50)
    assert rich.cost * 1_000_000_000 == CALL


def test_on_exceeded_stands_in_for_a_generator_whose_first_call_is_refused(
    provider: Provider, store: MemoryStore
) -> None:
    with clients.openai_sync(provider) as client:

        @budgeted(user="alice", limit=0, on_exceeded=lambda error: "Sorry - no budget!")
        def ask(question: str) -> Iterator[str]:
            answer = client.chat.completions.create(**CHAT)
            yield answer.choices[0].message.content or ""

        assert list(ask("hello")) == ["Sorry - no budget!"]
    assert provider.count == 0
