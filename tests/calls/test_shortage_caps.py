"""What clamp() keeps to: the least cap that a provider takes, and arguments that are not ours to change."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import litellm
import openai
import pytest
from google.genai import types

import allowance
from allowance import BudgetExceededError, budget, budgeted, clamp, downgrade
from tests.calls.support import CLAUDE, MESSAGES, SONNET_OUT, reply, usd
from tests.provider import Provider, clients
from tests.sdks.metered import every

if TYPE_CHECKING:
    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

RESPOND: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
THINKING = {"type": "enabled", "budget_tokens": 1024}
THOUGHT: dict[str, Any] = {**CLAUDE, "max_tokens": 4096, "thinking": THINKING}
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
CONVERSE: dict[str, Any] = {
    "modelId": SONNET,
    "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
    "inferenceConfig": {"maxTokens": 4096, "temperature": 0.5},
    "additionalModelRequestFields": {"thinking": dict(THINKING)},
}
INVOKE: dict[str, Any] = {
    "modelId": SONNET,
    "body": json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "messages": MESSAGES,
            "max_tokens": 4096,
            "thinking": THINKING,
        }
    ),
}


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


@pytest.fixture
def aws(provider: Provider) -> Iterator[Any]:
    with every.bedrock(provider) as client:
        yield client


def projected(call: Callable[[], Any]) -> int:
    """What a call may cost, in nano-dollars: a budget of next to nothing says so."""
    with budget(limit=usd(1)), pytest.raises(BudgetExceededError) as refused:
        call()
    return int(refused.value.projected * 1_000_000_000)


def clamped(call: Callable[[], Any], short: int) -> None:
    """Make the call under a budget that is short by so many nano-dollars."""
    limit = projected(call) - short
    with budget(limit=usd(limit), on_exceeded=clamp()):
        call()


# -- the least that the provider takes ---------------------------------------------------------------------


def test_a_response_of_openais_is_not_clamped_below_16(provider: Provider, gpt: openai.OpenAI) -> None:
    clamped(lambda: gpt.responses.create(**RESPOND), 34 * 10_000)
    assert provider.calls[0].body["max_output_tokens"] == 16
    with pytest.raises(BudgetExceededError):
        clamped(lambda: gpt.responses.create(**RESPOND), 35 * 10_000)
    assert provider.count == 1


def test_the_clamp_policy_keeps_to_it_too(provider: Provider, gpt: openai.OpenAI, store: MemoryStore) -> None:
    uncapped = {"model": "gpt-4o", "input": "hello there"}
    least = projected(lambda: gpt.responses.create(**uncapped, max_output_tokens=16))
    with budget("alice", limit=usd(least), uncapped="clamp"):
        gpt.responses.create(**uncapped)
    assert provider.calls[0].body["max_output_tokens"] == 16
    with budget("bob", limit=usd(least - 1), uncapped="clamp"), pytest.raises(BudgetExceededError):
        gpt.responses.create(**uncapped)
    assert provider.count == 1
    assert list(store.holds()) == []


@pytest.mark.parametrize("vendor", ["anthropic", "stream", "litellm", "litellm effort"])
def test_claudes_cap_stays_above_what_its_thoughts_may_take(vendor: str, provider: Provider) -> None:
    with clients.anthropic_sync(provider) as claude:

        def ask() -> None:
            if vendor == "anthropic":
                claude.messages.create(**THOUGHT)
            elif vendor == "stream":
                with claude.messages.stream(**THOUGHT) as stream:
                    stream.get_final_message()
            else:
                to = clients.litellm_kwargs(provider, "anthropic")
                asked = {**THOUGHT, "model": f"anthropic/{THOUGHT['model']}", **to}
                if vendor == "litellm effort":
                    del asked["thinking"]
                    asked["reasoning_effort"] = "low"  # which LiteLLM writes as 1,024 tokens
                litellm.completion(**asked)

        clamped(ask, (4096 - 1025) * SONNET_OUT)
        assert provider.calls[0].body["max_tokens"] == 1025
        assert provider.calls[0].body["thinking"]["budget_tokens"] == 1024
        with pytest.raises(BudgetExceededError):
            clamped(ask, (4096 - 1024) * SONNET_OUT)
    clients.close_litellm()
    assert provider.count == 1


@pytest.mark.parametrize("operation", ["converse", "invoke"])
def test_bedrocks_cap_stays_above_it_too(operation: str, aws: Any, provider: Provider) -> None:
    def ask() -> None:
        aws.converse(**CONVERSE) if operation == "converse" else aws.invoke_model(**INVOKE)

    clamped(ask, (4096 - 1025) * 16_500)
    sent = provider.calls[0].body
    assert (sent["inferenceConfig"]["maxTokens"] if operation == "converse" else sent["max_tokens"]) == 1025
    with pytest.raises(BudgetExceededError):
        clamped(ask, (4096 - 1024) * 16_500)
    assert provider.count == 1


def test_thoughts_that_are_off_or_up_to_the_model_need_no_room(provider: Provider) -> None:
    for thinking in ({"type": "disabled"}, {"type": "adaptive"}):
        with clients.anthropic_sync(provider) as claude:
            clamped(lambda t=thinking: claude.messages.create(**{**CLAUDE, "thinking": t}), 40 * SONNET_OUT)  # type: ignore[misc]
    assert [call.body["max_tokens"] for call in provider.calls] == [10, 10]


def test_a_decorated_call_keeps_to_it_too() -> None:
    def ask(messages: Any, model: str = "claude-sonnet-4-5", max_tokens: int = 4096, **more: Any) -> Any:
        return {**reply(model=model), "max_tokens": max_tokens}

    def short(limit: int) -> Any:
        call = budgeted(limit=usd(limit), on_exceeded=clamp())(ask)
        return call(MESSAGES, thinking=THINKING)["max_tokens"]

    quote = allowance.quote(model="claude-sonnet-4-5", messages=MESSAGES, max_tokens=1025)
    assert short(quote.amount) == 1025
    with pytest.raises(BudgetExceededError):
        short(quote.amount - 1)


# -- whose arguments they are ------------------------------------------------------------------------------


def test_the_callers_own_arguments_stay_as_they_are(provider: Provider, gpt: openai.OpenAI, aws: Any) -> None:
    gemini = clients.gemini(provider)
    config = types.GenerateContentConfig(max_output_tokens=50)
    cases: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
        (
            gpt.chat.completions.create,
            {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 50},
            "gpt-4o-mini",
        ),
        (
            gpt.chat.completions.create,
            {"model": "gpt-4o", "messages": MESSAGES, "extra_body": {"max_tokens": 50}},
            "gpt-4o-mini",
        ),
        (aws.converse, {k: CONVERSE[k] for k in ("modelId", "messages", "inferenceConfig")}, HAIKU),
        (
            gemini.models.generate_content,
            {"model": "gemini-2.5-pro", "contents": "hello there", "config": config},
            "gemini-2.5-flash-lite",
        ),
        (
            litellm.completion,
            {
                "model": "openai/gpt-4o",
                "messages": MESSAGES,
                "max_tokens": 50,
                **clients.litellm_kwargs(provider),
            },
            "openai/gpt-4o-mini",
        ),
    ]
    for function, given, cheaper in cases:
        before = copy.deepcopy(given)
        limit = projected(lambda f=function, g=given, m=cheaper: f(**_with_model(g, m))) - 1  # type: ignore[misc]
        with budget(limit=usd(limit), on_exceeded=[downgrade(cheaper), clamp()]):
            function(**given)
        assert given == before
    assert [call.model for call in provider.calls] == [
        "gpt-4o-mini",
        "gpt-4o-mini",
        HAIKU,
        "gemini-2.5-flash-lite",
        "gpt-4o-mini",
    ]
    gemini.close()
    clients.close_litellm()


def _with_model(given: dict[str, Any], model: str) -> dict[str, Any]:
    return {**given, "modelId" if "modelId" in given else "model": model}


def test_a_body_of_bedrocks_goes_to_no_other_vendors_model(aws: Any, provider: Provider) -> None:
    limit = usd(projected(lambda: aws.invoke_model(**INVOKE)) - 1)
    with (
        budget(limit=limit, on_exceeded=downgrade("amazon.nova-lite-v1:0")),
        pytest.raises(BudgetExceededError),
    ):
        aws.invoke_model(**INVOKE)
    assert provider.count == 0
    with budget(limit=limit, on_exceeded=downgrade("amazon.nova-lite-v1:0", HAIKU)):
        aws.invoke_model(**INVOKE)
        aws.converse(**CONVERSE)
    assert [call.model for call in provider.calls] == [HAIKU, "amazon.nova-lite-v1:0"]
