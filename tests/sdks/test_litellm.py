"""LiteLLM is metered once per call, by whatever name it was imported; the SDKs beneath it are not."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from allowance import sdks

if TYPE_CHECKING:
    from collections.abc import Callable

    from .recorder import Recorder
    from .server import Provider

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

MESSAGES = [{"role": "user", "content": "hello"}]

# Bound when the tests are collected, before anything is instrumented.
completion = litellm.completion
acompletion = litellm.acompletion
cheap = functools.partial(litellm.completion, model="openai/gpt-4o-mini")


@pytest.fixture
def to(provider: Provider) -> dict[str, Any]:
    """Where to send it."""
    return {"api_key": "k", "api_base": f"{provider.url}/v1", "max_retries": 0}


SYNC: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "completion": ("chat", lambda to: litellm.completion("openai/gpt-4o-mini", MESSAGES, **to)),
    "by name": ("chat", lambda to: completion(model="openai/gpt-4o-mini", messages=MESSAGES, **to)),
    "partial": ("chat", lambda to: cheap(messages=MESSAGES, **to)),
    "stream": (
        "chat",
        lambda to: list(completion(model="openai/gpt-4o-mini", messages=MESSAGES, stream=True, **to)),
    ),
    "text": ("completions", lambda to: litellm.text_completion("hi", "openai/gpt-4o-mini", **to)),
    "embedding": ("embeddings", lambda to: litellm.embedding("openai/gpt-4o-mini", ["hi"], **to)),
    "responses": ("responses", lambda to: litellm.responses("hi", "openai/gpt-4o-mini", **to)),
    "image": ("images", lambda to: litellm.image_generation("hi", "openai/gpt-4o-mini", **to)),
    "speech": ("speech", lambda to: litellm.speech("openai/gpt-4o-mini", "hi", "ash", **to)),
}


@pytest.mark.parametrize("name", SYNC)
def test_each_sync_call_is_metered_once(
    name: str, to: dict[str, Any], recorder: Recorder, provider: Provider
) -> None:
    api, send = SYNC[name]
    send(to)
    assert len(provider.posts) == 1
    call = recorder.only
    assert (call.sdk, call.api) == ("litellm", api)
    assert call.arguments["model"] == "openai/gpt-4o-mini"
    assert bool(call.arguments.get("stream")) is (name == "stream")


async def astream(to: dict[str, Any]) -> None:
    async for _ in await acompletion(model="openai/gpt-4o-mini", messages=MESSAGES, stream=True, **to):
        pass


ASYNC: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "completion": ("chat", lambda to: litellm.acompletion("openai/gpt-4o-mini", MESSAGES, **to)),
    "by name": ("chat", lambda to: acompletion(model="openai/gpt-4o-mini", messages=MESSAGES, **to)),
    "stream": ("chat", astream),
    "text": ("completions", lambda to: litellm.atext_completion("hi", "openai/gpt-4o-mini", **to)),
    "embedding": ("embeddings", lambda to: litellm.aembedding("openai/gpt-4o-mini", ["hi"], **to)),
    "responses": ("responses", lambda to: litellm.aresponses("hi", "openai/gpt-4o-mini", **to)),
    "image": ("images", lambda to: litellm.aimage_generation(prompt="hi", model="openai/gpt-4o-mini", **to)),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_each_async_call_is_metered_once(
    name: str, to: dict[str, Any], recorder: Recorder, provider: Provider
) -> None:
    api, send = ASYNC[name]
    await send(to)
    assert len(provider.posts) == 1
    call = recorder.only
    assert (call.sdk, call.api) == ("litellm", api)
    assert call.arguments["model"] == "openai/gpt-4o-mini"
    assert ("hi" in str(call.arguments)) or call.arguments["messages"] == MESSAGES


def test_anthropic_through_litellm_is_metered_once(recorder: Recorder, provider: Provider) -> None:
    litellm.completion("anthropic/claude-haiku-4-5", MESSAGES, api_key="k", api_base=provider.url)
    assert provider.posts == ["/v1/messages"]
    assert recorder.only.arguments["model"] == "anthropic/claude-haiku-4-5"


def test_the_provider_is_told_where_the_caller_tells_it(to: dict[str, Any], recorder: Recorder) -> None:
    litellm.completion("gpt-4o-mini", MESSAGES, custom_llm_provider="openai", **to)
    assert recorder.only.provider == "openai"


@pytest.fixture
def router(to: dict[str, Any]) -> litellm.Router:
    deployment = {"model": "openai/gpt-4o-mini", **to}
    return litellm.Router(
        model_list=[{"model_name": "cheap", "litellm_params": dict(deployment)} for _ in range(2)],
        num_retries=2,
        retry_after=0,
    )


async def test_a_router_is_metered_once_per_request(
    router: litellm.Router, recorder: Recorder, provider: Provider
) -> None:
    router.completion("cheap", MESSAGES)
    await router.acompletion("cheap", MESSAGES)
    list(router.completion("cheap", MESSAGES, stream=True))
    async for _ in await router.acompletion("cheap", MESSAGES, stream=True):
        pass
    assert len(provider.posts) == len(recorder.calls) == 4
    assert {call.arguments["model"] for call in recorder.calls} == {"openai/gpt-4o-mini"}


async def test_each_try_of_a_router_is_a_call_of_its_own(
    router: litellm.Router, recorder: Recorder, provider: Provider
) -> None:
    provider.failures = 1
    await router.acompletion("cheap", MESSAGES)
    assert len(provider.posts) == len(recorder.calls) == 2


def test_each_call_of_a_batch_is_metered(to: dict[str, Any], recorder: Recorder, provider: Provider) -> None:
    litellm.batch_completion(model="openai/gpt-4o-mini", messages=[MESSAGES] * 3, **to)
    assert len(provider.posts) == len(recorder.calls) == 3


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # LiteLLM's cache imports parts of its proxy, and these a package that only its proxy declares.
    monkeypatch.setitem(sys.modules, "soundfile", types.ModuleType("soundfile"))
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))


@pytest.mark.usefixtures("cache")
def test_a_cache_hit_is_not_metered(to: dict[str, Any], recorder: Recorder, provider: Provider) -> None:
    for _ in range(3):
        litellm.completion("openai/gpt-4o-mini", MESSAGES, **to)
    assert len(provider.posts) == len(recorder.calls) == 1


@pytest.mark.usefixtures("cache")
async def test_an_async_cache_hit_is_not_metered(
    to: dict[str, Any], recorder: Recorder, provider: Provider
) -> None:
    for _ in range(3):
        await litellm.acompletion("openai/gpt-4o-mini", MESSAGES, **to)
        await asyncio.sleep(0.1)  # LiteLLM fills its cache in a task of its own
    assert len(provider.posts) == len(recorder.calls) == 1


class RefusedError(Exception):
    status_code = 422


async def test_a_refusal_reaches_the_caller_as_it_is_and_cools_no_deployment(
    router: litellm.Router, to: dict[str, Any], recorder: Recorder, provider: Provider
) -> None:
    recorder.refusal = RefusedError()
    with pytest.raises(RefusedError):
        litellm.completion("openai/gpt-4o-mini", MESSAGES, **to)
    with pytest.raises(RefusedError):
        await litellm.acompletion("openai/gpt-4o-mini", MESSAGES, **to)
    recorder.calls.clear()
    with pytest.raises(RefusedError):
        await router.acompletion("cheap", MESSAGES)
    assert len(recorder.calls) == 1
    recorder.refusal = None
    assert (
        await router.cooldown_cache.async_get_active_cooldowns(
            model_ids=router.get_model_ids(), parent_otel_span=None
        )
        == []
    )
    await router.acompletion("cheap", MESSAGES)
    assert len(provider.posts) == 1


@pytest.mark.parametrize(
    "send",
    [
        lambda to: litellm.completion("openai/gpt-4o-mini", MESSAGES, **to),
        lambda to: litellm.completion(model="openai/gpt-4o-mini", messages=MESSAGES, max_tokens=None, **to),
        lambda to: litellm.text_completion("hi", "openai/gpt-4o-mini", **to),
    ],
)
def test_a_cap_reaches_the_provider(
    send: Callable[[dict[str, Any]], Any], to: dict[str, Any], recorder: Recorder, provider: Provider
) -> None:
    recorder.cap = (7, "max_tokens")
    send(to)
    assert provider.requests[0][2]["max_tokens"] == 7


async def test_a_cap_reaches_the_provider_of_an_async_call(
    to: dict[str, Any], recorder: Recorder, provider: Provider
) -> None:
    recorder.cap = (7, "max_tokens")
    await litellm.acompletion("openai/gpt-4o-mini", MESSAGES, **to)
    await litellm.atext_completion("hi", "openai/gpt-4o-mini", **to)
    assert [body["max_tokens"] for _, _, body in provider.requests] == [7, 7]


def test_functions_keep_their_signature_and_kind(recorder: Recorder) -> None:
    names = ["completion", "acompletion", "text_completion", "embedding", "aembedding", "responses"]
    patched = [
        (inspect.signature(getattr(litellm, n)), inspect.iscoroutinefunction(getattr(litellm, n)))
        for n in names
    ]
    sdks.uninstrument()
    plain = [
        (inspect.signature(getattr(litellm, n)), inspect.iscoroutinefunction(getattr(litellm, n)))
        for n in names
    ]
    assert patched == plain
