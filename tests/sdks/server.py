"""A provider on loopback that answers each SDK in its own tongue, and keeps the requests that it got."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{}"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
CHAT_CHUNKS = [
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}],
    },
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    },
]
TEXT = {
    "id": "t1",
    "object": "text_completion",
    "created": 1,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "finish_reason": "stop", "text": "hi", "logprobs": None}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-4o-mini",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "{}", "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    },
}
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}
MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 3},
    },
    {"type": "message_stop"},
]
GEMINI = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
    "modelVersion": "gemini-2.5-flash",
}
GEMINI_CALLS_TOOL = {
    **GEMINI,
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
}
IMAGES = {"created": 1, "data": [{"b64_json": "aGk="}]}


RESPONSE_EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "output": []}},
    {"type": "response.completed", "sequence_number": 1, "response": RESPONSE},
]
MODERATION = {"id": "x", "model": "omni-moderation-latest", "results": []}

ANSWERS: list[tuple[str, Any, Any]] = [
    ("/chat/completions", CHAT, CHAT_CHUNKS),
    ("/responses", RESPONSE, RESPONSE_EVENTS),
    ("/completions", TEXT, [TEXT]),
    ("/embeddings", EMBEDDING, None),
    ("/v1/messages", MESSAGE, MESSAGE_EVENTS),
    ("/count_tokens", {"input_tokens": 9}, None),
    ("/images/generations", IMAGES, None),
    ("/images/edits", IMAGES, None),
    ("/audio/speech", b"sound", None),
    ("/audio/transcriptions", {"text": "hi"}, None),
    ("/moderations", MODERATION, None),
]
"""By the path's end: the reply, and the events of a stream. The first that fits counts."""


def _answer(path: str, body: dict[str, Any]) -> Any:
    for end, reply, events in ANSWERS:
        if path.endswith(end):
            return events if body.get("stream") else reply
    return _gemini(path, body)


def _gemini(path: str, body: dict[str, Any]) -> Any:
    if path.endswith(":streamGenerateContent"):
        return [GEMINI]
    if path.endswith(":generateContent"):
        tool_result = any("functionResponse" in part for c in body["contents"] for part in c["parts"])
        return GEMINI_CALLS_TOOL if body.get("tools") and not tool_result else GEMINI
    if path.endswith(":batchEmbedContents"):
        return {"embeddings": [{"values": [0.1, 0.2]}]}
    if path.endswith(":countTokens"):
        return {"totalTokens": 9}
    if path.endswith(":predict"):
        return {"predictions": [{"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}]}
    return {"object": "list", "data": [], "models": []}


class Provider:
    """Attributes: ``url`` without a path; ``requests``: (method, path, body) in the order of arrival."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.failures = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                provider.requests.append(("GET", urlsplit(self.path).path, {}))
                self._send("application/json", json.dumps({"object": "list", "data": []}).encode())

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                is_json = "json" in self.headers.get("content-type", "")
                body = json.loads(raw) if raw and is_json else {}
                path = urlsplit(self.path).path
                provider.requests.append(("POST", path, body))
                if provider.failures:
                    provider.failures -= 1
                    self._send("application/json", b'{"error": {"message": "overloaded"}}', status=503)
                    return
                answer = _answer(path, body)
                if isinstance(answer, bytes):
                    self._send("audio/mpeg", answer)
                elif isinstance(answer, list):
                    self._send("text/event-stream", _events(answer, path))
                else:
                    self._send("application/json", json.dumps(answer).encode())

            def _send(self, kind: str, content: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def posts(self) -> list[str]:
        return [path for method, path, _ in self.requests if method == "POST"]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _events(events: list[dict[str, Any]], path: str) -> bytes:
    named = path.endswith("/v1/messages")
    lines = [
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events
    ]
    end = "data: [DONE]\n\n" if path.endswith("completions") else ""
    return ("".join(lines) + end).encode()
