"""The mistralai SDK, of Mistral itself and its forms for Azure and Google Cloud.

``parse`` and its like end in the methods below. Retries happen within them: they are one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from allowance.sdks.hosts import provider_at
from allowance.sdks.methods import Method, method_points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.requests.request import Api

__all__ = ["NOT_METERED", "POINTS", "provider"]

NOT_METERED = "conversations, responses, speech and realtime; classifiers, batches, libraries and fine-tuning"

_CLOUDS = {"azure": "azure_ai", "gcp": "vertex_ai"}


def provider(resource: Any) -> str | None:
    place = type(resource).__module__.split(".")[1:2]
    cloud = _CLOUDS.get(place[0]) if place else None
    if cloud is not None:
        return cloud
    url = getattr(getattr(resource, "sdk_configuration", None), "server_url", None)
    host = urlsplit(url).hostname if isinstance(url, str) else None
    return provider_at(host or "") or "mistral"


def _agent(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    # An agent stands for a model that only Mistral knows: a price can be given for its id.
    return {**kwargs, "model": kwargs.get("agent_id")}


def _embedded(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**kwargs, "input": kwargs.get("inputs")}


def _both(module: str, name: str, api: Api, arguments: Any = dict, *, essential: bool = True) -> list[Method]:
    """A method and its asynchronous twin."""
    stream = name.endswith("stream")
    return [
        Method(module, each, api, arguments, essential=essential, stream=stream)
        for each in (name, f"{name}_async")
    ]


def _of(root: str) -> list[Method]:
    return [
        *_both(f"{root}.chat", "Chat.complete", "chat"),
        *_both(f"{root}.chat", "Chat.stream", "chat"),
        *_both(f"{root}.fim", "Fim.complete", "completions"),
        *_both(f"{root}.fim", "Fim.stream", "completions"),
        *_both(f"{root}.agents", "Agents.complete", "chat", _agent),
        *_both(f"{root}.agents", "Agents.stream", "chat", _agent),
        *_both(f"{root}.embeddings", "Embeddings.create", "embeddings", _embedded),
        *_both(f"{root}.ocr", "Ocr.process", "ocr", essential=False),
        *_both(f"{root}.transcriptions", "Transcriptions.complete", "transcription", essential=False),
        *_both(f"{root}.transcriptions", "Transcriptions.stream", "transcription", essential=False),
    ]


# Version 1 has its modules in the package itself; a module that a version lacks is never imported.
POINTS = tuple(
    point
    for root in ("mistralai.client", "mistralai", "mistralai.azure.client", "mistralai.gcp.client")
    for point in method_points("mistralai", _of(root), provider)
)
