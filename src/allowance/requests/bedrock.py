"""Bedrock: Converse's own shape, and the bodies of the vendors' models that InvokeModel takes as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.anthropic import read_messages
from allowance.requests.content import add_content
from allowance.requests.fields import as_count, as_list, field
from allowance.requests.media import add_data, add_unknown
from allowance.requests.openai import read_chat, read_completions
from allowance.requests.other import read_other

if TYPE_CHECKING:
    from allowance.requests.draft import Draft, Readers

__all__ = ["read_converse", "read_invoked"]

_MEDIA: Final = {"image": "image/", "video": "video/", "audio": "audio/", "document": "application/"}
_PICTURES: Final = ("titan-image", "nova-canvas", "stability.")
_TEXTS: Final = frozenset({"txt", "md", "csv", "html"})


def read_converse(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``converse`` and ``converse_stream``; Nova's own body, which InvokeModel takes, is the same."""
    draft.read(arguments, _CONVERSE)
    settings = arguments.get("inferenceConfig")
    limits = settings if isinstance(settings, Mapping) else {}
    name = "max_new_tokens" if "max_new_tokens" in limits else "maxTokens"
    draft.read_cap(limits, name)
    draft.cap_name = f"inferenceConfig.{name}"
    if ":prompt/" in draft.model:
        draft.unbound("a stored prompt adds input that the request does not show")


def read_invoked(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``invoke_model``: ``body`` is the JSON that the model's vendor defines, told by its fields."""
    _stream(draft, arguments.get("stream"))
    _tier(draft, arguments.get("serviceTier"))
    body = arguments.get("body")
    if not isinstance(body, Mapping):
        draft.unbound("the body is not known")
    elif any(mark in draft.model for mark in _PICTURES):
        _pictures(draft, body)
    elif as_list(body.get("messages")) is not None:
        _messages(draft, body)
    elif isinstance(body.get("prompt"), str):
        read_completions(draft, body)
        draft.messages = 1
        name = next((name for name in ("max_gen_len", "max_tokens_to_sample") if name in body), None)
        if name is not None or "llama" in draft.model:
            draft.cap_name = None
            draft.read_cap(body, name or "max_gen_len")
    elif isinstance(body.get("inputText"), str):
        _titan(draft, body)
    elif "embed" in draft.model:
        add_content(draft, body.get("texts") or body.get("inputs"))
        draft.max_output = 0
    else:
        read_other(draft, body)


def _pictures(draft: Draft, body: Mapping[str, Any]) -> None:
    """Amazon's and Stability's models, which make pictures and bill each."""
    draft.api = "images"
    settings = body.get("imageGenerationConfig")
    draft.set_choices(field(settings, "numberOfImages"), "numberOfImages")


def _messages(draft: Draft, body: Mapping[str, Any]) -> None:
    if "anthropic" in draft.model or "anthropic_version" in body:
        read_messages(draft, body)
    elif "nova" in draft.model or "inferenceConfig" in body:
        read_converse(draft, body)
    else:
        read_chat(draft, body)
        if not ("max_completion_tokens" in body or "openai" in draft.model):
            draft.cap_name = "max_tokens"


def _titan(draft: Draft, body: Mapping[str, Any]) -> None:
    add_content(draft, body["inputText"])
    draft.messages = 1
    if "embed" in draft.model:
        draft.max_output = 0
        return
    settings = body.get("textGenerationConfig")
    draft.read_cap(settings if isinstance(settings, Mapping) else {}, "maxTokenCount")
    draft.cap_name = "textGenerationConfig.maxTokenCount"


def _stream(draft: Draft, value: object) -> None:
    draft.stream = value is True


def _tier(draft: Draft, value: object) -> None:
    name = value.get("type") if isinstance(value, Mapping) else value
    if isinstance(name, str) and name not in ("default", "reserved"):
        draft.service_tier = name


def _conversation(draft: Draft, messages: object) -> None:
    for message in as_list(messages) or ():
        if isinstance(message, Mapping):
            draft.messages += 1
            add_content(draft, message.get("role"))
            _add_blocks(draft, message.get("content"))


def _add_blocks(draft: Draft, blocks: object, depth: int = 0) -> None:
    for block in as_list(blocks) or ():
        draft.count_part(depth)
        if not isinstance(block, Mapping):
            continue
        for kind, value in block.items():
            _add_block(draft, kind, value, depth)


def _add_block(draft: Draft, kind: object, value: Any, depth: int) -> None:
    if kind == "cachePoint":
        _see_cache(draft, value)
    elif kind in _MEDIA and isinstance(value, Mapping):
        _add_media(draft, str(kind), value, depth)
    elif kind == "toolResult" and isinstance(value, Mapping):
        add_content(draft, value.get("toolUseId"))
        _add_blocks(draft, value.get("content"), depth + 1)
    elif isinstance(value, str):
        draft.texts.append(value)
    elif value is not None:
        draft.add_json(value)


def _add_media(draft: Draft, kind: str, media: Mapping[str, Any], depth: int) -> None:
    form = media.get("format")
    source = media.get("source")
    given: Mapping[str, Any] = source if isinstance(source, Mapping) else {}
    for label in ("name", "context"):
        add_content(draft, media.get(label))
    if given.get("text") is not None or given.get("content") is not None:
        add_content(draft, given.get("text"))
        _add_blocks(draft, given.get("content"), depth + 1)
        return
    mime = f"{'text/' if form in _TEXTS else _MEDIA[kind]}{form if isinstance(form, str) else ''}"
    data = given.get("bytes")
    if isinstance(data, (bytes, bytearray, str)):
        add_data(draft, mime, bytes(data) if isinstance(data, bytearray) else data)
    else:
        add_unknown(draft, mime)


def _see_cache(draft: Draft, mark: object) -> None:
    if isinstance(mark, Mapping):
        draft.see_cache({"type": "ephemeral", "ttl": mark.get("ttl")})


def _tools(draft: Draft, value: object) -> None:
    for tool in as_list(value.get("tools") if isinstance(value, Mapping) else None) or ():
        if isinstance(tool, Mapping) and "cachePoint" in tool:
            _see_cache(draft, tool["cachePoint"])
        elif isinstance(tool, Mapping) and "toolSpec" in tool:
            draft.add_tools([tool["toolSpec"]])
        else:
            draft.add_tools([tool])
            draft.unbound("a tool that runs on the server adds input that the request does not show")


def _more(draft: Draft, value: object) -> None:
    # What a model takes besides Converse's own fields: thinking budgets, other names for the cap.
    if not isinstance(value, Mapping):
        return
    for name in ("max_tokens", "max_new_tokens", "max_completion_tokens"):
        if as_count(value.get(name), name) is not None:
            draft.unbound(f"{name} in additionalModelRequestFields may stand for the cap")
    for name in ("thinking", "reasoning_config"):
        draft.see_thinking(value.get(name))
    if value.get("tools") is not None:
        draft.add_tools(value["tools"])


def _schema(draft: Draft, value: object) -> None:
    if isinstance(value, Mapping) and value:
        draft.add_schema(dict(value))


def _speed(draft: Draft, value: object) -> None:
    latency = value.get("latency") if isinstance(value, Mapping) else None
    if isinstance(latency, str) and latency != "standard":
        draft.speed = latency


_CONVERSE: Final[Readers] = {
    "messages": _conversation,
    "system": _add_blocks,
    "toolConfig": _tools,
    "promptVariables": lambda draft, value: draft.add_json(value),
    "additionalModelRequestFields": _more,
    "outputConfig": _schema,
    "performanceConfig": _speed,
    "serviceTier": _tier,
    "stream": _stream,
}
