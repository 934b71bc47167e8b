"""Where journals lie: a directory for each store, that its user alone may enter, and files under a lock.

A file is its process's for as long as that holds the lock on it, which the system takes from the dead. So
whoever gets the lock of another's file may go on with it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SUFFIX",
    "abandoned",
    "append",
    "append_once",
    "directory_of",
    "discard",
    "make_directory",
    "make_file",
]

SUFFIX: Final = ".journal"

_CAREFUL: Final = (
    os.O_RDWR
    | os.O_APPEND
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # what is a pipe by now must not be waited for
    | getattr(os, "O_BINARY", 0)
)
_LOCKED_BYTE: Final = 1 << 40  # Windows locks bytes, not files: one that no journal grows to
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def directory_of(url: str) -> str:
    """The directory for the store of this URL, beside the default store. Nothing is made."""
    import hashlib

    from allowance.stores.open import default_path

    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return os.path.join(os.path.dirname(default_path()), "journal", name)


def make_directory(path: str) -> None:
    """Make it, and what leads to it, for this user alone.

    Raises:
        OSError: it cannot be made, or others may change what lies in it.
    """
    missing = []
    parent = path
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for directory in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or (_uid() is not None and status.st_uid != _uid()):
        raise PermissionError(errno.EPERM, "it is a link, or another user's", path)
    if sys.platform != "win32" and status.st_mode & _OTHERS:
        os.chmod(path, 0o700)


def make_file(directory: str, name: str) -> tuple[str, int]:
    """A new file that this process has locked: its path and its descriptor.

    Raises:
        OSError: it cannot be made.
    """
    number = 0
    while True:
        path = os.path.join(directory, f"{name}-{number}{SUFFIX}")
        number += 1
        try:
            descriptor = os.open(path, _CAREFUL | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        # Between the two another process may have taken it for a dead one's, and removed it.
        if _lock(descriptor) and os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)


def abandoned(directory: str) -> Iterator[tuple[str, int]]:
    """The files whose processes are dead, each locked by this one from here on: path and descriptor.

    What is not a plain file of this user's alone is passed over.
    """
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        if not name.endswith(SUFFIX):
            continue
        path = os.path.join(directory, name)
        try:
            descriptor = os.open(path, _CAREFUL)
        except OSError:
            continue
        if _is_ours(descriptor) and _lock(descriptor) and os.fstat(descriptor).st_nlink:
            yield path, descriptor
        else:
            os.close(descriptor)


def append(descriptor: int, line: bytes) -> None:
    """Write a line at the end, or nothing at all; one thread at a time.

    Raises:
        OSError: the disk is full, or gone.
    """
    written = os.write(descriptor, line)
    if written != len(line):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def append_once(path: str, line: bytes) -> None:
    """Write a line at the end of a file of this user's, which is made if need be.

    Raises:
        OSError: it cannot be written, or is no plain file of this user's.
    """
    descriptor = os.open(path, _CAREFUL | os.O_CREAT, 0o600)
    try:
        if not _is_ours(descriptor):
            raise PermissionError(errno.EPERM, "it is a link, or another user's", path)
        append(descriptor, line)
    finally:
        os.close(descriptor)


def discard(path: str, descriptor: int) -> None:
    """Remove a file of which nothing is needed any more, and let it go."""
    if sys.platform == "win32":  # where an open file cannot be removed
        os.close(descriptor)
    with suppress(OSError):
        os.unlink(path)
    if sys.platform != "win32":
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and _uid() in (None, status.st_uid)


def _uid() -> int | None:
    return os.geteuid() if hasattr(os, "geteuid") else None


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
