"""The OpenAI Agents SDK's Runner, over chat completions and over responses; its tracing is off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from allowance import BudgetExceededError, budget
from tests.calls.support import CALL
from tests.provider import Provider, clients


@pytest.fixture(params=["OpenAIChatCompletionsModel", "OpenAIResponsesModel"])
async def agent(request: pytest.FixtureRequest, provider: Provider) -> AsyncIterator[Any]:
    import agents

    agents.set_tracing_disabled(True)
    async with clients.openai_async(provider) as client:
        model = getattr(agents, request.param)("gpt-4o", openai_client=client)
        yield agents.Agent("helper", model=model, model_settings=agents.ModelSettings(max_tokens=50))


async def test_run_and_run_streamed(agent: Any, provider: Provider, spent: Callable[[], int]) -> None:
    from agents import Runner

    async with budget("alice", limit=1):
        assert (await Runner.run(agent, "hello there")).final_output == "Hello, how can I help?"
        assert spent() == CALL
        result = Runner.run_streamed(agent, "hello there")
        assert [event async for event in result.stream_events()]
        assert result.final_output == "Hello, how can I help?"
        assert spent() == 2 * CALL
    assert provider.count == 2


def test_run_sync(provider: Provider, spent: Callable[[], int]) -> None:
    import agents

    agents.set_tracing_disabled(True)
    model = agents.OpenAIChatCompletionsModel("gpt-4o", openai_client=clients.openai_async(provider))
    agent = agents.Agent("helper", model=model, model_settings=agents.ModelSettings(max_tokens=50))
    with budget("alice", limit=1):
        agents.Runner.run_sync(agent, "hello there")
    assert provider.count == 1
    assert spent() == CALL


@pytest.mark.usefixtures("refusing")
async def test_a_refusal_is_raised_once_and_unchanged(agent: Any) -> None:
    from agents import Runner

    with pytest.raises(BudgetExceededError):
        await Runner.run(agent, "hello there")
    with pytest.raises(BudgetExceededError):
        async for _ in Runner.run_streamed(agent, "hello there").stream_events():
            pass
