"""`measure`: the usage that a reply carries. Families are told apart by their fields, never by class."""

from __future__ import annotations

import functools
import inspect
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from allowance.replies.anthropic import read_converse, read_messages
from allowance.replies.bedrock import body_read_ahead, read_counts, read_headers, served
from allowance.replies.fields import EMPTY, EXACT, View, count, is_http, items, text, view
from allowance.replies.gemini import camel, read_embeddings, read_gemini, read_pictures
from allowance.replies.openai import hidden_params, read_chat, read_images, read_inclusive
from allowance.replies.others import (
    read_cohere,
    read_langchain,
    read_llm_output,
    read_ocr,
    read_ollama,
    read_pydantic_ai,
)
from allowance.replies.shapes import body_of
from allowance.replies.texts import texts_of
from allowance.replies.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["by_usage", "cached_reply", "combine", "measure", "model_of"]

_DEEPEST = 4
_MOST_REPLIES = 10_000


def measure(reply: object) -> Usage | None:
    """The usage that a reply carries, in one vocabulary, or None where it carries none.

    Takes the final object of any SDK, the same as a dict, a bare usage object, a raw-response wrapper
    or HTTP response whose body has been read, a framework's message or run, and lists and tuples of
    these (a list's usages are the first one's and its ``parts``). It never raises, whatever it is given.
    A usage of nothing but zeros beside a visible text counts as none: some servers send it when they
    have not counted.
    """
    return _measure(reply, _DEEPEST)


def _measure(reply: object, deeper: int) -> Usage | None:
    if isinstance(reply, Usage):
        return reply
    if isinstance(reply, (list, tuple)):
        if not deeper:
            return None
        return combine(_measure(item, deeper - 1) for item in reply[:_MOST_REPLIES])
    fields = view(reply)
    if fields is EMPTY:
        return None
    if is_http(fields):
        return _measure(body_of(reply), deeper - 1) if deeper else None
    usage = _read(reply, fields)
    if usage is not None:
        if not usage.input_tokens and not usage.output_tokens and _says_nothing(usage) and texts_of(reply):
            return None
        return usage
    return _wrapped(fields, deeper - 1) if deeper else None


def _read(reply: object, fields: View) -> Usage | None:
    usage = fields.get("usage")
    if usage is not None:
        if "all_messages" in fields and inspect.isroutine(usage):
            usage = _called(usage)
        read = by_usage(fields, view(usage), hidden_params(reply))
        if read is not None:
            return read
    usage = fields.get("usage_metadata")
    if usage is None:
        usage = fields.get("usageMetadata")
    if usage is not None:
        in_it = view(usage)
        return read_gemini(fields, in_it) or read_langchain(fields, in_it)
    return _elsewhere(fields) or by_usage(EMPTY, fields)


def by_usage(reply: View, usage: View, hidden: View = EMPTY) -> Usage | None:
    """Tell the family of a usage object by its fields and those of the reply that carries it, and read it.

    ``reply`` is empty for a bare usage object; ``hidden`` are LiteLLM's parameters of the reply.
    """
    return (
        read_chat(reply, usage, hidden)
        or read_converse(reply, usage)
        or read_cohere(reply, view(usage.get("billed_units")))
        or read_gemini(reply, usage)
        or read_ollama(reply, usage)
        or _by_input_tokens(reply, usage)
        or read_counts(usage)
    )


def _by_input_tokens(reply: View, usage: View) -> Usage | None:
    if _is_pydantic_ai(reply, usage):
        return read_pydantic_ai(reply, usage)
    return read_messages(reply, usage) if _is_anthropic(reply, usage) else read_inclusive(reply, usage)


def _is_pydantic_ai(reply: View, usage: View) -> bool:
    return "cache_read_tokens" in usage and (
        count(usage.get("requests")) is not None or text(reply.get("model_name")) is not None
    )


def _is_anthropic(reply: View, usage: View) -> bool:
    """Anthropic and OpenAI's Responses both say ``input_tokens`` and mean different things by it."""
    for name in ("cache_read_input_tokens", "cache_creation_input_tokens"):
        if count(usage.get(name)) is not None:
            return True
    if usage.get("input_tokens_details") is not None or reply.get("object") == "response":
        return False
    return (
        "cache_read_input_tokens" in usage
        or "cache_creation_input_tokens" in usage
        or "server_tool_use" in usage
        or reply.get("type") == "message"
    )


def _elsewhere(fields: View) -> Usage | None:
    """Families whose usage is not under ``usage``."""
    if fields.get("ResponseMetadata") is not None:
        return _invoked(fields)
    if fields.get("eval_count") is not None or fields.get("prompt_eval_count") is not None:
        return read_ollama(fields, fields)
    usage = fields.get("x_groq")
    if usage is not None and (usage := view(usage).get("usage")) is not None:
        return read_chat(fields, view(usage))
    usage = fields.get("usage_info")
    if usage is not None:
        return read_ocr(fields, view(usage)) or read_chat(fields, view(usage))
    billed = view(fields.get("meta")).get("billed_units")
    if billed is not None:
        return read_cohere(fields, view(billed))
    if fields.get("llm_output") is not None or fields.get("generations") is not None:
        return _generations(fields)
    if fields.get("embeddings") is not None:
        return read_embeddings(fields)
    return read_images(fields) or read_pictures(fields)


def _invoked(fields: View) -> Usage | None:
    """An answer to Bedrock's InvokeModel: of its body, where that was read ahead, or its headers."""
    body = body_read_ahead(fields)
    found = None if body is None else read_counts(view(body)) or _measure(body, 1)
    found = found or read_headers(fields)
    return None if found is None else served(found, fields)


def _generations(fields: View) -> Usage | None:
    batches = items(fields.get("generations"))
    each = (generation for batch in batches for generation in (items(batch) or (batch,)))
    return combine(measure(view(generation).get("message")) for generation in each) or read_llm_output(fields)


def _called(usage: Any) -> object:
    try:
        return usage()  # Pydantic AI before 2 has a method here
    except Exception:  # noqa: BLE001  # something else that is called usage, which carries none
        return None


def _wrapped(fields: View, deeper: int) -> Usage | None:
    """The vendor's own reply inside a framework's: LlamaIndex, Instructor, LangChain with ``include_raw``."""
    for name in ("raw", "_raw_response", "raw_response", "raw_responses"):
        inner = fields.get(name)
        if inner is not None and not callable(inner):
            return _measure(inner, deeper)
    response = fields.get("sdk_http_response")
    return None if response is None else _measure(_unparsed(view(response).get("body")), deeper)


def _unparsed(body: object) -> object:
    """The JSON that google-genai hands out in place of a reply, where the user asked for it."""
    try:
        return json.loads(body) if isinstance(body, (str, bytes)) else None
    except (ValueError, RecursionError):
        return None


def _says_nothing(usage: Usage) -> bool:
    billed = (usage.images, usage.seconds, usage.pages, usage.characters, usage.web_searches)
    return not any(billed) and usage.reported_cost is None and not usage.parts


def combine(usages: Iterable[Usage | None]) -> Usage | None:
    """Several replies' usage as one: the first with the others as its ``parts``, each priced by itself.

    A cost that the provider reported stands for a usage and all its parts. So one without such a cost
    goes first, and where all have one the first bears their sum.
    """
    real = [usage for usage in usages if usage is not None]
    if len(real) < 2:
        return real[0] if real else None
    real.sort(key=lambda usage: usage.reported_cost is not None)
    first, rest = real[0], real[1:]
    if first.reported_cost is not None:
        cost = functools.reduce(EXACT.add, [usage.reported_cost or Decimal(0) for usage in real])
        return first._replace(reported_cost=cost, parts=(*first.parts, *rest))
    return first._replace(parts=(*first.parts, *rest))


def model_of(reply: object) -> str | None:
    """The model that a reply or a stream's chunk names, or None."""
    fields = view(reply)
    for name in ("model", "model_version", camel("model_version"), "model_name"):
        if (model := text(fields.get(name))) is not None:
            return model
    for holder in ("response", "message", "response_metadata"):
        inner = fields.get(holder)
        if inner is not None and not isinstance(inner, str):
            within = view(inner)
            model = text(within.get("model")) or text(within.get("model_name"))
            if model is not None:
                return model
    return None


def cached_reply(reply: object) -> bool:
    """True where LiteLLM answered from its own cache, so that the call cost nothing."""
    return hidden_params(reply).get("cache_hit") is True
