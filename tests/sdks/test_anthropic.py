"""The anthropic SDK is metered once per request that costs, on every cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from .recorder import Recorder
    from .server import Provider

ARGUMENTS: Any = {
    "model": "claude-haiku-4-5",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}


@pytest.fixture
def client(provider: Provider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="k", base_url=provider.url, max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(provider: Provider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="k", base_url=provider.url, max_retries=0) as client:
        yield client


def helper(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ARGUMENTS) as stream:
        stream.get_final_message()


def raw_stream(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(**ARGUMENTS) as response:
        response.parse()


SYNC: dict[str, Callable[[anthropic.Anthropic], Any]] = {
    "create": lambda c: c.messages.create(**ARGUMENTS),
    "stream": lambda c: list(c.messages.create(**ARGUMENTS, stream=True)),
    "stream helper": helper,
    "raw": lambda c: c.messages.with_raw_response.create(**ARGUMENTS),
    "raw response": raw_stream,
    "beta": lambda c: c.beta.messages.create(**ARGUMENTS),
    "parse": lambda c: c.messages.parse(**ARGUMENTS),
}


@pytest.mark.parametrize("name", SYNC)
def test_each_sync_call_is_metered_once(
    name: str, client: anthropic.Anthropic, recorder: Recorder, provider: Provider
) -> None:
    SYNC[name](client)
    assert provider.posts == ["/v1/messages"]
    call = recorder.only
    assert (call.sdk, call.api, call.provider) == ("anthropic", "messages", None)
    assert {key: call.arguments[key] for key in ARGUMENTS} == ARGUMENTS
    assert bool(call.arguments.get("stream")) is name.startswith("stream")


async def astream(client: anthropic.AsyncAnthropic) -> None:
    async for _ in await client.messages.create(**ARGUMENTS, stream=True):
        pass


async def ahelper(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ARGUMENTS) as stream:
        await stream.get_final_message()


ASYNC: dict[str, Callable[[anthropic.AsyncAnthropic], Any]] = {
    "create": lambda c: c.messages.create(**ARGUMENTS),
    "stream": astream,
    "helper": ahelper,
    "raw": lambda c: c.messages.with_raw_response.create(**ARGUMENTS),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_each_async_call_is_metered_once(
    name: str, aclient: anthropic.AsyncAnthropic, recorder: Recorder, provider: Provider
) -> None:
    await ASYNC[name](aclient)
    assert provider.posts == ["/v1/messages"]
    assert recorder.only.arguments["max_tokens"] == 10


def test_what_is_free_is_not_metered(client: anthropic.Anthropic, recorder: Recorder) -> None:
    client.messages.count_tokens(model="claude-haiku-4-5", messages=ARGUMENTS["messages"])
    client.models.list()
    assert recorder.calls == []


def test_a_cap_reaches_the_provider(
    client: anthropic.Anthropic, recorder: Recorder, provider: Provider
) -> None:
    recorder.cap = (7, "max_tokens")
    client.messages.create(**ARGUMENTS)
    assert provider.requests[0][2]["max_tokens"] == 7


def test_other_clouds_are_metered_before_their_paths_are_put_in(recorder: Recorder) -> None:
    recorder.refusal = RuntimeError("refused")
    bedrock = anthropic.AnthropicBedrock(aws_region="us-east-1", aws_access_key="a", aws_secret_key="s")
    vertex = anthropic.AnthropicVertex(region="us-east5", project_id="p", access_token="t")
    foundry = anthropic.AnthropicFoundry(api_key="k", base_url="https://gateway.example")
    direct = anthropic.Anthropic(api_key="k")
    for client in (bedrock, vertex, foundry, direct):
        with client, pytest.raises(RuntimeError, match="refused"):
            client.messages.create(**ARGUMENTS)
    assert [call.provider for call in recorder.calls] == [
        "bedrock/us-east-1",
        "vertex_ai",
        "azure_ai",
        "anthropic",
    ]
    assert all(call.arguments["model"] == "claude-haiku-4-5" for call in recorder.calls)
