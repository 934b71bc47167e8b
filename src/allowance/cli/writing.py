"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from allowance.cli.exits import BadInput

__all__ = ["write_whole"]


def write_whole(path: str, text: str) -> Path:
    """Write a text file in place of what is there; whoever reads it sees the old one or the new one.

    Returns its absolute path; a link is followed, so that it goes on pointing where it did.

    Raises:
        BadInput: it cannot be written; nothing is changed then.
    """
    target = Path(os.path.realpath(os.path.expanduser(path)))
    if target.is_dir():
        raise BadInput(f"{path} is a directory: name a file in it.")
    draft = None
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as file:
            draft = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(target)
    except OSError as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise BadInput(f"{path} cannot be written: {error.strerror}. Name a file elsewhere.") from None
    return target


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask
