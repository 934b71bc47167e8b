"""Where the store's file lies: which file system it is on, and who may read and write it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allowance.cli.checks.check import Check
from allowance.errors import BudgetError
from allowance.stores.sqlite.place import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["file_system_check", "place_checks"]

_NETWORK: Final = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs")
_UNKNOWN: Final = ("fuse", "virtiofs", "vboxsf", "prl_fs")
_BESIDE: Final = ("", "-wal", "-shm", ".lock")


def place_checks(path: str) -> Iterator[Check]:
    """Whether the file's place is safe and can be written. Nothing is made."""
    directory = os.path.dirname(path)
    there = _nearest(directory)
    if there == directory:
        try:
            prepare(path)  # the directory is there, so it only looks
        except BudgetError as error:
            yield Check("place", "problem", str(error))
            return
    if not _may(there, os.W_OK | os.X_OK):
        yield Check(
            "directory",
            "problem",
            f"{there} cannot be written by this user.",
            "Set its permissions, or name a file elsewhere (ALLOWANCE_STORE=sqlite:////elsewhere/allowance.db).",
        )
    else:
        yield Check("directory", "ok", f"{directory} can be {'written' if there == directory else 'made'}")
    yield file_system_check(there, _mounts())
    if os.path.exists(path):
        yield _permissions(path)


def _nearest(directory: str) -> str:
    """The directory itself, or the nearest one above it that is there."""
    while not os.path.isdir(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    return directory


def _may(path: str, mode: int) -> bool:
    # As what the process acts as, which is what opening a file goes by.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _permissions(path: str) -> Check:
    if sys.platform == "win32":
        return Check("permissions", "ok", "as Windows gives them to files in this directory")
    found = [path + ending for ending in _BESIDE if os.path.exists(path + ending)]
    if not _may(path, os.R_OK | os.W_OK):
        owner = os.stat(path).st_uid
        return Check(
            "permissions",
            "problem",
            f"this user ({os.geteuid()}) may not read and write {path}; it belongs to user {owner}.",
            "Run as its owner, or name a store of your own.",
        )
    modes = {each: stat.S_IMODE(os.stat(each).st_mode) for each in found}
    others = [each for each, mode in modes.items() if mode & 0o077]
    if others:
        return Check(
            "permissions",
            "note",
            f"others may read or write {others[0]} (mode {modes[others[0]]:o}): who spends what is in it.",
            f"chmod 600 {' '.join(others)}",
        )
    return Check("permissions", "ok", "read and written by its owner alone")


def _mounts() -> list[tuple[str, str]]:
    """(directory, type) of each file system that is mounted; empty where that cannot be told."""
    try:
        text = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    fields = [line.split(" ") for line in text.splitlines()]
    return [(_unescaped(one[1]), one[2]) for one in fields if len(one) > 2]


def _unescaped(word: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, letter)
    return word


def file_system_check(directory: str, mounts: list[tuple[str, str]]) -> Check:
    """Whether SQLite's locks hold on the file system that a directory lies on."""
    real = os.path.realpath(directory)
    above = [(where, kind) for where, kind in mounts if _contains(where, real)]
    if not above:
        return Check("file system", "ok", "of a kind that cannot be told here; it must not be a network's")
    # Of two mounted at one place the later one is in force.
    where, kind = max(enumerate(above), key=lambda each: (len(each[1][0]), each[0]))[1]
    if kind.startswith(_NETWORK):
        return Check(
            "file system",
            "problem",
            f"{where} is a network file system ({kind}): locks do not hold there, so budgets may overrun.",
            "Name a file on a disk of this machine: ALLOWANCE_STORE=sqlite:////var/lib/app/allowance.db.",
        )
    if kind.startswith(_UNKNOWN):
        return Check(
            "file system",
            "note",
            f"{where} is {kind}, which may or may not carry locks and syncs to a disk.",
            "If other machines share it, name a file on a disk of this machine.",
        )
    return Check("file system", "ok", f"{kind} at {where}")


def _contains(where: str, path: str) -> bool:
    return path == where or path.startswith(where.rstrip("/") + "/")
