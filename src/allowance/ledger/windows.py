"""When windows begin and end: durations, calendar months, time zones.

Times are whole microseconds since 1970-01-01 UTC. A window is half-open: its start belongs to it, its
end to the next one.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from allowance.errors import ConfigurationError
from allowance.ledger.times import micros_of, to_datetime

if TYPE_CHECKING:
    from allowance.ledger.records import Alignment, Terms

__all__ = ["FOREVER", "LAST", "Period", "parse_duration", "parse_zone", "window_at"]

FOREVER: Final = "forever"
"""Says in words what a duration of None says, where None means "not given": in a `Declaration`."""

SECOND: Final = 1_000_000
LAST: Final = micros_of(datetime(9999, 12, 30, tzinfo=UTC))
"""The latest time that the ledger knows."""
_MAX_MONTHS: Final = 12 * 1000
_MAX_DAYS: Final = 365 * 1000


class Period(NamedTuple):
    """How long a window lasts: so many microseconds, days or calendar months; one of them is not 0."""

    micros: int = 0
    days: int = 0
    months: int = 0


_WORDS: Final = {
    "daily": Period(days=1),
    "weekly": Period(days=7),
    "monthly": Period(months=1),
    "yearly": Period(months=12),
}
_UNITS: Final = {
    "s": Period(micros=SECOND),
    "m": Period(micros=60 * SECOND),
    "h": Period(micros=3600 * SECOND),
    "d": Period(days=1),
    "w": Period(days=7),
    "mo": Period(months=1),
    "y": Period(months=12),
}
_FORM: Final = re.compile(r"([1-9][0-9]{0,11})(s|mo|m|h|d|w|y)", re.ASCII)


def parse_duration(duration: str | None) -> Period | None:
    """Read a duration; None and ``"forever"`` give None: one window that never ends.

    Raises:
        ConfigurationError: for a form that is not known, for zero, and for more than 1000 years.
    """
    if duration is None or duration == FOREVER:
        return None
    if not isinstance(duration, str):
        raise _unknown_duration(duration)  # before the cache, which may not be able to hash it
    return _parse(duration)


@lru_cache(maxsize=256)
def _parse(duration: str) -> Period:
    if duration in _WORDS:
        return _WORDS[duration]
    match = _FORM.fullmatch(duration)
    if match is None:
        raise _unknown_duration(duration)
    count, unit = int(match[1]), _UNITS[match[2]]
    period = Period(count * unit.micros, count * unit.days, count * unit.months)
    days = period.micros // (86_400 * SECOND) + period.days
    if period.months > _MAX_MONTHS or days > _MAX_DAYS:
        raise ConfigurationError(
            f"The duration {duration!r} is longer than 1000 years; None means a budget for good."
        )
    return period


def _unknown_duration(duration: object) -> ConfigurationError:
    return ConfigurationError(
        f"{str(duration)[:60]!r} is no duration. Use None (for good), 'daily', 'weekly', 'monthly', "
        "'yearly', or a whole number with a unit: '30s', '5m', '12h', '7d', '2w', '1mo', '1y'."
    )


def parse_zone(name: str) -> tzinfo:
    """The time zone of an IANA name, such as ``"Europe/Berlin"``.

    Raises:
        ConfigurationError: for a name that this machine's time zone data does not have.
    """
    if name == "UTC":
        return UTC  # works where no time zone data is installed at all
    try:
        zone = _zone(name)
    except TypeError:  # it is no text, and may not even be hashable
        zone = None
    if zone is None:
        raise ConfigurationError(
            f"{str(name)[:60]!r} is no time zone known here. Use an IANA name such as 'UTC' or "
            "'Europe/Berlin'; where the system has no time zone data, install the package tzdata."
        )
    return zone


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def window_at(terms: Terms, created_at: int, now: int) -> tuple[int, int | None]:
    """The start and end of the window that ``now`` falls into; the end is None where there is none.

    Windows repeat from ``created_at``; with ``align="calendar"`` from the start of its day, or for weeks
    of its Monday, for months of its first, for years of 1 January. Days, weeks, months and years are
    counted on the clocks of ``terms.timezone``, so they may last an hour more or less; seconds, minutes
    and hours are always of the same length. A month without the anchor's day ends on its last one.

    Raises:
        ConfigurationError: for a duration or a time zone that is not known, and for times before 1970
            or after 9999.
    """
    if not (0 <= created_at <= LAST and 0 <= now <= LAST):
        raise ConfigurationError(
            f"The times {created_at} and {now} (in microseconds) are not both between the years 1970 and "
            "9999: set the clock of the store's machine."
        )
    period = parse_duration(terms.duration)
    if period is None:
        return created_at, None
    zone = parse_zone(terms.timezone)
    anchor = _local(created_at, zone)
    if terms.align == "calendar":
        anchor = _calendar_start(anchor, period)
    return _around(_Windows(anchor, period, zone, terms.align, created_at), now)


class _Windows(NamedTuple):
    """The windows of one budget, numbered from its anchor."""

    anchor: datetime
    period: Period
    zone: tzinfo
    align: Alignment
    created_at: int

    def first(self) -> int:
        return self.created_at if self.align == "created" else micros_of(self.anchor)

    def start(self, index: int) -> int | None:
        """Where window ``index`` starts, or None past the end of the calendar."""
        period = self.period
        if index == 0:
            return self.first()  # the anchor's local time may be ambiguous, its instant is not
        try:
            if period.micros:
                start = self.first() + index * period.micros
                return start if start <= LAST else None
            if period.days:
                # Naive, so that the days are added on the wall clock; then back to an instant.
                wall = self.anchor.replace(tzinfo=None) + timedelta(days=index * period.days)
                return micros_of(wall.replace(tzinfo=self.zone, fold=0))
            return micros_of(_add_months(self.anchor, index * period.months))
        except (OverflowError, ValueError):
            return None

    def near(self, now: int) -> int:
        """The index of the window of ``now``, or of one beside it."""
        period = self.period
        if period.micros:
            return (now - self.first()) // period.micros
        local = _local(now, self.zone)
        if period.days:
            return (local.date() - self.anchor.date()).days // period.days
        months = (local.year - self.anchor.year) * 12 + local.month - self.anchor.month
        return months // period.months


def _around(windows: _Windows, now: int) -> tuple[int, int | None]:
    index = windows.near(now)
    while (start := windows.start(index)) is None or start > now:
        index -= 1
    while (end := windows.start(index + 1)) is not None and end <= now:
        index, start = index + 1, end
    return start, end


def _calendar_start(local: datetime, period: Period) -> datetime:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period.months:
        return day.replace(day=1) if period.months % 12 else day.replace(month=1, day=1)
    if period.days and period.days % 7 == 0:
        monday = day.replace(tzinfo=None) - timedelta(days=day.weekday())
        return monday.replace(tzinfo=day.tzinfo)
    return day


def _add_months(anchor: datetime, months: int) -> datetime:
    years, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, monthrange(years, month + 1)[1])
    return anchor.replace(year=years, month=month + 1, day=day, fold=0)


def _local(at: int, zone: tzinfo) -> datetime:
    return to_datetime(at).astimezone(zone)
