"""The openai SDK is metered once per request that costs, whichever helper sends it."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel

from allowance import sdks
from allowance.prices.data import shipped_data
from allowance.sdks import hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from .recorder import Recorder
    from .server import Provider

MESSAGES: Any = [{"role": "user", "content": "hello"}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES}


class Answer(BaseModel):
    pass


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(provider: Provider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=0) as client:
        yield client


def raw_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.parse()


def chat_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        stream.until_done()


def responses_helper(client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-4o-mini", input="hi") as stream:
        stream.get_final_response()


SYNC: dict[str, tuple[str, Callable[[openai.OpenAI], Any]]] = {
    "create": ("chat", lambda c: c.chat.completions.create(**CHAT)),
    "stream": ("chat", lambda c: list(c.chat.completions.create(**CHAT, stream=True))),
    "helper": ("chat", chat_helper),
    "parse": ("chat", lambda c: c.chat.completions.parse(**CHAT, response_format=Answer)),
    "raw": ("chat", lambda c: c.chat.completions.with_raw_response.create(**CHAT).parse()),
    "raw stream": ("chat", raw_stream),
    "post": ("chat", lambda c: c.post("/chat/completions", body=dict(CHAT), cast_to=object)),
    "options": ("chat", lambda c: c.with_options(timeout=5).chat.completions.create(**CHAT)),
    "responses": ("responses", lambda c: c.responses.create(model="gpt-4o-mini", input="hi")),
    "responses stream": (
        "responses",
        lambda c: list(c.responses.create(model="gpt-4o-mini", input="hi", stream=True)),
    ),
    "responses helper": ("responses", responses_helper),
    "responses parse": (
        "responses",
        lambda c: c.responses.parse(model="gpt-4o-mini", input="hi", text_format=Answer),
    ),
    "completions": ("completions", lambda c: c.completions.create(model="gpt-4o-mini", prompt="hi")),
    "embeddings": ("embeddings", lambda c: c.embeddings.create(model="gpt-4o-mini", input="hi")),
    "images": ("images", lambda c: c.images.generate(model="gpt-4o-mini", prompt="hi")),
    "image edit": ("images", lambda c: c.images.edit(model="gpt-4o-mini", image=b"png", prompt="hi")),
    "speech": (
        "speech",
        lambda c: c.audio.speech.create(model="gpt-4o-mini", input="hi", voice="ash").read(),
    ),
    "transcription": (
        "transcription",
        lambda c: c.audio.transcriptions.create(model="gpt-4o-mini", file=("a.wav", b"RIFF")),
    ),
}


@pytest.mark.parametrize("name", SYNC)
def test_each_sync_call_is_metered_once(
    name: str, client: openai.OpenAI, recorder: Recorder, provider: Provider
) -> None:
    api, send = SYNC[name]
    send(client)
    assert len(provider.posts) == 1
    assert (recorder.only.sdk, recorder.only.api, recorder.only.provider) == ("openai", api, None)
    assert recorder.only.arguments["model"] == "gpt-4o-mini"
    assert bool(recorder.only.arguments.get("stream")) is (
        name.endswith(("stream", "helper")) and name != "raw stream"
    )


async def achat_helper(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()


async def araw_stream(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        await response.parse()


async def astream(client: openai.AsyncOpenAI) -> None:
    async for _ in await client.chat.completions.create(**CHAT, stream=True):
        pass


ASYNC: dict[str, Callable[[openai.AsyncOpenAI], Any]] = {
    "create": lambda c: c.chat.completions.create(**CHAT),
    "stream": astream,
    "helper": achat_helper,
    "parse": lambda c: c.chat.completions.parse(**CHAT, response_format=Answer),
    "raw": lambda c: c.chat.completions.with_raw_response.create(**CHAT),
    "raw stream": araw_stream,
    "responses": lambda c: c.responses.create(model="gpt-4o-mini", input="hi"),
    "embeddings": lambda c: c.embeddings.create(model="gpt-4o-mini", input="hi"),
    "speech": lambda c: c.audio.speech.create(model="gpt-4o-mini", input="hi", voice="ash"),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_each_async_call_is_metered_once(
    name: str, aclient: openai.AsyncOpenAI, recorder: Recorder, provider: Provider
) -> None:
    await ASYNC[name](aclient)
    assert len(provider.posts) == 1
    assert recorder.only.arguments["model"] == "gpt-4o-mini"


FREE: dict[str, Callable[[openai.OpenAI], Any]] = {
    "models": lambda c: c.models.list(),
    "moderation": lambda c: c.moderations.create(input="hi"),
    "token count": lambda c: c.responses.input_tokens.count(model="gpt-4o-mini", input="hi"),
    "retrieval": lambda c: c.responses.retrieve("r1"),
    "stored chats": lambda c: c.chat.completions.list(),
    "stored chat": lambda c: c.chat.completions.update("c1", metadata={}),
    "cancel": lambda c: c.responses.cancel("r1"),
    "conversation": lambda c: c.conversations.create(),
    "files": lambda c: c.files.list(),
    "batch": lambda c: c.batches.retrieve("b1"),
}


@pytest.mark.parametrize("name", FREE)
def test_what_is_free_is_not_metered(
    name: str, client: openai.OpenAI, recorder: Recorder, provider: Provider
) -> None:
    FREE[name](client)
    assert len(provider.requests) == 1
    assert recorder.calls == []


def test_the_arguments_are_the_bodys_with_extra_body(client: openai.OpenAI, recorder: Recorder) -> None:
    client.chat.completions.create(**CHAT, max_tokens=5, n=2, extra_body={"max_tokens": 9, "thinking": True})
    arguments = recorder.only.arguments
    assert arguments["messages"] == MESSAGES
    assert (arguments["max_tokens"], arguments["n"], arguments["thinking"]) == (9, 2, True)


def test_a_forms_file_is_among_the_arguments(client: openai.OpenAI, recorder: Recorder) -> None:
    client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))
    assert recorder.only.arguments["file"] == ("a.wav", b"RIFF")


def test_the_sdks_own_retries_are_one_call(provider: Provider, recorder: Recorder) -> None:
    provider.failures = 1
    with openai.OpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=1) as client:
        client.chat.completions.create(**CHAT)
    assert len(provider.posts) == 2
    assert recorder.only.arguments["model"] == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("send", "name"),
    [
        (lambda c: c.chat.completions.create(**CHAT), "max_tokens"),
        (lambda c: c.chat.completions.create(**CHAT), "max_completion_tokens"),
        (lambda c: c.chat.completions.create(**CHAT, extra_body={"max_tokens": None}), "max_tokens"),
        (lambda c: c.responses.create(model="gpt-4o-mini", input="hi"), "max_output_tokens"),
        (lambda c: c.completions.create(model="gpt-4o-mini", prompt="hi"), "max_tokens"),
    ],
)
def test_a_cap_reaches_the_provider_and_not_the_callers_own_body(
    send: Callable[[openai.OpenAI], Any],
    name: str,
    client: openai.OpenAI,
    recorder: Recorder,
    provider: Provider,
) -> None:
    recorder.cap = (7, name)
    send(client)
    assert provider.requests[0][2][name] == 7
    options = recorder.only.args[1]
    assert name not in options.json_data


async def test_a_cap_reaches_the_provider_of_an_async_call(
    aclient: openai.AsyncOpenAI, recorder: Recorder, provider: Provider
) -> None:
    recorder.cap = (7, "max_tokens")
    await aclient.chat.completions.create(**CHAT)
    assert provider.requests[0][2]["max_tokens"] == 7


def test_what_has_no_output_to_cap_takes_no_cap(client: openai.OpenAI, recorder: Recorder) -> None:
    client.embeddings.create(model="m", input="hi")
    assert recorder.only.with_cap is None


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.x.ai/v1", "xai"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("https://europe-west1-aiplatform.googleapis.com/v1beta1/p", "vertex_ai"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "bedrock/us-east-1"),
        ("https://me.openai.azure.com/openai/v1", "azure"),
        ("https://me.services.ai.azure.com/openai/v1", "azure_ai"),
        ("https://ai-gateway.vercel.sh/v1", "vercel_ai_gateway"),
        ("https://api.inference.wandb.ai/v1", "wandb"),
        ("https://notapi.openai.com.example/v1", None),
        ("http://localhost:8000/v1", None),
        ("http://[::1]:8000/v1", None),
    ],
)
def test_the_host_tells_the_provider(url: str, provider: str | None, recorder: Recorder) -> None:
    recorder.refusal = RuntimeError("refused")
    with openai.OpenAI(api_key="k", base_url=url) as client, pytest.raises(RuntimeError, match="refused"):
        client.chat.completions.create(**CHAT)
    assert recorder.only.provider == provider


def test_every_host_is_of_a_provider_whose_prices_are_known() -> None:
    priced = {entry.get("provider") for entry in shipped_data().entries.values() if isinstance(entry, dict)}
    assert {*hosts._HOSTS.values(), *hosts._DOMAINS.values()} <= priced


@pytest.mark.parametrize("deployment", [None, "mine"])
def test_azure_is_metered_with_the_deployment_as_its_model(
    deployment: str | None, provider: Provider, recorder: Recorder
) -> None:
    with openai.AzureOpenAI(
        api_key="k", api_version="1", azure_endpoint=provider.url, azure_deployment=deployment
    ) as client:
        client.chat.completions.create(model="mine", messages=MESSAGES)
    assert provider.posts == ["/openai/deployments/mine/chat/completions"]
    assert (recorder.only.provider, recorder.only.arguments["model"]) == ("azure", "mine")


@pytest.mark.parametrize("body", [{}, {"model": None}])
def test_a_client_of_a_deployment_names_the_model_where_the_call_does_not(
    body: dict[str, Any], provider: Provider, recorder: Recorder
) -> None:
    with openai.AzureOpenAI(
        api_key="k", api_version="1", azure_endpoint=provider.url, azure_deployment="mine"
    ) as client:
        client.post("/chat/completions", body={"messages": MESSAGES, **body}, cast_to=object)
    assert provider.posts == ["/openai/deployments/mine/chat/completions"]
    assert recorder.only.arguments["model"] == "mine"


def test_a_path_with_a_deployment_names_the_model(client: openai.OpenAI, recorder: Recorder) -> None:
    client.post("/deployments/mine/chat/completions", body={"messages": MESSAGES}, cast_to=object)
    assert recorder.only.arguments["model"] == "mine"


def test_a_refusal_reaches_the_caller_and_nothing_is_sent(
    client: openai.OpenAI, recorder: Recorder, provider: Provider
) -> None:
    recorder.refusal = ZeroDivisionError("refused")
    with pytest.raises(ZeroDivisionError, match="refused"):
        client.chat.completions.create(**CHAT)
    assert provider.requests == []


def test_methods_bound_before_are_metered(client: openai.OpenAI, recorder: Recorder) -> None:
    sdks.uninstrument()
    create = client.chat.completions.create
    sdks.instrument(recorder)
    create(**CHAT)
    assert recorder.only.api == "chat"


def test_a_patched_client_can_still_be_inspected_and_copied(recorder: Recorder) -> None:
    sdks.uninstrument()
    plain = inspect.signature(openai.OpenAI.request)
    sdks.instrument(recorder)
    assert inspect.signature(openai.OpenAI.request) == plain
    assert inspect.iscoroutinefunction(openai.AsyncOpenAI.request)
    assert not inspect.iscoroutinefunction(openai.OpenAI.request)
    assert inspect.isfunction(openai.OpenAI.request)
    with openai.OpenAI(api_key="k") as client:
        assert copy.copy(client).copy(timeout=1).timeout == 1
