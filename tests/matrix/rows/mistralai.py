"""The mistralai SDK."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import Any

from pydantic import BaseModel

from allowance import Price
from tests.calls.support import MESSAGES
from tests.matrix.row import Endpoint, Row, Sdk

CHAT: dict[str, Any] = {"model": "mistral-small-latest", "messages": MESSAGES, "max_tokens": 50}
FIM: dict[str, Any] = {"model": "codestral-latest", "prompt": "def f(", "suffix": "return", "max_tokens": 50}
AGENT: dict[str, Any] = {"agent_id": "ag:1", "messages": MESSAGES, "max_tokens": 50}
EMBED: dict[str, Any] = {"model": "mistral-embed", "inputs": ["hello there"]}
READ: dict[str, Any] = {
    "model": "mistral-ocr-2505",
    "document": {"type": "document_url", "document_url": "https://example.com/paper.pdf"},
}
HEAR: dict[str, Any] = {
    "model": "voxtral-mini-latest",
    "file": {"content": b"ID3 sound", "file_name": "speech.mp3"},
}
JSON = {"text": '{"number": 1}'}
SMALL = {"model": "mistral-small-latest"}
COST = 10 * 150 + 5 * 600
FIM_COST = 10 * 300 + 5 * 900
AGENT_COST = 10 * 1_000 + 5 * 2_000
EMBED_COST = 10 * 100
PAGE = 1_000_000
SECOND = 50_000
OWN = {"ag:1": Price(input=1, output=2)}


class Answer(BaseModel):
    number: int


class Async:
    """The same client, each method by its asynchronous twin's name."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self._part, f"{name}_async", None)
        return Async(getattr(self._part, name)) if twin is None else twin


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    import httpx
    from mistralai.client import Mistral

    http = stack.enter_context(httpx.Client(trust_env=False))
    ahttp = httpx.AsyncClient(trust_env=False)
    astack.push_async_exit(ahttp)
    client = Mistral(api_key="k", server_url=f"{url}/mistral", client=http, async_client=ahttp)
    return client, Async(client)


SDK = Sdk(
    "mistralai",
    clients,
    (
        Endpoint(
            "chat",
            lambda c: c.chat,
            (
                Row("complete", lambda chat: chat.complete(**CHAT), COST),
                Row("stream", lambda chat: chat.stream(**CHAT), COST),
                Row("parse", lambda chat: chat.parse(response_format=Answer, **CHAT), COST, reply=JSON),
                Row("parse_stream", lambda chat: chat.parse_stream(response_format=Answer, **CHAT), COST),
            ),
        ),
        Endpoint(
            "fim",
            lambda c: c.fim,
            (
                Row("complete", lambda fim: fim.complete(**FIM), FIM_COST),
                Row("stream", lambda fim: fim.stream(**FIM), FIM_COST),
            ),
        ),
        Endpoint(
            "agents",
            lambda c: c.agents,
            (
                Row("complete", lambda agents: agents.complete(**AGENT), AGENT_COST, reply=SMALL, prices=OWN),
                Row("stream", lambda agents: agents.stream(**AGENT), AGENT_COST, reply=SMALL, prices=OWN),
            ),
        ),
        Endpoint(
            "embeddings",
            lambda c: c.embeddings,
            (Row("create", lambda embeddings: embeddings.create(**EMBED), EMBED_COST),),
        ),
        Endpoint(
            "ocr",
            lambda c: c.ocr,
            (Row("process", lambda ocr: ocr.process(**READ), 3 * PAGE, reply={"pages": 3}),),
        ),
        Endpoint(
            "audio.transcriptions",
            lambda c: c.audio.transcriptions,
            (
                Row("complete", lambda audio: audio.complete(**HEAR), 7 * SECOND, reply={"seconds": 7}),
                Row("stream", lambda audio: audio.stream(**HEAR), 7 * SECOND, reply={"seconds": 7}),
            ),
        ),
    ),
)
