"""mistralai under the real meter, over HTTP: what the matrix of calls does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from allowance import BudgetExceededError, budget, sdks
from allowance.calls.sdk_meter import SdkMeter
from tests.calls.support import MESSAGES, books

client_module = pytest.importorskip("mistralai.client")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.memory import MemoryStore
    from tests.provider import Provider

CHAT: dict[str, Any] = {"model": "mistral-small-latest", "messages": MESSAGES, "max_tokens": 50}


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with (
        httpx.Client(trust_env=False) as http,
        client_module.Mistral(api_key="k", server_url=f"{provider.url}/mistral", client=http) as client,
    ):
        yield client


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
