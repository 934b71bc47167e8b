"""How a record lies in a journal's file: a line of its length, its CRC-32 and its JSON.

JSON has no line breaks of its own here, so a damaged record never hides those after it. A line that does
not end is torn: its process died, or the disk was full, while it was written.
"""

from __future__ import annotations

from binascii import crc32
from typing import TYPE_CHECKING, Any

from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["framed", "read_frames"]


def framed(record: Mapping[str, Any]) -> bytes:
    """The line of one record.

    Raises:
        ConfigurationError: JSON has no form for it.
    """
    from allowance.wire.json import dumps

    payload = dumps(record)
    return b"%08x %08x %b\n" % (len(payload), crc32(payload), payload)


def read_frames(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records of a file, and how many whole lines of it are damaged; a torn end is neither."""
    records: list[dict[str, Any]] = []
    damaged = 0
    *lines, _torn = data.split(b"\n")
    for line in lines:
        record = _read(line)
        if record is None:
            damaged += 1
        else:
            records.append(record)
    return records, damaged


def _read(line: bytes) -> dict[str, Any] | None:
    from allowance.wire.json import loads

    length, crc, payload = line[:8], line[9:17], line[18:]
    try:
        if int(length, 16) != len(payload) or int(crc, 16) != crc32(payload):
            return None
        record = loads(payload)
    except (ValueError, ConfigurationError):
        return None
    return record if isinstance(record, dict) else None
