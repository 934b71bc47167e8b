"""groq under the real meter, over HTTP: what the matrix of calls does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted, sdks
from allowance.calls.sdk_meter import SdkMeter
from tests.calls.support import MESSAGES, books

from .support import check

groq = pytest.importorskip("groq")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.memory import MemoryStore
    from tests.provider import Provider

CHAT: dict[str, Any] = {"model": "llama-3.3-70b-versatile", "messages": MESSAGES, "max_tokens": 50}
COST = 10 * 590 + 5 * 790


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    http = groq.DefaultHttpxClient(trust_env=False)
    with groq.Groq(api_key="k", base_url=provider.url, max_retries=0, http_client=http) as client:
        yield client


def test_a_wrapped_method_is_charged_once(client: Any, provider: Provider, store: MemoryStore) -> None:
    gpt_oss = CHAT | {"model": "openai/gpt-oss-20b"}
    ask = budgeted(user="alice", limit=1)(client.chat.completions.create)
    assert ask(**gpt_oss).choices[0].message.content == "Hello, how can I help?"
    check("decorated", store, provider, 10 * 75 + 5 * 300)


def test_a_stream_that_is_dropped_is_charged_for_what_was_seen(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(text="one two three four", chunks=4)
    quote = allowance.quote(**CHAT | {"model": f"groq/{CHAT['model']}"})
    with budget("alice", limit=1):
        stream = client.chat.completions.create(**CHAT, stream=True)
        next(stream)
        next(stream)
        stream.close()
    assert books(store, "alice") == (quote.likely_input_tokens * 590 + 3 * 790, 0)  # "one t"


def test_an_sdks_own_retries_are_one_call(provider: Provider, store: MemoryStore) -> None:
    provider.then(status=503, headers={"retry-after-ms": "1"})
    http = groq.DefaultHttpxClient(trust_env=False)
    with (
        groq.Groq(api_key="k", base_url=provider.url, max_retries=1, http_client=http) as client,
        budget("alice", limit=1),
    ):
        client.chat.completions.create(**CHAT)
    check("block", store, provider, COST, calls=2)


def test_r12_an_error_of_the_server_costs_nothing(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(status=429)
    with budget("alice", limit=1), pytest.raises(groq.RateLimitError):
        client.chat.completions.create(**CHAT)
    assert books(store, "alice") == (0, 0)


def test_the_clamp_policy_reaches_groq(client: Any, provider: Provider) -> None:
    uncapped = {key: value for key, value in CHAT.items() if key != "max_tokens"}
    with budget("alice", limit="0.0001", uncapped="clamp"):
        client.chat.completions.create(**uncapped)
    assert 0 < provider.calls[0].body["max_completion_tokens"] < 64


def test_uninstrumented_it_is_not_metered(client: Any, provider: Provider, store: MemoryStore) -> None:
    sdks.uninstrument()
    with budget("alice", limit=0):
        client.chat.completions.create(**CHAT)
    assert books(store, "alice") == (0, 0)
    sdks.instrument(SdkMeter())
    with budget("alice", limit=0), pytest.raises(BudgetExceededError):
        client.chat.completions.create(**CHAT)
