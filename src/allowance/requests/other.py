"""Pictures, videos, speech, sound and documents to be read, and calls whose input has no known name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.content import add_content
from allowance.requests.fields import as_list, first_field
from allowance.requests.media import add_data, add_file, add_unknown, split_data_url

if TYPE_CHECKING:
    from allowance.requests.draft import Draft, Readers

__all__ = ["read_ocr", "read_other", "read_pictures", "read_speech", "read_transcription", "read_video"]

_VIDEO_SECONDS: Final = 8
"""What Veo makes where it is not told, and no less than what Sora makes."""

_GUESSED: Final = "the input was guessed from the arguments: name it messages, or give request="


def read_pictures(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``images.generate`` and ``litellm.image_generation``: pictures are counted by ``choices``."""
    draft.read(arguments, _PICTURES)


def read_speech(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``audio.speech.create``: the text that is spoken."""
    draft.read(arguments, _SPEECH)


def read_transcription(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``audio.transcriptions`` and ``audio.translations``: a file of sound, which is billed by its length."""
    draft.read(arguments, _SOUND)
    add_file(draft, "audio/", arguments.get("file"))


def read_ocr(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """Mistral's ``ocr.process``: a document, which is billed by the page."""
    url = first_field(arguments.get("document"), "document_url", "image_url")
    url = first_field(url, "url") or url
    carried = split_data_url(url) if isinstance(url, str) else None
    if carried is None:
        add_unknown(draft, "application/pdf")
    else:
        add_data(draft, "application/pdf", carried[1])


def read_video(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``videos.create`` and ``generate_videos``: the seconds of each video are billed, and not its prompt."""
    draft.read(arguments, _VIDEO)
    config = arguments.get("config")
    length = arguments.get("seconds") or first_field(config, "duration_seconds", "durationSeconds")
    if str(length).isdecimal():  # OpenAI's are words
        draft.seconds = int(str(length))
    else:
        draft.seconds = _VIDEO_SECONDS
        draft.unbound("the length of the video is not given")
    draft.set_choices(first_field(config, "number_of_videos", "numberOfVideos"), "number_of_videos")
    size = first_field(config, "resolution")
    draft.size = size if isinstance(size, str) else None
    draft.max_output = 0


def read_other(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """Every text among the arguments, lists and dicts included, is taken for the input."""
    for name, value in arguments.items():
        if name not in ("model", "self", "cls"):
            _add_texts(draft, value, 0)
    draft.messages = 1
    draft.read_cap(arguments, "max_tokens", "max_completion_tokens", "max_output_tokens")
    draft.unbound(_GUESSED)


def _add_texts(draft: Draft, value: object, depth: int) -> None:
    if isinstance(value, str):
        draft.texts.append(value)
        return
    items = as_list(value)
    if items is None and isinstance(value, Mapping):
        items = list(value.values())
    if items is not None:
        draft.count_part(depth)
        for item in items:
            _add_texts(draft, item, depth + 1)


def _n(draft: Draft, value: object) -> None:
    draft.set_choices(value, "n")


_PICTURES: Final[Readers] = {"prompt": add_content, "n": _n}
_SOUND: Final[Readers] = {"prompt": add_content}
_VIDEO: Final[Readers] = {"n": _n}
_SPEECH: Final[Readers] = {"input": add_content, "instructions": add_content}
