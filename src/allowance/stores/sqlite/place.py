"""Where the file lies: safe to make, safe to open, still the same file."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from allowance.errors import ConfigurationError, StoreCorruptError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Identity", "identify", "make", "prepare", "same_file", "unreachable"]


class Identity(NamedTuple):
    """Which file it is, whatever it is called."""

    device: int
    inode: int


def prepare(path: str) -> None:
    """Make the directory, for its owner alone, and see that the place is safe.

    Raises:
        ConfigurationError: the path is a directory, a symbolic link, has a second name, or lies where
            anyone may replace it.
        StoreUnavailableError: the directory cannot be made or written.
    """
    directory = os.path.dirname(path)
    try:
        _make_directory(directory)
    except OSError as error:
        raise StoreUnavailableError(
            f"The directory {directory} for the budgets cannot be made: {error.strerror}. "
            "Name a file elsewhere, or set its permissions."
        ) from error
    if sys.platform != "win32":
        mode = os.stat(directory).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ConfigurationError(
                f"Anyone may replace files in {directory}, so anyone could undo a budget. "
                f"Take that right away (chmod o-w {directory}), or name a file elsewhere."
            )
    _check_file(path)


def _make_directory(directory: str) -> None:
    # os.makedirs would leave the directories in between to the umask.
    if os.path.isdir(directory):
        return
    parent = os.path.dirname(directory)
    if parent != directory:
        _make_directory(parent)
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)


def _check_file(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if os.path.exists(path + "-wal"):
            raise StoreCorruptError(
                f"{path} is gone, but its log {path}-wal is there. Put the file back; to begin anew, "
                "remove the log too."
            ) from None
        return
    except OSError as error:
        raise unreachable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{path} is a directory: name a file in it, such as {path}/allowance.db.")
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise ConfigurationError(
            f"{path} is a link or a device, or has a second name; SQLite's log would lie beside another "
            "name than other processes use. Name the file itself."
        )
    if status.st_size == 0:
        raise StoreCorruptError(
            f"{path} is empty. A ledger never is, so it was cut off or made by something else. Restore it; "
            "to begin anew, remove it."
        )


def make(path: str, fill: Callable[[str], None]) -> None:
    """Make the file whole or not at all: ``fill`` works on another name. Only under the lock.

    Raises:
        StoreUnavailableError: the directory cannot be written, or the disk is full.
    """
    draft = path + ".new"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        for leftover in (draft, draft + "-wal", draft + "-shm", draft + "-journal"):
            if os.path.lexists(leftover):
                os.unlink(leftover)
        os.close(os.open(draft, flags, 0o600))
        fill(draft)
        os.rename(draft, path)
        _sync_directory(os.path.dirname(path))
    except OSError as error:
        raise unreachable(path, error) from error


def identify(path: str) -> Identity:
    """Which file the path names now.

    Raises:
        StoreUnavailableError: it cannot be looked at.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreachable(path, error) from error
    return Identity(status.st_dev, status.st_ino)


def same_file(path: str, identity: Identity) -> bool:
    """Whether the path still names this file."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_ino, status.st_dev) == (identity.inode, identity.device)


def unreachable(path: str, error: OSError) -> StoreUnavailableError:
    """The error for a file that the system does not let us use."""
    return StoreUnavailableError(
        f"{path} cannot be used: {error.strerror}. See that this user may read and write it and its "
        "directory, and that the disk has room."
    )


def _sync_directory(directory: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
