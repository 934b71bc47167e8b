"""Amounts, times and names as people read them in a terminal."""

from __future__ import annotations

import re
import shlex
import unicodedata
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from allowance.money import format_usd, nanos_up

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

__all__ = [
    "about_usd",
    "budget_name",
    "clean",
    "counted",
    "cut",
    "moment",
    "name_in_copies",
    "option",
    "pad",
    "span",
    "to_copy",
    "until",
    "usd",
    "width_of",
]

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_named: ContextVar[tuple[str, ...]] = ContextVar("named", default=())
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def usd(amount: Decimal | None, *, none: str = "no limit") -> str:
    """``"$0.0125"``, exactly; ``none`` where there is no amount."""
    return none if amount is None else format_usd(nanos_up(amount))


def about_usd(amount: Decimal | None, *, none: str = "no limit") -> str:
    """The amount to a hundredth of a cent, for overviews; what would be nothing then is exact."""
    if amount is None:
        return none
    nanos = nanos_up(amount)
    rounded = (nanos + 50_000) // 100_000 * 100_000
    return format_usd(rounded or nanos)


def to_copy(command: str, *names: str, options: Sequence[str] = ()) -> str:
    """A command as it can be pasted into a shell: ``allowance add 'a b' 2``.

    It goes to the store and the project that were named for the present one (`name_in_copies`).
    """
    options = (*options, *_named.get())
    dashed = any(name.startswith("-") for name in names)
    return shlex.join(["allowance", command, *((*options, "--", *names) if dashed else (*names, *options))])


def name_in_copies(*, store: str | None, project: str | None) -> None:
    """From now on, name the store and the project that were given in all commands to copy.

    A password in the store's URL is left out: PGPASSWORD or ~/.pgpass has it.
    """
    if store is not None:
        store = re.sub(r"(?<=://)([^/?#]*?):[^/?#]*@", r"\1@", store)
    _named.set((*option("store", store), *option("project", project)))


def option(name: str, value: str | None) -> tuple[str, ...]:
    """``--kind team`` for a command to copy; nothing where there is no value."""
    if not value:
        return ()
    return (f"--{name}={value}",) if value.startswith("-") else (f"--{name}", value)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``"1 budget"``, ``"1,200 budgets"``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def span(length: timedelta | float) -> str:
    """``"3 d 4 h"``: a time (a float is seconds) in its two largest units."""
    seconds = round(length.total_seconds() if isinstance(length, timedelta) else length)
    if seconds < 1:
        return "now"
    for place, (unit, size) in enumerate(_UNITS):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            words = f"{count:,} {unit}"
            if place + 1 < len(_UNITS):
                lesser, lesser_size = _UNITS[place + 1]
                words += f" {rest // lesser_size} {lesser}" if rest >= lesser_size else ""
            return words
    raise AssertionError(seconds)  # one second is the least unit


def until(when: datetime | None, now: datetime | None = None) -> str:
    """How long it is until a time: ``"3 d 4 h"``; ``"never"`` for None."""
    return "never" if when is None else span(when - (now or datetime.now(UTC)))


def moment(when: datetime | None) -> str:
    """``"2026-12-01 00:00 +01:00"``: a time in this machine's zone, with its offset."""
    if when is None:
        return "never"
    local = when.astimezone()
    seconds = f":{local:%S}" if local.second else ""
    offset = f"{local:%z}"
    return f"{local:%Y-%m-%d %H:%M}{seconds} {offset[:3]}:{offset[3:5]}"


def budget_name(kind: str, user: str, label: str = "") -> str:
    """``"alice"``, ``"alice [month]"`` for one with a label, ``"team red"`` for what is no user."""
    name = user if kind == "user" else f"{kind} {user}"
    return f"{name} [{label}]" if label else name


@lru_cache(maxsize=4096)  # tables show the same bars and figures again and again
def clean(text: str) -> str:
    """The text with what would act on a terminal, or hide in it, written out: ``"\\x1b"``, ``"\\u202e"``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


@lru_cache(maxsize=4096)
def width_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, width: int, sign: str = "…") -> str:
    """The text, or as much of it as fits with the sign that something is missing."""
    if width_of(text) <= width:
        return text
    kept, used = "", width_of(sign)
    for character in text:
        used += width_of(character)
        if used > width:
            break
        kept += character
    return kept + sign if width >= width_of(sign) else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text with blanks after it, or with ``right`` before it, to a width."""
    blanks = " " * max(0, width - width_of(text))
    return blanks + text if right else text + blanks
