"""The openai SDK: all that it sends, to OpenAI, Azure and whoever else speaks its API."""

from __future__ import annotations

from typing import Any

from allowance.sdks.hosts import provider_at
from allowance.sdks.stainless import Endpoint, base_client_points

__all__ = ["NOT_METERED", "POINTS", "provider"]

_ENDPOINTS = (
    Endpoint("chat/completions", "chat"),
    Endpoint("responses", "responses"),
    Endpoint("responses/compact", "responses"),
    Endpoint("completions", "completions"),
    Endpoint("embeddings", "embeddings"),
    Endpoint("images/generations", "images"),
    Endpoint("images/edits", "images"),
    Endpoint("images/variations", "images"),
    Endpoint("audio/speech", "speech"),
    Endpoint("audio/transcriptions", "transcription"),
    Endpoint("audio/translations", "transcription"),
    Endpoint("videos", "video"),
    Endpoint("videos/edits", "video"),
    Endpoint("videos/extensions", "video"),
    Endpoint("videos/*/remix", "other"),
    Endpoint("threads/runs", "other"),
    Endpoint("threads/*/runs", "other"),
    Endpoint("threads/*/runs/*/submit_tool_outputs", "other"),
)
"""What costs by the call. All else is free (models, files, moderations, token counts, retrievals, ...) or is
in `NOT_METERED`."""

NOT_METERED = (
    "batches, fine-tuning, evals, containers and vector stores (billed apart), realtime and other sockets"
)


def provider(client: Any, host: str) -> str | None:
    known = provider_at(host)
    if known is None and any(base.__name__ == "BaseAzureClient" for base in type(client).__mro__):
        return "azure"  # an Azure client may be pointed at a gateway of one's own
    return known


_MANAGERS = (
    ("openai.lib.streaming.chat._completions", "ChatCompletionStreamManager"),
    ("openai.lib.streaming.chat._completions", "AsyncChatCompletionStreamManager"),
    ("openai.lib.streaming.responses._responses", "ResponseStreamManager"),
    ("openai.lib.streaming.responses._responses", "AsyncResponseStreamManager"),
    ("openai.lib.streaming._assistants", "AssistantStreamManager"),
    ("openai.lib.streaming._assistants", "AsyncAssistantStreamManager"),
)

POINTS = base_client_points(
    "openai",
    "openai._base_client",
    _ENDPOINTS,
    provider,
    asks=frozenset({"chat", "completions"}),
    managers=_MANAGERS,
)
