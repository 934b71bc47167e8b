"""Talk to an OpenAI-compatible endpoint over HTTP, with nothing but the standard library.

Where ``OPENAI_API_KEY`` is set it is your own endpoint (``OPENAI_BASE_URL``, else OpenAI's), and the
calls cost real money; the examples spend about a cent. Else it is the stand-in on this machine.
"""

from __future__ import annotations

import functools
import json
import os
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

from stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

__all__ = ["Endpoint", "endpoint", "post", "stream"]


class Endpoint(NamedTuple):
    """Where the calls go, and with which key."""

    url: str
    key: str
    description: str


@functools.cache
def endpoint() -> Endpoint:
    """Your own endpoint where there is a key for one, else the stand-in, started now."""
    key = os.environ.get("OPENAI_API_KEY")
    if key:
        url = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        return Endpoint(url.rstrip("/"), key, f"{url}, with your key")
    return Endpoint(StandIn().url, "no-key", "a stand-in on this machine: no key, no network, no cost")


def post(body: dict[str, Any]) -> dict[str, Any]:
    """One chat completion: the reply's JSON."""
    with _send(body) as response:
        reply: dict[str, Any] = json.load(response)
        return reply


def stream(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One streamed chat completion: each chunk's JSON. The last one carries the usage."""
    with _send({**body, "stream": True, "stream_options": {"include_usage": True}}) as response:
        for line in response:
            data = line.removeprefix(b"data:").strip()
            if data.startswith(b"{"):
                yield json.loads(data)


def _send(body: dict[str, Any]) -> HTTPResponse:
    url, key, _ = endpoint()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    response: HTTPResponse = urllib.request.urlopen(request, timeout=60)
    return response
