"""The loopback provider: real HTTP, scripted answers, every request on record."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.provider import (
    anthropic_wire,
    bedrock_wire,
    cohere_wire,
    gemini_wire,
    groq_wire,
    mistral_wire,
    ollama_wire,
    openai_wire,
)
from tests.provider.script import Call, Reply

__all__ = ["Provider"]

_PLAIN = {
    "chat": openai_wire.chat,
    "groq": openai_wire.chat,
    "mistral": openai_wire.chat,
    "mistral-embeddings": mistral_wire.embeddings,
    "cohere": cohere_wire.chat,
    "cohere-v1": cohere_wire.chat_v1,
    "cohere-embed": cohere_wire.embed,
    "cohere-rerank": cohere_wire.rerank,
    "ollama-chat": ollama_wire.chat,
    "ollama-generate": ollama_wire.generate,
    "ollama-embed": ollama_wire.embed,
    "completions": openai_wire.completions,
    "embeddings": openai_wire.embeddings,
    "responses": openai_wire.responses,
    "messages": anthropic_wire.messages,
    "gemini": gemini_wire.generate,
    "gemini-embeddings": gemini_wire.embed,
    "converse": bedrock_wire.converse,
    "invoke": bedrock_wire.invoke,
}
_STREAMED = {
    "chat": openai_wire.chat_stream,
    "groq": groq_wire.chat_stream,
    "mistral": mistral_wire.chat_stream,
    "cohere": cohere_wire.chat_stream,
    "cohere-v1": cohere_wire.chat_v1_stream,
    "ollama-chat": ollama_wire.chat_stream,
    "ollama-generate": ollama_wire.generate_stream,
    "completions": openai_wire.completions_stream,
    "responses": openai_wire.responses_stream,
    "messages": anthropic_wire.messages_stream,
    "gemini": gemini_wire.generate_stream,
    "converse": bedrock_wire.converse_stream,
    "invoke": bedrock_wire.invoke_stream,
}
_WIRES: dict[str, Any] = {
    "gemini": gemini_wire,
    "gemini-embeddings": gemini_wire,
    "converse": bedrock_wire,
    "invoke": bedrock_wire,
    "ollama-chat": ollama_wire,
    "ollama-generate": ollama_wire,
    "ollama-embed": ollama_wire,
}
"""Whose caps are written otherwise than OpenAI's."""
_GEMINI = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>\w+)$")
_BEDROCK = re.compile(
    r"^/model/(?P<model>[^/]+)/(?P<verb>converse|invoke)(?:-stream|-with-response-stream)?$"
)


class Provider:
    """Answers what it is told to; see `Reply` for the settings.

    ``reply(...)`` sets the answer to every further call, ``then(...)`` queues one that goes before it.

    Attributes:
        url: the root, without a path: ``http://127.0.0.1:PORT``.
        calls: every request that arrived, in order.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._default = Reply()
        self._queue: deque[Reply] = deque()
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def count(self) -> int:
        """How many requests arrived."""
        return len(self.calls)

    @property
    def billed(self) -> list[tuple[str, int, int]]:
        """Model, input and output tokens of each call that was answered with 200, in order of arrival."""
        answered = [call for call in self.calls if call.reply.status == 200 and not call.reply.drop]
        return [
            (call.reply.model or "", call.reply.input_tokens, call.reply.output_tokens) for call in answered
        ]

    def reply(self, **settings: Any) -> None:
        """Answer every further call like this; what is not given is as by default."""
        with self._changed:
            self._default = Reply(**settings)

    def then(self, **settings: Any) -> None:
        """Queue one answer; the queue is served first, in order."""
        with self._changed:
            self._queue.append(Reply(**settings))

    def wait_for_calls(self, count: int, timeout: float = 10) -> None:
        """Wait until so many requests have arrived; AssertionError where they do not in time."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.calls) >= count, timeout)
        assert arrived, f"{self.count} of {count} calls arrived within {timeout} s"

    def take(self, api: str, path: str, headers: dict[str, str], body: dict[str, Any], model: str) -> Call:
        """Record a request and choose its reply."""
        wire = _WIRES.get(api, openai_wire)
        with self._changed:
            chosen = self._queue.popleft() if self._queue else self._default
            reply = chosen.resolved(model, wire.cap_of(body), wire.choices_of(body))
            if api.endswith("embeddings"):
                reply = replace(reply, output_tokens=0)
            stream = bool(body.get("stream")) or ":streamGenerateContent" in path or path.endswith("-stream")
            call = Call(api, path, headers, body, model, stream, reply)
            self.calls.append(call)
            self._changed.notify_all()
        return call

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.discard(connection)

    def close(self) -> None:
        """Stop, and cut every connection that is still open."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    provider: Provider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.provider.opened(self.connection)

    def finish(self) -> None:
        self.server.provider.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Tests read ``provider.calls``, not a log."""

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        path = self.path.partition("?")[0]
        api, model = _route(path, body)
        if api is None:
            self._send(404, {"error": {"message": f"no such path: {path}", "type": "not_found", "code": 404}})
            return
        call = self.server.provider.take(api, self.path, dict(self.headers.items()), body, model)
        reply = call.reply
        self._wait(reply.delay, reply.gate)
        if reply.drop:
            self._cut()
        elif reply.status != 200:
            self._send(reply.status, _error(api, reply), reply.headers)
        elif call.stream and api in _STREAMED:
            self._stream(call)
        else:
            counts = bedrock_wire.count_headers(reply) if api == "invoke" else {}
            self._send(200, _PLAIN[api](reply, body), {**reply.headers, **counts})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _wait(self, delay: float, gate: threading.Event | None) -> None:
        closing = self.server.provider.closing
        if delay:
            closing.wait(delay)
        while gate is not None and not gate.wait(0.05) and not closing.is_set():
            pass

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, answer: dict[str, Any], headers: Any = None) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n" + data)  # headers and body in one packet
        self.flush_headers()

    def _stream(self, call: Call) -> None:
        reply = call.reply
        self.send_response(200)
        kind = getattr(_WIRES.get(call.api), "STREAM", "text/event-stream; charset=utf-8")
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        sent = 0
        for is_piece, line in _lines(call):
            if is_piece:
                if reply.drop_after_chunks is not None and sent >= reply.drop_after_chunks:
                    self._cut()
                    return
                self._wait(reply.chunk_delay, reply.chunk_gate if sent else None)
                sent += 1
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


def _lines(call: Call) -> Iterator[tuple[bool, bytes]]:
    events: Any = _STREAMED[call.api](call.reply, dict(call.body))
    if call.api == "gemini":
        return ((is_piece, f"data: {json.dumps(event)}\r\n\r\n".encode()) for is_piece, event in events)
    if call.api in ("converse", "invoke"):
        return bedrock_wire.lines(events)
    if call.api.startswith("ollama") or call.api == "cohere-v1":
        return ((is_piece, json.dumps(event).encode() + b"\n") for is_piece, event in events)
    return openai_wire.lines(events, named=call.api in ("responses", "messages"))


def _route(path: str, body: dict[str, Any]) -> tuple[str | None, str]:
    model = str(body.get("model", ""))
    gemini = _GEMINI.search(path)
    if gemini is not None:
        embedding = gemini["verb"] in ("embedContent", "batchEmbedContents")
        return "gemini-embeddings" if embedding else "gemini", gemini["model"]
    bedrock = _BEDROCK.search(path)
    if bedrock is not None:
        return bedrock["verb"], unquote(bedrock["model"])
    for ending, api in (
        ("/openai/v1/chat/completions", "groq"),
        ("/mistral/v1/chat/completions", "mistral"),
        ("/mistral/v1/fim/completions", "mistral"),
        ("/mistral/v1/agents/completions", "mistral"),
        ("/mistral/v1/embeddings", "mistral-embeddings"),
        ("/v2/chat", "cohere"),
        ("/v2/embed", "cohere-embed"),
        ("/v2/rerank", "cohere-rerank"),
        ("/v1/chat", "cohere-v1"),
        ("/api/chat", "ollama-chat"),
        ("/api/generate", "ollama-generate"),
        ("/api/embed", "ollama-embed"),
        ("/chat/completions", "chat"),
        ("/completions", "completions"),
        ("/embeddings", "embeddings"),
        ("/responses", "responses"),
        ("/messages", "messages"),
    ):
        if path.endswith(ending):
            return api, model
    return None, model


def _error(api: str, reply: Reply) -> dict[str, Any]:
    wire = anthropic_wire if api == "messages" else _WIRES.get(api, openai_wire)
    error: dict[str, Any] = wire.error(reply)
    return error
