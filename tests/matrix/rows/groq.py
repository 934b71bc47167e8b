"""The groq SDK."""

from __future__ import annotations

import io
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from allowance import Price
from tests.calls.support import MESSAGES
from tests.matrix.row import Endpoint, Row, Sdk

CHAT: dict[str, Any] = {"model": "llama-3.3-70b-versatile", "messages": MESSAGES, "max_tokens": 50}
COST = 10 * 590 + 5 * 790
GPT_OSS_COST = 10 * 75 + 5 * 300  # what Groq takes, whoever made the model
SPEAK: dict[str, Any] = {"model": "canopylabs/orpheus-v1-english", "input": "hello there", "voice": "hannah"}
SPOKEN_COST = len("hello there") * 22_000
HEAR: dict[str, Any] = {"model": "whisper-large-v3"}
SECOND = 30_830  # Groq's replies do not say how long it was: a file of 9 bytes is taken for a second
GPT_OSS: dict[str, Any] = CHAT | {"model": "openai/gpt-oss-20b"}
EMBED: dict[str, Any] = {"model": "nomic-embed-text-v1_5", "input": "hello there"}
EMBED_COST = 10 * 1_000
OWN = {EMBED["model"]: Price(input=1)}


def parsed(reply: Any) -> Any:
    return reply.parse()


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    import groq

    to: dict[str, Any] = {"api_key": "k", "base_url": url, "max_retries": 0}
    client = groq.Groq(http_client=groq.DefaultHttpxClient(trust_env=False), **to)
    aclient = groq.AsyncGroq(http_client=groq.DefaultAsyncHttpxClient(trust_env=False), **to)
    stack.enter_context(client)
    astack.push_async_exit(aclient)
    return client, aclient


def sound() -> tuple[str, io.BytesIO]:
    return "speech.mp3", io.BytesIO(b"ID3 sound")


SDK = Sdk(
    "groq",
    clients,
    (
        Endpoint(
            "chat.completions",
            lambda c: c.chat.completions,
            (
                Row("create", lambda chat: chat.create(**CHAT), COST),
                Row("stream=True", lambda chat: chat.create(**CHAT, stream=True), COST),
                Row("another vendor's model", lambda chat: chat.create(**GPT_OSS), GPT_OSS_COST),
                Row("with_raw_response", lambda chat: chat.with_raw_response.create(**CHAT), COST, parsed),
                Row(
                    "with_streaming_response",
                    lambda chat: chat.with_streaming_response.create(**CHAT),
                    COST,
                    parsed,
                ),
            ),
        ),
        Endpoint(
            "embeddings",
            lambda c: c.embeddings,
            (Row("create", lambda each: each.create(**EMBED), EMBED_COST, prices=OWN),),
        ),
        Endpoint(
            "audio",
            lambda c: c.audio,
            (
                Row("speech", lambda audio: audio.speech.create(**SPEAK), SPOKEN_COST),
                Row(
                    "transcriptions",
                    lambda audio: audio.transcriptions.create(**HEAR, file=sound()),
                    SECOND,
                    reply={"usage": False},
                ),
                Row(
                    "translations",
                    lambda audio: audio.translations.create(**HEAR, file=sound()),
                    SECOND,
                    reply={"usage": False},
                ),
            ),
        ),
    ),
)
