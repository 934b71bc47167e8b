"""The google-genai SDK is metered once per request, through chats, function calling and lazy streams."""

from __future__ import annotations

import asyncio
import gc
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from google import genai
from google.genai import types

from allowance import sdks
from allowance.requests import read

from .recorder import on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .recorder import Recorder
    from .server import Provider

# The SDK deprecates its own functions, and aiohttp deprecates what the SDK does.
pytestmark = pytest.mark.filterwarnings("ignore")

MODEL = "gemini-2.5-flash"


def weather() -> str:
    """What the weather is like."""
    return "fine"


@pytest.fixture
def client(provider: Provider) -> Iterator[genai.Client]:
    with genai.Client(api_key="k", http_options=types.HttpOptions(base_url=provider.url)) as client:
        yield client


@pytest.fixture
def vertex(provider: Provider) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=provider.url)
    with genai.Client(vertexai=True, api_key="k", http_options=options) as client:
        yield client


SYNC: dict[str, tuple[str, Callable[[genai.Client], Any]]] = {
    "content": ("gemini", lambda c: c.models.generate_content(model=MODEL, contents="hi")),
    "stream": ("gemini", lambda c: list(c.models.generate_content_stream(model=MODEL, contents="hi"))),
    "chat": ("gemini", lambda c: c.chats.create(model=MODEL).send_message("hi")),
    "chat stream": ("gemini", lambda c: list(c.chats.create(model=MODEL).send_message_stream("hi"))),
    "embedding": ("embeddings", lambda c: c.models.embed_content(model=MODEL, contents="hi")),
}


@pytest.mark.parametrize("name", SYNC)
def test_each_sync_call_is_metered_once(
    name: str, client: genai.Client, recorder: Recorder, provider: Provider
) -> None:
    api, send = SYNC[name]
    send(client)
    assert len(provider.posts) == 1
    call = recorder.only
    assert (call.sdk, call.api, call.provider) == ("google-genai", api, "gemini")
    assert call.arguments["model"] == MODEL
    assert bool(call.arguments.get("stream")) is name.endswith("stream")


async def astream(client: genai.Client) -> None:
    async for _ in await client.aio.models.generate_content_stream(model=MODEL, contents="hi"):
        pass


async def achat_stream(client: genai.Client) -> None:
    async for _ in await client.aio.chats.create(model=MODEL).send_message_stream("hi"):
        pass


ASYNC: dict[str, Callable[[genai.Client], Any]] = {
    "content": lambda c: c.aio.models.generate_content(model=MODEL, contents="hi"),
    "stream": astream,
    "chat": lambda c: c.aio.chats.create(model=MODEL).send_message("hi"),
    "chat stream": achat_stream,
    "embedding": lambda c: c.aio.models.embed_content(model=MODEL, contents="hi"),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_each_async_call_is_metered_once(
    name: str, client: genai.Client, recorder: Recorder, provider: Provider
) -> None:
    async with client.aio:
        await ASYNC[name](client)
    assert len(provider.posts) == 1
    assert recorder.only.arguments["model"] == MODEL
    assert bool(recorder.only.arguments.get("stream")) is name.endswith("stream")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, config: client.models.generate_content(model=MODEL, contents="hi", config=config),
        lambda client, config: client.chats.create(model=MODEL, config=config).send_message("hi"),
    ],
    ids=["models", "chats"],
)
@pytest.mark.parametrize("config", [types.GenerateContentConfig(tools=[weather]), {"tools": [weather]}])
def test_each_request_of_a_function_calling_loop_is_metered_as_a_bounded_one(
    ask: Callable[[genai.Client, Any], Any],
    config: Any,
    client: genai.Client,
    recorder: Recorder,
    provider: Provider,
) -> None:
    ask(client, config)
    assert len(provider.posts) == len(recorder.calls) == 2
    requests = [read(call.arguments, api=call.api) for call in recorder.calls]
    assert [request.unbounded for request in requests if request] == [(), ()]


def test_counting_tokens_is_free(client: genai.Client, recorder: Recorder, provider: Provider) -> None:
    client.models.count_tokens(model=MODEL, contents="hi")
    assert len(provider.posts) == 1
    assert recorder.calls == []


def test_what_is_embedded_is_among_the_arguments(client: genai.Client, recorder: Recorder) -> None:
    client.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    assert recorder.only.arguments["input"] == ["one", "two"]


async def test_images_are_metered_with_their_number(
    vertex: genai.Client, recorder: Recorder, provider: Provider
) -> None:
    config = types.GenerateImagesConfig(number_of_images=3)
    vertex.models.generate_images(model=MODEL, prompt="hi", config=config)
    async with vertex.aio:
        await vertex.aio.models.generate_images(model=MODEL, prompt="hi", config={"number_of_images": 3})
    assert len(provider.posts) == len(recorder.calls) == 2
    assert [(call.api, call.arguments["n"]) for call in recorder.calls] == [("images", 3)] * 2


@pytest.mark.parametrize(
    "config",
    [None, {"temperature": 0.5}, {"maxOutputTokens": 99}, types.GenerateContentConfig(temperature=0.5)],
    ids=["none", "dict", "other name", "object"],
)
def test_a_cap_reaches_the_provider_and_not_the_callers_own_config(
    config: Any, client: genai.Client, recorder: Recorder, provider: Provider
) -> None:
    before = (
        config.model_copy() if isinstance(config, types.GenerateContentConfig) else config and dict(config)
    )
    recorder.cap = (7, "max_output_tokens")
    client.models.generate_content(model=MODEL, contents="hi", config=config)
    assert provider.requests[0][2]["generationConfig"]["maxOutputTokens"] == 7
    assert config == before


def test_vertex_is_its_own_provider(vertex: genai.Client, recorder: Recorder) -> None:
    vertex.models.generate_content(model=MODEL, contents="hi")
    assert recorder.only.provider == "vertex_ai"


def test_a_lazy_stream_is_metered_in_the_context_that_it_was_made_in(
    client: genai.Client, recorder: Recorder, provider: Provider
) -> None:
    stream = client.models.generate_content_stream(model=MODEL, contents="hi")
    chat_stream = client.chats.create(model=MODEL).send_message_stream("hi")
    assert inspect.isgenerator(stream)
    assert provider.requests == recorder.calls == []
    token = on.set(False)
    try:
        assert [chunk.text for chunk in stream] == [chunk.text for chunk in chat_stream] == ["hi"]
        assert len(recorder.calls) == 2
        list(client.models.generate_content_stream(model=MODEL, contents="hi"))
    finally:
        on.reset(token)
    assert len(recorder.calls) == 2


async def test_a_lazy_async_stream_is_metered_in_the_context_that_it_was_made_in(
    client: genai.Client, recorder: Recorder, provider: Provider
) -> None:
    async with client.aio:
        stream = await client.aio.models.generate_content_stream(model=MODEL, contents="hi")
        chat_stream = await client.aio.chats.create(model=MODEL).send_message_stream("hi")
        assert provider.requests == recorder.calls == []
        on.set(False)
        assert [chunk.text async for chunk in stream] == ["hi"]
        assert [chunk.text async for chunk in chat_stream] == ["hi"]
        assert len(recorder.calls) == 2
        async for _ in await client.aio.models.generate_content_stream(model=MODEL, contents="hi"):
            pass
    assert len(recorder.calls) == 2


async def test_cancelling_reaches_a_lazy_async_stream(recorder: Recorder) -> None:
    from allowance.sdks.lazy import carrying

    seen: list[str] = []

    async def endless() -> Any:
        async def stream() -> Any:
            try:
                yield 1
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            finally:
                seen.append("closed")

        return stream()

    async def read() -> None:
        wrapped = carrying(endless)
        async for item in await wrapped(recorder, endless, None, (), {}):
            assert item == 1
            seen.append("item")

    task = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["item", "cancelled", "closed"]


def test_a_lazy_stream_that_is_dropped_closes_the_sdks_own(recorder: Recorder) -> None:
    from allowance.sdks.lazy import carrying

    seen: list[str] = []

    def endless() -> Any:
        try:
            while True:
                yield 1
        finally:
            seen.append("closed")

    stream = carrying(endless)(recorder, endless, None, (), {})
    next(stream)
    del stream
    gc.collect()
    assert seen == ["closed"]


def test_methods_bound_before_are_metered(client: genai.Client, recorder: Recorder) -> None:
    sdks.uninstrument()
    generate, embed = client.models.generate_content, client.models.embed_content
    sdks.instrument(recorder)
    generate(model=MODEL, contents="hi")
    embed(model=MODEL, contents="hi")
    assert [call.api for call in recorder.calls] == ["gemini", "embeddings"]
