"""The README keeps its word: its code runs and prints what it says, its commands are those that CI runs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from allowance.config import FROM_ENVIRONMENT, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRICE_MAP = "model_prices_and_context_window.json"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def first_line(block: str) -> str:
    number = README[: README.index(block)].count("\n") + 1
    return f"line {number}"


@pytest.mark.parametrize("block", BLOCKS, ids=first_line)
def test_a_code_block_runs_and_prints_what_it_says(block: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALLOWANCE_")}
    if PRICE_MAP in block:  # LiteLLM's, which its package carries under another name
        litellm = find_spec("litellm")
        assert litellm is not None
        assert litellm.origin is not None
        shutil.copy(
            Path(litellm.origin).with_name("model_prices_and_context_window_backup.json"),
            tmp_path / PRICE_MAP,
        )
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_block"],
        input=block,
        env={**environment, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    for promised in re.findall(r"prints: (.*)", block):
        assert promised in printed
        printed = printed[printed.index(promised) + 1 :]


SESSIONS = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? (\+\d\d:\d\d|UTC)")
SPAN = re.compile(r"\b\d+ (d|h|min|s)( \d+ (h|min|s))?\b")
PLACE = re.compile(r"sqlite:\S+")


def told(text: str) -> list[str]:
    """What a terminal shows, without what differs from day to day: times, spans, where the file lies."""
    for pattern, word in ((MOMENT, "(moment)"), (SPAN, "(span)"), (PLACE, "(place)")):
        text = pattern.sub(word, text)
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_terminal_sessions_run_and_print_what_they_say(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALLOWANCE_")}
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment |= {"PYTHONPATH": str(ROOT), "TZ": "UTC", "COLUMNS": "80", "PYTHONUTF8": "1", **home}
    program = f"{sys.executable} -m allowance "

    def run(command: str) -> str:
        done = subprocess.run(
            command, shell=True, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    run(f"{sys.executable} -m tests.docs.seed")
    commands = 0
    for session in SESSIONS:
        for step in re.split(r"^\$ allowance ", session, flags=re.MULTILINE)[1:]:
            command, _, promised = step.partition("\n")
            assert told(run(program + command)) == told(promised), command
            commands += 1
    assert commands >= 7


def test_the_readme_has_its_code_blocks() -> None:
    assert len(BLOCKS) >= 12
    assert sum(block.count("prints: ") for block in BLOCKS) >= 10


def test_the_quickstart_is_one_command_in_an_environment_of_its_own() -> None:
    assert command("quickstart") == (
        "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/python examples/quickstart.py"
    )


def test_ci_runs_the_test_command_of_the_readme_word_for_word() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    finding = re.search(r"""^readme_command\(\) \{\n(.*?)^\}""", script, re.DOTALL | re.MULTILINE)
    assert finding is not None
    found = subprocess.run(
        ["bash", "-euc", f"{finding[0]}\nreadme_command test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.rstrip("\n") == command("test")
    assert 'bash -euc "$(readme_command test)"' in script
    assert ".venv/bin/python -m pytest" in command("test")


def command(name: str) -> str:
    """The one command after its marker."""
    found = re.search(rf"^<!-- {name}-command -->\n```sh\n(.+)\n```$", README, re.MULTILINE)
    assert found is not None
    return found[1]


def test_five_commands_lead_from_nothing_to_a_refused_call(tmp_path: Path) -> None:
    """All but the first, which installs: `.ci/run` has that, from a wheel in a clean environment."""
    found = re.search(r"^<!-- server-commands -->\n```sh\n(.+?)\n```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    install, *rest = found[1].splitlines()
    assert install.endswith("pip install -q '.[server]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    serve, *others = [line.replace("4100", port) for line in rest]
    assert serve == "allowance serve & sleep 3"
    asks = f"from urllib.request import urlopen as ask; ask('http://127.0.0.1:{port}/readyz').close()"
    waits = f'until python -c "{asks}" 2> /dev/null; do sleep 0.1; done'
    script = [f"allowance serve --port {port} > served 2>&1 &", "trap 'kill $!; wait' EXIT", waits, *others]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALLOWANCE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PATH": path}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        env=environment | home,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr  # Python's, for an error that nobody caught
    promised = "BudgetExceededError: The budget of user 'alice' does not cover a call to gpt-4o"
    assert f"{promised}: it may cost $0.0050" in done.stderr
    assert "and of $0.0001 there are $0.0001 left" in done.stderr
    assert promised in " ".join(README.split())


def test_the_table_of_settings_is_complete() -> None:
    for name in Settings.model_fields:
        assert f"`{name}`" in README, name
    for name in FROM_ENVIRONMENT:
        assert f"`ALLOWANCE_{name.upper()}`" in README, name


def test_every_variable_of_the_code_is_in_the_readme() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for name in set(re.findall(r"\bALLOWANCE_[A-Z_]*[A-Z]\b", sources)):
        assert name in README, name


def test_every_error_is_in_the_readme() -> None:
    import allowance

    for name in allowance.__all__:
        if name.endswith("Error") and name not in ("BudgetError", "StoreError"):
            assert f"`{name}`" in README, name


def test_links_lead_to_files_and_headings_that_exist() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (ROOT / target).exists(), target
