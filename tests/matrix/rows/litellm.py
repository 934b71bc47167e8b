"""LiteLLM: several vendors through it, its Router, and its functions beside chat."""

from __future__ import annotations

import io
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Any

from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI_CALL,
    MESSAGES,
    SONNET_CALL,
)
from tests.matrix.row import ASYNC, SYNC, Endpoint, Row, Sdk

ASKED = {"stream": True, "stream_options": {"include_usage": True}}
GPT = CHAT | {"model": "openai/gpt-4o"}
SONNET = CLAUDE | {"model": "anthropic/claude-sonnet-4-5"}
GEMINI: dict[str, Any] = {"model": "gemini/gemini-2.5-pro", "messages": MESSAGES, "max_tokens": 50}
MAIN = CHAT | {"model": "main"}
TEXT: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "hello there", "max_tokens": 50}
EMBED: dict[str, Any] = {"model": "openai/text-embedding-3-small", "input": ["hello there"]}
ASK: dict[str, Any] = {"model": "openai/gpt-4o", "input": "hello there", "max_output_tokens": 50}
PICTURE: dict[str, Any] = {"model": "openai/gpt-image-1", "prompt": "a cat"}
SPEAK: dict[str, Any] = {"model": "openai/tts-1", "input": "hello there", "voice": "alloy"}
HEAR: dict[str, Any] = {"model": "openai/whisper-1"}
RERANK: dict[str, Any] = {"model": "cohere/rerank-v3.5", "query": "hello", "documents": ["there"]}

TEXT_COST = 10 * 1_500 + 5 * 2_000
EMBED_COST = 10 * 20
PICTURE_COST = 10 * 5_000 + 5 * 40_000  # gpt-image-1: text in, picture out
SPOKEN_COST = len("hello there") * 15_000  # tts-1: by the character
HEARD_COST = 7 * 100_000  # whisper-1: 0.006 US dollars a minute
READ: dict[str, Any] = {
    "model": "mistral/mistral-ocr-2505",
    "document": {"type": "document_url", "document_url": "https://example.com/paper.pdf"},
}
PAGE = 1_000_000
SEARCH = 2_000_000


class Functions:
    """LiteLLM's functions, with where to send their calls; the asynchronous ones have an ``a`` before."""

    def __init__(self, holder: Any, prefix: str, url: str, **settings: Any) -> None:
        self._holder = holder
        self._prefix = prefix
        self._settings = settings
        self.url = url

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._holder, self._prefix + name), **self._settings)


class Colour:
    """The functions for OpenAI's paths, and for vendors that have their own; and a router."""

    def __init__(self, prefix: str, url: str) -> None:
        import litellm

        common = {"api_key": "k", "num_retries": 0, "max_retries": 0}
        self.openai = Functions(litellm, prefix, url, api_base=f"{url}/v1", **common)
        self.mistral = Functions(litellm, prefix, url, api_base=f"{url}/mistral/v1", **common)
        self.other = Functions(litellm, prefix, url, api_base=url, **common)
        deployment = {"model": "openai/gpt-4o", "api_base": f"{url}/v1", "api_key": "k", "max_retries": 0}
        router = litellm.Router(
            model_list=[{"model_name": "main", "litellm_params": deployment}], num_retries=0
        )
        self.router = Functions(router, prefix, url)


def sound() -> tuple[str, io.BytesIO]:
    return "speech.mp3", io.BytesIO(b"ID3 sound")


def ask_twice(c: Any) -> Any:
    return c.batch_completion(model="openai/gpt-4o", messages=[MESSAGES, MESSAGES], max_tokens=50)


def raised(replies: list[Any]) -> None:
    """A batch hands its errors out among its replies."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def clients(url: str, _stack: ExitStack, _astack: AsyncExitStack) -> tuple[Any, Any]:
    return Colour("", url), Colour("a", url)


SDK = Sdk(
    "litellm",
    clients,
    (
        Endpoint(
            "completion",
            lambda c: c,
            (
                Row("openai/", lambda c: c.openai.completion(**GPT), CALL),
                Row("openai/ stream", lambda c: c.openai.completion(**GPT, **ASKED), CALL),
                Row(
                    "openai/ stream, usage not asked for",
                    lambda c: c.openai.completion(**GPT, stream=True),
                    CALL,
                ),
                Row("anthropic/", lambda c: c.other.completion(**SONNET), SONNET_CALL),
                Row("anthropic/ stream", lambda c: c.other.completion(**SONNET, **ASKED), SONNET_CALL),
                Row("gemini/", lambda c: c.other.completion(**GEMINI), GEMINI_CALL),
                # Sync alone: of the asynchronous one LiteLLM never closes the connection.
                Row(
                    "gemini/ stream",
                    lambda c: c.other.completion(**GEMINI, **ASKED),
                    GEMINI_CALL,
                    colours=SYNC,
                ),
            ),
        ),
        Endpoint(
            "Router",
            lambda c: c.router,
            (
                Row("completion", lambda router: router.completion(**MAIN), CALL),
                Row("stream=True", lambda router: router.completion(**MAIN, **ASKED), CALL),
            ),
        ),
        Endpoint(
            "batch_completion",
            lambda c: c.openai,
            (Row("", ask_twice, 2 * CALL, raised, requests=2, colours=SYNC),),
        ),
        Endpoint(
            "text_completion", lambda c: c.openai, (Row("", lambda c: c.text_completion(**TEXT), TEXT_COST),)
        ),
        Endpoint("embedding", lambda c: c.openai, (Row("", lambda c: c.embedding(**EMBED), EMBED_COST),)),
        Endpoint(
            "responses",
            lambda c: c.openai,
            (
                Row("", lambda c: c.responses(**ASK), CALL),
                Row("stream=True", lambda c: c.responses(**ASK, stream=True), CALL),
            ),
        ),
        Endpoint(
            "image_generation",
            lambda c: c.openai,
            (Row("", lambda c: c.image_generation(**PICTURE), PICTURE_COST),),
        ),
        Endpoint("speech", lambda c: c.openai, (Row("", lambda c: c.speech(**SPEAK), SPOKEN_COST),)),
        Endpoint(
            "transcription",
            lambda c: c.openai,
            (Row("", lambda c: c.transcription(**HEAR, file=sound()), HEARD_COST, reply={"seconds": 7}),),
        ),
        Endpoint(
            "ocr",
            lambda c: c.mistral,
            (
                Row("", lambda c: c.ocr(**READ), 3 * PAGE, reply={"pages": 3}),
                Row("by position", lambda c: c.ocr(*READ.values()), 3 * PAGE, reply={"pages": 3}),
            ),
        ),
        Endpoint("rerank", lambda c: c.other, (Row("", lambda c: c.rerank(**RERANK), SEARCH),)),
        Endpoint(
            "anthropic.messages",
            lambda c: c.other,
            (Row("acreate", lambda c: c.nthropic_messages(**SONNET), SONNET_CALL, colours=ASYNC),),
        ),
    ),
)
