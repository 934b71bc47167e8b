"""Which reply it is: the id that its provider gave it."""

from __future__ import annotations

from allowance.replies.fields import is_http, text, view
from allowance.replies.shapes import body_of

__all__ = ["inner_reply", "reply_id"]

_NAMES = ("id", "response_id", "responseId")
_WRAPPED = ("raw", "_raw_response", "raw_response")


def reply_id(reply: object) -> str | None:
    """The id that a provider gave to a reply, or to the reply that a stream's chunk is of, or None.

    ``chatcmpl-…``, ``msg_…``, ``resp_…``, Gemini's ``response_id``, the request id of Bedrock; of an HTTP
    response whose content was read, the one in its body; of LangChain's messages the vendor's own. It never
    raises, whatever it is given.
    """
    fields = view(reply)
    if is_http(fields):
        return reply_id(body_of(reply))
    metadata = fields.get("response_metadata")
    if metadata is not None and (name := text(view(metadata).get("id"))) is not None:
        return name
    for field in _NAMES:
        if (name := text(fields.get(field))) is not None:
            return name
    for holder in ("message", "response"):  # the first event of Anthropic's streams, and of Responses'
        inner = fields.get(holder)
        if inner is not None and (name := text(view(inner).get("id"))) is not None:
            return name
    return text(view(fields.get("ResponseMetadata")).get("RequestId"))


def inner_reply(reply: object) -> object | None:
    """The vendor's own reply inside a framework's, or None."""
    fields = view(reply)
    if is_http(fields):
        return None
    for name in _WRAPPED:
        inner = fields.get(name)
        if inner is not None and not callable(inner):
            found: object = inner
            return found
    return None
