"""`Request`: what a call asks a provider for, as far as it matters for the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Api", "Attachment", "Image", "Request"]

Api: TypeAlias = Literal[
    "chat", "responses", "completions", "embeddings", "messages", "gemini", "converse", "invoke", "images",
    "speech", "transcription", "ocr", "video", "other",
]  # fmt: skip
"""The family of arguments: OpenAI's four (LiteLLM's too), Anthropic's messages, Gemini's contents, ..."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the input. ``head`` holds its first bytes where the call carries it, else None (a URL)."""

    head: bytes | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """Audio, video or a document of the input. ``size`` is in bytes, None where it is not in the call.

    ``head`` is the data itself as far as it is needed to measure it: a WAV header, a PDF's bytes.
    """

    kind: Literal["audio", "video", "document"]
    size: int | None = None
    head: bytes | None = None
    format: str | None = None


class Request(NamedTuple):
    """One call's request. Texts are references to the caller's own strings; nothing is copied.

    Attributes:
        api: the family of arguments it was read from.
        model: the name as the caller gave it.
        provider: where the SDK or a prefix tells, in the catalogue's words (``"openai"``,
            ``"bedrock/eu-west-1"``), else None.
        texts: every piece of text that is tokenized: roles, names, contents, instructions, ...
        token_ids: how many tokens were given as ids instead of text.
        messages, names: how many messages there are, and how many of them carry a name.
        tools: tool definitions as they were given (mappings or objects), without callables' code.
        schemas: JSON schemas that the reply must follow.
        images, attachments: what is not text.
        max_output: the cap on the tokens of each reply; None where the call has none.
        cap_name: the argument that caps the output in this API, to put a cap in.
        min_output: the least cap that the provider takes for this call: one below it is an error there.
        choices: how many replies were asked for (n, best_of, candidate_count).
        stream: whether a stream was asked for.
        service_tier: ``"flex"``, ``"priority"``, ``"batch"``, ... as asked; None for the standard one.
        cache_ttl: the longest explicit cache write asked for (``"5m"``, ``"1h"``), else None.
        speed, region: Anthropic's ``"fast"`` and ``inference_geo``, and their like.
        web_searches: how many paid searches it may make at most; None where that is not limited.
        seconds, size: of each video that is to be made: its length, and its resolution where that is told.
        unbounded: why the input or output is not bounded by the request, in words: stored context such
            as ``previous_response_id``, server tools, automatic function calling, ...
    """

    api: Api
    model: str
    provider: str | None = None
    texts: tuple[str, ...] = ()
    token_ids: int = 0
    messages: int = 0
    names: int = 0
    tools: tuple[object, ...] = ()
    schemas: tuple[object, ...] = ()
    images: tuple[Image, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    max_output: int | None = None
    cap_name: str | None = None
    choices: int = 1
    stream: bool = False
    service_tier: str | None = None
    cache_ttl: str | None = None
    speed: str | None = None
    region: str | None = None
    web_searches: int | None = 0
    unbounded: tuple[str, ...] = ()
    min_output: int = 1
    seconds: int = 0
    size: str | None = None
