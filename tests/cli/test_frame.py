"""What all commands share: help, exit codes, errors in our words, colours, widths, JSON, pipes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import allowance
from allowance.cli import main
from allowance.cli.output import Console
from allowance.cli.parser import COMMANDS
from allowance.stores.sqlite import SQLiteStore
from tests.cli.conftest import LONG, OPEN, WIDE, InProcess
from tests.cli.terminal import PROGRAM, Terminal, columns_of, in_terminal, run

if TYPE_CHECKING:
    from allowance.stores.memory import MemoryStore

Environment = dict[str, str]

OURS = ("budgets", "show", "why", "watch", "set", "add", "reset", "delete", "release")


# -- help ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",), ("--no-color",)])
def test_alone_it_shows_every_command_in_its_group(words: tuple[str, ...], env: Environment) -> None:
    done = run(*words, env=env)
    assert (done.code, done.err) == (0, "")
    for name, command in COMMANDS.items():
        assert f"  {name}  " in done.out
        assert f"\n{command.group}\n" in done.out
    assert max(map(len, done.lines)) < 80


def test_help_needs_neither_a_store_nor_what_a_manager_imports(env: Environment) -> None:
    code = (
        "import sys; from allowance.cli import main; main(['help', 'budgets']);"
        "print([name for name in ('pydantic', 'sqlite3', 'tiktoken') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    # wrapt comes with `import allowance`
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("columns", [80, 120])
def test_each_command_has_help_with_examples_to_copy(name: str, columns: int, env: Environment) -> None:
    done = in_terminal(name, "--help", env=env, columns=columns)
    assert done.code == 0
    assert f"usage: allowance {name}" in done.text
    examples = [line.strip() for line in done.text.partition("examples:")[2].splitlines() if line.strip()]
    assert any(line.startswith(f"allowance {name}") for line in examples)
    assert max(map(len, done.lines)) <= columns
    assert run("help", name, env=env).out == run(name, "-h", env=env).out


def test_the_version(env: Environment) -> None:
    assert run("--version", env=env).out == f"allowance {allowance.__version__}\n"


def test_it_is_installed_as_a_program_and_runs_as_modules(env: Environment) -> None:
    program = Path(sys.executable).with_name("allowance")
    for words in ([str(program)], [sys.executable, "-m", "allowance.cli"], PROGRAM):
        done = subprocess.run([*words, "--version"], env=env, capture_output=True, text=True, check=True)
        assert done.stdout == f"allowance {allowance.__version__}\n"


# -- bad input ----------------------------------------------------------------------------------------

MISTYPED = {
    "a command": (("budget",), "Did you mean: allowance budgets"),
    "no such command": (("frobnicate",), "allowance --help"),
    "an option": (("budgets", "--frob"), "--frob"),
    "an option alone": (("--frob",), "--frob"),
    "too many words": (("show", "alice", "bob"), "bob"),
    "too few words": (("show",), "USER"),
    "a value that is missing": (("set", "alice", "--limit"), "--limit needs a value"),
    "a choice": (("budgets", "--sort", "size"), "name"),
    "an abbreviation": (("budgets", "--pro", "x"), "--pro"),
    "an unknown user": (("show", "alcie"), "Did you mean alice"),
    "a user of another kind": (("show", "red"), "--kind team"),
    "a user of another project": (("show", "zed"), "--project billing"),
    "a label": (("add", "alice", "1", "--label", "night"), "'day'"),
    "a user's name": (("show", "a\tb"), "control characters"),
    "an empty name": (("show", ""), "empty"),
    "an amount in words": (("set", "alice", "--limit", "five"), "0.25"),
    "an amount with a comma": (("set", "alice", "--limit", "5,50"), "0.25"),
    "an amount without end": (("set", "alice", "--limit", "inf"), "0.25"),
    "no number": (("set", "alice", "--limit", "nan"), "0.25"),
    "a negative limit": (("set", "alice", "--limit", "-5"), "negative"),
    "a limit too large": (("set", "alice", "--limit", "1e12"), "1,000,000,000"),
    "a negative top-up": (("add", "alice", "-5"), "allowance set alice --limit"),
    "a top-up of nothing": (("add", "alice", "0"), "above zero"),
    "a top-up of what has no limit": (("add", "bob", "5"), "allowance set bob --limit 5"),
    "a top-up that is over": (("add", "alice", "5", "--until", "2020-01-01"), "2020"),
    "a date": (("add", "alice", "5", "--until", "tomorrow"), "-12-01"),
    "a day that is none": (("add", "alice", "5", "--until", "2027-02-30"), "-12-01"),
    "a duration": (("set", "alice", "--duration", "10dogs"), "7d"),
    "a time zone": (("set", "alice", "--timezone", "Mars/Olympus"), "Europe/Berlin"),
    "nothing to set": (("set", "alice"), "--limit 5"),
    "a new budget without a limit": (("set", "nina", "--duration", "daily"), "--limit 5"),
    "models of a main budget": (("set", "alice", "--models", ","), "gpt-4o*"),
    "a part": (("budgets", "--over", "most"), "80%"),
    "a hold": (("release", "5a0b74c1"), "allowance show USER"),
    "a cap": (("why", "alice", "--model", "gpt-4o", "--max-tokens", "many"), "500"),
    "a cap without a model": (("why", "alice", "--max-tokens", "5"), "--model"),
    "a file": (("why", "alice", "--model", "gpt-4o", "--input", "/no/such/file"), "/no/such/file"),
    "a directory for a file": (("why", "alice", "--model", "gpt-4o", "--input", "/"), "directory"),
    "an empty kind": (("budgets", "--kind", ""), "--kind is empty"),
    "an empty project": (("show", "alice", "--project", ""), "--project is empty"),
    "an empty store": (("budgets", "--store="), "--store is empty"),
    "an empty model": (("why", "alice", "--model", ""), "--model is empty"),
    "an interval": (("watch", "--every", "soon"), "--every"),
    "a count": (("watch", "--count", "-1"), "--count"),
    "a reset without a terminal": (("reset", "alice"), "--yes"),
    "a deletion without a terminal": (("delete", "alice"), "--yes"),
    "a date too far off": (("add", "alice", "5", "--until", "999999w"), "-12-01"),
    "a user with a dash": (("show", "-bob"), "allowance show -- -alice"),
    "an unknown user with a dash": (("show", "--", "-bob"), "allowance set --limit 5 -- -bob"),
    "an unknown user of a project": (
        ("show", "bob", "--project", "x y"),
        "set bob --limit 5 --project 'x y'",
    ),
    "a path that none can be": (("budgets", "--store", "sqlite:///%00"), "--store"),
    "bytes that are no text": (("show", os.fsdecode(b"\xff")), "encoding"),
}


@pytest.mark.parametrize("case", MISTYPED)
def test_bad_input_exits_2_in_three_lines_that_name_the_remedy(case: str, here: InProcess) -> None:
    words, remedy = MISTYPED[case]
    before = here("show", "alice", "--json").out
    done = here(*words)
    assert (done.code, done.out) == (2, "")
    assert remedy in done.err
    assert 1 <= len(done.err.splitlines()) <= 3
    assert here("show", "alice", "--json").out == before


@pytest.mark.parametrize("case", ["an unknown user", "a date", "bytes that are no text"])
def test_the_program_itself_exits_2_without_a_traceback(case: str, busy: Environment) -> None:
    words, remedy = MISTYPED[case]
    done = run(*words, env=busy)
    assert (done.code, done.out) == (2, "")
    assert remedy in done.err
    assert "Traceback" not in done.err


# -- stores -------------------------------------------------------------------------------------------


def _other_program(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()


BAD_STORES = {
    "a scheme": ("mysql://localhost/x", None, 2, "sqlite:///"),
    "one that comes later": ("redis://:secret@host/0", None, 2, "later version"),
    "a path": ("{path}", None, 2, "--store sqlite:////"),
    "nothing": ("sqlite:///", None, 2, "sqlite:///"),
    "a file that is not there": ("sqlite:///{path}", None, 2, "allowance set alice --limit 5"),
    "a directory": ("sqlite:///{path}", Path.mkdir, 2, "name a file in it"),
    "a text": ("sqlite:///{path}", lambda path: path.write_text("hello " * 1000), 3, "backup"),
    "an empty file": ("sqlite:///{path}", Path.touch, 3, "Restore it"),
    "another program's file": ("sqlite:///{path}", _other_program, 3, ""),
}


@pytest.mark.parametrize("case", BAD_STORES)
@pytest.mark.parametrize("through", ["option", "environment"])
def test_a_store_that_cannot_be_used(
    case: str, through: str, here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, make, code, remedy = BAD_STORES[case]
    path = tmp_path / "a b.db"
    url = url.format(path=path)
    if make is not None:
        make(path)
    if through == "environment":
        monkeypatch.setenv("ALLOWANCE_STORE", url)
    done = here("budgets", *(["--store", url] if through == "option" else []))
    assert (done.code, done.out) == (code, "")
    assert remedy in done.err
    assert "secret" not in done.err
    assert len(done.err.splitlines()) <= 3


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_may_not_be_read_exits_3(
    what: str, unprivileged_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import allowance.manager.budget_manager  # noqa: F401  # one who may read nothing cannot import it

    folder = unprivileged_path / "closed"
    path = folder / "a.db"
    SQLiteStore(path).close()
    closed = path if what == "file" else folder
    closed.chmod(0)
    try:
        assert main(["budgets", "--store", f"sqlite:///{path}"]) == 3
    finally:
        closed.chmod(0o700)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(path) in printed.err
    assert "See that this user may" in printed.err


@pytest.mark.parametrize(
    "words",
    [
        ("budgets",),
        ("show", "alice"),
        ("why", "alice"),
        ("watch", "--count", "1"),
        ("release", "x"),
        ("add", "alice", "1"),
        ("reset", "alice", "--yes"),
        ("delete", "alice", "--yes"),
    ],
    ids=" ".join,
)
def test_looking_makes_no_file_and_no_directory(
    words: tuple[str, ...], env: Environment, tmp_path: Path
) -> None:
    done = run(*words, env=env)
    assert done.code == 2
    assert "allowance set alice --limit 5" in done.err
    assert list(tmp_path.iterdir()) == []


def test_setting_makes_the_file_where_the_design_says(env: Environment, tmp_path: Path) -> None:
    assert run("set", "alice", "--limit", "5", env=env).code == 0
    assert (tmp_path / "state" / "allowance" / "allowance.db").is_file()
    assert "alice" in run("budgets", env=env).out


def test_bad_terms_make_no_file(env: Environment, tmp_path: Path) -> None:
    assert run("set", "alice", "--limit", "5", "--duration", "never", env=env).code == 2
    assert run("set", "", "--limit", "5", env=env).code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_project_by_option_or_environment(busy: Environment) -> None:
    by_option = run("budgets", "--project", "billing", env=busy).out
    assert "zed" in by_option
    assert "alice" not in by_option
    assert run("budgets", env={**busy, "ALLOWANCE_PROJECT": "billing"}).out == by_option
    assert run("--project", "billing", "budgets", env=busy).out == by_option


# -- the terminal -------------------------------------------------------------------------------------

LOOKING = (
    ("budgets",),
    ("budgets", "--sort", "remaining"),
    ("show", "alice"),
    ("show", LONG),
    ("show", WIDE),
    ("show", "red", "--kind", "team"),
    ("why", "alice"),
    ("why", "alice", "--model", "gpt-4o", "--max-tokens", "900000"),
    ("why", "dave"),
    ("watch", "--count", "1"),
    ("watch", "alice", "--count", "1"),
)


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(words: tuple[str, ...], columns: int, busy: Environment) -> None:
    done = in_terminal(*words, env=busy, columns=columns, lines=40)
    assert done.code in (0, 1)
    assert len(done.lines) > 2
    for line in done.lines:
        assert columns_of(line) <= columns, line


@pytest.mark.parametrize("words", [("budgets",), ("watch", "--count", "1")], ids=" ".join)
@pytest.mark.parametrize("columns", [30, 45, 60])
def test_tables_bear_narrow_terminals(words: tuple[str, ...], columns: int, busy: Environment) -> None:
    done = in_terminal(*words, env=busy, columns=columns, lines=99)
    assert "$9.50" in done.text
    for line in done.lines:
        assert columns_of(line) <= columns, line


@pytest.mark.parametrize("words", [("budgets",), ("show", "alice")], ids=" ".join)
def test_colours_are_for_terminals_alone(words: tuple[str, ...], busy: Environment) -> None:
    assert "\x1b[" in in_terminal(*words, env=busy).out
    plain = [
        in_terminal(*words, env={**busy, "NO_COLOR": "1"}).out,
        in_terminal(*words, env=busy, term="dumb").out,
        in_terminal(*words, "--no-color", env=busy).out,
        in_terminal(*words, "--json", env=busy).out,
        run(*words, env=busy).out,
    ]
    assert not any("\x1b" in printed for printed in plain)


def test_colour_says_nothing_that_words_do_not(busy: Environment) -> None:
    coloured = in_terminal("budgets", env=busy)
    plain = in_terminal("budgets", env={**busy, "NO_COLOR": "1"})
    # But for the minute, which may have passed between the two.
    assert re.sub(r"\d+ min", "", coloured.text).split() == re.sub(r"\d+ min", "", plain.text).split()
    assert "░" in plain.text


def test_errors_are_wrapped_to_the_terminal_but_for_commands_to_copy(busy: Environment) -> None:
    done = in_terminal("set", "alice", "--duration", "10dogs", env=busy, columns=60)
    assert len(done.lines) == 3
    assert max(map(len, done.lines)) < 60
    done = in_terminal("show", "a long name of nobody", env=busy, columns=40)
    assert "Make one: allowance set 'a long name of nobody' --limit 5" in done.lines


def test_an_ascii_terminal_gets_ascii(busy: Environment) -> None:
    done = in_terminal("budgets", env={**busy, "PYTHONIOENCODING": "ascii"})
    assert done.code == 0
    assert done.out.isascii()
    assert "#" in done.text


def test_a_name_that_is_too_long_is_cut_in_a_terminal_and_whole_in_a_pipe(busy: Environment) -> None:
    shown = in_terminal("budgets", env=busy).text
    assert LONG not in shown
    assert "…" in shown
    assert "$11,000.1235" in shown
    piped = run("budgets", env=busy)
    assert LONG in piped.out
    assert LONG not in run("budgets", env={**busy, "COLUMNS": "80"}).out


def test_control_characters_of_a_store_do_not_reach_the_terminal(
    busy: Environment, memory: MemoryStore
) -> None:
    printed = io.StringIO()
    console = Console(printed, printed)
    console.table(["name", "spent"], [["\x1b[31mred\x07\u202eabc\u2028", "$1"]], "lr")
    console.line("\x1b]0;title\x07")
    console.fields([("na\x9bme", "a\x00b")])
    console.text("\x1b[2J words")
    console.error("\x1b[2J")
    shown = printed.getvalue()
    assert "\\x1b[31mred\\x07\\u202eabc\\u2028" in shown
    assert not {character for character in shown if not character.isprintable()} - {"\n"}


def test_a_closed_pipe_ends_quietly(busy: Environment) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(PROGRAM)} budgets --json | head -c 1"],
        env=busy,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_reader_who_is_gone_before_the_first_line(busy: Environment) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, "show", "alice"], env=busy, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(busy: Environment) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "budgets"], env=busy, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 2
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_error_that_cannot_be_said_has_its_exit_code(busy: Environment) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "show", "nobody"], env=busy, stderr=full, timeout=60, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("closed", "words", "code"),
    [
        (">&-", "budgets", 0),
        (">&-", "--help", 0),
        ("2>&-", "show nobody", 2),
        ("<&-", "quote --model gpt-4o -", 2),
        ("<&-", "reset alice", 2),
        ("<&- >&- 2>&-", "set alice --limit 6", 0),
    ],
)
def test_streams_may_be_closed(closed: str, words: str, code: int, busy: Environment) -> None:
    line = f'exec "$0" -m allowance {words} {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable], env=busy, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_an_interrupt_exits_130_without_a_traceback(busy: Environment) -> None:
    terminal = Terminal("delete", "alice", env=busy)
    terminal.wait_for("[y/N]")
    terminal.interrupt()
    done = terminal.end()
    assert done.code == 130
    assert "Traceback" not in done.out


# -- JSON ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", LOOKING[:-2], ids=" ".join)
def test_json_parses_and_is_the_same_in_a_terminal_and_a_pipe(
    words: tuple[str, ...], busy: Environment
) -> None:
    piped = run(*words, "--json", env=busy)
    assert json.loads(piped.out)
    assert piped.err == ""
    assert "NaN" not in piped.out
    shown = json.loads(in_terminal(*words, "--json", env=busy).text)
    if words[0] != "why":  # its figures move with the clock
        assert shown == json.loads(piped.out)


# -- the same on every store --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [*LOOKING, ("release", OPEN), ("set", "nina", "--limit", "1")], ids=" ".join
)
def test_a_store_in_memory_is_answered_like_a_file(
    words: tuple[str, ...], here: InProcess, memory: MemoryStore
) -> None:
    from_memory = here(*words, store=memory)
    from_file = here(*words)
    assert from_memory.code == from_file.code
    skipped = 1 if words[0] == "watch" else 0  # its first line has the time
    first_words = [line.split()[:1] for line in from_memory.lines[skipped:]]
    assert first_words == [line.split()[:1] for line in from_file.lines[skipped:]]
    assert first_words


@pytest.mark.parametrize("words", [["-m", "allowance"], ["-m", "allowance.cli"]])
def test_a_cap_that_is_no_amount_does_not_stop_the_command_line(words: list[str]) -> None:
    environment = os.environ | {"ALLOWANCE_MAX_BUDGET": "plenty"}
    done = subprocess.run(
        [sys.executable, *words, "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
