"""The cohere SDK, versions 1 and 2 of its API."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from types import SimpleNamespace
from typing import Any

from tests.calls.support import MESSAGES
from tests.matrix.row import Endpoint, Row, Sdk

MODEL = "command-a-03-2025"
CHAT: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "max_tokens": 50}
CHAT_V1: dict[str, Any] = {"model": MODEL, "message": "hello there", "max_tokens": 50}
EMBED: dict[str, Any] = {
    "model": "embed-english-v3.0",
    "texts": ["hello there"],
    "input_type": "search_query",
}
RERANK: dict[str, Any] = {"model": "rerank-v3.5", "query": "hello", "documents": ["there"]}
COST = 10 * 2_500 + 5 * 10_000
EMBED_COST = 10 * 100
SEARCH = 2_000_000


def data(response: Any) -> Any:
    return response.data


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    import cohere
    import httpx

    http = stack.enter_context(httpx.Client(trust_env=False))
    ahttp = httpx.AsyncClient(trust_env=False)
    astack.push_async_exit(ahttp)
    to: dict[str, Any] = {"base_url": url, "max_retries": 0}
    return (
        SimpleNamespace(
            v2=cohere.ClientV2("k", httpx_client=http, **to), v1=cohere.Client("k", httpx_client=http, **to)
        ),
        SimpleNamespace(
            v2=cohere.AsyncClientV2("k", httpx_client=ahttp, **to),
            v1=cohere.AsyncClient("k", httpx_client=ahttp, **to),
        ),
    )


SDK = Sdk(
    "cohere",
    clients,
    (
        Endpoint(
            "ClientV2",
            lambda c: c.v2,
            (
                Row("chat", lambda c: c.chat(**CHAT), COST),
                Row("chat_stream", lambda c: c.chat_stream(**CHAT), COST),
                Row("with_raw_response", lambda c: c.with_raw_response.chat(**CHAT), COST, data),
                Row("raw stream", lambda c: c.with_raw_response.chat_stream(**CHAT), COST, data),
                Row("embed", lambda c: c.embed(**EMBED, embedding_types=["float"]), EMBED_COST),
                Row("rerank", lambda c: c.rerank(**RERANK), SEARCH),
            ),
        ),
        Endpoint(
            "Client",
            lambda c: c.v1,
            (
                Row("chat", lambda c: c.chat(**CHAT_V1), COST),
                Row("chat_stream", lambda c: c.chat_stream(**CHAT_V1), COST),
                Row("embed", lambda c: c.embed(**EMBED), EMBED_COST),
                Row("rerank", lambda c: c.rerank(**RERANK), SEARCH),
            ),
        ),
    ),
)
