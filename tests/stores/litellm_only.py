"""What LiteLLM's page tells people to build: a server with ``/get_budget`` and ``/set_budget``, no more."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Thirty lines of somebody's afternoon: no lengths, no types, no keys, no locks."""

    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, asked))
        if self.path == "/get_budget":
            users = self.server.projects.get(asked["project_name"])
            found = {"status": "error"} if users is None else {"status": "success", "data": users}
            if self.server.troubles:
                found = self.server.troubles.pop(0)
        elif self.path == "/set_budget":
            self.server.projects[asked["project_name"]] = asked["user_dict"]
            found = {"status": "success"}
        else:
            self.send_error(404)
            return
        if self.server.lost.get(self.path):
            self.server.lost[self.path] -= 1
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """``lost`` is how many of the next answers are not sent, by path; ``troubles`` go in their place."""

    def __init__(self) -> None:
        self.projects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.lost: dict[str, int] = {}
        self.troubles: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def litellm_only() -> Iterator[Server]:
    """The server, in threads of this process."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
