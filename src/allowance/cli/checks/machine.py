"""The machine: versions, what the package needs, the clock, time zones."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from allowance.cli.checks.check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["machine_checks"]

_OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables
_RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC)  # no clock that is right is before this
_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+)\s*>=\s*(?P<least>[\d.]+)\s*$")


def machine_checks() -> Iterator[Check]:
    """The checks of the machine, in the order in which they are shown."""
    yield Check("allowance", "ok", _allowance())
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield sqlite_check(sqlite3.sqlite_version_info)
    yield from _dependencies()
    yield clock_check(datetime.now(UTC))
    yield _time_zones()


def _allowance() -> str:
    try:
        return importlib.metadata.version("allowance")
    except importlib.metadata.PackageNotFoundError:
        return "run from its source, not installed"


def sqlite_check(version: tuple[int, ...]) -> Check:
    """Whether the file store works with this SQLite, and works well."""
    text = ".".join(map(str, version))
    if version < _OLDEST_SQLITE:
        return Check(
            "sqlite",
            "problem",
            f"{text}: the file store needs 3.37 or later.",
            "Use a newer Python (python.org's bring their own SQLite), or the store memory://.",
        )
    if _has_wal_reset_bug(version):
        return Check(
            "sqlite",
            "note",
            f"{text} may lose commits when two programs write to one file and move its log at once. The "
            "lock beside the file keeps allowance's own processes apart; other programs do not know it.",
            "Open the file with no other program (sqlite3, a browser of databases) while it is in use. "
            "SQLite 3.51.3, 3.50.7 and 3.44.6 have it mended.",
        )
    return Check("sqlite", "ok", text)


def _has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """From 3.7.0 to 3.51.2, but for the two branches that it was mended on."""
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version < (3, 51, 3)


def _dependencies() -> Iterator[Check]:
    try:
        required = importlib.metadata.requires("allowance") or []
    except importlib.metadata.PackageNotFoundError:
        required = ["wrapt", "tiktoken", "pydantic"]
    for line in required:
        if "extra ==" in line:
            continue
        match = _REQUIREMENT.match(line)
        yield _dependency(match["name"] if match else line, match["least"] if match else "0")


def _dependency(name: str, least: str) -> Check:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "problem", "is not installed.", f"pip install '{name}>={least}'")
    if _numbers(version) < _numbers(least):
        return Check(name, "problem", f"{version}; {least} is needed.", f"pip install '{name}>={least}'")
    return Check(name, "ok", version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def clock_check(now: datetime) -> Check:
    """Whether the clock can be right: it decides in which window a call counts."""
    shown = now.astimezone()
    if now < _RELEASED:
        return Check(
            "clock",
            "problem",
            f"{shown:%Y-%m-%d %H:%M:%S %z} is before this version of allowance was made.",
            "Set this machine's clock; windows and holds go by it.",
        )
    return Check("clock", "ok", f"{shown:%Y-%m-%d %H:%M:%S %z}")


def _time_zones() -> Check:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return Check(
            "time zones",
            "problem",
            "this machine has no time zone data: a budget with timezone= other than UTC is refused.",
            "pip install tzdata",
        )
    return Check("time zones", "ok", "found")
