"""The visible text of replies and chunks: what can be counted where a reply carries no usage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from allowance.replies.fields import View, is_http, items, text, view

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["texts_of"]


def texts_of(reply: object) -> tuple[str, ...] | None:
    """Text, tool-call arguments and visible reasoning of a reply or a stream's chunk.

    The pieces are the reply's own strings, in order. None where nothing in it looks like a model's
    reply; an empty tuple for a reply or chunk without text. A plain ``str`` is itself text.
    """
    if isinstance(reply, str):
        return (reply,) if reply else ()
    if isinstance(reply, (list, tuple)):
        found = [texts_of(item) for item in reply]
        known = [pieces for pieces in found if pieces is not None]
        return tuple(piece for pieces in known for piece in pieces) if known else None
    fields = view(reply)
    if is_http(fields):
        return None
    kind = fields.get("type")
    if isinstance(kind, str):
        if kind.startswith(_EVENTS):
            return tuple(piece for piece in _event(kind, fields) if piece)
        if kind == "text" and text(fields.get("snapshot")) is not None:
            return ()  # anthropic's helper repeats each delta with all the text so far
    for name, pieces in _FAMILIES:
        value = fields.get(name)
        if value is not None:
            return tuple(piece for piece in pieces(value, fields) if piece)
    return None


def _choices(choices: object, _reply: View) -> Iterator[str]:
    """Chat (messages and deltas) and legacy Completions."""
    for entry in items(choices):
        choice = view(entry)
        if (piece := text(choice.get("text"))) is not None:
            yield piece
        said = choice.get("delta")
        if said is None:
            said = choice.get("message")
        if said is not None:
            yield from _said(view(said))


def _said(message: View) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif content is not None:
        yield from _blocks(content, message)
    for name in ("reasoning_content", "reasoning", "thinking", "refusal", "tool_plan"):
        said = message.get(name)
        if said is not None and (piece := text(said)) is not None:  # mostly there is none
            yield piece
            if name == "reasoning_content":
                break  # some servers send the same reasoning under both names
    calls = message.get("tool_calls")
    if calls is not None:
        for call in items(calls) or (calls,):
            yield from _call(view(view(call).get("function")))
    if (call := message.get("function_call")) is not None:
        yield from _call(view(call))


def _call(function: View) -> Iterator[str]:
    yield text(function.get("name")) or ""
    yield _json(function.get("arguments"))


def _json(value: object) -> str:
    """A tool's arguments as the model wrote them: text, or the JSON of what was parsed from it."""
    if isinstance(value, str):
        return value
    if value is None or not isinstance(value, (dict, list)):
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def _blocks(blocks: object, _reply: View) -> Iterator[str]:
    """Content blocks: Anthropic's, Mistral's, Cohere's, LangChain's and Bedrock's."""
    if isinstance(blocks, str):
        yield blocks
        return
    for entry in items(blocks) or (() if isinstance(blocks, (list, tuple)) else (blocks,)):
        if isinstance(entry, str):
            yield entry
            continue
        block = view(entry)
        for name in ("text", "refusal"):
            yield text(block.get(name)) or ""
        thinking = block.get("thinking")
        if thinking is not None:
            yield from _blocks(thinking, block)
        if block.get("input") is not None:
            yield text(block.get("name")) or ""
            yield _json(block.get("input"))
        tool = block.get("toolUse")
        if tool is not None:
            yield text(view(tool).get("name")) or ""
            yield _json(view(tool).get("input"))
        reasoning = view(block.get("reasoningContent"))
        yield text(view(reasoning.get("reasoningText")).get("text")) or text(reasoning.get("text")) or ""


def _candidates(candidates: object, _reply: View) -> Iterator[str]:
    """Gemini."""
    for entry in items(candidates):
        for part in items(view(view(entry).get("content")).get("parts")):
            fields = view(part)
            yield text(fields.get("text")) or ""
            call = fields.get("function_call")
            call = fields.get("functionCall") if call is None else call
            if call is not None:
                yield text(view(call).get("name")) or ""
                yield _json(view(call).get("args"))


def _output(output: object, _reply: View) -> Iterator[str]:
    """OpenAI's Responses (a list), Bedrock's Converse (a message), Pydantic AI's run (a text)."""
    if isinstance(output, str):
        yield output
        return
    message = view(output).get("message")
    if message is not None:
        yield from _blocks(view(message).get("content"), {})
    for entry in items(output):
        item = view(entry)
        if item.get("content") is not None:
            yield from _blocks(item.get("content"), item)
        for piece in items(item.get("summary")):
            yield text(view(piece).get("text")) or ""
        if item.get("arguments") is not None:
            yield from _call(item)
        yield text(item.get("input")) or ""


def _message(message: object, _reply: View) -> Iterator[str]:
    """Ollama's and Cohere's message."""
    yield from _said(view(message))


def _event(kind: str, event: View) -> Iterator[str]:
    """Stream events with a ``type``: Anthropic's, OpenAI's Responses, Cohere's, the helpers'."""
    if kind == "content_block_start":
        block = view(event.get("content_block"))
        yield text(block.get("text")) or text(block.get("thinking")) or text(block.get("name")) or ""
    elif kind == "content_block_delta":
        delta = view(event.get("delta"))
        for name in ("text", "partial_json", "thinking"):
            yield text(delta.get(name)) or ""
    elif kind == "chunk":  # the helper's other events repeat what its chunks carry
        yield from texts_of(event.get("chunk")) or ()
    elif kind.startswith(("response.", "transcript.")):
        if kind.endswith(".delta") and not kind.endswith("audio.delta"):  # audio comes as base64
            yield text(event.get("delta")) or ""
    elif kind.startswith(("content-", "tool-")):
        yield from _said(view(view(event.get("delta")).get("message")))


def _bedrock(delta: object, _reply: View) -> Iterator[str]:
    """An event of Bedrock's ConverseStream."""
    yield from _blocks(view(delta).get("delta"), {})


def _data(data: object, _reply: View) -> Iterator[str]:
    """Mistral's CompletionEvent."""
    if not isinstance(data, (list, tuple)):
        yield from texts_of(data) or ()


def _plain(value: object, _reply: View) -> Iterator[str]:
    yield text(value) or ""


_EVENTS = (
    *("message_", "content_block", "input_json", "signature", "citation", "ping"),  # Anthropic and its helper
    *("chunk", "content.", "refusal.", "tool_calls.", "logprobs."),  # openai's chat helper
    *("response.", "transcript.", "speech.", "image_generation.", "image_edit.", "error"),
    *("message-", "content-", "tool-", "citation-"),  # Cohere
)

_FAMILIES = (
    ("choices", _choices),
    ("candidates", _candidates),
    ("output", _output),
    ("content", _blocks),
    ("message", _message),
    ("contentBlockDelta", _bedrock),
    ("data", _data),
    ("response", _plain),
    ("text", _plain),
    ("generation", _plain),  # Meta's and Amazon's models, as Bedrock invokes them
    ("outputText", _plain),
)
