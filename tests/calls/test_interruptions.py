"""A call that is cancelled, or whose coroutine is closed, at each of its awaits: counted once, never left."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

import allowance
from allowance import Price, budget
from allowance.stores.base import Store
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.calls.interrupting import interrupted, one_worker, settled
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI,
    GEMINI_CALL,
    MESSAGES,
    PROJECT,
    SONNET_CALL,
    books,
    lines,
)
from tests.provider import Provider, clients

# -- the SDKs ----------------------------------------------------------------------------------------------


class Sdk(NamedTuple):
    """One asynchronous client: how it is made, its two kinds of calls, and what a whole one costs."""

    client: Callable[[Provider], Any]
    plain: Callable[[Any], Awaitable[Any]]
    stream: Callable[[Any], Awaitable[Any]]
    cost: int
    arguments: dict[str, Any]


def http() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, verify=False)  # there is nothing to verify


@asynccontextmanager
async def openai_client(provider: Provider) -> AsyncIterator[Any]:
    import openai

    async with http() as given:
        yield openai.AsyncOpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=0, http_client=given)


@asynccontextmanager
async def gemini_client(provider: Provider) -> AsyncIterator[Any]:
    client = clients.gemini(provider)
    try:
        yield client
    finally:
        await client.aio.aclose()
        client.close()


@asynccontextmanager
async def litellm_client(provider: Provider) -> AsyncIterator[Any]:
    import litellm

    yield partial(litellm.acompletion, **clients.litellm_kwargs(provider))
    await clients.aclose_litellm()


@asynccontextmanager
async def mistral_client(provider: Provider) -> AsyncIterator[Any]:
    from mistralai.client import Mistral

    given: Any = http()
    async with given:
        yield Mistral(api_key="k", server_url=f"{provider.url}/mistral", async_client=given)


@asynccontextmanager
async def cohere_client(provider: Provider) -> AsyncIterator[Any]:
    import cohere

    async with http() as given:
        yield cohere.AsyncClientV2("k", base_url=provider.url, httpx_client=given, max_retries=0)


@asynccontextmanager
async def ollama_client(provider: Provider) -> AsyncIterator[Any]:
    import ollama

    async with ollama.AsyncClient(provider.url, trust_env=False, verify=False) as client:
        yield client


async def all_of(streaming: Awaitable[Any]) -> list[Any]:
    return [chunk async for chunk in await streaming]


PRICES = {"priced": Price(input=1, output=2)}
MISTRAL = {"model": "mistral-small-latest", "messages": MESSAGES, "max_tokens": 50}
COHERE = {"model": "command-a-03-2025", "messages": MESSAGES, "max_tokens": 50}
OLLAMA: dict[str, Any] = {"model": "priced", "messages": MESSAGES, "options": {"num_predict": 50}}

SDKS = {
    "openai": Sdk(
        openai_client,
        lambda c: c.chat.completions.create(**CHAT),
        lambda c: all_of(c.chat.completions.create(**CHAT, stream=True)),
        CALL,
        CHAT,
    ),
    "anthropic": Sdk(
        clients.anthropic_async,
        lambda c: c.messages.create(**CLAUDE),
        lambda c: all_of(c.messages.create(**CLAUDE, stream=True)),
        SONNET_CALL,
        CLAUDE,
    ),
    "google-genai": Sdk(
        gemini_client,
        lambda c: c.aio.models.generate_content(**GEMINI),
        lambda c: all_of(c.aio.models.generate_content_stream(**GEMINI)),
        GEMINI_CALL,
        GEMINI,
    ),
    "litellm": Sdk(
        litellm_client,
        lambda c: c(**CHAT),
        lambda c: all_of(c(**CHAT, stream=True, stream_options={"include_usage": True})),
        CALL,
        CHAT,
    ),
    "mistralai": Sdk(
        mistral_client,
        lambda c: c.chat.complete_async(**MISTRAL),
        lambda c: all_of(c.chat.stream_async(**MISTRAL)),
        10 * 150 + 5 * 600,
        MISTRAL,
    ),
    "cohere": Sdk(
        cohere_client,
        lambda c: c.chat(**COHERE),
        lambda c: all_of(_now(c.chat_stream(**COHERE))),
        10 * 2_500 + 5 * 10_000,
        COHERE,
    ),
    "ollama": Sdk(
        ollama_client,
        lambda c: c.chat(**OLLAMA),
        lambda c: all_of(c.chat(**OLLAMA, stream=True)),
        10 * 1_000 + 5 * 2_000,
        {"model": "priced", "messages": MESSAGES, "max_tokens": 50},
    ),
}


async def _now(value: Any) -> Any:
    return value


@pytest.fixture(autouse=True)
def _one_worker() -> Iterator[None]:
    with one_worker():
        yield


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Iterator[SQLiteStore]:
    """The named budgets' store is a file, which is asked in worker threads."""
    made = SQLiteStore(tmp_path / "budgets.db")
    allowance.configure(store=made, project=PROJECT, prices=PRICES)
    yield made
    made.close()


WAYS = [(name, kind) for name in SDKS for kind in ("plain", "stream")]


# LiteLLM makes a coroutine in a thread, and loses it where it is cancelled meanwhile.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'OpenAIChatCompletion:RuntimeWarning",
    "ignore:.*coroutine object OpenAIChatCompletion:pytest.PytestUnraisableExceptionWarning",
)


@pytest.mark.parametrize("how", ["cancelled", "late"])
@pytest.mark.parametrize(("sdk", "kind"), WAYS)
async def test_r12_a_cancel_at_every_await_of_a_call_on_a_file(
    sdk: str, kind: str, how: str, file: SQLiteStore, provider: Provider
) -> None:
    first = await interrupted_everywhere(sdk, kind, how, file, provider)
    assert first[:2] == [0, 0]  # the block is entered, and reserved for: nothing was sent


@pytest.mark.parametrize(("sdk", "kind"), WAYS)
async def test_r12_a_cancel_at_every_await_of_a_call_in_memory(
    sdk: str, kind: str, store: MemoryStore, provider: Provider
) -> None:
    allowance.configure(store=store, project=PROJECT, prices=PRICES)
    await interrupted_everywhere(sdk, kind, "cancelled", store, provider)


async def interrupted_everywhere(
    name: str, kind: str, how: str, store: Store, provider: Provider
) -> list[int]:
    """Make the call once for each of its suspensions, interrupted there; what each was charged."""
    pytest.importorskip(name.replace("google-genai", "google.genai"))
    sdk = SDKS[name]
    ask: Callable[[Any], Awaitable[Any]] = getattr(sdk, kind)
    expected = allowance.quote(**sdk.arguments).expected
    charged: list[int] = []

    async def call(client: Any) -> Any:
        async with budget("alice", limit=1):
            return await ask(client)

    async with sdk.client(provider) as client:
        await call(client)
    assert books(store, "alice") == (sdk.cost, 0)
    for at in itertools.count():
        known, sent = len(lines(store, "alice")), provider.count
        async with sdk.client(provider) as client:
            reached, error = await interrupted(call(client), at, how)
            if name != "litellm":  # it makes errors of its own of what stops a connection
                assert error in (None, asyncio.CancelledError)
            await settled(store)
            fresh = lines(store, "alice")[known:]
            if not fresh:
                assert provider.count == sent  # what was sent is counted
            elif fresh[0].unconfirmed:
                assert fresh[0].amount == expected
            elif fresh[0].counted:
                assert 0 < fresh[0].amount < expected  # what was seen of a stream
            else:
                assert fresh[0].amount == sdk.cost  # it had come, or the SDK swallowed the cancellation
            charged.append(sum(entry.amount for entry in fresh))
            assert len(fresh) <= 1
            if not reached:
                assert error is None
                assert at >= 5
                return charged
            await call(client)  # the next one works, and costs what it does
            assert [entry.amount for entry in lines(store, "alice")[known:]][len(fresh) :] == [sdk.cost]
            books(store, "alice")
    raise AssertionError
