"""Methods of the SDKs' clients, for tests that take hold of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.calls.support import CALL, CHAT, CLAUDE, GEMINI, GEMINI_CALL, SONNET_CALL
from tests.matrix.row import BOTH, SYNC, Sdk
from tests.matrix.rows import anthropic, boto3, cohere, google_genai, groq, litellm, mistralai, openai

__all__ = ["IN_COLOURS", "METHODS", "Method"]


class Method(NamedTuple):
    """A method of a client, what it is called with, and what that costs."""

    sdk: Sdk
    method: Callable[[Any], Any]
    arguments: dict[str, Any]
    nanos: int


METHODS = {
    "openai": Method(openai.SDK, lambda c: c.openai.chat.completions.create, CHAT, CALL),
    "openai stream()": Method(openai.SDK, lambda c: c.openai.chat.completions.stream, CHAT, CALL),
    "anthropic": Method(anthropic.SDK, lambda c: c.anthropic.messages.create, CLAUDE, SONNET_CALL),
    "anthropic stream()": Method(anthropic.SDK, lambda c: c.anthropic.messages.stream, CLAUDE, SONNET_CALL),
    "google-genai": Method(google_genai.SDK, lambda c: c.gemini.models.generate_content, GEMINI, GEMINI_CALL),
    "litellm": Method(litellm.SDK, lambda c: c.openai.completion, litellm.GPT, CALL),
    "litellm's Router": Method(litellm.SDK, lambda c: c.router.completion, litellm.MAIN, CALL),
    "mistralai": Method(mistralai.SDK, lambda c: c.chat.complete, mistralai.CHAT, mistralai.COST),
    "cohere": Method(cohere.SDK, lambda c: c.v2.chat, cohere.CHAT, cohere.COST),
    "cohere chat_stream": Method(cohere.SDK, lambda c: c.v2.chat_stream, cohere.CHAT, cohere.COST),
    "groq": Method(groq.SDK, lambda c: c.chat.completions.create, groq.CHAT, groq.COST),
    "boto3": Method(boto3.SDK, lambda c: c.converse, boto3.CONVERSE, boto3.CLAUDE_COST),
}

IN_COLOURS = [(name, colour) for name in METHODS for colour in (SYNC if name == "boto3" else BOTH)]
"""Each of them, in each colour that its SDK has."""
