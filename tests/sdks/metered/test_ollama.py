"""ollama under the real meter, over HTTP: what runs on this machine is free, and what is priced is billed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import allowance
from allowance import BudgetExceededError, Price, budget, sdks
from allowance.calls.sdk_meter import SdkMeter
from tests.calls.support import MESSAGES, PROJECT, books, lines

from .support import check

ollama = pytest.importorskip("ollama")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.stores.memory import MemoryStore
    from tests.provider import Provider

CAP = {"num_predict": 50}
PRICES = {"priced": Price(input=1, output=2)}


@pytest.fixture(autouse=True)
def _priced(store: MemoryStore) -> None:
    allowance.configure(store=store, project=PROJECT, prices=PRICES)


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with ollama.Client(provider.url, trust_env=False) as client:
        yield client


SYNC: dict[str, Callable[..., Any]] = {
    "chat": lambda c, m: c.chat(m, MESSAGES, options=CAP),
    "chat stream": lambda c, m: list(c.chat(m, MESSAGES, options=CAP, stream=True)),
    "generate": lambda c, m: c.generate(m, "hello there", system="be brief", options=CAP),
    "generate stream": lambda c, m: list(c.generate(m, "hello there", options=CAP, stream=True)),
    "embed": lambda c, m: c.embed(m, ["hello there"]),
}


@pytest.mark.parametrize("name", SYNC)
def test_r10_what_runs_here_costs_nothing_and_is_never_blocked(
    name: str, client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=0):
        SYNC[name](client, "llama3.2")
    check("block", store, provider, 0)
    assert [line.input_tokens for line in lines(store, "alice")] == [10]


def test_r10_a_model_in_ollamas_cloud_has_no_price(client: Any, provider: Provider) -> None:
    with budget("alice", limit=1), pytest.raises(allowance.UnknownModelError):
        client.chat("kimi-k9:1t-cloud", MESSAGES)
    with (
        ollama.Client("https://ollama.com", trust_env=False) as cloud,
        budget("alice", limit=1),
        pytest.raises(allowance.UnknownModelError),
    ):
        cloud.chat("gpt-oss:120b", MESSAGES)
    assert provider.count == 0


def test_a_stream_that_is_never_read_sends_nothing_and_costs_nothing(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        client.chat("priced", MESSAGES, options=CAP, stream=True).close()
    check("block", store, provider, 0, calls=0)


def test_the_clamp_policy_puts_a_cap_in(client: Any, provider: Provider) -> None:
    with budget("alice", limit="0.0004", uncapped="clamp"):
        client.chat("priced", MESSAGES)
    assert 0 < provider.calls[0].body["options"]["num_predict"] <= 200


def test_what_is_free_is_not_metered(client: Any) -> None:
    with budget("alice", limit=0), pytest.raises(ollama.ResponseError):
        client.show("priced")


def test_uninstrumented_it_is_not_metered(client: Any, provider: Provider, store: MemoryStore) -> None:
    sdks.uninstrument()
    with budget("alice", limit=0):
        client.chat("priced", MESSAGES)
    assert books(store, "alice") == (0, 0)
    sdks.instrument(SdkMeter())
    with budget("alice", limit=0), pytest.raises(BudgetExceededError):
        client.chat("priced", MESSAGES)
