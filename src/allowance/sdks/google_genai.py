"""The google-genai SDK: Gemini's API and Vertex AI.

``generate_content``, chats, automatic function calling and continuations all end in the private functions
below, once for each HTTP request; they are handed the SDK's own arguments and hand back its typed replies.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from allowance.calls.sdk_call import SdkCall
from allowance.sdks.lazy import carrying
from allowance.sdks.points import AttributePoint, Read, metered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests.request import Api
    from allowance.sdks.points import Point

__all__ = ["NOT_METERED", "POINTS"]

NOT_METERED = "interactions, live sessions, batches, tuning and context caches (billed apart)"

_FUNCTIONS: tuple[tuple[str, Api], ...] = (
    ("_generate_content", "gemini"),
    ("_generate_content_stream", "gemini"),
    ("_embed_content", "embeddings"),
    ("_generate_images", "images"),
    ("_edit_image", "images"),
    ("_upscale_image", "images"),
    ("recontext_image", "images"),
    ("segment_image", "images"),
    ("_generate_videos", "video"),
)


def _reader(name: str, api: Api) -> Read:
    def read(
        function: Callable[..., Any], models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> SdkCall:
        vertex = getattr(getattr(models, "_api_client", None), "vertexai", False)
        return SdkCall(
            sdk="google-genai",
            function=function,
            args=args,
            kwargs=kwargs,
            arguments=_arguments(name, kwargs),
            api=api,
            provider="vertex_ai" if vertex else "gemini",
            with_cap=partial(_with_cap, args, kwargs) if api == "gemini" else None,
        )

    return read


def _arguments(name: str, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The SDK's keywords; for embeddings and images, OpenAI's names for the same things beside them."""
    arguments = dict(kwargs)
    config = kwargs.get("config")
    if name.startswith("_generate_content"):
        arguments["stream"] = name.endswith("stream")
        if config is not None:
            # The loop of function calls runs above this: here it is one request, whose cost is bounded.
            arguments["config"] = _with(config, "automatic_function_calling", {"disable": True})
    elif name == "_embed_content":
        given = (kwargs.get(key) for key in ("contents", "batch_contents", "content"))
        arguments["input"] = next((content for content in given if content is not None), None)
    elif name == "_generate_images":
        arguments["n"] = _field(config, "number_of_images", "numberOfImages")
    return arguments


def _field(config: Any, *names: str) -> Any:
    for name in names:
        value = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
        if value is not None:
            return value
    return None


def _with_cap(
    args: tuple[Any, ...], kwargs: dict[str, Any], cap: int, _name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # The SDK knows but one name for it, whatever the reader of the request calls it.
    return args, {**kwargs, "config": _with(kwargs.get("config"), "max_output_tokens", cap)}


def _with(config: Any, name: str, value: object) -> Any:
    if config is None or isinstance(config, dict):
        camel = re.sub("_(.)", lambda match: match[1].upper(), name)
        return {**{key: old for key, old in (config or {}).items() if key != camel}, name: value}
    return config.model_copy(update={name: value})


def _points() -> tuple[Point, ...]:
    content: list[Point] = [
        AttributePoint(
            "google.genai.models",
            f"{owner}.{name}",
            partial(metered, read=_reader(name, api)),
            before=f"{owner}.embed_content" if name == "_embed_content" else None,
            essential=api in ("gemini", "embeddings"),
        )
        for owner in ("Models", "AsyncModels")
        for name, api in _FUNCTIONS
    ]
    streams = (
        ("google.genai.models", "Models.generate_content_stream"),
        ("google.genai.models", "AsyncModels.generate_content_stream"),
        ("google.genai.chats", "Chat.send_message_stream"),
        ("google.genai.chats", "AsyncChat.send_message_stream"),
    )
    return (*content, *(AttributePoint(module, name, carrying) for module, name in streams))


POINTS = _points()
