"""`Tally`: what a stream has used, told from its chunks as they pass."""

from __future__ import annotations

import sys
from typing import Any

from allowance.replies.bedrock import METRICS, chunk_of
from allowance.replies.fields import EMPTY, View, as_dict, count, items, text, view
from allowance.replies.identity import reply_id
from allowance.replies.measure import by_usage, model_of
from allowance.replies.openai import hidden_params
from allowance.replies.others import read_langchain
from allowance.replies.texts import texts_of
from allowance.replies.usage import Usage

__all__ = ["Tally", "is_usage_alone", "unmark_usage"]

_HOLDERS = ("message", "response", "metadata", "delta", "x_groq")
_ENVELOPE = (
    "model",
    "model_version",
    "modelVersion",
    "service_tier",
    "serviceTier",
    "trace",
    "performanceConfig",
    "object",
    "type",
    "output",
)
_LAST_EVENTS = frozenset(
    {
        "message_stop",
        "message-end",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "transcript.text.done",
        "speech.audio.done",
        "image_generation.completed",
        "image_edit.completed",
    }
)
_LAST_STATES = ("completed", "incomplete", "failed")


class Tally:
    """Follows one stream, of any vendor, without changing or keeping back anything.

    Vendors report in pieces: the last figure counts (OpenAI, Gemini, Ollama, ...), later figures overwrite
    earlier ones and missing ones leave them (Anthropic), or figures are added up (LangChain). The first two
    are one rule here: what a chunk reports overwrites, what it leaves out stays.

    Not thread-safe: a stream has one consumer at a time.

    Attributes:
        background: True where the provider goes on with the reply, whether it is read or not.
        finished: True once the provider has said that the reply is complete, or `end` was called.
        model: the model that the stream named, or None.
        size: bytes of the text seen so far.
        ended: how many choices have said why they finished.
        reports: how many chunks reported usage.
        stated: the largest figure in what they reported; endless where there are figures of figures.
        reply_id: the id of the whole reply, which vendors give beside the model; or None.
    """

    __slots__ = (
        "_envelope",
        "_hidden",
        "_open",
        "_provisional",
        "_sum",
        "_texts",
        "_usage",
        "background",
        "ended",
        "finished",
        "model",
        "reply_id",
        "reports",
        "size",
        "stated",
    )

    def __init__(self) -> None:
        self.background = False
        self.finished = False
        self.ended = 0
        self.model: str | None = None
        self.reply_id: str | None = None
        self.size = 0
        self.reports = 0
        self.stated = 0
        self._texts: list[str] = []
        self._usage: dict[str, Any] = {}
        self._envelope: dict[str, Any] = {}
        self._hidden: View = EMPTY
        self._sum: Usage | None = None
        self._open: set[object] | None = None
        self._provisional = False

    def see(self, chunk: object) -> None:
        """Take note of one chunk: an SDK's object, a dict, or text. Never raises."""
        if isinstance(chunk, str):
            if chunk:
                self._texts.append(chunk)
                self.size += _bytes(chunk)
            return
        fields = view(chunk)
        inner = _within(fields)
        if inner is not None and not isinstance(inner, (str, list)):
            chunk, fields = inner, view(inner)
        pieces = texts_of(chunk)
        if pieces and not self._is_told_before(pieces, fields):
            self._texts.extend(pieces)
            self.size += sum(map(_bytes, pieces))
        if self.model is None:
            self.model = model_of(chunk)
            if self.model is not None:
                self.reply_id = reply_id(chunk)
                self.background = view(fields.get("response")).get("background") is True
        self._note_usage(chunk, fields)
        if not self.finished:
            self.finished = self._is_last(fields)

    def end(self) -> None:
        """The stream was consumed to its end, whatever its last chunk said."""
        self.finished = True

    def texts(self) -> tuple[str, ...]:
        """The pieces of text, tool arguments and visible reasoning seen so far, in order."""
        return tuple(self._texts)

    def usage(self) -> Usage | None:
        """The final usage, or None where the vendor has not given it (yet)."""
        return None if self._provisional or not self.finished else self.known()

    def known(self) -> Usage | None:
        """What the vendor has reported so far; of an open stream the output may be short of what was sent."""
        if self._sum is not None:
            return self._named(self._sum)
        if not self._usage:
            return None
        usage = by_usage(self._envelope, self._usage, self._hidden)
        # Some servers, and LiteLLM for a stream without include_usage, send zeros that nobody counted.
        if usage is None or not (usage.input_tokens or usage.output_tokens or usage.seconds or usage.images):
            return None
        return self._named(usage)

    def _named(self, usage: Usage) -> Usage:
        return usage._replace(model=self.model) if usage.model is None else usage

    def _is_told_before(self, pieces: tuple[str, ...], fields: View) -> bool:
        """Whether this is a helper's snapshot, the whole reply so far, and what was seen has all of it."""
        if fields.get("type") != "message" and fields.get("object") not in ("chat.completion", "response"):
            return False
        if sum(map(len, pieces)) > sum(map(len, self._texts)):
            self._texts.clear()
            self.size = 0
            return False
        return True

    def _note_usage(self, chunk: object, fields: View) -> None:
        usage, holder = _reported(fields)
        if usage is None:
            usage, holder = _kept_back(chunk, fields), fields
        if usage is None:
            return
        fresh = {name: value for name, value in as_dict(usage).items() if value is not None}
        if _is_langchain(fields, fresh):
            read = read_langchain(fields, fresh)
            if read is not None:
                self._sum = read if self._sum is None else _added(self._sum, read)
            return
        self.reports += 1
        self.stated = max([self.stated, *filter(None, map(count, fresh.values()))]) or sys.maxsize
        self._usage.update(fresh)
        # Anthropic's first event, and a helper's snapshot before the end, have a start value for the output.
        kind = fields.get("type")
        self._provisional = kind == "message_start" or (
            kind == "message" and fields.get("stop_reason") is None
        )
        hidden = hidden_params(chunk)
        if hidden:
            self._hidden = hidden
        for name in _ENVELOPE:
            if (value := holder.get(name)) is not None:
                self._envelope[name] = value
        candidates = items(holder.get("candidates"))
        if any(_grounded(view(candidate)) for candidate in candidates):
            self._envelope["candidates"] = candidates

    def _is_last(self, fields: View) -> bool:
        kind = fields.get("type")
        if isinstance(kind, str):
            if kind in _LAST_EVENTS:
                return True
            if kind == "message_delta":
                return view(fields.get("delta")).get("stop_reason") is not None
            if kind == "message":
                return fields.get("stop_reason") is not None
        choices = fields.get("choices")
        if isinstance(choices, list):
            return self._choices_done(choices, fields)
        candidates = items(fields.get("candidates"))
        if candidates:
            return all(_ended(view(candidate)) for candidate in candidates)
        return (
            fields.get("done") is True  # Ollama
            or fields.get("messageStop") is not None  # Bedrock
            or fields.get(METRICS) is not None
            or fields.get("chunk_position") == "last"  # LangChain
            or (fields.get("object") == "response" and fields.get("status") in _LAST_STATES)
        )

    def _choices_done(self, choices: list[Any], fields: View) -> bool:
        if not choices:
            return fields.get("usage") is not None
        if self._open is None:
            self._open = set()
        ended = False
        for entry in choices:
            choice = view(entry)
            index = count(choice.get("index")) or 0
            if text(choice.get("finish_reason")) is None:
                self._open.add(index)
            else:
                self._open.discard(index)
                self.ended += 1
                ended = True
        return ended and not self._open


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def is_usage_alone(chunk: object) -> bool:
    """Whether this is the chunk that an OpenAI stream has only where it was asked for its usage.

    It has no choices; LiteLLM's has one that says nothing.
    """
    fields = view(chunk)
    choices = fields.get("choices")
    if fields.get("usage") is None or not isinstance(choices, list):
        return False
    return all(_says_nothing(view(choice)) for choice in choices)


def _says_nothing(choice: View) -> bool:
    delta = choice.get("delta")
    if choice.get("finish_reason") is not None or delta is None:
        return False
    fields = delta if isinstance(delta, dict) else vars(delta)
    return all(value is None for value in fields.values())


def unmark_usage(chunk: object) -> None:
    """Make a chunk of a stream that was asked for its usage equal to one that was not.

    Each chunk then says ``"usage": null``, which pydantic remembers as set.
    """
    marks = getattr(chunk, "model_fields_set", None)
    if isinstance(marks, set) and "usage" in marks and getattr(chunk, "usage", 0) is None:
        marks.discard("usage")


def _within(fields: View) -> Any:
    """What an event wraps: a chunk of openai's helper or of Bedrock's, Mistral's data."""
    if fields.get("chunk") is None:
        return fields.get("data")
    return fields.get("chunk") if fields.get("type") == "chunk" else chunk_of(fields)


def _reported(fields: View) -> tuple[Any, View]:
    """The usage that a chunk carries, and what carries it."""
    for name in ("usage", "usage_metadata", "usageMetadata"):
        if (usage := fields.get(name)) is not None:
            return usage, fields
    for name in _HOLDERS:
        inner = fields.get(name)
        if inner is not None and not isinstance(inner, (str, list)):
            holder = view(inner)
            if (usage := holder.get("usage")) is not None:
                return usage, holder
            meta = holder.get("meta")  # Cohere's first version
            if meta is not None and view(meta).get("billed_units") is not None:
                return meta, holder
    if (usage := fields.get(METRICS)) is not None:
        return usage, EMPTY
    if fields.get("done") is True and fields.get("eval_count") is not None:
        names = ("prompt_eval_count", "eval_count")
        return {name: fields.get(name) for name in names}, fields
    return None, EMPTY


def _kept_back(chunk: object, fields: View) -> Any:
    """The usage that LiteLLM keeps to itself where it was not asked to show it, at a stream's last chunk."""
    if not any(view(choice).get("finish_reason") is not None for choice in items(fields.get("choices"))):
        return None
    usage = hidden_params(chunk).get("usage")
    return usage if usage is not None and view(usage).get("total_tokens") else None  # zeros: nobody counted


def _is_langchain(fields: View, usage: dict[str, Any]) -> bool:
    return "input_tokens" in usage and fields.get("usage_metadata") is not None


def _added(one: Usage, other: Usage) -> Usage:
    sums = {
        name: getattr(one, name) + getattr(other, name) for name in Usage._fields if name.endswith("_tokens")
    }
    model = other.model or one.model
    return one._replace(model=model, provider=other.provider or one.provider, **sums)


def _grounded(candidate: View) -> bool:
    return candidate.get("grounding_metadata") is not None or candidate.get("groundingMetadata") is not None


def _ended(candidate: View) -> bool:
    return candidate.get("finish_reason") is not None or candidate.get("finishReason") is not None
