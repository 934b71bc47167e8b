"""Each framework's own first steps, agents with their tools among them, found by the environment alone.

Nothing here knows of allowance but the block around it. What is spent is what was billed, to the nano-dollar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from allowance import budget
from tests.calls.support import CALL
from tests.provider import Provider

TEXT = "Hello, how can I help?"
TOOL = ("multiply", '{"a": 6, "b": 7}')


class City(BaseModel):
    name: str


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@pytest.fixture(autouse=True)
def billed(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, spent: Callable[[], int]
) -> Iterator[Callable[[int], None]]:
    """A check that so many calls of gpt-4o were made, and charged as billed; it is made in the block."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, f"{provider.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def check(calls: int) -> None:
        assert provider.billed == [("gpt-4o", 10, 5)] * calls
        assert spent() == calls * CALL

    with budget("alice", limit=1):
        yield check


class TestLangChain:
    pytestmark = pytest.mark.usefixtures("langchain")

    @pytest.fixture
    def langchain(self) -> None:
        pytest.importorskip("langchain_openai")

    def test_a_chain(self, billed: Callable[[int], None]) -> None:
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import ChatPromptTemplate
        from langchain_openai import ChatOpenAI

        prompt = ChatPromptTemplate([("system", "Translate into {language}."), ("user", "{text}")])
        chain = prompt | ChatOpenAI(model="gpt-4o") | StrOutputParser()
        asked = {"language": "Italian", "text": "hi!"}
        assert chain.invoke(asked) == TEXT
        assert "".join(chain.stream(asked)) == TEXT
        assert chain.batch([asked, asked]) == [TEXT, TEXT]
        billed(4)

    async def test_an_async_chain(self, billed: Callable[[int], None]) -> None:
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(model="gpt-4o")
        assert (await model.ainvoke("hi!")).content == TEXT
        assert "".join([chunk.content async for chunk in model.astream("hi!")]) == TEXT
        assert [event async for event in model.astream_events("hi!", version="v2")]
        billed(3)

    def test_a_loop_of_tools_and_structured_output(
        self, billed: Callable[[int], None], provider: Provider
    ) -> None:
        from langchain_core.messages import HumanMessage
        from langchain_core.tools import tool
        from langchain_openai import ChatOpenAI

        provider.then(tool=TOOL)
        provider.then()
        provider.then(tool=("City", '{"name": "Rome"}'))
        times = tool(multiply)
        model = ChatOpenAI(model="gpt-4o")
        messages: list[Any] = [HumanMessage("What is 6 times 7?")]
        answer = model.bind_tools([times]).invoke(messages)
        messages += [answer, *(times.invoke(call) for call in answer.tool_calls)]
        assert messages[-1].content == "42"
        assert model.bind_tools([times]).invoke(messages).content == TEXT
        structured = model.with_structured_output(City, method="function_calling")
        assert structured.invoke("Where?") == City(name="Rome")
        billed(3)


class TestLlamaIndex:
    async def test_an_agent_with_a_tool(self, billed: Callable[[int], None], provider: Provider) -> None:
        openai = pytest.importorskip("llama_index.llms.openai")
        from llama_index.core.agent.workflow import FunctionAgent

        provider.then(tool=TOOL)
        agent = FunctionAgent(tools=[multiply], llm=openai.OpenAI(model="gpt-4o"), system_prompt="Calculate.")
        assert str(await agent.run("What is 6 times 7?")) == TEXT
        billed(2)

    def test_completions_and_structured_output(
        self, billed: Callable[[int], None], provider: Provider
    ) -> None:
        openai = pytest.importorskip("llama_index.llms.openai")
        from llama_index.core.prompts import PromptTemplate

        model = openai.OpenAI(model="gpt-4o")
        assert str(model.complete("Paul Graham is ")) == TEXT
        assert "".join(part.delta for part in model.stream_complete("Paul Graham is ")) == TEXT
        provider.then(text='{"name": "Rome"}')
        found = model.structured_predict(City, PromptTemplate("Where is {it}?"), it="the Colosseum")
        assert found == City(name="Rome")
        billed(3)


class TestPydanticAI:
    pytestmark = pytest.mark.usefixtures("pydantic_ai")

    @pytest.fixture
    def pydantic_ai(self) -> None:
        pytest.importorskip("pydantic_ai")

    def test_run_sync_by_the_models_name(self, billed: Callable[[int], None]) -> None:
        from pydantic_ai import Agent

        agent = Agent("openai:gpt-4o", instructions="Be concise, reply with one sentence.")
        assert agent.run_sync("Where does 'hello world' come from?").output == TEXT
        billed(1)

    async def test_tools_structured_output_and_a_stream(
        self, billed: Callable[[int], None], provider: Provider
    ) -> None:
        from pydantic_ai import Agent

        provider.then(tool=TOOL)
        provider.then(tool=("final_result", '{"name": "Rome"}'))
        agent = Agent("openai-chat:gpt-4o", output_type=City)
        agent.tool_plain(multiply)
        assert (await agent.run("Where?")).output == City(name="Rome")
        async with Agent("openai-chat:gpt-4o").run_stream("Where?") as result:
            assert [text async for text in result.stream_text(delta=True)]
        async with Agent("openai-chat:gpt-4o").iter("Where?") as run:
            assert [node async for node in run]
        billed(4)


class TestOpenAIAgents:
    @pytest.fixture(autouse=True)
    def agents(self) -> Any:
        agents = pytest.importorskip("agents")
        agents.set_tracing_disabled(True)
        return agents

    async def test_tools_and_a_handoff(
        self, agents: Any, billed: Callable[[int], None], provider: Provider
    ) -> None:
        calculator = agents.Agent(name="calculator", model="gpt-4o", tools=[agents.function_tool(multiply)])
        triage = agents.Agent(name="triage", model="gpt-4o", handoffs=[calculator])
        provider.then(tool=("transfer_to_calculator", "{}"))
        result = await agents.Runner.run(triage, "What is 6 times 7?")
        assert (result.final_output, result.last_agent.name) == (TEXT, "calculator")
        provider.then(tool=TOOL)
        assert (await agents.Runner.run(calculator, "What is 6 times 7?")).final_output == TEXT
        billed(4)

    async def test_a_streamed_run(self, agents: Any, billed: Callable[[int], None]) -> None:
        agent = agents.Agent(name="assistant", instructions="Be helpful.", model="gpt-4o")
        result = agents.Runner.run_streamed(agent, "Write a haiku.")
        assert [event.type async for event in result.stream_events()]
        assert result.final_output == TEXT
        billed(1)

    def test_run_sync(self, agents: Any, billed: Callable[[int], None]) -> None:
        agent = agents.Agent(name="assistant", instructions="Be helpful.", model="gpt-4o")
        assert agents.Runner.run_sync(agent, "Write a haiku.").final_output == TEXT
        billed(1)


class TestInstructor:
    def test_by_the_models_name(self, billed: Callable[[int], None], provider: Provider) -> None:
        instructor = pytest.importorskip("instructor")
        provider.reply(tool=("City", '{"name": "Rome"}'))
        client = instructor.from_provider("openai/gpt-4o")
        asked: Any = {"messages": [{"role": "user", "content": "Where?"}]}
        assert client.create(response_model=City, **asked).name == "Rome"
        assert list(client.create_partial(response_model=City, **asked))[-1].name == "Rome"
        billed(2)

    async def test_async(self, billed: Callable[[int], None], provider: Provider) -> None:
        instructor = pytest.importorskip("instructor")
        provider.reply(tool=("City", '{"name": "Rome"}'))
        client = instructor.from_provider("openai/gpt-4o", async_client=True)
        asked: Any = {"messages": [{"role": "user", "content": "Where?"}]}
        assert (await client.create(response_model=City, **asked)).name == "Rome"
        billed(1)
