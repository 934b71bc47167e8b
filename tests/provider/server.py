"""The loopback provider: real HTTP, scripted answers, every request on record."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.provider import routes
from tests.provider.bedrock_wire import count_headers
from tests.provider.script import Call, Reply

__all__ = ["Provider"]


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

    def forget(self) -> None:
        """Begin anew: no calls on record, no answer queued, and the default one for all."""
        with self._changed:
            self.calls.clear()
            self._queue.clear()
            self._default = Reply()

    def wait_for_calls(self, count: int, timeout: float = 10) -> None:
        """Wait until so many requests have arrived; AssertionError where they do not in time."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.calls) >= count, timeout)
        assert arrived, f"{self.count} of {count} calls arrived within {timeout} s"

    def take(self, api: str, path: str, headers: dict[str, str], body: dict[str, Any], model: str) -> Call:
        """Record a request and choose its reply."""
        wire = routes.wire_of(api)
        with self._changed:
            chosen = self._queue.popleft() if self._queue else self._default
            reply = chosen.resolved(model, wire.cap_of(body), wire.choices_of(body))
            if api.endswith("embeddings"):
                reply = replace(reply, output_tokens=0)
            stream = routes.streamed(path, body, api)
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
        body = routes.body_of(self.headers.get("Content-Type", ""), self._body())
        path = self.path.partition("?")[0]
        api, model = routes.route(path, body)
        if api is None:
            self._send(404, {"error": {"message": f"no such path: {path}", "type": "not_found", "code": 404}})
            return
        call = self.server.provider.take(api, self.path, dict(self.headers.items()), body, model)
        reply = call.reply
        self._wait(reply.delay, reply.gate)
        if reply.drop:
            self._cut()
        elif reply.status != 200:
            self._send(reply.status, routes.error(api, reply), reply.headers)
        elif call.stream:
            self._stream(call)
        else:
            counts = count_headers(reply) if api == "invoke" else {}
            self._send(200, routes.answer(call), {**reply.headers, **counts})

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

    def _send(self, status: int, answer: dict[str, Any] | bytes, headers: Any = None) -> None:
        sound = isinstance(answer, bytes)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "audio/mpeg" if sound else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n" + data)  # headers and body in one packet
        self.flush_headers()

    def _stream(self, call: Call) -> None:
        reply = call.reply
        self.send_response(200)
        self.send_header("Content-Type", routes.content_type(call.api))
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        sent = 0
        for is_piece, line in routes.lines(call):
            if is_piece:
                if reply.drop_after_chunks is not None and sent >= reply.drop_after_chunks:
                    self._cut()
                    return
                self._wait(reply.chunk_delay, reply.chunk_gate if sent else None)
                sent += 1
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")
