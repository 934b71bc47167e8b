"""Pydantic AI's Agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from allowance import BudgetExceededError, budget
from tests.calls.support import CALL
from tests.provider import Provider, clients


@pytest.fixture
async def agent(provider: Provider) -> AsyncIterator[Any]:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async with clients.openai_async(provider) as client:
        model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))
        yield Agent(model, model_settings={"max_tokens": 50})


async def test_run_and_run_stream(agent: Any, provider: Provider, spent: Callable[[], int]) -> None:
    async with budget("alice", limit=1):
        assert (await agent.run("hello there")).output == "Hello, how can I help?"
        assert spent() == CALL
        async with agent.run_stream("hello there") as result:
            assert [text async for text in result.stream_text()][-1] == "Hello, how can I help?"
        assert spent() == 2 * CALL
    assert provider.count == 2


async def test_each_turn_around_a_tool_is_charged(
    agent: Any, provider: Provider, spent: Callable[[], int]
) -> None:
    provider.then(tool=("weather", '{"city": "Rome"}'))

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"It is sunny in {city}."

    async with budget("alice", limit=1):
        await agent.run("hello there")
    assert provider.count == 2
    assert spent() == 2 * CALL


def test_run_sync(provider: Provider, spent: Callable[[], int]) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    there = OpenAIProvider(base_url=f"{provider.url}/v1", api_key="k")
    agent = Agent(OpenAIChatModel("gpt-4o", provider=there), model_settings={"max_tokens": 50})
    with budget("alice", limit=1):
        agent.run_sync("hello there")
    assert provider.count == 1
    assert spent() == CALL


@pytest.mark.usefixtures("refusing")
async def test_a_refusal_is_raised_once_and_unchanged(agent: Any) -> None:
    with pytest.raises(BudgetExceededError):
        await agent.run("hello there")
    with pytest.raises(BudgetExceededError):
        async with agent.run_stream("hello there"):
            pass
