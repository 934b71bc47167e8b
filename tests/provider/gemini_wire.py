"""Gemini's wire format: generateContent, streamGenerateContent and the embeddings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]


def cap_of(body: Body) -> int | None:
    cap = (body.get("generationConfig") or {}).get("maxOutputTokens")
    return None if cap is None else int(cap)


def choices_of(body: Body) -> int:
    return int((body.get("generationConfig") or {}).get("candidateCount") or 1)


def error(reply: Reply) -> Body:
    kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED"}
    status = kinds.get(reply.status, "INTERNAL")
    return {"error": {"code": reply.status, "message": reply.error, "status": status}}


def usage(reply: Reply, output_tokens: int) -> Body:
    """The input includes the cache; the candidates leave out the thoughts."""
    said = max(output_tokens - reply.reasoning, 0)
    counts: Body = {
        "promptTokenCount": reply.input_tokens,
        "candidatesTokenCount": said,
        "totalTokenCount": reply.input_tokens + said + reply.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input_tokens}],
    }
    if reply.reasoning:
        counts["thoughtsTokenCount"] = reply.reasoning
    if reply.cached:
        counts["cachedContentTokenCount"] = reply.cached
    if reply.service_tier:
        counts["trafficType"] = reply.service_tier
    return counts | dict(reply.extra_usage)


def _answer(reply: Reply, parts: list[Body], finish: str | None, output_tokens: int, choices: int) -> Body:
    candidate: Body = {"content": {"role": "model", "parts": parts}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [{**candidate, "index": index} for index in range(choices)],
        "modelVersion": reply.model,
        "responseId": "response-1",
        **({"usageMetadata": usage(reply, output_tokens)} if reply.usage else {}),
        **reply.extra,
    }


def _tool(reply: Reply) -> list[Body]:
    if reply.tool is None:
        return []
    name, arguments = reply.tool
    return [{"functionCall": {"name": name, "args": json.loads(arguments)}}]


def generate(reply: Reply, body: Body) -> Body:
    parts: list[Body] = [{"text": reply.text}, *_tool(reply)]
    return _answer(reply, parts, reply.ending("STOP", "MAX_TOKENS"), reply.output_tokens, choices_of(body))


def generate_stream(reply: Reply, body: Body) -> Iterator[tuple[bool, Body]]:
    """Each chunk carries the usage so far; only the last says why it ended."""
    pieces, choices = reply.pieces(), choices_of(body)
    for number, piece in enumerate(pieces, 1):
        last = number == len(pieces)
        said = reply.output_tokens if last else reply.output_tokens * number // len(pieces)
        parts: list[Body] = [{"text": piece}, *(_tool(reply) if last else [])]
        yield True, _answer(reply, parts, reply.ending("STOP", "MAX_TOKENS") if last else None, said, choices)


def embed(reply: Reply, body: Body) -> Body:
    usage_metadata = {"usageMetadata": {"promptTokenCount": reply.input_tokens}} if reply.usage else {}
    if "requests" in body:
        return {"embeddings": [{"values": [0.25, -0.5]} for _ in body["requests"]], **usage_metadata}
    return {"embedding": {"values": [0.25, -0.5]}, **usage_metadata}


def predict(reply: Reply, body: Body) -> Body:
    """Imagen's pictures, and Vertex AI's embeddings."""
    if "prompt" in body["instances"][0]:
        pictures = int((body.get("parameters") or {}).get("sampleCount") or 1)
        return {"predictions": [{"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}] * pictures}
    counts = {"truncated": False, "token_count": reply.input_tokens}
    embedding = {"embeddings": {"values": [0.25, -0.5], "statistics": counts}}
    return {"predictions": [embedding for _ in body["instances"]]}


def videos(reply: Reply, _body: Body) -> Body:
    """A job: the video comes later, and no usage with it."""
    return {"name": f"models/{reply.model}/operations/1", "done": False}
