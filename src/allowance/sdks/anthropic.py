"""The anthropic SDK: to Anthropic, and to Claude on Bedrock, Vertex AI and Azure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allowance.sdks.hosts import provider_at
from allowance.sdks.lazy import carrying
from allowance.sdks.points import AttributePoint
from allowance.sdks.stainless import Endpoint, base_client_points

if TYPE_CHECKING:
    from allowance.sdks.points import Point

__all__ = ["NOT_METERED", "POINTS"]

_ENDPOINTS = (
    Endpoint("v1/messages", "messages"),
    Endpoint("v1/complete", "other"),
)
"""The clients for other clouds put their own path in later, below the point that is metered."""

NOT_METERED = "message batches, managed agents and their sessions (billed apart)"

_CLOUDS = {
    "BaseBedrockClient": "bedrock",
    "BaseVertexClient": "vertex_ai",
    "BaseFoundryClient": "azure_ai",
}


def _provider(client: Any, host: str) -> str | None:
    known = provider_at(host)
    if known is not None:
        return known
    clouds = (_CLOUDS.get(base.__name__) for base in type(client).__mro__)
    cloud = next((cloud for cloud in clouds if cloud is not None), None)
    region = getattr(client, "aws_region", None)
    return f"bedrock/{region}" if cloud == "bedrock" and isinstance(region, str) and region else cloud


_MANAGERS = (
    ("anthropic.lib.streaming._messages", "MessageStreamManager"),
    ("anthropic.lib.streaming._messages", "AsyncMessageStreamManager"),
    ("anthropic.lib.streaming._beta_messages", "BetaMessageStreamManager"),
    ("anthropic.lib.streaming._beta_messages", "BetaAsyncMessageStreamManager"),
)

_RUNNERS = ("BaseSyncToolRunner.__run__", "BaseAsyncToolRunner.__run__")
"""Generators: a tool runner sends its first request when it is first read."""

POINTS: tuple[Point, ...] = (
    *base_client_points("anthropic", "anthropic._base_client", _ENDPOINTS, _provider, managers=_MANAGERS),
    *(
        AttributePoint("anthropic.lib.tools._beta_runner", name, carrying, essential=False)
        for name in _RUNNERS
    ),
)
