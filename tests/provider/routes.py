"""Which wire format a path speaks, and what model it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email import message_from_bytes
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.provider import (
    anthropic_wire,
    bedrock_wire,
    cohere_wire,
    gemini_wire,
    groq_wire,
    media_wire,
    mistral_wire,
    ollama_wire,
    openai_wire,
)

if TYPE_CHECKING:
    from tests.provider.script import Call, Reply

__all__ = ["answer", "body_of", "content_type", "error", "lines", "route", "streamed", "wire_of"]

_PLAIN: dict[str, Any] = {
    "chat": openai_wire.chat,
    "groq": openai_wire.chat,
    "mistral": openai_wire.chat,
    "mistral-embeddings": mistral_wire.embeddings,
    "mistral-ocr": mistral_wire.ocr,
    "mistral-transcriptions": mistral_wire.transcription,
    "cohere": cohere_wire.chat,
    "cohere-v1": cohere_wire.chat_v1,
    "cohere-embed": cohere_wire.embed,
    "cohere-embed-v1": cohere_wire.embed_v1,
    "cohere-rerank": cohere_wire.rerank,
    "ollama-chat": ollama_wire.chat,
    "ollama-generate": ollama_wire.generate,
    "ollama-embed": ollama_wire.embed,
    "completions": openai_wire.completions,
    "embeddings": openai_wire.embeddings,
    "images": media_wire.images,
    "speech": media_wire.speech,
    "videos": media_wire.videos,
    "transcriptions": media_wire.transcription,
    "responses": openai_wire.responses,
    "messages": anthropic_wire.messages,
    "gemini": gemini_wire.generate,
    "gemini-embeddings": gemini_wire.embed,
    "gemini-predict": gemini_wire.predict,
    "gemini-videos": gemini_wire.videos,
    "converse": bedrock_wire.converse,
    "invoke": bedrock_wire.invoke,
}
_STREAMED: dict[str, Any] = {
    "chat": openai_wire.chat_stream,
    "groq": groq_wire.chat_stream,
    "mistral": mistral_wire.chat_stream,
    "cohere": cohere_wire.chat_stream,
    "cohere-v1": cohere_wire.chat_v1_stream,
    "ollama-chat": ollama_wire.chat_stream,
    "ollama-generate": ollama_wire.generate_stream,
    "completions": openai_wire.completions_stream,
    "responses": openai_wire.responses_stream,
    "images": media_wire.images_stream,
    "transcriptions": media_wire.transcription_stream,
    "mistral-transcriptions": mistral_wire.transcription_stream,
    "messages": anthropic_wire.messages_stream,
    "gemini": gemini_wire.generate_stream,
    "converse": bedrock_wire.converse_stream,
    "invoke": bedrock_wire.invoke_stream,
}
_WIRES: dict[str, ModuleType] = {
    "gemini": gemini_wire,
    "gemini-embeddings": gemini_wire,
    "gemini-predict": gemini_wire,
    "gemini-videos": gemini_wire,
    "converse": bedrock_wire,
    "invoke": bedrock_wire,
    "ollama-chat": ollama_wire,
    "ollama-generate": ollama_wire,
    "ollama-embed": ollama_wire,
}
"""Whose caps are written otherwise than OpenAI's."""

_NAMED = ("responses", "messages", "images", "mistral-transcriptions")
"""Whose events bear their names."""

_ENDINGS = (
    ("/openai/v1/chat/completions", "groq"),
    ("/mistral/v1/chat/completions", "mistral"),
    ("/mistral/v1/fim/completions", "mistral"),
    ("/mistral/v1/agents/completions", "mistral"),
    ("/mistral/v1/embeddings", "mistral-embeddings"),
    ("/mistral/v1/ocr", "mistral-ocr"),
    ("/mistral/v1/audio/transcriptions", "mistral-transcriptions"),
    ("/v2/chat", "cohere"),
    ("/v2/embed", "cohere-embed"),
    ("/v2/rerank", "cohere-rerank"),
    ("/v1/chat", "cohere-v1"),
    ("/v1/embed", "cohere-embed-v1"),
    ("/v1/rerank", "cohere-rerank"),
    ("/api/chat", "ollama-chat"),
    ("/api/generate", "ollama-generate"),
    ("/api/embed", "ollama-embed"),
    ("/chat/completions", "chat"),
    ("/completions", "completions"),
    ("/embeddings", "embeddings"),
    ("/responses", "responses"),
    ("/responses/compact", "responses"),
    ("/messages", "messages"),
    ("/images/generations", "images"),
    ("/images/edits", "images"),
    ("/images/variations", "images"),
    ("/videos", "videos"),
    ("/audio/speech", "speech"),
    ("/audio/transcriptions", "transcriptions"),
    ("/audio/translations", "transcriptions"),
)
_GOOGLE = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>\w+)$")
_VERBS = {
    "embedContent": "gemini-embeddings",
    "batchEmbedContents": "gemini-embeddings",
    "predict": "gemini-predict",
    "predictLongRunning": "gemini-videos",
    "rawPredict": "messages",
    "streamRawPredict": "messages",
}
"""Claude on Vertex AI is asked by its raw predictions; all other verbs are Gemini's own."""
_BEDROCK = re.compile(
    r"^/model/(?P<model>[^/]+)/(?P<verb>converse|invoke)(?:-stream|-with-response-stream)?$"
)


def body_of(kind: str, raw: bytes) -> dict[str, Any]:
    """The fields of a request's JSON, or of a form, whose files are told by their names."""
    if not kind.startswith("multipart/form-data"):
        return dict(json.loads(raw or b"{}"))
    form = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_filename()
        or bytes(part.get_payload(decode=True)).decode()
        for part in form.get_payload()
    }


def route(path: str, body: dict[str, Any]) -> tuple[str | None, str]:
    """The format, and the model; no format for a path that nobody serves."""
    model = str(body.get("model", ""))
    google = _GOOGLE.search(path)
    if google is not None:
        return _VERBS.get(google["verb"], "gemini"), google["model"]
    bedrock = _BEDROCK.search(path)
    if bedrock is not None:
        return bedrock["verb"], unquote(bedrock["model"])
    return next((api for ending, api in _ENDINGS if path.endswith(ending)), None), model


def wire_of(api: str) -> Any:
    """The module that knows the caps of its requests."""
    return _WIRES.get(api, openai_wire)


def streamed(path: str, body: dict[str, Any], api: str) -> bool:
    """Whether a request asks for a stream, and its format has any."""
    asked = str(body.get("stream", "")).lower() == "true"  # a form has but words
    return api in _STREAMED and (
        asked or ":streamGenerateContent" in path or path.partition("?")[0].endswith("-stream")
    )


def answer(call: Call) -> Any:
    """The JSON of a plain answer, or the bytes of a sound."""
    return _PLAIN[call.api](call.reply, dict(call.body))


def error(api: str, reply: Reply) -> Any:
    """An error in the vendor's shape."""
    return (anthropic_wire if api == "messages" else wire_of(api)).error(reply)


def content_type(api: str) -> str:
    """Of a stream."""
    return str(getattr(_WIRES.get(api), "STREAM", "text/event-stream; charset=utf-8"))


def lines(call: Call) -> Iterator[tuple[bool, bytes]]:
    """The lines of a stream, each with whether it carries a piece of the text."""
    events: Any = _STREAMED[call.api](call.reply, dict(call.body))
    if call.api == "gemini":
        return ((is_piece, f"data: {json.dumps(event)}\r\n\r\n".encode()) for is_piece, event in events)
    if call.api in ("converse", "invoke"):
        return bedrock_wire.lines(events)
    if call.api.startswith("ollama") or call.api == "cohere-v1":
        return ((is_piece, json.dumps(event).encode() + b"\n") for is_piece, event in events)
    return openai_wire.lines(events, named=call.api in _NAMED)
