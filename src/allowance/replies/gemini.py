"""Google's Gemini, as SDK objects (snake case) and as REST bodies (camel case)."""

from __future__ import annotations

from functools import cache
from typing import Any

from allowance.replies.fields import View, count, items, text, tier, view
from allowance.replies.usage import Usage

__all__ = ["camel", "read_embeddings", "read_gemini", "read_pictures"]


@cache
def camel(name: str) -> str:
    """``prompt_token_count`` as REST spells it: ``promptTokenCount``."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _get(fields: View, name: str) -> Any:
    value = fields.get(name)
    return fields.get(camel(name)) if value is None else value


def read_gemini(reply: View, usage: View) -> Usage | None:
    """Input includes the cache but not what tools put in; output leaves out the thoughts. Both are added."""
    prompt = count(_get(usage, "prompt_token_count"))
    candidates = _output(usage)
    if prompt is None and candidates is None:
        return None
    cached = count(_get(usage, "cached_content_token_count")) or 0
    tools = count(_get(usage, "tool_use_prompt_token_count")) or 0
    thoughts = count(_get(usage, "thoughts_token_count")) or 0
    into = _get(usage, "prompt_tokens_details")
    out = _get(usage, "candidates_tokens_details") or _get(usage, "response_tokens_details")
    model = text(_get(reply, "model_version"))
    return Usage(
        model=model,
        service_tier=tier(_get(usage, "traffic_type") or _get(usage, "service_tier")),
        input_tokens=(prompt or 0) + tools,
        output_tokens=(candidates or 0) + thoughts,
        cache_read_tokens=cached,
        reasoning_tokens=thoughts,
        audio_input_tokens=_modality(into, "AUDIO"),
        audio_output_tokens=_modality(out, "AUDIO"),
        audio_cache_read_tokens=_modality(_get(usage, "cache_tokens_details"), "AUDIO"),
        image_input_tokens=_modality(into, "IMAGE"),
        image_output_tokens=_modality(out, "IMAGE"),
        web_searches=_searches(reply, model),
    )


def _output(usage: View) -> int | None:
    candidates = count(_get(usage, "candidates_token_count"))
    return count(_get(usage, "response_token_count")) if candidates is None else candidates  # the Live API


def _modality(details: object, modality: str) -> int:
    total = 0
    for entry in items(details):
        fields = view(entry)
        kind = fields.get("modality")
        if getattr(kind, "value", kind) == modality:
            total += count(_get(fields, "token_count")) or 0
    return total


def _searches(reply: View, model: str | None) -> int:
    """Grounding: Gemini 3 bills each query, earlier models each grounded reply."""
    queries = 0
    for entry in items(reply.get("candidates")):
        grounding = _get(view(entry), "grounding_metadata")
        if grounding is not None:
            queries += len(items(_get(view(grounding), "web_search_queries")))
    old = model is not None and model.startswith(("gemini-1", "gemini-2"))
    return min(queries, 1) if old else queries


def read_embeddings(reply: View) -> Usage | None:
    """Embeddings without usage: Vertex counts tokens for each text, or billable characters."""
    tokens, counted = 0, False
    for entry in items(reply.get("embeddings")):
        of_text = count(_get(view(view(entry).get("statistics")), "token_count"))
        if of_text is not None:
            tokens, counted = tokens + of_text, True
    characters = count(_get(view(reply.get("metadata")), "billable_character_count"))
    if not counted and characters is None:
        return None
    return Usage(input_tokens=tokens, characters=characters or 0)


def read_pictures(reply: View) -> Usage | None:
    """Imagen is billed for each picture, and its replies carry no usage."""
    pictures = items(_get(reply, "generated_images"))
    return Usage(images=len(pictures)) if pictures else None
