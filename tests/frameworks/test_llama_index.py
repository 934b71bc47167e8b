"""LlamaIndex's OpenAI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from allowance import BudgetExceededError, budget
from tests.calls.support import CALL
from tests.provider import Provider


@pytest.fixture
def model(provider: Provider) -> Iterator[Any]:
    from llama_index.llms.openai import OpenAI

    made = OpenAI(model="gpt-4o", api_key="k", api_base=f"{provider.url}/v1", max_tokens=50)
    yield made
    made._get_client().close()


@pytest.fixture
def messages() -> list[Any]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content="hello there")]


def test_complete_chat_and_stream(
    model: Any, messages: list[Any], provider: Provider, spent: Callable[[], int]
) -> None:
    with budget("alice", limit=1):
        assert model.complete("hello there").text == "Hello, how can I help?"
        assert spent() == CALL
        assert model.chat(messages).message.content == "Hello, how can I help?"
        assert spent() == 2 * CALL
        assert list(model.stream_chat(messages))[-1].message.content == "Hello, how can I help?"
        assert spent() == 3 * CALL
        assert list(model.stream_complete("hello there"))[-1].text == "Hello, how can I help?"
        assert spent() == 4 * CALL
    assert provider.count == 4


async def test_achat_and_astream(
    model: Any, messages: list[Any], provider: Provider, spent: Callable[[], int]
) -> None:
    async with budget("alice", limit=1):
        await model.achat(messages)
        assert spent() == CALL
        assert [reply async for reply in await model.astream_chat(messages)]
        assert spent() == 2 * CALL
    await model._get_aclient().close()
    assert provider.count == 2


@pytest.mark.usefixtures("refusing")
def test_a_refusal_is_raised_once_and_unchanged(model: Any, messages: list[Any]) -> None:
    with pytest.raises(BudgetExceededError):
        model.complete("hello there")
    with pytest.raises(BudgetExceededError):
        list(model.stream_chat(messages))
