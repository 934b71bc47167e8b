"""A server of protocol v1 over any store, as small as can be: the client's other end in tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from allowance.errors import BudgetError
from allowance.stores.base import Store
from allowance.wire import json, problems
from allowance.wire.pages import dump_page, page_of
from allowance.wire.verbs import VERBS


def answer(store: Store, path: str, body: bytes) -> tuple[int, json.Json]:
    """What the server says to a request."""
    try:
        name = path.removeprefix("/v1/")
        if name == "":
            return 200, {"protocol": 1, "server": "allowance", "version": "test"}
        if name not in VERBS:
            return problems.problem("not_found", "No such address.")
        verb, data = VERBS[name], json.loads(body)
        assert isinstance(data, dict)
        arguments = verb.load_arguments(data)
        if not verb.paged:
            return 200, verb.dump_reply(getattr(store, name)(**arguments))
        page = page_of(verb, data, arguments)
        return 200, dump_page(verb, getattr(store, name)(**arguments), page)
    except BudgetError as error:
        return problems.dump(error)


class Handler(BaseHTTPRequestHandler):
    """Answers for the store that the server carries, and writes down who asked what."""

    protocol_version = "HTTP/1.1"
    server: Server
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.seen.append((self.path, self.client_address[1], dict(self.headers), body))
        status, data = answer(self.server.store, self.path, body)
        self.send(status, json.dumps(data), "application/json" if status == 200 else problems.CONTENT_TYPE)

    def send(self, status: int, content: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """``seen`` are the requests: path, the client's port, head, body."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, store: Store, handler: type[Handler] = Handler) -> None:
        self.store = store
        self.seen: list[tuple[str, int, dict[str, str], bytes]] = []
        self.links: set[Any] = set()
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        link, address = super().get_request()
        self.links.add(link)
        return link, address

    def shutdown_request(self, request: Any) -> None:
        self.links.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close every connection, as a server does with those that were idle for long."""
        import socket

        for link in list(self.links):
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, *args: Any) -> None:
        pass  # a client that hung up


@contextmanager
def serving(store: Store, handler: type[Handler] = Handler) -> Iterator[Server]:
    """A server in threads of this process, on loopback."""
    server = Server(store, handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
