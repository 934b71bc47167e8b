"""Tokens of an image of the input, by each vendor's rule, from the size in the image's first bytes."""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from allowance.quotes.families import Family
    from allowance.requests.request import Image

__all__ = ["image_size", "image_tokens"]

# OpenAI, vision guide: tokens of the base image and of each tile of 512 by 512.
_TILES: Final = (
    (re.compile(r"gpt-4o-mini"), 2833, 5667),
    (re.compile(r"o1|o3(?!-mini)"), 75, 150),
    (re.compile(r"computer-use"), 65, 129),
    (re.compile(r"gpt-5(-chat)?(-\d{4}.*|-latest)?$"), 70, 140),
    (re.compile(r"gpt-4o|gpt-4\.1(?!-mini|-nano)|gpt-4\.5|chatgpt-4o|gpt-4(-\d|-turbo|-vision|$)"), 85, 170),
)

# OpenAI, vision guide: the most patches of 32 by 32, and the percentage that they count in tokens.
_PATCHES: Final = (
    (re.compile(r"gpt-(4\.1|5|5\.4)-nano"), 1_536, 246),
    (re.compile(r"gpt-(4\.1|5|5\.4)-mini"), 1_536, 162),
    (re.compile(r"o4-mini"), 1_536, 172),
    (re.compile(r"gpt-5\.[1-3]"), 1_536, 120),
    (re.compile(r"gpt-5\.[45]"), 10_000, 120),
)
_UNCAPPED_PATCHES: Final = 246
"""Models of OpenAI that neither table names: patches without a known cap, at the highest percentage."""

# What an image of unknown size is taken for where the vendor caps nothing: 2,048 by 2,048.
_UNKNOWN: Final = (2_048, 2_048)


def image_tokens(family: Family, model: str, image: Image) -> tuple[int, bool]:
    """The tokens of an image, and whether they are a bound: not where size or rule is unknown.

    An image of unknown size counts as the largest that the vendor's rule allows.
    """
    size = image_size(image.head) if image.head else None
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    if family.name == "openai":
        tokens, ruled = _openai(name, size, image.detail)
    elif family.name in ("claude", "claude-new"):
        tokens, ruled = _claude(size, 4_784 if family.name == "claude-new" else 1_600), True
    elif family.name == "gemini-2":
        tokens, ruled = _gemini_2(size or _UNKNOWN), True
    elif family.name == "gemini":
        # Gemini 3 counts by media_resolution alone; its dearest setting is the only one beyond 1,120.
        tokens, ruled = (2_240 if "ultra" in (image.detail or "").lower() else 1_120), True
    else:
        tokens, ruled = _claude(size, 4_784), False
    return tokens, ruled and size is not None


def _openai(name: str, size: tuple[int, int] | None, detail: str | None) -> tuple[int, bool]:
    for pattern, base, tile in _TILES:
        if pattern.match(name):
            return base + tile * (0 if detail == "low" else _tiles(size)), True
    for pattern, budget, percent in _PATCHES:
        if pattern.match(name):
            patches = budget if size is None else min(_squares(size, 32), budget)
            return math.ceil(patches * percent / 100), True
    return math.ceil(_squares(size or _UNKNOWN, 32) * _UNCAPPED_PATCHES / 100), False


def _tiles(size: tuple[int, int] | None) -> int:
    """Tiles of 512 after fitting into 2,048 and bringing the short side down to 768; eight at most."""
    if size is None:
        return 8
    fitted = _shrunk(size, 2_048, max(size))
    return _squares(_shrunk(fitted, 768, min(fitted)), 512)


def _shrunk(size: tuple[int, int], limit: int, side: int) -> tuple[int, int]:
    """Both lengths scaled so that ``side`` is ``limit`` at most, to the nearest pixel, as it is billed."""
    if side <= limit:
        return size
    width, height = (max(1, (2 * length * limit + side) // (2 * side)) for length in size)
    return width, height


def _squares(size: tuple[int, int], side: int) -> int:
    return -(-size[0] // side) * -(-size[1] // side)


def _claude(size: tuple[int, int] | None, cap: int) -> int:
    """The larger of Anthropic's two published rules: width times height / 750, and squares of 28."""
    if size is None:
        return cap
    return min(cap, max(-(-size[0] * size[1] // 750), _squares(size, 28)))


def _gemini_2(size: tuple[int, int]) -> int:
    return 258 if max(size) <= 384 else 258 * _squares(size, 768)


def image_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a PNG, GIF, WebP or JPEG; None for anything else."""
    size: tuple[int, int] | None
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            size = _pair(">II", head, 16)
        elif head[:6] in (b"GIF87a", b"GIF89a"):
            size = _pair("<HH", head, 6)
        elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            size = _webp(head)
        elif head.startswith(b"\xff\xd8"):
            size = _jpeg(head)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return size if size and min(size) > 0 else None


def _pair(layout: str, head: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, head, at)
    return first, second


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        low, high, low_2, high_2 = struct.unpack_from("<HBHB", head, 24)
        return low + (high << 16) + 1, low_2 + (high_2 << 16) + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = _pair("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header: SOF0 to SOF15, among which DHT, JPG and DAC are none."""
    at = 2
    while True:
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = _pair(">HH", head, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", head, at + 2)[0]
