"""A stand-in for an OpenAI-compatible endpoint: real HTTP on this machine, no key, no cost.

It answers ``POST /v1/chat/completions``, plain and streaming, and reports usage as the real one does
(with a word counted as a token, which is close enough for an example).
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["StandIn"]

ANSWER = (
    "A budget tells every one of your programs how much it may spend, and stops it before it spends "
    "more, so that a loop that never ends, a prompt that grew, or a user who likes to talk costs you no "
    "more than you have said beforehand."
)


class StandIn:
    """Serves from the moment it is made until the process ends.

    Attributes:
        url: what ``OPENAI_BASE_URL`` would be.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        whole = ANSWER.split()
        words = whole[: asked.get("max_tokens")]
        ended = "stop" if words == whole else "length"
        usage = _usage(asked["messages"], words)
        self.send_response(200)
        if asked.get("stream"):
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self._stream(asked["model"], words, ended, usage)
        else:
            body = json.dumps(_reply(asked["model"], words, ended, usage)).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _stream(self, model: str, words: list[str], ended: str, usage: dict[str, int]) -> None:
        try:
            for number, word in enumerate(words):
                piece = word if number == 0 else f" {word}"
                self._event(_chunk(model, [{"index": 0, "delta": {"content": piece}}]))
            self._event(_chunk(model, [{"index": 0, "delta": {}, "finish_reason": ended}]))
            self._event({**_chunk(model, []), "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except ConnectionError:
            return  # the reader left in mid-stream, as readers do

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing: the example prints what matters."""


def _usage(messages: list[dict[str, str]], words: list[str]) -> dict[str, int]:
    asked = sum(4 + len(message["content"].split()) for message in messages) + 3
    return {"prompt_tokens": asked, "completion_tokens": len(words), "total_tokens": asked + len(words)}


def _reply(model: str, words: list[str], ended: str, usage: dict[str, int]) -> dict[str, Any]:
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": ended}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def _chunk(model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": choices,
    }
