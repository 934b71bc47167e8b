"""mistralai under the real meter, over HTTP: every way of calling it costs exactly what Mistral bills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

import allowance
from allowance import BudgetExceededError, Price, budget, sdks
from allowance.calls.sdk_meter import SdkMeter
from tests.calls.support import MESSAGES, books

from .support import WAYS, arefused, arun, check, refused, run

client_module = pytest.importorskip("mistralai.client")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from allowance.stores.memory import MemoryStore
    from tests.provider import Provider

CHAT: dict[str, Any] = {"model": "mistral-small-latest", "messages": MESSAGES, "max_tokens": 50}
FIM: dict[str, Any] = {"model": "codestral-latest", "prompt": "def f(", "suffix": "return", "max_tokens": 50}
COST = 10 * 150 + 5 * 600
FIM_COST = 10 * 300 + 5 * 900
EMBED_COST = 10 * 100


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with (
        httpx.Client(trust_env=False) as http,
        client_module.Mistral(api_key="k", server_url=f"{provider.url}/mistral", client=http) as client,
    ):
        yield client


@pytest.fixture
async def aclient(provider: Provider) -> AsyncIterator[Any]:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        client_module.Mistral(api_key="k", server_url=f"{provider.url}/mistral", async_client=http) as client,
    ):
        yield client


def stream(client: Any) -> Any:
    with client.chat.stream(**CHAT) as events:
        return [event.data for event in events]


SYNC: dict[str, tuple[Callable[[Any], Any], int]] = {
    "complete": (lambda c: c.chat.complete(**CHAT), COST),
    "stream": (stream, COST),
    "fim": (lambda c: c.fim.complete(**FIM), FIM_COST),
    "fim stream": (lambda c: list(c.fim.stream(**FIM)), FIM_COST),
    "embeddings": (lambda c: c.embeddings.create(model="mistral-embed", inputs=["hello"]), EMBED_COST),
}


async def astream(client: Any) -> Any:
    return [event.data async for event in await client.chat.stream_async(**CHAT)]


async def afim_stream(client: Any) -> Any:
    return [event.data async for event in await client.fim.stream_async(**FIM)]


ASYNC: dict[str, tuple[Callable[[Any], Any], int]] = {
    "complete": (lambda c: c.chat.complete_async(**CHAT), COST),
    "stream": (astream, COST),
    "fim": (lambda c: c.fim.complete_async(**FIM), FIM_COST),
    "fim stream": (afim_stream, FIM_COST),
    "embeddings": (lambda c: c.embeddings.create_async(model="mistral-embed", inputs=["hello"]), EMBED_COST),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SYNC)
def test_each_sync_call_costs_what_is_billed(
    name: str, way: str, client: Any, provider: Provider, store: MemoryStore
) -> None:
    ask, cost = SYNC[name]
    run(way, lambda: ask(client))
    check(way, store, provider, cost)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ASYNC)
async def test_each_async_call_costs_what_is_billed(
    name: str, way: str, aclient: Any, provider: Provider, store: MemoryStore
) -> None:
    ask, cost = ASYNC[name]
    await arun(way, lambda: ask(aclient))
    check(way, store, provider, cost)


@pytest.mark.parametrize("name", SYNC)
def test_r1_a_call_that_does_not_fit_is_not_sent(name: str, client: Any, provider: Provider) -> None:
    refused("block", lambda: SYNC[name][0](client), provider)


@pytest.mark.parametrize("name", ASYNC)
async def test_r1_an_async_call_that_does_not_fit_is_not_sent(
    name: str, aclient: Any, provider: Provider
) -> None:
    await arefused("block", lambda: ASYNC[name][0](aclient), provider)


def test_r10_an_agent_has_the_price_that_is_given_for_it(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1), pytest.raises(allowance.UnknownModelError):
        client.agents.complete(agent_id="ag:1", messages=MESSAGES)
    assert provider.count == 0
    provider.reply(model="mistral-small-latest")
    allowance.configure(store=store, project="tests", prices={"ag:1": Price(input=1, output=2)})
    with budget("alice", limit=1):
        client.agents.complete(agent_id="ag:1", messages=MESSAGES)
        list(client.agents.stream(agent_id="ag:1", messages=MESSAGES))
    check("block", store, provider, 2 * (10 * 1_000 + 5 * 2_000), calls=2)


def test_r12_an_error_of_the_server_costs_nothing(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(status=429)
    with budget("alice", limit=1), pytest.raises(client_module.errors.SDKError):
        client.chat.complete(**CHAT)
    assert books(store, "alice") == (0, 0)


def test_the_clamp_policy_puts_a_cap_in(client: Any, provider: Provider) -> None:
    with budget("alice", limit="0.0001", uncapped="clamp"):
        client.chat.complete(model=CHAT["model"], messages=MESSAGES)
    assert 0 < provider.calls[0].body["max_tokens"] < 200


def test_uninstrumented_it_is_not_metered(client: Any, provider: Provider, store: MemoryStore) -> None:
    sdks.uninstrument()
    with budget("alice", limit=0):
        client.chat.complete(**CHAT)
    assert books(store, "alice") == (0, 0)
    sdks.instrument(SdkMeter())
    with budget("alice", limit=0), pytest.raises(BudgetExceededError):
        client.chat.complete(**CHAT)
