"""The openai SDK: OpenAI, Azure, and servers that speak the same API."""

from __future__ import annotations

import io
from contextlib import AsyncExitStack, ExitStack
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from allowance import Price
from tests.calls.support import CALL, CHAT
from tests.matrix.row import Endpoint, Row, Sdk

ASKED: dict[str, Any] = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
ASK: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
TEXT: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "hello there", "max_tokens": 50}
EMBED: dict[str, Any] = {"model": "text-embedding-3-small", "input": "hello there"}
PICTURE: dict[str, Any] = {"model": "gpt-image-1", "prompt": "a cat"}
SPEAK: dict[str, Any] = {"model": "tts-1", "input": "hello there", "voice": "alloy"}
JSON = {"text": '{"number": 1}'}

VIDEO: dict[str, Any] = {"model": "sora-2", "prompt": "a cat", "seconds": "4"}
VIDEO_PRICE = {"sora-2": Price(second="0.1")}

TEXT_COST = 10 * 1_500 + 5 * 2_000
EMBED_COST = 10 * 20
PICTURE_COST = 10 * 5_000 + 5 * 40_000  # gpt-image-1: text in, picture out
SPOKEN_COST = len("hello there") * 15_000  # tts-1: by the character
SECOND = 100_000  # whisper-1: 0.006 US dollars a minute
HEARD_COST = 10 * 2_500 + 5 * 10_000  # gpt-4o-transcribe: sound in, text out
AZURE_EMBED_COST = 10 * 22
OWN_CHAT: dict[str, Any] = CHAT | {"model": "my-llama"}
OWN = {"my-llama": Price(input=1, output=2)}
OWN_COST = 10 * 1_000 + 5 * 2_000
DEEPSEEK: dict[str, Any] = CHAT | {"model": "deepseek-chat"}
DEEPSEEK_COST = 10 * 280 + 5 * 420
TOGETHER: dict[str, Any] = CHAT | {"model": "meta-llama/Llama-3.3-70B-Instruct-Turbo"}
TOGETHER_COST = 15 * 1_040
GROK: dict[str, Any] = CHAT | {"model": "grok-4"}
GROK_COST = 10 * 3_000 + 5 * 15_000


class Answer(BaseModel):
    number: int


ANSWER: dict[str, Any] = {"response_format": Answer}


def sound() -> tuple[str, io.BytesIO]:
    return "speech.mp3", io.BytesIO(b"ID3 sound")


def picture() -> tuple[str, io.BytesIO]:
    return "picture.png", io.BytesIO(b"picture")


def parsed(reply: Any) -> Any:
    return reply.parse()


def lines(response: Any) -> Any:
    return response.iter_lines()


def final(stream: Any) -> Any:
    named = getattr(stream, "get_final_completion", None) or stream.get_final_response
    return named()


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    import openai

    def both(kind: str, options: dict[str, Any], **http: Any) -> tuple[Any, Any]:
        settings = {"api_key": "k", "max_retries": 0} | options
        sync, asynchronous = getattr(openai, kind), getattr(openai, f"Async{kind}")
        return (
            stack.enter_context(
                sync(http_client=openai.DefaultHttpxClient(trust_env=False, **http), **settings)
            ),
            _closed_by(
                astack,
                asynchronous(http_client=openai.DefaultAsyncHttpxClient(trust_env=False, **http), **settings),
            ),
        )

    azure = {"azure_endpoint": url, "api_version": "2025-04-01-preview"}
    made = {
        "openai": both("OpenAI", {"base_url": f"{url}/v1"}),
        "azure": both("AzureOpenAI", azure),
        # The names of real servers, reached through the provider as an HTTP proxy.
        "deepseek": both("OpenAI", {"base_url": "http://api.deepseek.com/v1"}, proxy=url),
        "together": both("OpenAI", {"base_url": "http://api.together.xyz/v1"}, proxy=url),
        "xai": both("OpenAI", {"base_url": "http://api.x.ai/v1"}, proxy=url),
        "openrouter": both("OpenAI", {"base_url": "http://openrouter.ai/api/v1"}, proxy=url),
    }
    return tuple(SimpleNamespace(**{name: pair[colour] for name, pair in made.items()}) for colour in (0, 1))  # type: ignore[return-value]  # two of them


def _closed_by(astack: AsyncExitStack, client: Any) -> Any:
    astack.push_async_exit(client)
    return client


SDK = Sdk(
    "openai",
    clients,
    (
        Endpoint(
            "chat.completions",
            lambda c: c.openai.chat.completions,
            (
                Row("create", lambda chat: chat.create(**CHAT), CALL),
                Row("stream=True", lambda chat: chat.create(**CHAT, stream=True), CALL),
                Row("stream()", lambda chat: chat.stream(**CHAT), CALL),
                Row("get_final_completion", lambda chat: chat.stream(**CHAT), CALL, final),
                Row("parse", lambda chat: chat.parse(**CHAT, **ANSWER), CALL, reply=JSON),
                Row("with_raw_response", lambda chat: chat.with_raw_response.create(**CHAT), CALL, parsed),
                Row("raw stream", lambda chat: chat.with_raw_response.create(**ASKED), CALL, parsed),
                Row(
                    "with_streaming_response",
                    lambda chat: chat.with_streaming_response.create(**CHAT),
                    CALL,
                    parsed,
                ),
                Row("raw lines", lambda chat: chat.with_streaming_response.create(**ASKED), CALL, lines),
            ),
        ),
        Endpoint(
            "beta.chat.completions",
            lambda c: c.openai.beta.chat.completions,
            (
                Row("create", lambda chat: chat.create(**CHAT), CALL),
                Row("parse", lambda chat: chat.parse(**CHAT, **ANSWER), CALL, reply=JSON),
                Row("stream()", lambda chat: chat.stream(**CHAT), CALL),
            ),
        ),
        Endpoint(
            "responses",
            lambda c: c.openai.responses,
            (
                Row("create", lambda responses: responses.create(**ASK), CALL),
                Row("stream=True", lambda responses: responses.create(**ASK, stream=True), CALL),
                Row("stream()", lambda responses: responses.stream(**ASK), CALL),
                Row("get_final_response", lambda responses: responses.stream(**ASK), CALL, final),
                Row("parse", lambda responses: responses.parse(**ASK, text_format=Answer), CALL, reply=JSON),
                Row("with_raw_response", lambda each: each.with_raw_response.create(**ASK), CALL, parsed),
                Row(
                    "compact", lambda responses: responses.compact(model="gpt-4o", input="hello there"), CALL
                ),
                Row(
                    "with_streaming_response",
                    lambda each: each.with_streaming_response.create(**ASK),
                    CALL,
                    parsed,
                ),
            ),
        ),
        Endpoint(
            "completions",
            lambda c: c.openai.completions,
            (
                Row("create", lambda texts: texts.create(**TEXT), TEXT_COST),
                Row("stream=True", lambda texts: texts.create(**TEXT, stream=True), TEXT_COST),
            ),
        ),
        Endpoint(
            "embeddings",
            lambda c: c.openai.embeddings,
            (Row("create", lambda embeddings: embeddings.create(**EMBED), EMBED_COST),),
        ),
        Endpoint(
            "images",
            lambda c: c.openai.images,
            (
                Row("generate", lambda images: images.generate(**PICTURE), PICTURE_COST),
                Row("generate stream", lambda images: images.generate(**PICTURE, stream=True), PICTURE_COST),
                Row(
                    "create_variation",
                    lambda images: images.create_variation(model="dall-e-2", image=picture()),
                    20_000_000,
                    reply={"usage": False},
                    prices={"dall-e-2": Price(image="0.02")},
                ),
                Row("edit", lambda images: images.edit(**PICTURE, image=picture()), PICTURE_COST),
                Row(
                    "billed by the picture",
                    lambda images: images.generate(model="dall-e-3", prompt="a cat"),
                    40_000_000,
                    reply={"usage": False},
                    prices={"dall-e-3": Price(image="0.04")},
                ),
            ),
        ),
        Endpoint(
            "audio",
            lambda c: c.openai.audio,
            (
                Row("speech", lambda audio: audio.speech.create(**SPEAK), SPOKEN_COST),
                Row(
                    "speech as it comes",
                    lambda audio: audio.speech.with_streaming_response.create(**SPEAK),
                    SPOKEN_COST,
                    lambda response: response.iter_bytes(),
                ),
                Row(
                    "transcriptions",
                    lambda audio: audio.transcriptions.create(model="gpt-4o-transcribe", file=sound()),
                    HEARD_COST,
                ),
                Row(
                    "transcriptions stream",
                    lambda audio: audio.transcriptions.create(
                        model="gpt-4o-transcribe", file=sound(), stream=True
                    ),
                    HEARD_COST,
                ),
                Row(
                    "billed by the second",
                    lambda audio: audio.transcriptions.create(model="whisper-1", file=sound()),
                    7 * SECOND,
                    reply={"seconds": 7},
                ),
                Row(
                    "translations",
                    lambda audio: audio.translations.create(model="whisper-1", file=sound()),
                    7 * SECOND,
                    reply={"seconds": 7},
                ),
            ),
        ),
        Endpoint(
            "videos",
            lambda c: c.openai.videos,
            (Row("create", lambda videos: videos.create(**VIDEO), 4 * 100_000_000, prices=VIDEO_PRICE),),
        ),
        Endpoint(
            "AzureOpenAI",
            lambda c: c.azure,
            (
                Row("chat.completions", lambda azure: azure.chat.completions.create(**CHAT), CALL),
                Row("stream=True", lambda azure: azure.chat.completions.create(**CHAT, stream=True), CALL),
                Row(
                    "a deployment's own name",
                    lambda azure: azure.chat.completions.create(**OWN_CHAT),
                    OWN_COST,
                    prices=OWN,
                ),
                Row("responses", lambda azure: azure.responses.create(**ASK), CALL),
                Row("embeddings", lambda azure: azure.embeddings.create(**EMBED), AZURE_EMBED_COST),
            ),
        ),
        Endpoint(
            "base_url",
            lambda c: c,
            (
                Row("DeepSeek", lambda c: c.deepseek.chat.completions.create(**DEEPSEEK), DEEPSEEK_COST),
                Row(
                    "DeepSeek stream",
                    lambda c: c.deepseek.chat.completions.create(**DEEPSEEK, stream=True),
                    DEEPSEEK_COST,
                ),
                Row("Together", lambda c: c.together.chat.completions.create(**TOGETHER), TOGETHER_COST),
                Row("xAI", lambda c: c.xai.chat.completions.create(**GROK), GROK_COST),
                Row(
                    "OpenRouter",
                    lambda c: c.openrouter.chat.completions.create(**CHAT | {"model": "openai/gpt-4o"}),
                    123_000,  # what it says that it charged
                    reply={"extra_usage": {"cost": 0.000123}},
                ),
                Row(
                    "a server of one's own",
                    lambda c: c.openai.chat.completions.create(**OWN_CHAT),
                    OWN_COST,
                    prices=OWN,
                ),
                Row(
                    "a server of one's own stream",
                    lambda c: c.openai.chat.completions.create(**OWN_CHAT, stream=True),
                    OWN_COST,
                    prices=OWN,
                ),
            ),
        ),
    ),
)
