"""Each user of a web service has a budget: the decorator takes the user from the request.

Run it with ``python examples/web_request.py``.

Starts a small web server, and asks it as two users. In FastAPI the decorator goes between the route
and the function, and nothing else changes:

    @app.post("/ask")
    @budgeted(user=lambda request: request.headers["X-User"], limit=5, duration="monthly")
    async def answer(request: Request) -> Response: ...
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import allowance
from allowance import BudgetExceededError, budgeted
from endpoint import endpoint, post


class Request(NamedTuple):
    user: str
    question: str


class Response(NamedTuple):
    status: int
    text: str


@budgeted()  # the budget of the request pays
def complete(messages: list[dict[str, str]], model: str = "gpt-4o", max_tokens: int = 100) -> dict[str, Any]:
    return post({"model": model, "messages": messages, "max_tokens": max_tokens})


def sorry(error: BudgetExceededError) -> Response:
    """What a user hears in place of an answer."""
    return Response(402, f"Sorry - no budget until {error.resets_at:%d %B %Y}!")


# A new user gets these terms at the first request. Nothing needs to be created beforehand.
@budgeted(user=lambda request: request.user, limit="0.002", duration="monthly", on_exceeded=sorry)
def answer(request: Request) -> Response:
    reply = complete([{"role": "user", "content": request.question}])
    return Response(200, reply["choices"][0]["message"]["content"])


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"])).decode()
        response = answer(Request(self.headers["X-User"], question))
        body = response.text.encode()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing: main prints what matters."""


def ask(url: str, user: str) -> Response:
    """What a user's browser does."""
    question = b"Say in one sentence what a budget is good for."
    try:
        request = urllib.request.Request(url, question, {"X-User": user})
        with urllib.request.urlopen(request, timeout=60) as response:
            return Response(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.read().decode())


def main() -> None:
    allowance.configure(store="memory://")  # leaves nothing behind; the default is a file that lasts
    print(f"Calls go to {endpoint().description}.")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/ask"

    for user in ("ann", "ann", "ann", "ben"):
        response = ask(url, user)
        print(f"{user}: {response.status} {response.text[:60]}")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
