"""Sound and documents that are sent to be read: as SDKs take files, and how long they are."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from allowance.requests import read
from allowance.requests.request import Attachment

SOUND = b"ID3" + bytes(7_000)


def heard(file: object) -> Attachment:
    request = read({"model": "whisper-1", "file": file}, api="transcription")
    assert request is not None
    [attachment] = request.attachments
    return attachment


@pytest.mark.parametrize(
    "file",
    [
        SOUND,
        bytearray(SOUND),
        io.BytesIO(SOUND),
        ("speech.mp3", SOUND),
        ("speech.mp3", io.BytesIO(SOUND), "audio/mpeg"),
        {"file_name": "speech.mp3", "content": SOUND},
        SimpleNamespace(file_name="speech.mp3", content=io.BytesIO(SOUND)),
    ],
    ids=lambda file: type(file).__name__,
)
def test_a_file_is_measured_in_each_form_that_sdks_take(file: Any) -> None:
    attachment = heard(file)
    assert (attachment.kind, attachment.size) == ("audio", len(SOUND))
    assert attachment.head is not None
    assert attachment.head.startswith(b"ID3")


def test_a_path_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "speech.mp3"
    path.write_bytes(SOUND)
    assert heard(path).size == len(SOUND)
    assert heard(tmp_path / "none.mp3").size is None


def test_an_open_file_is_left_where_it_stood() -> None:
    file = io.BytesIO(b"before" + SOUND)
    file.seek(6)
    assert heard(file).size == len(SOUND)
    assert file.tell() == 6


def test_a_file_that_cannot_be_measured_is_of_unknown_size() -> None:
    closed = io.BytesIO(SOUND)
    closed.close()
    for file in (closed, None, "file-123", ("speech.mp3",), object()):
        assert heard(file).size is None


def test_a_model_that_hears_is_known_by_its_name_and_its_file() -> None:
    for model in ("whisper-1", "gpt-4o-transcribe", "groq/whisper-large-v3"):
        request = read({"model": model, "file": SOUND})
        assert request is not None
        assert request.api == "transcription"


@pytest.mark.parametrize(
    "document",
    [
        {"type": "document_url", "document_url": "https://example.com/paper.pdf"},
        {"type": "image_url", "image_url": {"url": "https://example.com/page.png"}},
        {"type": "file", "file_id": "f1"},
        None,
    ],
)
def test_a_document_that_is_pointed_to_is_of_unknown_size(document: Any) -> None:
    request = read({"model": "mistral-ocr-2505", "document": document}, api="ocr")
    assert request is not None
    assert request.attachments == (Attachment("document", format="pdf"),)


def test_a_document_in_the_call_is_kept_to_count_its_pages() -> None:
    pdf = b"%PDF-1" + b"/Type /Page " * 3
    url = f"data:application/pdf;base64,{base64.b64encode(pdf).decode()}"
    arguments = {"model": "mistral-ocr-2505", "document": {"type": "document_url", "document_url": url}}
    request = read(arguments, api="ocr")
    assert request is not None
    assert request.attachments == (Attachment("document", len(pdf), pdf, "pdf"),)


@pytest.mark.parametrize(
    ("arguments", "seconds", "videos", "size"),
    [
        ({"seconds": "12"}, 12, 1, None),
        ({"seconds": 4, "n": 2}, 4, 2, None),
        ({"config": {"duration_seconds": 6, "number_of_videos": 3, "resolution": "4k"}}, 6, 3, "4k"),
        ({"config": {"durationSeconds": 5, "numberOfVideos": 2}}, 5, 2, None),
    ],
)
def test_a_video_is_as_long_as_was_asked_for(
    arguments: dict[str, Any], seconds: int, videos: int, size: str | None
) -> None:
    request = read({"model": "veo-3.1-generate-001", "prompt": "a cat", **arguments})
    assert request is not None
    assert request.api == "video"
    assert (request.seconds, request.choices, request.size) == (seconds, videos, size)
    assert request.unbounded == ()


@pytest.mark.parametrize("length", [None, "long", -3, 1.5, "nan"])
def test_a_video_whose_length_is_not_told_is_no_bound(length: object) -> None:
    request = read({"model": "sora-2", "prompt": "a cat", "seconds": length})
    assert request is not None
    assert request.seconds == 8
    assert request.unbounded == ("the length of the video is not given",)


def test_pictures_of_bedrocks_models_are_counted() -> None:
    body = {"taskType": "TEXT_IMAGE", "imageGenerationConfig": {"numberOfImages": 3}}
    for model in ("amazon.titan-image-generator-v2:0", "us.amazon.nova-canvas-v1:0"):
        request = read({"model": model, "body": body}, api="invoke")
        assert request is not None
        assert (request.api, request.choices) == ("images", 3)
