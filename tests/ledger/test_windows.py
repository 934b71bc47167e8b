"""Windows: known dates, and a slow model that steps through them one by one."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from datetime import date as calendar_date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allowance.errors import ConfigurationError
from allowance.ledger.records import Terms
from allowance.ledger.windows import Period, parse_duration, parse_zone, window_at

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def utc(*parts: int) -> int:
    return micros(datetime(*parts, tzinfo=UTC))


def window(created: int, now: int, duration: str | None, **terms: str) -> tuple[int, int | None]:
    return window_at(Terms(1, duration, **terms), created, now)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        (None, None),
        ("forever", None),
        ("daily", Period(days=1)),
        ("weekly", Period(days=7)),
        ("monthly", Period(months=1)),
        ("yearly", Period(months=12)),
        ("30s", Period(micros=30_000_000)),
        ("5m", Period(micros=300_000_000)),
        ("12h", Period(micros=43_200_000_000)),
        ("7d", Period(days=7)),
        ("2w", Period(days=14)),
        ("1mo", Period(months=1)),
        ("1y", Period(months=12)),
        ("1000y", Period(months=12_000)),
    ],
)
def test_durations(text: str | None, period: Period | None) -> None:
    assert parse_duration(text) == period


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10dogs",
        "0d",
        "-1d",
        "1.5h",
        "1 d",
        "d",
        "01d",
        "1D",
        "Daily",
        "1001y",
        "9" * 30 + "s",
        "٣d",
        5,
        "1d\n",
    ],
)
def test_durations_that_are_not_known_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"duration"):
        parse_duration(text)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "utc\0", "\ud800"])
def test_time_zones_that_are_not_known_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        parse_zone(name)


def test_months_are_counted_from_the_anchor() -> None:
    created = utc(2026, 1, 31, 9, 30)
    starts = [window(created, utc(2026, month, 1), "monthly")[1] for month in range(2, 8)]
    days = [(2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31)]
    assert starts == [utc(2026, month, day, 9, 30) for month, day in days]


def test_years_are_counted_from_a_leap_day() -> None:
    created = utc(2024, 2, 29)
    assert window(created, utc(2026, 1, 1), "yearly") == (utc(2025, 2, 28), utc(2026, 2, 28))
    assert window(created, utc(2028, 3, 1), "1y") == (utc(2028, 2, 29), utc(2029, 2, 28))


def test_windows_are_half_open() -> None:
    created = utc(2026, 3, 1)
    end = created + 30_000_000
    assert window(created, end - 1, "30s") == (created, end)
    assert window(created, end, "30s") == (end, end + 30_000_000)
    assert window(created, created, None) == (created, None)


def test_calendar_windows() -> None:
    created = utc(2026, 3, 18, 15, 45)  # a Wednesday
    terms = {"align": "calendar"}
    assert window(created, created, "daily", **terms) == (utc(2026, 3, 18), utc(2026, 3, 19))
    assert window(created, created, "weekly", **terms) == (utc(2026, 3, 16), utc(2026, 3, 23))
    assert window(created, created, "2w", **terms) == (utc(2026, 3, 16), utc(2026, 3, 30))
    assert window(created, created, "monthly", **terms) == (utc(2026, 3, 1), utc(2026, 4, 1))
    assert window(created, created, "yearly", **terms) == (utc(2026, 1, 1), utc(2027, 1, 1))
    assert window(created, created, "12h", **terms) == (utc(2026, 3, 18, 12), utc(2026, 3, 19))


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)], ids=str
)
def test_days_keep_local_midnight_through_summer_time(day: tuple[int, int, int], hours: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = micros(datetime(*day, tzinfo=berlin))
    created = utc(2026, 1, 1)
    found = window(created, start, "daily", align="calendar", timezone="Europe/Berlin")
    assert found == (start, start + hours * 3_600_000_000)
    assert window(created, start - 1, "daily", align="calendar", timezone="Europe/Berlin")[1] == start


def test_a_day_that_the_zone_left_out() -> None:
    # Samoa went from 29 to 31 December 2011.
    apia = ZoneInfo("Pacific/Apia")
    created = micros(datetime(2011, 12, 28, 8, tzinfo=apia))
    last = micros(datetime(2011, 12, 29, 20, tzinfo=apia))
    start, end = window(created, last, "daily", align="calendar", timezone="Pacific/Apia")
    assert (start, end) == (
        micros(datetime(2011, 12, 29, tzinfo=apia)),
        micros(datetime(2011, 12, 31, tzinfo=apia)),
    )


def test_the_bounds_of_the_calendar() -> None:
    end_of_time = utc(9999, 12, 30)
    start, end = window(0, end_of_time, "1000y")
    assert start <= end_of_time
    assert end is None
    assert window(0, end_of_time, "30s")[0] <= end_of_time
    for created, now in ((-1, 5), (5, -1), (0, end_of_time + 1)):
        with pytest.raises(ConfigurationError, match="9999"):
            window(created, now, "daily")


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


def slow_windows(terms: Terms, created: int, now: int) -> tuple[int, int]:
    """Step from window to window on the wall clock, the way one would on a paper calendar."""
    period = parse_duration(terms.duration)
    assert period is not None
    zone = parse_zone(terms.timezone)
    local = (EPOCH + timedelta(microseconds=created)).astimezone(zone)
    first = created
    if terms.align == "calendar":
        local = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if period.months:
            local = local.replace(day=1)
        if period.months and period.months % 12 == 0:
            local = local.replace(month=1)
        while period.days and period.days % 7 == 0 and local.weekday():
            local = (local.replace(tzinfo=None) - timedelta(days=1)).replace(tzinfo=zone)
        first = micros(local)
    year, month, day = local.year, local.month, local.day
    clock = local.time()
    start, steps = first, 0
    while True:
        steps += 1
        if period.micros:
            end = first + steps * period.micros
        elif period.days:
            date = local.date() + timedelta(days=steps * period.days)
            end = micros(datetime.combine(date, clock.replace(fold=0), zone))
        else:
            for _ in range(period.months):
                year, month = (year + 1, 1) if month == 12 else (year, month + 1)
            last = monthrange(year, month)[1]
            date = calendar_date(year, month, min(day, last))
            end = micros(datetime.combine(date, clock.replace(fold=0), zone))
        if end > now:
            return start, end
        start = end


@settings(max_examples=300, deadline=None)
@given(
    created=st.integers(utc(1990, 1, 1), utc(2030, 1, 1)),
    duration=st.sampled_from(["daily", "weekly", "monthly", "yearly", "3d", "2w", "5mo", "7h", "90m"]),
    align=st.sampled_from(["created", "calendar"]),
    zone=st.sampled_from(ZONES),
    later=st.floats(0, 400),
)
def test_windows_agree_with_stepping_through_them(
    created: int, duration: str, align: str, zone: str, later: float
) -> None:
    period = parse_duration(duration)
    assert period is not None
    length = period.micros + (period.days + 30 * period.months) * 86_400_000_000
    now = created + int(later * length)
    terms = Terms(1, duration, align, zone)  # type: ignore[arg-type]  # drawn from its values
    start, end = window_at(terms, created, now)
    assert (start, end) == slow_windows(terms, created, now)
    assert end is not None
    assert start <= now < end
    assert window_at(terms, created, end)[0] == end
