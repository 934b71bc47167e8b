"""LiteLLM's streams of OpenAI and Azure are asked for their usage, and nobody notices but the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import litellm
import pytest

from allowance import budget
from allowance.sdks import asking
from tests.calls.support import CALL, GEMINI_CALL, GPT_4O_IN, GPT_4O_OUT, MESSAGES, SONNET_CALL, books, lines
from tests.provider import Provider, clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

COUNTED = 9 * GPT_4O_IN + 7 * GPT_4O_OUT
ASKED = {"include_usage": True}
REFUSED = "Unrecognized request argument supplied: stream_options"


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    asking._takes.clear()
    yield
    asking._takes.clear()
    clients.close_litellm()


@pytest.fixture
def chat(provider: Provider) -> dict[str, Any]:
    base = {"messages": MESSAGES, "max_tokens": 50, "stream": True, "num_retries": 0, "max_retries": 0}
    return {"model": "openai/gpt-4o", **base, **clients.litellm_kwargs(provider)}


def told(chunks: list[Any]) -> list[dict[str, Any]]:
    """What the chunks say, but for what LiteLLM makes up anew for each reply."""
    return [chunk.model_dump(exclude={"id", "created"}) for chunk in chunks]


def test_the_user_sees_what_a_plain_stream_gives(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    plain = list(litellm.completion(**chat))
    with budget("alice", limit=1):
        metered = list(litellm.completion(**chat))
    assert [call.body.get("stream_options") for call in provider.calls] == [None, ASKED]
    assert told(metered) == told(plain)
    assert books(store, "alice") == (CALL, 0)
    assert [entry.counted for entry in lines(store, "alice")] == [False]


async def test_async_and_through_a_router(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    plain = [chunk async for chunk in await litellm.acompletion(**chat)]
    names = ("messages", "max_tokens", "stream")
    behind = {name: value for name, value in chat.items() if name not in names}
    router = litellm.Router([{"model_name": "chat", "litellm_params": behind}], num_retries=0)
    async with budget("alice", limit=1):
        metered = [chunk async for chunk in await litellm.acompletion(**chat)]
        arguments = {name: chat[name] for name in names}
        routed = [chunk async for chunk in await router.acompletion("chat", **arguments)]
    assert told(metered) == told(plain)
    assert all(
        chunk.choices[0].finish_reason or chunk.choices[0].delta.content is not None for chunk in routed
    )
    assert books(store, "alice") == (2 * CALL, 0)


def test_leaving_off_at_the_last_chunk_is_charged_exactly(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        for chunk in litellm.completion(**chat):
            if chunk.choices[0].finish_reason:
                break
        del chunk
    assert provider.calls[0].body["stream_options"] == ASKED
    assert books(store, "alice") == (CALL, 0)


def test_who_asked_gets_the_chunk_and_who_said_no_is_not_asked_for(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        asked = list(litellm.completion(**chat, stream_options=ASKED))
        list(litellm.completion(**chat, stream_options={"include_usage": False}))
    assert asked[-1].usage.total_tokens == 15
    assert provider.calls[1].body["stream_options"] == {"include_usage": False}
    assert [entry.amount for entry in lines(store, "alice")] == [CALL, COUNTED]


def test_a_server_that_refuses_is_sent_the_users_request_and_not_asked_again(
    chat: dict[str, Any], provider: Provider, store: MemoryStore
) -> None:
    provider.then(status=400, error=REFUSED)
    with budget("alice", limit=1):
        list(litellm.completion(**chat))
        list(litellm.completion(**chat))
    assert [call.body.get("stream_options") for call in provider.calls] == [ASKED, None, None]
    assert [entry.amount for entry in lines(store, "alice")] == [COUNTED, COUNTED]


@pytest.mark.parametrize(
    ("model", "cost"),
    [("anthropic/claude-sonnet-4-5", SONNET_CALL), ("gemini/gemini-2.5-pro", GEMINI_CALL)],
)
def test_of_other_vendors_litellm_has_it_unasked(
    model: str, cost: int, provider: Provider, store: MemoryStore
) -> None:
    arguments = {"messages": MESSAGES, "max_tokens": 50, "api_key": "k", "api_base": provider.url}
    with budget("alice", limit=1):
        list(litellm.completion(model=model, stream=True, **arguments))
    assert "stream_options" not in provider.calls[0].body
    assert books(store, "alice") == (cost, 0)
    assert [entry.counted for entry in lines(store, "alice")] == [False]
