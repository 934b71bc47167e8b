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
    return b"%b%b\n" % (_head(payload), payload)


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


def _head(payload: bytes) -> bytes:
    return b"%08x %08x " % (len(payload), crc32(payload))


def _read(line: bytes) -> dict[str, Any] | None:
    from allowance.wire.json import loads

    head, payload = line[:18], line[18:]
    if head != _head(payload):
        return None
    try:
        record = loads(payload)
    except ConfigurationError:
        return None
    return record if isinstance(record, dict) else None
