"""Tables, bars and progress: aligned, fitted, in pages."""

from __future__ import annotations

import io
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from allowance.cli.output import Console
from tests.cli.terminal import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("COLUMNS", "40")
    made = Console(printed, io.StringIO())
    made.unicode = True
    return made


def test_amounts_stand_with_their_points_below_one_another(console: Console, printed: io.StringIO) -> None:
    console.table(["who", "spent", "n"], [["a", "$1.00", "1"], ["b", "$12.345", "10"], ["c", "-", ""]], "l.r")
    assert printed.getvalue().splitlines() == [
        "who    spent   n",
        "a     $1.00    1",
        "b    $12.345  10",
        "c          -",
    ]


def test_texts_are_cut_and_numbers_never(console: Console, printed: io.StringIO) -> None:
    console.table(["who", "model", "spent"], [["w" * 30, "m" * 30, "$1,234.123456789"]], "ll.")
    _, line = printed.getvalue().splitlines()
    assert columns_of(line) == 40
    assert "$1,234.123456789" in line
    assert line.count("…") == 2


def test_of_two_texts_the_longer_one_gives_way(console: Console, printed: io.StringIO) -> None:
    console.table(["who", "model"], [["w" * 60, "m" * 12]], "ll")
    assert "m" * 12 in printed.getvalue()


def test_bars_give_way_to_names_but_for_the_figure(console: Console, printed: io.StringIO) -> None:
    console.table(["who", "used", "n"], [["w" * 30, "██████████  50%", "1" * 12]], "lbr")
    line = printed.getvalue().splitlines()[1]
    assert " 50%" in line
    assert "█" not in line
    assert columns_of(line) <= 40


def test_what_cannot_fit_is_printed_as_fields(console: Console, printed: io.StringIO) -> None:
    console.table(["id", "spent"], [["1" * 33, "$1.00"], ["2" * 33, "$22.00"]], "ir")
    assert printed.getvalue().splitlines() == [
        "id     " + "1" * 33,
        "spent  $1.00",
        "",
        "id     " + "2" * 33,
        "spent  $22.00",
        "",
    ]


def test_fields_are_indented_as_their_table_is_and_ids_never_cut(
    console: Console, printed: io.StringIO
) -> None:
    console.table(("  id", "amount"), [("  " + "7" * 40, "$1.00")], "i.")
    assert printed.getvalue().splitlines() == ["  id      " + "7" * 40, "  amount  $1.00", ""]


def test_rows_are_taken_in_pages(console: Console, printed: io.StringIO) -> None:
    taken = itertools.count()

    def rows() -> Iterator[list[str]]:
        for _ in range(1200):
            number = next(taken)
            if number == 600:
                assert printed.getvalue().count("\n") == 501  # the first page is out
            yield [str(number), "$1.00"]

    assert console.table(["n", "spent"], rows(), "l.") == 1200
    assert printed.getvalue().count("n ") == 1
    assert len(printed.getvalue().splitlines()) == 1201


def test_an_empty_table_prints_nothing(console: Console, printed: io.StringIO) -> None:
    assert console.table(["n"], [], "l") == 0
    assert printed.getvalue() == ""


def test_bars(console: Console) -> None:
    assert console.bar(0).text == "░" * 10
    assert console.bar(0.001).text == "█" + "░" * 9  # something was spent
    assert console.bar(0.5, held=0.2).text == "█████▒▒░░░"
    assert console.bar(7.5).text == "█" * 10
    assert console.bar(-1).text == "░" * 10
    assert [console.bar(part).styles[0] for part in (0.5, 0.8, 1.0)] == ["green", "yellow", "red"]
    console.unicode = False
    assert console.bar(0.5, 4, held=0.25).text == "##=."


def test_long_values_of_fields_go_on_below_themselves(console: Console, printed: io.StringIO) -> None:
    console.fields([("name", "word " * 12), ("n", "1")])
    lines = printed.getvalue().splitlines()
    assert lines[-1] == "  n     1"
    assert all(line.startswith(" " * 8) for line in lines[1:-1])
    assert max(map(len, lines)) <= 40


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_after_a_second_and_wiped(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    screen = _Screen()
    console = Console(printed, screen)
    with console.progress(200, "Importing") as progress:
        progress(1)
        assert screen.getvalue() == ""
        clock[0] += 2
        progress(50)
        assert "50 of 200" in screen.getvalue()
        assert "6 s left" in screen.getvalue()
        drawn = len(screen.getvalue())
        progress.advance()
        assert len(screen.getvalue()) == drawn  # not again at once
        clock[0] += 1
        progress(7, 14)
        assert "7 of 14" in screen.getvalue()
        clock[0] += 1
        progress(14)
        assert screen.getvalue().endswith("14 of 14\x1b[K")
    assert screen.getvalue().endswith("\r\x1b[K")
    assert printed.getvalue() == ""


def test_the_pace_is_reckoned_from_the_first_that_is_done(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    screen = _Screen()
    with Console(printed, screen).progress(300, "Importing") as progress:
        clock[0] += 60  # the file is read
        progress(100)
        assert screen.getvalue().endswith("100 of 300\x1b[K")
        clock[0] += 2
        progress(200)
        assert screen.getvalue().endswith("200 of 300, 2 s left\x1b[K")


def test_no_progress_where_nobody_watches(printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    errors = io.StringIO()
    with Console(printed, errors).progress(None, "Counting") as progress:
        clock[0] += 5
        progress(9)
    assert errors.getvalue() == ""
