"""OpenAI's wire formats for pictures and sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.provider.openai_wire import CREATED, choices_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.script import Reply

    Body = dict[str, Any]


def images(reply: Reply, body: Body) -> Body:
    """What is billed by the token says so; what is billed by the picture has no usage at all."""
    data = [{"b64_json": "aGk="} for _ in range(choices_of(body))]
    return {"created": CREATED, "data": data, **_image_usage(reply), **reply.extra}


def images_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body]]:
    look = {"b64_json": "aGk=", "created_at": CREATED, "size": "1024x1024", "quality": "low"}
    look |= {"background": "opaque", "output_format": "png"}
    for index in range(reply.chunks):
        yield True, {"type": "image_generation.partial_image", "partial_image_index": index, **look}
    yield False, {"type": "image_generation.completed", **look, **_image_usage(reply)}


def _image_usage(reply: Reply) -> Body:
    counts = {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {"text_tokens": reply.input_tokens, "image_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": reply.output_tokens},
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    return {"usage": counts} if reply.usage else {}


def speech(_reply: Reply, _body: Body) -> bytes:
    return b"ID3 sound"


def videos(reply: Reply, body: Body) -> Body:
    """A job: the video comes later, and no usage with it."""
    job = {"id": "video_1", "object": "video", "created_at": CREATED, "status": "queued", "progress": 0}
    return {**job, "model": reply.model, "seconds": str(body.get("seconds", "4")), "size": "720x1280"}


def usage(reply: Reply) -> Body:
    """By the second, or by the token."""
    if reply.seconds:
        return {"type": "duration", "seconds": reply.seconds}
    return {
        "type": "tokens",
        "input_tokens": reply.input_tokens,
        "input_token_details": {"text_tokens": 0, "audio_tokens": reply.input_tokens},
        "output_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }


def transcription(reply: Reply, _body: Body) -> Body:
    return {"text": reply.text, **({"usage": usage(reply)} if reply.usage else {}), **reply.extra}


def transcription_stream(reply: Reply, _body: Body) -> Iterator[tuple[bool, Body | str]]:
    for piece in reply.pieces():
        yield True, {"type": "transcript.text.delta", "delta": piece}
    done: Body = {"type": "transcript.text.done", "text": reply.text}
    yield False, done | ({"usage": usage(reply)} if reply.usage else {})
    yield False, "[DONE]"
