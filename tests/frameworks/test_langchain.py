"""LangChain's ChatOpenAI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from allowance import BudgetExceededError, budget
from tests.calls.support import CALL
from tests.provider import Provider


@pytest.fixture
def model(provider: Provider) -> Iterator[Any]:
    from langchain_openai import ChatOpenAI

    made = ChatOpenAI(model="gpt-4o", api_key="k", base_url=f"{provider.url}/v1", max_tokens=50)
    yield made
    made.root_client.close()


def test_invoke_stream_and_batch(model: Any, provider: Provider, spent: Callable[[], int]) -> None:
    with budget("alice", limit=1):
        assert model.invoke("hello there").content == "Hello, how can I help?"
        assert spent() == CALL
        assert "".join(chunk.content for chunk in model.stream("hello there")) == "Hello, how can I help?"
        assert spent() == 2 * CALL
        assert len(model.batch(["hello there"] * 3)) == 3  # in threads of its own
        assert spent() == 5 * CALL
    assert provider.count == 5


async def test_ainvoke_astream_and_abatch(model: Any, provider: Provider, spent: Callable[[], int]) -> None:
    async with budget("alice", limit=1):
        await model.ainvoke("hello there")
        assert spent() == CALL
        assert [chunk async for chunk in model.astream("hello there")]
        assert spent() == 2 * CALL
        await model.abatch(["hello there"] * 3)
        assert spent() == 5 * CALL
    await model.root_async_client.close()
    assert provider.count == 5


def test_a_chain_falls_back_to_another_model_when_it_is_refused(
    model: Any, provider: Provider, spent: Callable[[], int]
) -> None:
    from langchain_openai import ChatOpenAI

    small = ChatOpenAI(model="gpt-4o-mini", api_key="k", base_url=f"{provider.url}/v1", max_tokens=50)
    chain = model.with_fallbacks([small], exceptions_to_handle=(BudgetExceededError,))
    with budget("alice", limit="0.0001"):
        chain.invoke("hello there")
    assert provider.billed == [("gpt-4o-mini", 10, 5)]
    assert spent() == 10 * 150 + 5 * 600
    small.root_client.close()


@pytest.mark.usefixtures("refusing")
def test_a_refusal_is_raised_once_and_unchanged(model: Any) -> None:
    with pytest.raises(BudgetExceededError):
        model.invoke("hello there")
    with pytest.raises(BudgetExceededError):
        list(model.stream("hello there"))
    with pytest.raises(BudgetExceededError):
        model.batch(["hello there"] * 2)
    with pytest.raises(BudgetExceededError):
        model.with_retry(retry_if_exception_type=(TimeoutError,)).invoke("hello there")
