"""Amounts, times and names as the page shows them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.ledger.times import to_datetime
from allowance.money import NANOS_PER_USD, format_usd

if TYPE_CHECKING:
    from allowance.ledger.records import Account, AccountKey

__all__ = ["Bar", "about", "bar_of", "clean", "exact", "iso", "long_from", "moment", "title_of"]

_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS: Final = "\u200c\u200d"  # they make one emoji, or one letter, of several
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_CENT: Final = NANOS_PER_USD // 100
_LEAST: Final = NANOS_PER_USD // 1_000_000


def exact(nanos: int | None, none: str = "no limit") -> str:
    """``"$0.0125"``, to the last nano-dollar."""
    return none if nanos is None else format_usd(nanos)


def about(nanos: int | None, none: str = "no limit") -> str:
    """``"$1,234.57"``, ``"$0.0124"``, ``"$0.000026"``: as one reads it; `exact` has every digit."""
    if nanos is None:
        return none
    whole = abs(nanos)
    if 0 < whole < _LEAST:
        return f"{'-' if nanos < 0 else ''}<{format_usd(_LEAST)}"
    step = _CENT if whole >= NANOS_PER_USD else _CENT // 100
    if whole < _CENT:
        step = 10 ** max(0, len(str(whole)) - 2)
    rounded = (whole + step // 2) // step * step
    return format_usd(-rounded if nanos < 0 else rounded)


def iso(micros: int) -> str:
    """``"2026-12-01T00:00:00Z"``: for machines."""
    return f"{to_datetime(micros):%Y-%m-%dT%H:%M:%SZ}"


def moment(micros: int) -> str:
    """``"2026-12-01 00:00"``, in UTC."""
    return f"{to_datetime(micros):%Y-%m-%d %H:%M}"


def long_from(micros: int) -> str:
    """``"3 d 4 h"``: a length of time in its two largest units."""
    seconds = abs(micros) // 1_000_000
    for (unit, size), (lesser, lesser_size) in pairwise(_UNITS):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            return f"{count:,} {unit}" + (f" {rest // lesser_size} {lesser}" if rest >= lesser_size else "")
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """The text with what would hide in it, or turn it around, written out: ``"\\u202e"``.

    It is still to be escaped for HTML, as the templates do with everything.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN and character not in _JOINERS
        else character
        for character in text
    )


def title_of(key: AccountKey) -> str:
    """``"alice"``, ``"alice [month]"``, ``"team red"``: a budget in words, not escaped."""
    name = key.name if key.kind == "user" else f"{key.kind} {key.name}"
    return clean(f"{name} [{key.label}]" if key.label else name)


class Bar(NamedTuple):
    """How full a budget is. ``spent`` and ``held`` are percents of the bar's length, 100 at most together."""

    spent: float
    held: float
    percent: int
    state: str


def bar_of(account: Account) -> Bar | None:
    """The bar of a budget; None where nothing is limited."""
    limit = account.limit
    if limit is None:
        return None
    used = account.spent + account.held
    if limit <= 0:
        return Bar(100.0, 0.0, 100, "full")
    spent = max(0.0, min(100.0, 100 * account.spent / limit))
    held = max(0.0, min(100.0 - spent, 100 * account.held / limit))
    percent = 100 * used // limit
    state = "full" if percent >= 100 else "near" if percent >= 80 else "fine"
    return Bar(round(spent, 2), round(held, 2), min(percent, 9_999), state)
