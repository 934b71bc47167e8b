"""Tokens of audio, video and documents of the input, by each vendor's rate."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from allowance.quotes.families import Family
    from allowance.requests.request import Attachment

__all__ = ["Weight", "weigh"]

# Tokens a second: OpenAI 10 for audio; Gemini 32 for audio, 263 for video, whose sound comes on top.
_OPENAI_AUDIO: Final = 10
_AUDIO: Final = 32
_VIDEO: Final = 263 + 32

# A page's text, and its picture where the vendor shows the model both. Gemini bills the picture alone.
_PAGE_TEXT: Final = 3_000
_PAGE_IMAGE: Final = {"openai": 1_445, "claude": 1_600, "claude-new": 4_784, "gemini": 1_120, "gemini-2": 258}

# What stands for a length that the call does not tell. Speech runs to 8 kbit/s at the least, video
# to 100 kbit/s; ten minutes, and twenty pages of 2,000 bytes, stand for a file that is only pointed to.
_AUDIO_BYTES: Final = 1_000
_VIDEO_BYTES: Final = 12_500
_SECONDS: Final = 600
_PAGES: Final = 20
_PAGE_BYTES: Final = 2_000

_PAGE_MARK: Final = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


@dataclass(frozen=True, slots=True)
class Weight:
    """Tokens of an attachment, how many of them are audio, and why they are no bound, else empty.

    ``seconds`` and ``pages`` are for models that bill sound and documents by these.
    """

    tokens: int
    audio: int = 0
    seconds: int = 0
    pages: int = 0
    reason: str = ""


def weigh(family: Family, attachment: Attachment) -> Weight:
    """What an attachment adds to the input. Only a WAV file tells its length for certain."""
    if attachment.kind == "document":
        pages = _pages(attachment)
        page = _PAGE_TEXT + _PAGE_IMAGE.get(family.name, 4_784)
        return Weight(pages * page, pages=pages, reason="the pages of a document are estimated")
    if attachment.kind == "video":
        seconds = _SECONDS if attachment.size is None else -(-attachment.size // _VIDEO_BYTES)
        return Weight(seconds * _VIDEO, reason="the length of a video is estimated")
    rate = _OPENAI_AUDIO if family.name == "openai" else _AUDIO
    exact = _wav_seconds(attachment)
    if exact is not None:
        return Weight(exact * rate, exact * rate, exact)
    seconds = _SECONDS if attachment.size is None else -(-attachment.size // _AUDIO_BYTES)
    return Weight(seconds * rate, seconds * rate, seconds, reason="the length of an audio file is estimated")


def _pages(attachment: Attachment) -> int:
    if attachment.size is None:
        return _PAGES
    marked = len(_PAGE_MARK.findall(attachment.head or b""))
    return marked or max(1, -(-attachment.size // _PAGE_BYTES))


def _wav_seconds(attachment: Attachment) -> int | None:
    """Whole seconds, rounded up, from a WAV header: size over bytes a second."""
    head = attachment.head or b""
    if attachment.size is None or head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 32:
        return None
    rate = struct.unpack_from("<I", head, 28)[0]
    return None if rate == 0 else -(-attachment.size // rate)
