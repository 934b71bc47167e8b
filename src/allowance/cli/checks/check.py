"""`Check`: one thing that was looked at, how it stands, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Check", "State"]

State: TypeAlias = Literal["ok", "note", "problem"]
"""All is well; worth knowing; or something will not work, or is not safe, until it is mended."""


class Check(NamedTuple):
    """One answer of the doctor's. ``remedy`` says what to do; it is empty where nothing needs doing."""

    name: str
    state: State
    text: str
    remedy: str = ""
