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
        ("90s", Period(micros=90_000_000)),
        ("90m", Period(micros=5_400_000_000)),
        ("36h", Period(micros=129_600_000_000)),
        ("30d", Period(days=30)),
        ("18mo", Period(months=18)),
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
        "30days",
        "1month",
        "1M",
        "1mo1d",
        "10",
        "month",
        "1ms",
        "0",
        " 1d",
        "1d ",
        "+1d",
        "1_0d",
        True,
        1.0,
        ["1d"],
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


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "utc\0", "\ud800", None, ["UTC"], "Europe"],
)
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


def test_leap_days_in_calendars() -> None:
    created = utc(2023, 5, 17, 12)
    terms = {"align": "calendar"}
    leap = utc(2024, 2, 29, 23)
    assert window(created, leap, "daily", **terms) == (utc(2024, 2, 29), utc(2024, 3, 1))
    assert window(created, leap, "monthly", **terms) == (utc(2024, 2, 1), utc(2024, 3, 1))
    assert window(created, leap, "weekly", **terms) == (utc(2024, 2, 26), utc(2024, 3, 4))
    # 2100 is divisible by four, and no leap year; 2000 was one.
    assert window(created, utc(2100, 2, 28, 5), "daily", **terms) == (utc(2100, 2, 28), utc(2100, 3, 1))
    assert window(utc(1996, 2, 29), utc(2000, 2, 29), "yearly") == (utc(2000, 2, 29), utc(2001, 2, 28))
    assert window(utc(2024, 2, 29), utc(2100, 2, 28), "yearly") == (utc(2100, 2, 28), utc(2101, 2, 28))


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
    ("zone", "day", "duration", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), "daily", 23),
        ("Europe/Berlin", (2026, 10, 25), "daily", 25),
        ("Europe/Berlin", (2026, 6, 1), "daily", 24),
        ("Europe/Berlin", (2026, 3, 23), "weekly", 7 * 24 - 1),
        ("Europe/Berlin", (2026, 10, 19), "weekly", 7 * 24 + 1),
        ("Europe/Berlin", (2026, 3, 1), "monthly", 31 * 24 - 1),
        ("Europe/Berlin", (2026, 10, 1), "monthly", 31 * 24 + 1),
        ("Europe/Berlin", (2026, 1, 1), "yearly", 365 * 24),
        ("America/New_York", (2026, 3, 8), "daily", 23),
        ("America/New_York", (2026, 11, 1), "daily", 25),
        ("America/Havana", (2026, 11, 1), "daily", 25),  # 0:00 to 1:00 comes twice: from the first
        ("Australia/Lord_Howe", (2026, 4, 5), "daily", 24.5),
        ("Australia/Lord_Howe", (2026, 10, 4), "daily", 23.5),
    ],
)
def test_windows_keep_local_midnight_through_summer_time(
    zone: str, day: tuple[int, int, int], duration: str, hours: float
) -> None:
    start = micros(datetime(*day, tzinfo=ZoneInfo(zone)))
    for created in (utc(2026, 1, 1, 12), utc(2019, 7, 1, 12), start, start + 1):
        found = window(created, start, duration, align="calendar", timezone=zone)
        assert found == (start, start + round(hours * 3_600_000_000))
        assert window(created, start - 1, duration, align="calendar", timezone=zone)[1] == start


def test_a_day_whose_midnight_the_zone_left_out_begins_with_the_change() -> None:
    # São Paulo went from 23:59:59 on 3 November 2018 to 1:00 on the fourth.
    change = utc(2018, 11, 4, 3)
    for at, expected in (
        (change - 1, (change - 24 * 3_600_000_000, change)),
        (change, (change, change + 23 * 3_600_000_000)),
    ):
        terms = {"align": "calendar", "timezone": "America/Sao_Paulo"}
        assert window(utc(2018, 10, 1), at, "daily", **terms) == expected


def test_windows_repeat_at_the_hour_of_their_making_through_summer_time() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    created = micros(datetime(2026, 3, 27, 2, 30, tzinfo=berlin))
    starts = [window(created, created, "daily", timezone="Europe/Berlin")[0]]
    for _ in range(3):
        end = window(created, starts[-1], "daily", timezone="Europe/Berlin")[1]
        assert end is not None
        starts.append(end)
    local = [(EPOCH + timedelta(microseconds=start)).astimezone(berlin) for start in starts]
    # 2:30 does not exist on the 29th: an hour later by the clock, and back to 2:30 on the next day.
    assert [(day.day, day.hour, day.minute) for day in local] == [
        (27, 2, 30),
        (28, 2, 30),
        (29, 3, 30),
        (30, 2, 30),
    ]


def test_windows_thousands_of_periods_behind() -> None:
    created = utc(2026, 1, 31, 9, 30)
    century = utc(2126, 1, 31, 9, 30)
    assert window(created, century - 1, "30s") == (century - 30_000_000, century)
    assert window(created, century, "daily") == (century, century + 86_400_000_000)
    assert window(created, century, "weekly")[0] == created + 5217 * 7 * 86_400_000_000
    assert window(created, utc(2526, 2, 28, 9, 30), "monthly") == (
        utc(2526, 2, 28, 9, 30),
        utc(2526, 3, 31, 9, 30),
    )
    assert window(created, utc(9026, 2, 1), "yearly")[0] == utc(9026, 1, 31, 9, 30)


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


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
]
SHORT = ["90s", "30m", "7h", "36h", "daily", "3d", "weekly", "2w", "5w"]
LONG = ["monthly", "5mo", "18mo", "yearly", "2y", "7y"]

# Any time, and those at which something is special: month ends, leap days, hours that are lost or doubled.
times = st.integers(utc(1990, 1, 1), utc(2030, 1, 1)) | st.builds(
    lambda day, hours, micros: utc(*day) + hours * 1_800_000_000 + micros,
    st.sampled_from(
        [
            (2024, 2, 29),
            (2000, 2, 29),
            (2023, 2, 28),
            (2026, 1, 31),
            (2025, 12, 31),
            (2026, 3, 29),
            (2026, 10, 25),
            (2026, 11, 1),
            (2018, 11, 4),
            (2011, 12, 29),
        ]
    ),
    st.integers(-30, 60),
    st.sampled_from([-1, 0, 1]),
)


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


@settings(max_examples=400, deadline=None)
@given(
    created=times,
    duration=st.sampled_from(SHORT + LONG),
    align=st.sampled_from(["created", "calendar"]),
    zone=st.sampled_from(ZONES),
    later=st.floats(0, 3) | st.floats(0, 300) | st.floats(1000, 3000),
)
def test_windows_agree_with_stepping_through_them(
    created: int, duration: str, align: str, zone: str, later: float
) -> None:
    period = parse_duration(duration)
    assert period is not None
    length = period.micros + (period.days + 30 * period.months) * 86_400_000_000
    now = min(created + int(later * length), utc(9990, 1, 1))
    terms = Terms(1, duration, align, zone)  # type: ignore[arg-type]  # drawn from its values
    start, end = window_at(terms, created, now)
    assert (start, end) == slow_windows(terms, created, now)
    assert end is not None
    assert start <= now < end
    # They leave no gap, and the first and the last moment lie in the same one.
    assert window_at(terms, created, start) == window_at(terms, created, end - 1) == (start, end)
    assert window_at(terms, created, end)[0] == end
    assert window_at(terms, created, start - 1)[1] == start


@settings(max_examples=300, deadline=None)
@given(
    created=times,
    duration=st.sampled_from(SHORT + LONG),
    align=st.sampled_from(["created", "calendar"]),
    zone=st.sampled_from(ZONES),
    earlier=st.integers(1, 20 * 365 * 86_400_000_000),
)
def test_windows_before_the_first_one_leave_no_gap_either(
    created: int, duration: str, align: str, zone: str, earlier: int
) -> None:
    terms = Terms(1, duration, align, zone)  # type: ignore[arg-type]  # drawn from its values
    now = max(created - earlier, utc(1985, 1, 1))
    start, end = window_at(terms, created, now)
    assert end is not None
    assert start <= now < end
    assert window_at(terms, created, end)[0] == end
    assert window_at(terms, created, start - 1)[1] == start
