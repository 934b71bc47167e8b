"""`Variant`: rates that replace a price's own in some situation, and when that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import ConfigurationError
from allowance.prices.rates import Rates, read_rates

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Situation", "Variant", "read_variant"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(
    r"(?:(?P<first>mon|tue|wed|thu|fri|sat|sun)(?:-(?P<last>mon|tue|wed|thu|fri|sat|sun))? )?"
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)"
)
_MINUTES_A_DAY: Final = 24 * 60


class Situation(Rates, total=False):
    """How a variant is written: rates, and the situation in which they replace the price's own.

    All the conditions that are given must hold. A service tier other than standard: ``tier``. More than
    so many input tokens, cached ones included, for the whole request: ``above``. The size and quality of
    pictures made: ``size``, ``quality``. Times of the day in UTC, such as ``"16:30-24:00"`` or
    ``"mon-fri 00:00-00:30"``: ``hours``. Dates in UTC, the last one exclusive: ``valid_from``,
    ``valid_until``.
    """

    tier: str
    above: int
    size: str
    quality: str
    hours: Sequence[str]
    valid_from: str | date
    valid_until: str | date


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant as it was read. ``hours`` are pairs of minutes since Monday, 00:00 UTC."""

    rates: Mapping[str, Decimal]
    tier: str | None = None
    above: int = 0
    size: str | None = None
    quality: str | None = None
    hours: tuple[tuple[int, int], ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None

    @property
    def timed(self) -> bool:
        """Whether it holds at some times only."""
        return bool(self.hours or self.valid_from or self.valid_until)

    def holds(self, at: datetime) -> bool:
        """Whether it holds at that instant; a naive one is taken for UTC."""
        utc = at.astimezone(UTC) if at.tzinfo else at
        if self.valid_from is not None and utc.date() < self.valid_from:
            return False
        if self.valid_until is not None and utc.date() >= self.valid_until:
            return False
        minute = utc.weekday() * _MINUTES_A_DAY + utc.hour * 60 + utc.minute
        return not self.hours or any(start <= minute < end for start, end in self.hours)

    @property
    def rank(self) -> tuple[bool, int, bool, bool, bool]:
        """The higher of two variants wins. A time of day replaces what else would apply, as a vendor's
        off-peak price does; a context tier comes before a service tier, and a dated price before none."""
        return (bool(self.hours), self.above, self.tier is not None, bool(self.size), self.timed)


def read_variant(given: object, what: str) -> Variant:
    """Read one `Situation`.

    Raises:
        ConfigurationError: for what `read_rates` refuses, for an unknown or malformed condition, and
            for a variant without rates or without a condition.
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{what} must be a mapping of rates and conditions, not {type(given).__name__}"
        )
    conditions = {name: given[name] for name in _READERS if given.get(name) is not None}
    rates = read_rates({name: value for name, value in given.items() if name not in _READERS}, what)
    if not conditions or not rates:
        raise ConfigurationError(f"{what} needs at least one rate and one condition of {', '.join(_READERS)}")
    read = {name: _READERS[name](value, f"{what}: {name}") for name, value in conditions.items()}
    return Variant(rates=rates, **read)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{what} must be a word, not {type(value).__name__}")
    return value.strip().lower()


def _tokens(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{what} must be a whole number of tokens from 1, not {str(value)[:40]}")
    return value


def _day(value: object, what: str) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ConfigurationError(f"{what} must be a date such as 2026-11-22, not {str(value)[:40]}") from None


def _hours(value: object, what: str) -> tuple[tuple[int, int], ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f'{what} must be a list of texts such as "mon-fri 16:30-24:00"')
    return tuple(pair for text in value for pair in _week_minutes(text, what))


def _week_minutes(text: object, what: str) -> list[tuple[int, int]]:
    match = _HOURS.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    start, end = (_minute(match["start"]), _minute(match["end"])) if match else (0, 0)
    if match is None or not 0 <= start < end <= _MINUTES_A_DAY:
        raise ConfigurationError(
            f'{what} must be like "16:30-24:00" or "mon-fri 00:00-00:30", in UTC, within one day, '
            f"not {str(text)[:40]!r}"
        )
    first = _DAYS.index(match["first"] or "mon")
    last = _DAYS.index(match["last"] or match["first"] or "sun")
    days = range(first, last + 1) if first <= last else (*range(first, 7), *range(last + 1))
    return [(day * _MINUTES_A_DAY + start, day * _MINUTES_A_DAY + end) for day in days]


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


_READERS: Final[dict[str, Any]] = {
    "tier": _text,
    "above": _tokens,
    "size": _text,
    "quality": _text,
    "hours": _hours,
    "valid_from": _day,
    "valid_until": _day,
}
