"""A decorated method of an SDK's own client: who answers it is known before its SDK is reached."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import groq
import litellm
import ollama
import openai
import pytest

import allowance
from allowance import BudgetExceededError, UnknownModelError, budgeted, downgrade, sdks
from allowance.stores.memory import MemoryStore
from tests.calls.support import MESSAGES, books, usd
from tests.provider import Provider, clients

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

CHAT: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 50}
LLAMA: dict[str, Any] = {"model": "llama-3.1-8b-instant", **CHAT}
LLAMA_CALL = 10 * 50 + 5 * 80


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    http = groq.DefaultHttpxClient(trust_env=False)
    with groq.Groq(api_key="k", base_url=provider.url, max_retries=0, http_client=http) as client:
        yield client


@pytest.mark.parametrize("partial", [False, True])
def test_a_name_that_only_groq_knows_is_known(
    partial: bool, client: Any, provider: Provider, store: MemoryStore
) -> None:
    create = client.chat.completions.create
    ask = budgeted(user="alice", limit=1)(functools.partial(create, **LLAMA) if partial else create)
    ask() if partial else ask(**LLAMA)
    assert books(store, "alice") == (LLAMA_CALL, 0)
    with pytest.raises(BudgetExceededError):
        budgeted(user="bob", limit=usd(1))(create)(**LLAMA)
    assert provider.count == 1


async def test_a_name_that_only_groq_knows_is_known_in_async_calls(
    provider: Provider, store: MemoryStore
) -> None:
    http = groq.DefaultAsyncHttpxClient(trust_env=False)
    async with groq.AsyncGroq(api_key="k", base_url=provider.url, max_retries=0, http_client=http) as client:
        await budgeted(user="alice", limit=1)(client.chat.completions.create)(**LLAMA)
    assert books(store, "alice") == (LLAMA_CALL, 0)


def test_a_model_is_priced_by_the_client_that_it_is_asked_of(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    """Groq takes less for it than the vendor whose name it bears."""
    quote = allowance.quote(model="groq/openai/gpt-oss-20b", **CHAT)
    with pytest.raises(BudgetExceededError) as refused:
        budgeted(user="alice", limit=usd(1))(client.chat.completions.create)(
            model="openai/gpt-oss-20b", **CHAT
        )
    assert refused.value.projected == quote.projected


def test_downgrade_finds_it_too(client: Any, provider: Provider, store: MemoryStore) -> None:
    dear = {"model": "llama-3.3-70b-versatile", **CHAT}
    limit = allowance.quote(**{**dear, "model": f"groq/{dear['model']}"}).amount - 1
    strategy = downgrade(str(LLAMA["model"]))
    budgeted(user="alice", limit=usd(limit), on_exceeded=strategy)(client.chat.completions.create)(**dear)
    assert provider.calls[0].body["model"] == LLAMA["model"]
    assert books(store, "alice") == (LLAMA_CALL, 0)


def test_an_openai_client_is_told_by_its_host() -> None:
    there = openai.OpenAI(api_key="k", base_url="https://api.groq.com/openai/v1")
    with there, pytest.raises(BudgetExceededError):
        budgeted(user="alice", limit=usd(1))(there.chat.completions.create)(**LLAMA)
    with openai.OpenAI(api_key="k") as here, pytest.raises(UnknownModelError):
        budgeted(user="alice", limit=usd(1))(here.chat.completions.create)(**LLAMA)


def test_what_runs_on_ones_own_machine_is_free(provider: Provider, store: MemoryStore) -> None:
    with ollama.Client(provider.url, trust_env=False) as client:
        budgeted(user="alice", limit=0)(client.chat)("llama3.2", MESSAGES)
    assert books(store, "alice") == (0, 0)
    assert provider.count == 1


def routed(provider: Provider) -> litellm.Router:
    to = {"model": "openai/gpt-4o", **clients.litellm_kwargs(provider)}
    return litellm.Router(model_list=[{"model_name": "smart", "litellm_params": to}])


async def test_a_routers_groups_need_not_be_models(provider: Provider, store: MemoryStore) -> None:
    router = routed(provider)
    with pytest.raises(BudgetExceededError) as refused:
        budgeted(user="alice", limit=usd(1))(router.completion)("smart", MESSAGES, max_tokens=50)
    assert refused.value.model == "openai/gpt-4o"
    with pytest.raises(BudgetExceededError):
        await budgeted(user="alice", limit=usd(1))(router.acompletion)("smart", MESSAGES, max_tokens=50)
    assert provider.count == 0
    budgeted(user="bob", limit=1)(router.completion)("smart", MESSAGES, max_tokens=50)
    await budgeted(user="bob", limit=1)(router.acompletion)("smart", MESSAGES, max_tokens=50)
    assert books(store, "bob") == (2 * 75_000, 0)
    said = budgeted(user="carol", limit=0, on_exceeded=lambda error: "sorry")(router.completion)
    assert said("smart", MESSAGES) == "sorry"
    await clients.aclose_litellm()


def test_r10_unmetered_sdks_tell_nothing(client: Any, provider: Provider) -> None:
    sdks.uninstrument()
    with pytest.raises(UnknownModelError):
        budgeted(user="alice", limit=1)(client.chat.completions.create)(**LLAMA)
    with pytest.raises(UnknownModelError):
        budgeted(user="alice", limit=1)(routed(provider).completion)("smart", MESSAGES)
    assert provider.count == 0
