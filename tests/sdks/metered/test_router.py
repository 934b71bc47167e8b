"""LiteLLM's Router under budgets: a refusal sends nothing, harms no deployment, and comes out unchanged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

import litellm
import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted, downgrade
from allowance.calls import process
from tests.calls.support import CALL, HELD, MESSAGES, books, lines, usd
from tests.provider import Provider, clients

from .support import WAYS, arun, check, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

SMART: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 50}
STREAM: dict[str, Any] = {**SMART, "stream": True, "stream_options": {"include_usage": True}}
Routed: TypeAlias = "Callable[..., litellm.Router]"
MINI_CALL = 10 * 150 + 5 * 600
FALLBACKS = [{"gpt-4o": ["gpt-4o-mini"]}]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A Router reports each failed fallback as an error."""
    caplog.set_level(logging.CRITICAL, logger="LiteLLM Router")


@pytest.fixture
async def routed(provider: Provider) -> AsyncIterator[Routed]:
    """Makes Routers: two deployments of each of two models, cooled down for a minute by any failure."""
    made: list[litellm.Router] = []
    to = clients.litellm_kwargs(provider)
    del to["num_retries"]  # the Router's own is what is meant here

    def make(**settings: Any) -> litellm.Router:
        deployments = [
            {
                "model_name": model,
                "litellm_params": {"model": f"openai/{model}", **to},
                "model_info": {"id": f"{model} {number}"},
            }
            for model in ("gpt-4o", "gpt-4o-mini")
            for number in (1, 2)
        ]
        router = litellm.Router(
            model_list=deployments,
            **{"num_retries": 2, "retry_after": 0, "allowed_fails": 0, "cooldown_time": 60, **settings},
        )
        made.append(router)
        return router

    yield make
    for router in made:
        router.discard()
    await clients.aclose_litellm()  # in the loop that used them


def chat(router: litellm.Router) -> Any:
    return router.completion(**SMART)


def stream(router: litellm.Router) -> Any:
    return list(router.completion(**STREAM))


async def achat(router: litellm.Router) -> Any:
    return await router.acompletion(**SMART)


async def astream(router: litellm.Router) -> Any:
    return [chunk async for chunk in await router.acompletion(**STREAM)]


SYNC: dict[str, Callable[[litellm.Router], Any]] = {"plain": chat, "stream": stream}
ASYNC: dict[str, Callable[[litellm.Router], Any]] = {"plain": achat, "stream": astream}

SETTINGS: dict[str, dict[str, Any]] = {
    "retries": {},
    "one try": {"num_retries": 0},
    "fallbacks": {"fallbacks": FALLBACKS},
    "default fallbacks": {"default_fallbacks": ["gpt-4o-mini"]},
    "retry policy": {
        "retry_policy": litellm.RetryPolicy(InternalServerErrorRetries=3, BadRequestErrorRetries=3)
    },
    "checks": {"enable_pre_call_checks": True},
    "latency": {"routing_strategy": "latency-based-routing"},
    "least busy": {"routing_strategy": "least-busy"},
}


async def cooled(router: litellm.Router) -> Any:
    return await router.cooldown_cache.async_get_active_cooldowns(
        model_ids=router.get_model_ids(), parent_otel_span=None
    )


def is_the_first_refusal(error: BudgetExceededError, way: str) -> bool:
    """It is of our own class, has all its figures, and wraps and follows nothing."""
    assert type(error) is BudgetExceededError
    assert error.model == "openai/gpt-4o"
    assert (error.user, error.kind) == (("process", "process") if way == "process cap" else ("alice", "user"))
    assert (error.limit, error.spent, error.held, error.projected) == (usd(1), 0, 0, usd(HELD))
    assert error.__cause__ is None
    return error.__context__ is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", SYNC)
async def test_r1_a_refusal_sends_nothing_and_cools_no_deployment(
    name: str, settings: str, way: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed(**SETTINGS[settings])
    with pytest.raises(BudgetExceededError) as refused:
        run(way, lambda: SYNC[name](router), 1e-9)
    assert is_the_first_refusal(refused.value, way)
    assert provider.count == 0
    assert await cooled(router) == []
    allowance.max_budget = None
    with budget("bob", limit=1) as b:
        SYNC[name](router)
    assert b.spent == usd(CALL)
    assert provider.count == 1
    assert books(store, "bob") == (CALL, 0)
    assert process.current_cost() == usd(CALL)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", ASYNC)
async def test_r1_an_async_refusal_sends_nothing_and_cools_no_deployment(
    name: str, settings: str, way: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed(**SETTINGS[settings])
    with pytest.raises(BudgetExceededError) as refused:
        await arun(way, lambda: ASYNC[name](router), 1e-9)
    assert is_the_first_refusal(refused.value, way)
    assert provider.count == 0
    assert await cooled(router) == []
    allowance.max_budget = None
    async with budget("bob", limit=1) as b:
        await ASYNC[name](router)
    assert b.spent == usd(CALL)
    assert provider.count == 1
    assert books(store, "bob") == (CALL, 0)


def test_r1_a_refusal_raises_one_error_and_not_a_chain_of_tries(routed: Routed, provider: Provider) -> None:
    errors: list[str] = []

    def hear(event: allowance.Event) -> None:
        if event.kind == "denied":
            errors.append(event.call_id)

    router = routed()
    with budget("alice", limit=0, on_event=hear), pytest.raises(BudgetExceededError) as refused:
        router.completion(**SMART)
    assert errors == [refused.value.call_id]


def test_a_decorated_method_of_a_router_is_refused_and_charged(
    routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    with pytest.raises(BudgetExceededError):
        budgeted(user="alice", limit="0.0001")(router.completion)(**SMART)
    assert provider.count == 0
    budgeted(user="alice", limit=1)(router.completion)(**SMART)
    check("decorated", store, provider, CALL)


async def test_a_decorated_async_method_of_a_router_is_refused_and_charged(
    routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    with pytest.raises(BudgetExceededError):
        await budgeted(user="alice", limit="0.0001")(router.acompletion)(**SMART)
    assert provider.count == 0
    await budgeted(user="alice", limit=1)(router.acompletion)(**SMART)
    check("decorated", store, provider, CALL)


@pytest.mark.parametrize("way", WAYS)
def test_a_retry_is_charged_for_what_it_did(
    way: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    provider.then(status=500)  # not billed
    run(way, lambda: router.completion(**SMART))
    check(way, store, provider, CALL, calls=2)


@pytest.mark.parametrize("way", WAYS)
async def test_an_async_retry_is_charged_for_what_it_did(
    way: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    provider.then(status=500)
    await arun(way, lambda: router.acompletion(**SMART))
    check(way, store, provider, CALL, calls=2)


def test_a_try_that_may_have_been_billed_is_charged_beside_the_one_that_answered(
    routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    provider.then(drop=True)
    with budget("alice", limit=1):
        router.completion(**SMART)
    unknown, answered = lines(store, "alice")
    assert (unknown.unconfirmed, answered.unconfirmed) == (True, False)
    assert (answered.amount, provider.count) == (CALL, 2)
    assert books(store, "alice") == (unknown.amount + CALL, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_a_fallback_costs_what_its_model_costs(
    way: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed(num_retries=0, fallbacks=FALLBACKS)
    provider.then(status=500)
    run(way, lambda: router.completion(**SMART))
    check(way, store, provider, MINI_CALL, calls=2)
    provider.then(status=500)
    router = routed(num_retries=0, fallbacks=FALLBACKS)
    await arun(way, lambda: router.acompletion(**SMART))
    check(way, store, provider, 2 * MINI_CALL, calls=4)


async def test_where_a_fallback_fits_a_refused_call_goes_to_it(
    routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed(fallbacks=FALLBACKS)
    with budget("alice", limit=usd(HELD - 1)):
        router.completion(**SMART)
        await router.acompletion(**SMART)
    assert [call.model for call in provider.calls] == ["gpt-4o-mini", "gpt-4o-mini"]
    assert books(store, "alice") == (2 * MINI_CALL, 0)
    assert await cooled(router) == []


@pytest.mark.parametrize("name", SYNC)
def test_a_downgrade_runs_in_the_same_deployment(
    name: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    with budget("alice", limit=usd(HELD - 1), on_exceeded=downgrade("openai/gpt-4o-mini")):
        SYNC[name](router)
    assert [call.body["model"] for call in provider.calls] == ["gpt-4o-mini"]
    assert books(store, "alice") == (MINI_CALL, 0)
    assert {deployment["litellm_params"]["model"] for deployment in router.model_list} == {
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
    }
    with budget("bob", limit=1):
        SYNC[name](router)
    assert provider.calls[1].body["model"] == "gpt-4o"


@pytest.mark.parametrize("name", ASYNC)
async def test_an_async_downgrade_runs_in_the_same_deployment(
    name: str, routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    async with budget("alice", limit=usd(HELD - 1), on_exceeded=downgrade("openai/gpt-4o-mini")):
        await ASYNC[name](router)
    assert [call.body["model"] for call in provider.calls] == ["gpt-4o-mini"]
    assert books(store, "alice") == (MINI_CALL, 0)


def test_a_downgrade_takes_no_vendors_key_to_another(
    routed: Routed, provider: Provider, store: MemoryStore
) -> None:
    router = routed()
    short = budget("alice", limit=usd(HELD - 1), on_exceeded=downgrade("anthropic/claude-haiku-4-5"))
    with short, pytest.raises(BudgetExceededError):
        router.completion(**SMART)
    with short, pytest.raises(BudgetExceededError):
        litellm.completion(**{**SMART, "model": "openai/gpt-4o"}, api_key="k", api_base=f"{provider.url}/v1")
    assert provider.count == 0
    with budget("alice", on_exceeded=downgrade("gpt-4o-mini")):  # by its bare name, it is of the same vendor
        router.completion(**SMART)
    assert [call.body["model"] for call in provider.calls] == ["gpt-4o-mini"]


def test_without_a_key_in_the_call_a_downgrade_may_go_to_another_vendor(
    provider: Provider, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "its-own")
    monkeypatch.setenv("ANTHROPIC_API_BASE", provider.url)
    with budget("alice", limit=usd(HELD - 1), on_exceeded=downgrade("anthropic/claude-haiku-4-5")):
        litellm.completion(**{**SMART, "model": "openai/gpt-4o"})
    assert provider.calls[0].headers["x-api-key"] == "its-own"
    assert books(store, "alice") == (10 * 1_000 + 5 * 5_000, 0)
