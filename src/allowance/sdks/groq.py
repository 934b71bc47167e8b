"""The groq SDK: generated with the same base client as openai's, with Groq's own paths."""

from __future__ import annotations

from typing import Any

from allowance.sdks.hosts import provider_at
from allowance.sdks.stainless import Endpoint, base_client_points

__all__ = ["NOT_METERED", "POINTS", "provider"]

_ENDPOINTS = (
    Endpoint("openai/v1/chat/completions", "chat"),
    Endpoint("openai/v1/embeddings", "embeddings"),
    Endpoint("openai/v1/audio/speech", "speech"),
    Endpoint("openai/v1/audio/transcriptions", "transcription"),
    Endpoint("openai/v1/audio/translations", "transcription"),
)

NOT_METERED = "batches and fine-tuning (billed apart)"


def provider(_client: Any, host: str) -> str:
    return provider_at(host) or "groq"  # a gateway of one's own, whose models have Groq's names


POINTS = base_client_points("groq", "groq._base_client", _ENDPOINTS, provider)
