"""Amounts, times and names as they are shown and typed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from allowance.cli.exits import BadInput
from allowance.cli.inputs import read_amount, read_limit, read_moment
from allowance.cli.words import (
    about_usd,
    budget_name,
    clean,
    cut,
    moment,
    name_in_copies,
    option,
    pad,
    span,
    to_copy,
    usd,
    width_of,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (-5, "now"),
        (1, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (3660, "1 h 1 min"),
        (86_400, "1 d"),
        (3 * 86_400 + 4 * 3600 + 59 * 60, "3 d 4 h"),
        (400 * 86_400, "400 d"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words
    assert span(timedelta(seconds=seconds)) == words


def test_a_moment_has_an_offset() -> None:
    when = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    shown = moment(when)
    assert datetime.strptime(shown, "%Y-%m-%d %H:%M %z") == when
    assert moment(when + timedelta(seconds=7)).count(":") == 3
    assert moment(None) == "never"


@pytest.mark.parametrize(
    ("amount", "exact", "about"),
    [
        ("5", "$5.00", "$5.00"),
        ("0.404674068", "$0.404674068", "$0.4047"),
        ("0.00000123", "$0.00000123", "$0.00000123"),
        ("12345.678", "$12,345.678", "$12,345.678"),
        ("-0.25", "-$0.25", "-$0.25"),
        ("0", "$0.00", "$0.00"),
    ],
)
def test_amounts(amount: str, exact: str, about: str) -> None:
    assert usd(Decimal(amount)) == exact
    assert about_usd(Decimal(amount)) == about
    assert usd(None) == about_usd(None) == "no limit"


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("5", "5"),
        ("$5", "5"),
        (" 5.50 ", "5.5"),
        ("1,000", "1000"),
        ("$1,234,567.89", "1234567.89"),
        ("1_000", "1000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e-6", "0.000001"),
        ("1000000000", "1000000000"),
    ],
)
def test_amounts_that_are_read(typed: str, amount: str) -> None:
    assert read_amount(typed) == Decimal(amount)


NO_AMOUNTS = ("", "five", "5,5", "5,50", "1,00,000", "NaN", "inf", "-1", "-$1", "$-1", "5 EUR", "1e99")
ALMOST_AMOUNTS = ("\u0665", "0x10", "5..0", "1000000000.01", "5$")


@pytest.mark.parametrize("typed", [*NO_AMOUNTS, *ALMOST_AMOUNTS])
def test_amounts_that_are_not(typed: str) -> None:
    with pytest.raises(BadInput):
        read_amount(typed)


def test_a_limit_may_be_none() -> None:
    assert read_limit("none") is read_limit(" None ") is None
    assert read_limit("0") == 0


def test_moments_that_are_read() -> None:
    now = datetime.now(UTC)
    assert read_moment("2026-12-01T09:30:00+01:00", "it") == datetime(2026, 12, 1, 8, 30, tzinfo=UTC)
    assert read_moment("2026-12-01T09:30Z", "it") == datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    local = read_moment("2026-12-01", "it")
    assert local == datetime(2026, 12, 1).astimezone()  # midnight here
    assert timedelta(days=6) < read_moment("7d", "it") - now < timedelta(days=8)
    assert timedelta(hours=11) < now - read_moment("12h", "it", past=True) < timedelta(hours=13)


@pytest.mark.parametrize(
    "typed", ["", "tomorrow", "2027-02-30", "7 days", "-7d", "12", "99999999w", "1/2/2026"]
)
def test_moments_that_are_not(typed: str) -> None:
    with pytest.raises(BadInput, match="For example"):
        read_moment(typed, "it")


def test_an_hour_that_the_clock_leaves_out_is_the_one_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert read_moment("2027-03-28T02:30", "it") == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
        assert read_moment("2027-10-31T02:30", "it") == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_acts_on_a_terminal_is_written_out() -> None:
    assert clean("plain, größer, 日本語") == "plain, größer, 日本語"
    assert clean("\x1b[31m\x07\x9b\r\n\t\0") == "\\x1b[31m\\x07\\x9b\\r\\n\\t\\x00"
    assert clean("a\u202eb\u200bc\u2028d\ud800") == "a\\u202eb\\u200bc\\u2028d\\ud800"


def test_widths() -> None:
    assert width_of("abc") == 3
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 4) == "abc…"
    assert cut("日本語", 4) == "日…"
    assert cut("abcdef", 5, "...") == "ab..."
    assert pad("日", 4) == "日  "
    assert pad("日", 4, right=True) == "  日"


def test_names_and_commands_to_copy() -> None:
    name_in_copies(store=None, project=None)  # what a test before named
    assert budget_name("user", "alice") == "alice"
    assert budget_name("team", "red", "month") == "team red [month]"
    assert (
        to_copy("add", "a b", "2", options=("--label", "gpt-4o*"))
        == "allowance add 'a b' 2 --label 'gpt-4o*'"
    )
    assert to_copy("add", "-b", "2", options=option("label", "-x")) == "allowance add --label=-x -- -b 2"
