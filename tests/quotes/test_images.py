"""Images by the vendors' rules, against the numbers that they publish and bill."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable

import pytest

from allowance.quotes import Quote
from allowance.quotes.families import family_of
from allowance.quotes.images import image_size, image_tokens
from allowance.requests import Image


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def jpeg(width: int, height: int, *, before: int = 0) -> bytes:
    preview = b"\xff\xe1" + struct.pack(">H", before + 2) + b"\x00" * before if before else b""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF\x00" + b"\x00" * 9 + preview + b"\xff" + frame


def webp(kind: bytes, width: int, height: int) -> bytes:
    if kind == b"VP8X":
        data = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        data = b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 1_000) + b"WEBP" + kind + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    "head",
    [
        png(640, 480),
        b"GIF89a" + struct.pack("<HH", 640, 480),
        jpeg(640, 480),
        jpeg(640, 480, before=60_000),
        webp(b"VP8X", 640, 480),
        webp(b"VP8L", 640, 480),
        webp(b"VP8 ", 640, 480),
    ],
)
def test_the_size_is_read_from_the_first_bytes(head: bytes) -> None:
    assert image_size(head) == (640, 480)
    assert all(image_size(head[:length]) in (None, (640, 480)) for length in range(min(len(head), 200)))


@pytest.mark.parametrize("head", [b"", b"BM", b"<svg/>", png(0, 5), b"\xff\xd8\x00\x00", b"\xff\xd8\xff"])
def test_what_is_no_image_has_no_size(head: bytes) -> None:
    assert image_size(head) is None


@pytest.mark.parametrize(
    ("model", "width", "height", "detail", "tokens"),
    [
        ("gpt-4o", 1024, 1024, "high", 765),
        ("gpt-4o", 2048, 4096, None, 1105),
        ("gpt-4o", 4096, 8192, "low", 85),
        ("gpt-4o", 2050, 513, "high", 765),
        ("gpt-4o", 2049, 513, "high", 1445),
        ("openai/gpt-4o-2024-08-06", 1024, 1024, "high", 765),
        ("gpt-4o-mini", 1024, 1024, "high", 2833 + 4 * 5667),
        ("gpt-4.1", 1024, 1024, "auto", 765),
        ("gpt-5", 1024, 1024, None, 70 + 4 * 140),
        ("o1", 1024, 1024, None, 75 + 4 * 150),
        ("gpt-4.1-mini", 1024, 1024, None, 1659),  # 1,024 patches at 1.62
        ("gpt-4.1-mini", 4000, 1474, None, 2489),  # billed 2,488: the budget of 1,536 at 1.62
        ("claude-sonnet-4-5", 1000, 1000, None, 1334),
        ("claude-sonnet-4-5", 9000, 9000, None, 1600),
        ("claude-opus-4-8", 9000, 9000, None, 4784),
        ("gemini-2.5-pro", 384, 384, None, 258),
        ("gemini-2.5-pro", 800, 700, None, 516),
        ("gemini-3.1-pro-preview", 4000, 4000, None, 1120),
        ("gemini-3.1-pro-preview", 4000, 4000, "MEDIA_RESOLUTION_ULTRA_HIGH", 2240),
    ],
)
def test_tokens_are_those_that_the_vendor_bills(
    model: str, width: int, height: int, detail: str | None, tokens: int
) -> None:
    assert image_tokens(family_of(model), model, Image(png(width, height), detail)) == (tokens, True)


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-4o", 1445), ("gpt-4.1-mini", 2489), ("claude-opus-5", 4784)]
)
def test_an_image_of_unknown_size_counts_as_the_largest_and_is_no_bound(model: str, tokens: int) -> None:
    assert image_tokens(family_of(model), model, Image()) == (tokens, False)


def test_no_size_of_an_image_comes_above_the_largest() -> None:
    for model in ("gpt-4o", "gpt-4.1-mini", "claude-opus-5"):
        most, _ = image_tokens(family_of(model), model, Image())
        for size in ((1, 1), (1, 65_535), (65_535, 1), (2048, 768), (767, 9_999), (65_535, 65_535)):
            assert image_tokens(family_of(model), model, Image(png(*size)))[0] <= most


def test_an_image_in_a_call_is_added_to_its_texts(quote: Callable[..., Quote]) -> None:
    data = base64.b64encode(png(1024, 1024) + b"\x00" * 500_000).decode()
    text = {"type": "text", "text": "What is this?"}
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", "detail": "high"}}
    plain = quote(model="gpt-4o", messages=[{"role": "user", "content": [text]}], max_tokens=9)
    with_image = quote(model="gpt-4o", messages=[{"role": "user", "content": [text, shown]}], max_tokens=9)
    assert with_image.input_tokens == plain.input_tokens + 765
    assert with_image.bound


def test_an_image_behind_an_address_makes_the_quote_no_bound(quote: Callable[..., Quote]) -> None:
    shown = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    made = quote(model="gpt-4o", messages=[{"role": "user", "content": [shown]}], max_tokens=9)
    assert not made.bound
    assert not made.input_bounded
    assert "image" in made.unbounded[0]
