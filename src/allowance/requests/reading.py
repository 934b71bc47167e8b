"""Which API a call's arguments belong to, and their reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.anthropic import read_messages
from allowance.requests.bedrock import read_converse, read_invoked
from allowance.requests.draft import Draft
from allowance.requests.fields import as_list, field, members
from allowance.requests.gemini import read_gemini
from allowance.requests.openai import read_chat, read_completions, read_embeddings, read_responses
from allowance.requests.other import (
    read_ocr,
    read_other,
    read_pictures,
    read_speech,
    read_transcription,
    read_video,
)

if TYPE_CHECKING:
    from allowance.requests.request import Api, Request

__all__ = ["read"]

_READERS: Final[Mapping[Api, Callable[[Draft, Mapping[str, Any]], None]]] = {
    "chat": read_chat,
    "responses": read_responses,
    "completions": read_completions,
    "embeddings": read_embeddings,
    "messages": read_messages,
    "gemini": read_gemini,
    "converse": read_converse,
    "invoke": read_invoked,
    "images": read_pictures,
    "speech": read_speech,
    "transcription": read_transcription,
    "ocr": read_ocr,
    "video": read_video,
    "other": read_other,
}

_INPUTS: Final = ("messages", "contents", "input", "prompt")
_PICTURE_MODELS: Final = ("dall-e", "gpt-image", "chatgpt-image", "imagen", "flux", "stable-diffusion")
_VIDEO_MODELS: Final = ("sora-", "veo-")
_HEARING_MODELS: Final = ("whisper", "transcri")
_LEGACY_MODELS: Final = ("davinci", "babbage", "instruct", "text-", "code-")


def read(
    arguments: Mapping[str, Any], *, api: Api | None = None, provider: str | None = None
) -> Request | None:
    """The request that a call's bound arguments make, or None where they name no model.

    ``arguments`` maps argument names to values: plain dicts, TypedDicts, pydantic models and SDK objects
    may stand inside. Nothing in it is changed, and no iterator is consumed. Without an ``api`` the shape
    decides. A body of ``model`` and messages in one argument (``request``, ``kwargs``) is looked into.
    Where the input stands under no known name, every text among the arguments is taken for it, and the
    request says so in ``unbounded``.

    Raises:
        ConfigurationError: for content that is nested without end, and a bool for a number of tokens.
    """
    body = arguments.get("extra_body")
    if body is not None and isinstance(body, Mapping):
        arguments = {**arguments, **body}
    model = arguments.get("model")
    if not isinstance(model, str):
        inner = _body(arguments) if model is None else None
        return None if inner is None else read(inner, api=api, provider=provider)
    family = api or _family(arguments, model)
    draft = Draft(family, model, provider)
    _READERS[family](draft, arguments)
    return draft.request()


def _body(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An argument that holds a whole request; ``self`` may have a model too, and is none."""
    for name, value in arguments.items():
        if name not in ("self", "cls") and value is not None and not isinstance(value, (str, int, float)):
            found = members(value)
            if found is None or not isinstance(found.get("model"), str):
                continue
            if any(found.get(key) is not None for key in _INPUTS):
                return found
    return None


def _family(arguments: Mapping[str, Any], model: str) -> Api:
    if arguments.get("messages") is not None:
        return "messages" if _is_anthropic(arguments, model) else "chat"
    if arguments.get("contents") is not None:
        return "gemini"
    name = model.rpartition("/")[2].lower()
    if arguments.get("input") is not None:
        if "embed" in name:
            return "embeddings"
        return "speech" if arguments.get("voice") is not None else "responses"
    prompt = arguments.get("prompt")
    if isinstance(prompt, (str, list, tuple)):
        if name.startswith(_PICTURE_MODELS):
            return "images"
        if name.startswith(_VIDEO_MODELS):
            return "video"
        return "completions" if any(mark in name for mark in _LEGACY_MODELS) else "chat"
    if arguments.get("file") is not None and any(mark in name for mark in _HEARING_MODELS):
        return "transcription"
    stored = ("previous_response_id", "conversation")
    return "responses" if prompt is not None or any(arguments.get(key) for key in stored) else "other"


def _is_anthropic(arguments: Mapping[str, Any], model: str) -> bool:
    """Whether messages are Anthropic's own: by the model's bare name, or what only Anthropic takes."""
    if model.startswith("claude") or arguments.get("system") is not None:
        return True
    given = arguments.get("tools")
    tools = None if given is None else as_list(given)
    return tools is not None and any(field(tool, "input_schema") is not None for tool in tools)
