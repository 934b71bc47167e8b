"""One file of a journal, as the process that holds its lock sees it."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from allowance.calls.journal.frames import framed, read_frames
from allowance.calls.journal.operations import load
from allowance.calls.journal.place import append, discard
from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    from allowance.calls.journal.operations import Operation

__all__ = ["JournalFile", "Record", "read_file"]

log = logging.getLogger("allowance")

RECYCLED: Final = 1 << 16
"""Bytes from which on a file that nobody needs is emptied; a smaller one just goes on."""

LARGEST: Final = 1 << 20
"""Bytes from which on a file takes no more records: it is removed once all of its records are done."""

_PIECE: Final = 1 << 20


class JournalFile:
    """Records, and marks of those that are done. Used under its journal's lock.

    Attributes:
        left: how many of its records are not done yet.
        foreign: it was another process's, which is dead.
    """

    __slots__ = ("descriptor", "foreign", "left", "length", "path")

    def __init__(self, path: str, descriptor: int, *, foreign: bool = False) -> None:
        self.path = path
        self.descriptor = descriptor
        self.foreign = foreign
        self.left = 0
        self.length = 0

    def is_full(self) -> bool:
        """Whether further records belong into another file."""
        return self.length >= LARGEST

    def write(self, line: bytes) -> None:
        """Add a record.

        Raises:
            OSError: it is not written.
        """
        append(self.descriptor, line)
        self.length += len(line)
        self.left += 1

    def done(self, number: int) -> None:
        """Mark a record as done. Where that cannot be written it is done once more one day, safely (R3)."""
        line = framed({"done": number})
        with suppress(OSError):
            append(self.descriptor, line)
            self.length += len(line)
        self.left -= 1
        if not self.left and self.length >= RECYCLED:
            with suppress(OSError):
                os.ftruncate(self.descriptor, 0)
                self.length = 0

    def discard(self) -> None:
        """Remove it: nothing in it is needed any more."""
        discard(self.path, self.descriptor)

    def let_go(self) -> None:
        """Leave it to whoever comes next."""
        os.close(self.descriptor)


class Record:
    """One record of a file, as it is read back."""

    __slots__ = ("at", "number", "operation")

    def __init__(self, number: int, at: int, operation: Operation) -> None:
        self.number = number
        self.at = at
        self.operation = operation


def read_file(file: JournalFile) -> list[Record]:
    """The records that are not done, in the order they were written; what is damaged is told and left out.

    Raises:
        OSError: it cannot be read.
    """
    from allowance.wire.fields import whole

    data = _whole(file.descriptor)
    file.length = len(data)
    frames, damaged = read_frames(data)
    found: dict[int, Record] = {}
    for frame in frames:
        try:
            if "done" in frame:
                found.pop(whole(frame, "done"), None)
            else:
                record = Record(whole(frame, "n"), whole(frame, "at"), load(frame))
                found[record.number] = record
        except ConfigurationError:
            damaged += 1
    if damaged:
        log.warning("%d records of the journal %s are damaged; the others are read.", damaged, file.path)
    file.left = len(found)
    return list(found.values())


def _whole(descriptor: int) -> bytes:
    pieces = []
    os.lseek(descriptor, 0, os.SEEK_SET)
    while piece := os.read(descriptor, _PIECE):
        pieces.append(piece)
    return b"".join(pieces)
