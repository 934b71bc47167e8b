"""``allowance.instrument()``, ``uninstrument()``, the setting; calls and clients that are like none known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import openai
import pytest

import allowance
from allowance import BudgetExceededError, UnknownModelError, budget
from allowance.sdks import standing
from allowance.stores.memory import MemoryStore
from tests.calls.conftest import store as store  # an automatic fixture, here too
from tests.calls.support import CALL, CHAT, books, key, python
from tests.provider import Provider, clients


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()


@pytest.fixture
def client(provider: Provider, store: MemoryStore) -> Iterator[openai.OpenAI]:
    allowance.instrument()
    with clients.openai_sync(provider) as client:
        yield client


def test_no_budget_instruments_again_what_was_uninstrumented(
    client: openai.OpenAI, store: MemoryStore
) -> None:
    allowance.uninstrument()
    with budget("alice", limit=0) as block:
        client.chat.completions.create(**CHAT)
        assert block.cost == 0
        allowance.instrument()
        with pytest.raises(BudgetExceededError):
            client.chat.completions.create(**CHAT)


QUICK = """
import os
import allowance, openai
from tests.provider import Provider, clients
from tests.calls.support import CALL, CHAT, usd
allowance.configure(store="memory://")
provider = Provider()
client = clients.openai_sync(provider)
def cost():
    with allowance.budget(limit=1) as block:
        client.chat.completions.create(**CHAT)
    return block.cost
request = openai._base_client.SyncAPIClient.request
{steps}
client.close()
provider.close()
"""


def test_uninstrument_before_the_first_budget_holds() -> None:
    steps = """
allowance.uninstrument()
assert cost() == 0
assert openai._base_client.SyncAPIClient.request is request
allowance.instrument()
assert cost() == usd(CALL)
"""
    python(QUICK.format(steps=steps))


def test_the_setting_leaves_the_sdks_alone_whatever_the_code_says() -> None:
    steps = """
allowance.instrument()
assert cost() == 0
assert openai._base_client.SyncAPIClient.request is request
"""
    python(QUICK.format(steps=steps), ALLOWANCE_INSTRUMENT="0")


def test_a_subclass_that_overrides_the_patched_method_is_metered_once(
    provider: Provider, store: MemoryStore, client: openai.OpenAI
) -> None:
    seen = []

    class Mine(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(args)
            return super().request(*args, **kwargs)

    with Mine(api_key="k", base_url=f"{provider.url}/v1", max_retries=0) as mine, budget("alice", limit=1):
        assert mine.chat.completions.create(**CHAT).choices[0].message.content
    assert len(seen) == 1
    assert books(store, "alice") == (CALL, 0)


def _cost_there(url: str) -> int:
    allowance.configure(store="memory://")
    with openai.OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) as client, budget(limit=1) as block:
        client.chat.completions.create(**CHAT)
    return int(block.cost * 10**9)


def test_a_process_that_is_spawned_inside_a_block_meters_its_own_blocks(
    provider: Provider, store: MemoryStore, client: openai.OpenAI
) -> None:
    """The function goes there pickled, out of an instrumented process."""
    with budget("alice", limit=1), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(_cost_there, provider.url).result(timeout=60) == CALL
    assert provider.count == 1
    assert store.account(key("alice")) is None or books(store, "alice") == (0, 0)


class Odd:
    """Options as no version has them: whoever reads them fails."""

    method = "post"

    @property
    def url(self) -> str:
        raise ZeroDivisionError("hello there")


class Client:
    base_url = "https://api.openai.com/v1/"

    def request(self, cast_to: Any, options: Any) -> str:
        return "sent"


def test_r10_a_call_that_cannot_be_read_costs_what_nobody_knows(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit refuses it as it does an unknown model; a budget that only counts lets it go."""
    allowance.instrument()
    monkeypatch.setattr(standing, "_unreadable", set())
    metered = openai._base_client.SyncAPIClient.request
    monkeypatch.setattr(Client, "request", _as(metered, Client.request))
    ask = Client().request
    assert ask(str, Odd()) == "sent"
    with budget("alice", limit=1), pytest.raises(UnknownModelError):
        ask(str, Odd())
    with budget("bob", limit=None):
        assert ask(str, Odd()) == "sent"
    told = [each for each in caplog.records if each.name == "allowance.sdks"]
    assert [each.levelno for each in told] == [logging.WARNING]
    assert "ZeroDivisionError" in told[0].getMessage()
    assert "hello" not in told[0].getMessage()


def _as(metered: Any, original: Any) -> Any:
    """Stand in for ``original`` with the reader of a patched function."""
    run = next(
        cell.cell_contents
        for cell in metered.__closure__
        if getattr(cell.cell_contents, "__qualname__", "").startswith("metered.")
    )
    return standing.stand_in(original, run, method=True)


def test_a_method_without_an_object_is_the_callers_own_error(client: openai.OpenAI) -> None:
    with budget("alice", limit=1), pytest.raises(TypeError, match="self"):
        openai._base_client.SyncAPIClient.request()  # type: ignore[call-overload]
