"""An SDK's own retries are one call; a retry by tenacity, or by LiteLLM, is charged for what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import litellm
import pytest
import tenacity

from allowance import BudgetExceededError, UnknownModelError, budget, budgeted, downgrade
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI,
    GEMINI_CALL,
    HELD,
    MESSAGES,
    SONNET_CALL,
    books,
    lines,
    usd,
)
from tests.provider import Provider, clients

from .support import WAYS, arun, check, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

STREAM = {**CHAT, "stream": True}
BUSY: dict[str, Any] = {"status": 503, "headers": {"retry-after-ms": "1"}}
MISTRAL_CALL = 10 * 150 + 5 * 600
COMMAND_CALL = 10 * 2_500 + 5 * 10_000


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await clients.aclose_litellm()


def gpt(provider: Provider, **more: Any) -> Any:
    with clients.openai_sync(provider, max_retries=1) as client:
        reply = client.chat.completions.create(**CHAT, **more)
        return list(reply) if more else reply


def claude(provider: Provider) -> Any:
    with (
        clients.anthropic_sync(provider, max_retries=1) as client,
        client.messages.stream(**CLAUDE) as stream,
    ):
        return stream.get_final_message()


def gemini(provider: Provider) -> Any:
    from google import genai
    from google.genai import types

    again = types.HttpRetryOptions(attempts=2, initial_delay=0.001, max_delay=0.001, http_status_codes=[503])
    options = types.HttpOptions(base_url=provider.url, client_args={"trust_env": False}, retry_options=again)
    with genai.Client(api_key="k", http_options=options) as client:
        return client.models.generate_content(**GEMINI)


def mistral(provider: Provider) -> Any:
    sdk = pytest.importorskip("mistralai.client")
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    again = RetryConfig("backoff", BackoffStrategy(1, 1, 1, 1_000), retry_connection_errors=False)
    with httpx.Client(trust_env=False) as http:
        url = f"{provider.url}/mistral"
        client = sdk.Mistral(api_key="k", server_url=url, client=http, retry_config=again)
        return client.chat.complete(model="mistral-small-latest", messages=MESSAGES, max_tokens=50)


def cohere(provider: Provider) -> Any:
    sdk = pytest.importorskip("cohere")
    with httpx.Client(trust_env=False) as http:
        client = sdk.ClientV2("k", base_url=provider.url, httpx_client=http, max_retries=1)
        return client.chat(model="command-a-03-2025", messages=MESSAGES, max_tokens=50)


def via_litellm(provider: Provider) -> Any:
    to = clients.litellm_kwargs(provider) | {"max_retries": 1}
    del to["num_retries"]
    return litellm.completion(**{**CHAT, "model": "openai/gpt-4o"}, **to)


SDKS: dict[str, tuple[Callable[[Provider], Any], int]] = {
    "openai": (gpt, CALL),
    "openai stream": (lambda provider: gpt(provider, stream=True), CALL),
    "anthropic": (claude, SONNET_CALL),
    "google-genai": (gemini, GEMINI_CALL),
    "mistralai": (mistral, MISTRAL_CALL),
    "cohere": (cohere, COMMAND_CALL),
    "litellm": (via_litellm, CALL),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SDKS)
def test_an_sdks_own_retries_are_one_call(
    name: str, way: str, provider: Provider, store: MemoryStore
) -> None:
    ask, nanos = SDKS[name]
    provider.then(**BUSY)
    run(way, lambda: ask(provider))
    check(way, store, provider, nanos, calls=2)
    if way != "process cap":
        assert len(lines(store, "alice")) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_retries_of_litellms_own_are_charged_for_what_they_did(
    way: str, provider: Provider, store: MemoryStore
) -> None:
    to = clients.litellm_kwargs(provider) | {"num_retries": 1}
    asked = {**CHAT, "model": "openai/gpt-4o"}
    provider.then(status=500)
    run(way, lambda: litellm.completion(**asked, **to))
    provider.then(status=500)
    await arun(way, lambda: litellm.acompletion(**asked, **to))
    check(way, store, provider, 2 * CALL, calls=4)


three_times = tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)


def test_retries_of_streams_are_each_charged_for_what_they_did(
    provider: Provider, store: MemoryStore
) -> None:
    """An error is not billed, a stream that broke is charged for what was seen, and a whole one in full."""
    provider.then(status=500)
    provider.then(text="one two three four", chunks=4, drop_after_chunks=2)
    with clients.openai_sync(provider) as client, budget("alice", limit=1):

        @three_times
        def ask() -> list[Any]:
            return list(client.chat.completions.create(**STREAM))

        ask()
    assert provider.count == 3
    broken, whole = lines(store, "alice")
    assert whole.amount == CALL
    assert broken.counted
    assert 0 < broken.amount < CALL
    assert books(store, "alice") == (broken.amount + CALL, 0)


async def test_async_retries_are_each_charged_for_what_they_did(
    provider: Provider, store: MemoryStore
) -> None:
    provider.then(status=500)
    provider.then(drop=True)
    async with clients.openai_async(provider) as client:

        @three_times
        @budgeted(user="alice", limit=1)
        async def ask() -> Any:
            return await client.chat.completions.create(**CHAT)

        await ask()
    assert provider.count == 3
    posted = lines(store, "alice")
    assert [entry.unconfirmed for entry in posted] == [True, False]
    assert [entry.amount for entry in posted] == [HELD, CALL]


MINI: dict[str, Any] = {**CHAT, "model": "openai/gpt-4o-mini"}
MINI_HELD = 9 * 150 + 50 * 600
DEARER: dict[str, Any] = {
    "a name": "openai/gpt-4o",
    "arguments": {"model": "openai/gpt-4o", "max_tokens": 50},
    "a higher cap": {"max_tokens": 5000},
    "no price": "openai/nobody-knows-it",
}


@pytest.mark.parametrize("fallback", DEARER)
async def test_r1_a_call_is_refused_where_what_litellm_falls_back_to_does_not_fit(
    fallback: str, provider: Provider, store: MemoryStore
) -> None:
    provider.then(status=500)
    with budget("alice", limit=usd(MINI_HELD)), pytest.raises((BudgetExceededError, UnknownModelError)):
        await litellm.acompletion(
            **MINI, **clients.litellm_kwargs(provider), fallbacks=["openai/gpt-4o-mini", DEARER[fallback]]
        )
    assert provider.count == 0
    assert books(store, "alice") == (0, 0)


@pytest.mark.parametrize(("fails", "cost"), [(False, 10 * 150 + 5 * 600), (True, CALL)])
async def test_whichever_model_answers_is_charged_at_its_own_price(
    fails: bool, cost: int, provider: Provider, store: MemoryStore
) -> None:
    if fails:
        provider.then(status=500)
    with budget("alice", limit=usd(HELD)):
        await litellm.acompletion(**MINI, **clients.litellm_kwargs(provider), fallbacks=["openai/gpt-4o"])
    assert provider.count == (2 if fails else 1)
    assert books(store, "alice") == (cost, 0)


async def test_no_downgrade_helps_where_a_fallback_does_not_fit(provider: Provider) -> None:
    smaller = downgrade("openai/gpt-4o-mini")
    asked = {**CHAT, **clients.litellm_kwargs(provider), "fallbacks": ["openai/gpt-4o"]}
    with budget("alice", limit=usd(MINI_HELD), on_exceeded=smaller), pytest.raises(BudgetExceededError):
        await litellm.acompletion(**asked)
    assert provider.count == 0
