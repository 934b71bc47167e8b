"""cohere under the real meter, over HTTP: what the matrix of calls does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from allowance import BudgetExceededError, budget, sdks
from allowance.calls.sdk_meter import SdkMeter
from tests.calls.support import MESSAGES, books

from .support import check

cohere = pytest.importorskip("cohere")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.memory import MemoryStore
    from tests.provider import Provider

MODEL = "command-a-03-2025"
CHAT: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "max_tokens": 50}
RERANK: dict[str, Any] = {"model": "rerank-v3.5", "query": "hello", "documents": ["there"]}
COST = 10 * 2_500 + 5 * 10_000
SEARCH = 2_000_000


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with httpx.Client(trust_env=False) as http:
        yield cohere.ClientV2("k", base_url=provider.url, httpx_client=http, max_retries=0)


def text_of(events: list[Any]) -> str:
    return "".join(e.delta.message.content.text for e in events if e.type == "content-delta")


def test_streams_are_read_as_without_a_budget(client: Any, provider: Provider, store: MemoryStore) -> None:
    with budget("alice", limit=1):
        assert text_of(list(client.chat_stream(**CHAT))) == "Hello, how can I help?"
        with client.with_raw_response.chat_stream(**CHAT) as response:
            assert text_of(list(response.data)) == "Hello, how can I help?"
    check("block", store, provider, 2 * COST, calls=2)


def test_a_client_made_before_is_metered(provider: Provider, store: MemoryStore) -> None:
    sdks.uninstrument()
    with httpx.Client(trust_env=False) as http:
        client = cohere.ClientV2("k", base_url=provider.url, httpx_client=http, max_retries=0)
        sdks.instrument(SdkMeter())
        with budget("alice", limit=1):
            client.chat(**CHAT)
            list(client.chat_stream(**CHAT))
    check("block", store, provider, 2 * COST, calls=2)


def test_more_than_a_hundred_documents_are_several_searches(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        client.rerank(**RERANK | {"documents": ["there"] * 250})
    check("block", store, provider, 3 * SEARCH)


def test_a_stream_that_is_read_after_its_block_is_charged_to_it(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        events = client.chat_stream(**CHAT)
    assert provider.count == 0
    list(events)
    check("block", store, provider, COST)


def test_a_stream_that_is_closed_is_charged_for_what_was_seen(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        events = client.chat_stream(**CHAT)
        for event in events:
            if event.type == "content-delta":
                break
        events.close()
    spent, held = books(store, "alice")
    assert held == 0
    assert 10_000 < spent < 50 * 10_000


def test_r12_an_error_of_the_server_costs_nothing(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(status=429)
    with budget("alice", limit=1):
        with pytest.raises(cohere.TooManyRequestsError):
            client.chat(**CHAT)
        with pytest.raises(cohere.TooManyRequestsError):
            list(client.chat_stream(**CHAT))
    assert books(store, "alice") == (0, 0)


@pytest.mark.parametrize("name", ["chat", "stream"])
def test_the_clamp_policy_puts_a_cap_in(name: str, client: Any, provider: Provider) -> None:
    with budget("alice", limit="0.002", uncapped="clamp"):
        if name == "chat":
            client.chat(model=MODEL, messages=MESSAGES)
        else:
            list(client.chat_stream(model=MODEL, messages=MESSAGES))
    assert 0 < provider.calls[0].body["max_tokens"] < 200


def test_uninstrumented_it_is_not_metered(client: Any, provider: Provider, store: MemoryStore) -> None:
    sdks.uninstrument()
    with budget("alice", limit=0):
        client.chat(**CHAT)
    assert books(store, "alice") == (0, 0)
    sdks.instrument(SdkMeter())
    with budget("alice", limit=0), pytest.raises(BudgetExceededError):
        client.chat(**CHAT)
