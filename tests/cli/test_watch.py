"""``allowance watch``: a live view, drawn in place on a terminal, and one below the other in a pipe."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from allowance.stores.open import open_store
from tests.cli.conftest import LONG, OPEN, InProcess, key
from tests.cli.terminal import PROGRAM, Terminal, in_terminal, run

BEGIN, END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def test_in_a_pipe_views_follow_one_another_without_control_codes(busy: dict[str, str]) -> None:
    done = run("watch", "--count", "2", "--every", "0.1", env=busy)
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert done.out.count("9 budgets of project default") == 2
    first = done.out.split("\n\n")[1].splitlines()
    assert [line.split("  ")[0] for line in first[1:3]] == [
        "carol",
        LONG,
    ]


def test_as_json_each_view_is_a_line(busy: dict[str, str]) -> None:
    done = run("watch", "--json", "--count", "2", "--every", "0.1", env=busy)
    views = [json.loads(line) for line in done.lines]
    assert len(views) == 2
    assert len(views[0]["budgets"]) == 9
    assert views[0]["at"] < views[1]["at"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_given_back(number: signal.Signals, busy: dict[str, str]) -> None:
    terminal = Terminal("watch", "--every", "60", env=busy)
    printed = terminal.wait_for("\x1b[J")
    assert printed.startswith(BEGIN)
    terminal.interrupt(number)
    done = terminal.end()
    assert done.code == 0
    assert done.out.endswith(END)
    assert "Traceback" not in done.out


def test_it_is_drawn_anew_in_place_and_shows_what_changed(busy: dict[str, str]) -> None:
    terminal = Terminal("watch", "alice", "--every", "0.2", env=busy)
    terminal.wait_for(OPEN)
    store = open_store(busy["ALLOWANCE_STORE"])
    store.adjust(key("alice", "day"), 111_000_000, reason="a test")
    store.close()
    terminal.wait_for("$0.261")
    terminal.interrupt()
    done = terminal.end()
    assert done.out.count(BEGIN) == 1
    views = done.out.split("\x1b[H")
    changed = next(view for view in views if "$0.261" in view)
    assert "\x1b[1malice [day]" in changed
    assert "\x1b[1malice [gpt-4o*]" not in changed


def test_it_follows_the_size_of_the_terminal(busy: dict[str, str]) -> None:
    terminal = Terminal("watch", "--every", "60", env=busy, columns=80, lines=8)
    terminal.wait_for("more, which are used less")
    terminal.resize(120, 40)
    terminal.wait_for(lambda printed: "dave" in printed.rpartition("\x1b[H")[2])
    terminal.interrupt()
    done = terminal.end()
    views = done.text.split("budgets of project default")
    assert "dave" not in views[1]
    assert "and 6 more" in views[1]
    assert len(views[1].splitlines()) <= 8


def test_a_store_that_goes_away_is_said_and_looked_for_again(busy: dict[str, str]) -> None:
    terminal = Terminal("watch", "--every", "0.2", env=busy)
    terminal.wait_for("carol")
    path = Path(busy["ALLOWANCE_STORE"].removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    terminal.wait_for("No answer: ")
    path.with_suffix(".away").rename(path)
    terminal.wait_for(lambda printed: "carol" in printed.rpartition("No answer: ")[2])
    terminal.interrupt()
    assert terminal.end().code == 0


def test_an_unknown_user_is_said_before_the_screen_is_taken(busy: dict[str, str]) -> None:
    done = in_terminal("watch", "alcie", env=busy)
    assert done.code == 2
    assert "Did you mean alice?" in done.text
    assert BEGIN not in done.out


def test_without_colours_it_is_drawn_all_the_same(busy: dict[str, str]) -> None:
    done = in_terminal("watch", "--count", "1", "--no-color", env=busy)
    assert done.out.startswith(BEGIN)
    assert "\x1b[3" not in done.out


def test_a_terminal_that_cannot_be_redrawn_gets_views_below_one_another(busy: dict[str, str]) -> None:
    done = in_terminal("watch", "--count", "1", env=busy, term="dumb")
    assert (done.code, "\x1b" in done.out, "budgets of project" in done.out) == (0, False, True)


def test_a_reader_who_leaves_ends_it(busy: dict[str, str]) -> None:
    command = f"set -o pipefail; {' '.join(PROGRAM)} watch --every 0.1 | head -n 3"
    done = subprocess.run(
        ["bash", "-c", command], env=busy, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3


def test_teams_are_watched_too(here: InProcess) -> None:
    assert "team red" in here("watch", "red", "--kind", "team", "--count", "1").out
    assert "1 budget of project default" in here("watch", "--kind", "team", "--count", "1").out
