"""What is not text: the heads of images, and the size and bytes of audio, video and documents.

Base64 is never counted as text, and of an image only the bytes that hold its size are decoded.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from allowance.requests.fields import field
from allowance.requests.request import Attachment, Image

if TYPE_CHECKING:
    from allowance.requests.draft import Draft

__all__ = ["add_data", "add_file", "add_image_url", "add_unknown", "split_data_url"]

# Every format but JPEG has its size in the first bytes; a JPEG may hold a preview of 64 kB before it.
_HEAD: Final = 1_024
_JPEG_HEAD: Final = 65_536 + 1_024
_JPEG_BASE64: Final = "/9j/"
_JPEG_BYTES: Final = b"\xff\xd8\xff"

# A document's pages are counted in its bytes; past this size its length alone serves.
_DOCUMENT: Final = 16_000_000

_URLSAFE: Final = str.maketrans("-_", "+/")


def split_data_url(url: str) -> tuple[str, str] | None:
    """The MIME type and the base64 of a ``data:`` URL; None for any other address."""
    if url[:5].lower() != "data:":
        return None
    comma = url.find(",", 5, 1_000)
    if comma < 0:
        return "", url[5:]
    return url[5:comma].split(";")[0].strip().lower(), url[comma + 1 :]


def add_image_url(draft: Draft, url: object, detail: object = None) -> None:
    """An image given by its address: a ``data:`` URL carries it, another is of unknown size."""
    shown = detail if isinstance(detail, str) else None
    carried = split_data_url(url) if isinstance(url, str) else None
    head = _image_head(carried[1]) if carried else None
    draft.images.append(Image(head, shown))


def add_data(draft: Draft, mime: str, data: object, detail: object = None) -> None:
    """Base64 or bytes of a MIME type: an image, audio, video, text, or a document."""
    if not isinstance(data, (str, bytes)):
        add_unknown(draft, mime)
    elif mime.startswith("image/"):
        draft.images.append(Image(_image_head(data), detail if isinstance(detail, str) else None))
    elif mime.startswith("text/"):
        draft.texts.append(_decode(data, len(data)).decode("utf-8", "replace"))
    else:
        kind = _kind(mime)
        limit = _DOCUMENT if kind == "document" else _HEAD
        size = len(data) if isinstance(data, bytes) else len(data) * 3 // 4
        draft.attachments.append(
            Attachment(kind, size, _decode(data, limit), mime.rpartition("/")[2] or None)
        )


def add_file(draft: Draft, mime: str, file: object) -> None:
    """A file to be sent as SDKs take it: bytes, an open file, a path, or one of these with its name.

    An open file is left where it stood.
    """
    if isinstance(file, tuple):
        file = file[1] if len(file) > 1 else None
    elif isinstance(file, Mapping) or hasattr(file, "file_name"):
        file = field(file, "content")
    if isinstance(file, (bytes, bytearray)):
        add_data(draft, mime, bytes(file))
        return
    size, head = None, None
    with suppress(OSError, ValueError):  # a pipe, a closed file: the SDK will say so
        if isinstance(file, os.PathLike):
            size = os.stat(file).st_size
        elif hasattr(file, "seek") and hasattr(file, "tell"):
            size, head = _open_file(file)
    draft.attachments.append(Attachment(_kind(mime), size, head))


def _open_file(file: Any) -> tuple[int, bytes | None]:
    start = file.tell()
    head = file.read(_HEAD)
    file.seek(0, os.SEEK_END)
    size = file.tell() - start
    file.seek(start)
    return size, head if isinstance(head, bytes) else None


def add_unknown(draft: Draft, mime: str) -> None:
    """Something that the call only points to: an address, or the id of an uploaded file."""
    if mime.startswith("image/"):
        draft.images.append(Image())
    else:
        draft.attachments.append(Attachment(_kind(mime), format=mime.rpartition("/")[2] or None))


def _kind(mime: str) -> Literal["audio", "video", "document"]:
    if mime.startswith("audio/"):
        return "audio"
    return "video" if mime.startswith("video/") else "document"


def _image_head(data: str | bytes) -> bytes:
    jpeg = data.startswith(_JPEG_BASE64) if isinstance(data, str) else data.startswith(_JPEG_BYTES)
    return _decode(data, _JPEG_HEAD if jpeg else _HEAD)


def _decode(data: str | bytes, limit: int) -> bytes:
    """The first ``limit`` bytes; what is not base64 is measured as the bytes it is."""
    if isinstance(data, bytes):
        return data[:limit]
    piece = data[: (limit + 2) // 3 * 4].translate(_URLSAFE)
    try:
        return binascii.a2b_base64(piece[: len(piece) // 4 * 4])
    except ValueError:
        return piece.encode("utf-8", "replace")
