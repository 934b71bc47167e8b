"""What is billed by its length: the seconds of sound, and the pages of documents."""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import Any

import pytest

from allowance.prices.catalogue import Catalogue
from allowance.quotes import Quote, Quoting, Vocabularies
from allowance.requests import read
from allowance.requests.request import Api

SECOND, PAGE = 100_000, 1_000_000
"""Nano-dollars that whisper-1 and mistral-ocr-2505 cost by."""


@cache
def catalogue() -> Catalogue:
    return Catalogue()


def quoted(model: str, api: Api, **arguments: Any) -> Quote:
    request = read({"model": model, **arguments}, api=api)
    assert request is not None
    price = catalogue().find(model)
    return Quoting(vocabularies=Vocabularies(download=False)).quote(request, price)


def wav(seconds: int) -> bytes:
    rate = 16_000
    form = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + rate * seconds) + form + bytes(rate * seconds - 36)


def test_the_length_of_a_wav_file_is_known() -> None:
    quote = quoted("whisper-1", "transcription", file=("a.wav", io.BytesIO(wav(60))))
    assert quote.amount == quote.expected == 60 * SECOND
    assert quote.bound


@pytest.mark.parametrize(("file", "seconds"), [(bytes(9_001), 10), (None, 600)], ids=["size", "nothing"])
def test_other_sound_is_taken_to_be_long_and_is_no_bound(file: bytes | None, seconds: int) -> None:
    quote = quoted("whisper-1", "transcription", file=file)
    assert quote.amount == seconds * SECOND
    assert "the length of an audio file is estimated" in quote.unbounded


def test_a_document_is_billed_by_its_pages() -> None:
    url = {"type": "document_url", "document_url": "https://example.com/paper.pdf"}
    quote = quoted("mistral-ocr-2505", "ocr", document=url)
    assert quote.amount == 20 * PAGE
    assert quote.unbounded == ("the pages of a document are estimated",)


def test_sound_in_a_chat_is_billed_by_its_tokens_alone() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}
    messages = [{"role": "user", "content": [sound]}]
    request = read({"model": "gpt-4o-transcribe", "messages": messages, "max_tokens": 1}, api="chat")
    assert request is not None
    price = catalogue().find("gpt-4o-transcribe")
    quote = Quoting(vocabularies=Vocabularies(download=False)).quote(request, price)
    assert quote.amount == quote.input_tokens * 2_500 + 10_000


def test_a_video_is_billed_by_its_seconds_and_its_size() -> None:
    config = {"duration_seconds": 8, "number_of_videos": 2, "resolution": "4k"}
    quote = quoted("vertex_ai/veo-3.1-generate-001", "video", prompt="a cat", config=config)
    assert quote.amount == quote.expected == 16 * 600_000_000
    assert quote.bound
    plain = quoted("vertex_ai/veo-3.1-generate-001", "video", prompt="a cat", config={"duration_seconds": 8})
    assert (plain.amount, plain.expected) == (8 * 600_000_000, 8 * 400_000_000)


SAYS = [{"role": "user", "content": "hello there"}]
ASKED: dict[str, tuple[Api, dict[str, Any]]] = {
    "chat": ("chat", {"messages": SAYS, "max_tokens": 9}),
    "responses": ("responses", {"input": "hello", "max_output_tokens": 9}),
    "completion": ("completions", {"prompt": "hello", "max_tokens": 9}),
    "embedding": ("embeddings", {"input": "hello"}),
    "image_generation": ("images", {"prompt": "a cat"}),
    "image_edit": ("images", {"prompt": "a cat"}),
    "audio_speech": ("speech", {"input": "hello"}),
    "audio_transcription": ("transcription", {"file": b"sound"}),
    "ocr": ("ocr", {}),
    "video_generation": ("video", {"prompt": "a cat"}),
    "rerank": ("other", {"query": "hello", "documents": ["there"]}),
}
NOT_QUOTED = ("-commitment/", "lyria", "medlm")
"""Capacity that is bought for months; music, billed by the piece; and a model billed by the character."""


def test_r9_nothing_that_costs_is_quoted_at_nothing() -> None:
    quoting = Quoting(vocabularies=Vocabularies(download=False))
    seen = set()
    for name, entry in catalogue().data.entries.items():
        mode = entry.get("mode") if isinstance(entry, dict) else None
        if mode not in ASKED or any(mark in name for mark in NOT_QUOTED):
            continue
        price = catalogue().find(name)
        kind = (mode, frozenset(rate for rate, dollars in price.rates.items() if dollars))
        if price.free or kind in seen:
            continue
        seen.add(kind)
        api, arguments = ASKED[mode]
        request = read({"model": name, **arguments}, api=api)
        assert request is not None
        assert quoting.quote(request, price, cheap=True).amount > 0, (name, price)
    assert len(seen) > 50
