"""The google-genai SDK: Gemini's API and Vertex AI."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from types import SimpleNamespace
from typing import Any

from tests.calls.support import GEMINI, GEMINI_CALL
from tests.matrix.row import Endpoint, Row, Sdk

CONFIG = GEMINI["config"]
MODEL = GEMINI["model"]
EMBED: dict[str, Any] = {"model": "gemini-embedding-001", "contents": "hello there"}
EMBED_COST = 10 * 150
PICTURES: dict[str, Any] = {
    "model": "imagen-3.0-generate-001",
    "prompt": "a cat",
    "config": {"number_of_images": 2},
}
PICTURE = 40_000_000
VIDEO: dict[str, Any] = {
    "model": "veo-3.1-lite-generate-001",
    "prompt": "a cat",
    "config": {"duration_seconds": 4},
}
VIDEO_COST = 4 * 50_000_000  # what was asked for: the reply is but a job


def weather() -> str:
    """What the weather is like."""
    return "fine"


TOOLS = {"tools": [weather]}


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    from google import genai
    from google.genai import types

    def both(**settings: Any) -> tuple[Any, Any]:
        direct = {"trust_env": False}
        options = types.HttpOptions(base_url=url, client_args=direct, async_client_args=direct)
        client = stack.enter_context(genai.Client(api_key="k", http_options=options, **settings))
        astack.push_async_exit(client.aio)
        return client, client.aio

    made = {"gemini": both(), "vertex": both(vertexai=True)}
    sync, asynchronous = (
        SimpleNamespace(**{name: pair[colour] for name, pair in made.items()}) for colour in (0, 1)
    )
    return sync, asynchronous


SDK = Sdk(
    "google-genai",
    clients,
    (
        Endpoint(
            "models",
            lambda c: c.gemini.models,
            (
                Row("generate_content", lambda models: models.generate_content(**GEMINI), GEMINI_CALL),
                Row(
                    "generate_content_stream",
                    lambda models: models.generate_content_stream(**GEMINI),
                    GEMINI_CALL,
                ),
                Row(
                    "automatic function calling",
                    lambda models: models.generate_content(**GEMINI | {"config": {**CONFIG, **TOOLS}}),
                    2 * GEMINI_CALL,
                    first={"tool": ("weather", "{}")},
                    requests=2,
                ),
                Row("embed_content", lambda models: models.embed_content(**EMBED), EMBED_COST),
            ),
        ),
        Endpoint(
            "chats",
            lambda c: c.gemini.chats.create(model=MODEL),
            (
                Row("send_message", lambda chat: chat.send_message("hello there", CONFIG), GEMINI_CALL),
                Row(
                    "send_message_stream",
                    lambda chat: chat.send_message_stream("hello there", CONFIG),
                    GEMINI_CALL,
                ),
            ),
        ),
        Endpoint(
            "Vertex AI",
            lambda c: c.vertex.models,
            (
                Row("generate_content", lambda models: models.generate_content(**GEMINI), GEMINI_CALL),
                Row(
                    "generate_content_stream",
                    lambda models: models.generate_content_stream(**GEMINI),
                    GEMINI_CALL,
                ),
                Row("embed_content", lambda models: models.embed_content(**EMBED), EMBED_COST),
                Row("generate_images", lambda models: models.generate_images(**PICTURES), 2 * PICTURE),
                Row("generate_videos", lambda models: models.generate_videos(**VIDEO), VIDEO_COST),
            ),
        ),
    ),
)
