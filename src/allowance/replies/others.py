"""Cohere, Ollama, Mistral's OCR, and the frameworks LangChain and Pydantic AI."""

from __future__ import annotations

import inspect

from allowance.replies.fields import View, count, items, text, view
from allowance.replies.openai import read_chat, read_inclusive
from allowance.replies.usage import Usage

__all__ = ["read_cohere", "read_langchain", "read_llm_output", "read_ocr", "read_ollama", "read_pydantic_ai"]


def read_cohere(reply: View, billed: View) -> Usage | None:
    """Cohere: ``billed_units`` (floats) are what is charged; ``tokens``, which are more, are not."""
    units = {
        name: count(billed.get(name))
        for name in ("input_tokens", "output_tokens", "search_units", "images", "pages", "classifications")
    }
    if all(value is None for value in units.values()):
        return None
    return Usage(
        model=text(reply.get("model")),
        input_tokens=units["input_tokens"] or 0,
        output_tokens=units["output_tokens"] or 0,
        requests=max(units["search_units"] or 0, 1),
        web_searches=units["search_units"] or 0,
        images=units["images"] or 0,
        pages=units["pages"] or 0,
    )


def read_ollama(reply: View, usage: View) -> Usage | None:
    """Ollama: the counts stand in the reply itself; a prompt that was cached has none."""
    prompt = count(usage.get("prompt_eval_count"))
    output = count(usage.get("eval_count"))
    if prompt is None and output is None:
        return None
    return Usage(
        model=text(reply.get("model")), provider="ollama", input_tokens=prompt or 0, output_tokens=output or 0
    )


def read_ocr(reply: View, usage: View) -> Usage | None:
    """Mistral's OCR is billed by the page."""
    pages = count(usage.get("pages_processed"))
    return None if pages is None else Usage(model=text(reply.get("model")), pages=pages)


def read_langchain(reply: View, usage: View) -> Usage | None:
    """LangChain's ``usage_metadata``: input and output are inclusive for every vendor."""
    read = read_inclusive({}, usage)
    if read is None:
        return None
    metadata = view(reply.get("response_metadata"))
    model = text(metadata.get("model_name")) or text(metadata.get("model"))
    details = view(usage.get("input_token_details"))
    hour = count(details.get("ephemeral_1h_input_tokens")) or 0
    short = count(details.get("ephemeral_5m_input_tokens")) or 0
    return read._replace(
        model=model,
        provider=text(metadata.get("model_provider")),
        cache_write_tokens=max(read.cache_write_tokens - hour, short),
        cache_write_1h_tokens=hour,
    )


def read_llm_output(reply: View) -> Usage | None:
    """LangChain's ``LLMResult``: its messages' usage, or ``llm_output["token_usage"]``."""
    output = view(reply.get("llm_output"))
    usage = output.get("token_usage") or output.get("usage")
    if usage is None:
        return None
    named = {"model": output.get("model_name") or output.get("model")}
    return read_chat(named, view(usage)) or read_inclusive(named, view(usage))


def read_pydantic_ai(reply: View, usage: View) -> Usage | None:
    """Pydantic AI's run or response: inclusive sums over the requests of the run.

    A run's model is that of its last response. Which context tier each request fell into is lost.
    """
    prompt = count(usage.get("input_tokens"))
    output = count(usage.get("output_tokens"))
    if prompt is None and output is None:
        return None
    last = _last_response(reply)
    hour = count(usage.get("cache_write_1h_tokens")) or 0
    written = count(usage.get("cache_write_tokens")) or 0
    requests = count(usage.get("requests"))
    return Usage(
        model=text(last.get("model_name")),
        provider=text(last.get("provider_name")),
        input_tokens=prompt or 0,
        output_tokens=output or 0,
        cache_read_tokens=count(usage.get("cache_read_tokens")) or 0,
        cache_write_tokens=max(written - hour, 0),
        cache_write_1h_tokens=hour,
        reasoning_tokens=count(usage.get("output_reasoning_tokens")) or 0,
        audio_input_tokens=count(usage.get("input_audio_tokens")) or 0,
        audio_output_tokens=count(usage.get("output_audio_tokens")) or 0,
        requests=1 if requests is None else requests,
    )


def _last_response(reply: View) -> View:
    if text(reply.get("model_name")) is not None:
        return reply
    messages = reply.get("all_messages")
    if not inspect.isroutine(messages):
        return {}
    try:
        history = items(messages())
    except Exception:  # noqa: BLE001  # a look-alike's method may raise anything; the model is unknown then
        return {}
    for message in reversed(history):
        fields = view(message)
        if text(fields.get("model_name")) is not None:
            return fields
    return {}
