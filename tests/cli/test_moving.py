"""``allowance import`` and ``allowance export``: LiteLLM's ``user_cost.json``; and ``allowance audit``."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest

from allowance.cli import main
from allowance.stores.memory import MemoryStore
from tests.cli.conftest import key
from tests.cli.terminal import columns_of, in_terminal, run

if TYPE_CHECKING:
    from pathlib import Path

    from allowance.stores.base import Store

USERS: dict[str, Any] = {
    "alice": {
        "total_budget": 10, "duration": 28, "created_at": 1795322672.5, "last_updated_at": 1795322672.5,
        "current_cost": 0.0215, "model_cost": {"gpt-4": 0.0015, "gpt-4o": 0.02},
    },
    "bob": {"total_budget": 0.5},
    "carol": {"total_budget": 3, "current_cost": 1.25, "model_cost": {"gpt-4o": 1.25}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ALLOWANCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "user_cost.json"
    path.write_text(json.dumps(USERS))
    return path


def imported(capsys: pytest.CaptureFixture[str], store: Store, *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["import", "user_cost.json", "--json", *words], store=store) == code
    shown = capsys.readouterr()
    assert shown.err == ""
    answer: dict[str, Any] = json.loads(shown.out)
    return answer


def spent(store: Store, name: str, project: str = "default") -> int | None:
    account = store.account(key(name, project=project))
    return None if account is None else account.spent


def refused(capsys: pytest.CaptureFixture[str], *words: str, store: Store | None = None) -> str:
    assert main(list(words), store=store) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert 1 <= len(shown.err.splitlines()) <= 3
    return shown.err


# -- import --------------------------------------------------------------------------------------------


def test_users_are_taken_over_once(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    store = MemoryStore()
    first = imported(capsys, store)
    assert (first["users"], first["created"], first["posted"], first["problems"]) == (3, 3, "1.2715", [])
    again = imported(capsys, store)
    assert (again["created"], again["unchanged"], again["posted"]) == (0, 3, "0")
    assert (spent(store, "alice"), spent(store, "carol")) == (21_500_000, 1_250_000_000)


def test_a_newer_file_adds_what_is_new_in_it(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    store = MemoryStore()
    imported(capsys, store)
    newer = {**USERS, "carol": {"total_budget": 3, "current_cost": 1.5, "model_cost": {"gpt-4o": 1.5}}}
    file.write_text(json.dumps(newer))
    assert imported(capsys, store)["posted"] == "0.25"
    assert spent(store, "carol") == 1_500_000_000


def test_projects_are_apart(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    store = MemoryStore()
    imported(capsys, store, "--project", "shop")
    assert spent(store, "carol") is None
    assert spent(store, "carol", "shop") == 1_250_000_000


def test_what_is_not_taken_is_told_with_its_reason(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    bad: dict[str, Any] = {
        "nan": {"total_budget": float("nan")},
        "text": {"total_budget": "ten"},
        "list": [1],
        "": {"total_budget": 1},
        "\x1b[31m": {"total_budget": 1},
    }
    file.write_text(json.dumps({**USERS, **bad}))
    store = MemoryStore()
    assert len(imported(capsys, store, code=1)["problems"]) == len(bad)
    assert main(["import", "user_cost.json"], store=MemoryStore()) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "Not taken" in shown
    assert all(f"'{name}'" in shown for name in ("nan", "text", "list"))
    assert spent(store, "alice") == 21_500_000


def test_long_lists_of_problems_are_cut(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text(json.dumps({f"user-{number:02d}": {"total_budget": -1} for number in range(25)}))
    assert main(["import", "user_cost.json"], store=MemoryStore()) == 1
    shown = capsys.readouterr().out
    assert "user-19" in shown
    assert "user-20" not in shown
    assert "and 5 more: --all lists them" in shown
    assert main(["import", "user_cost.json", "--all"], store=MemoryStore()) == 1
    assert "user-24" in capsys.readouterr().out


def test_a_dry_run_tells_the_same_and_writes_nothing(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    store = MemoryStore()
    for _ in range(2):
        told = imported(capsys, store, "--dry-run")
        assert (told["created"], told["posted"], told["dry_run"]) == (3, "1.2715", True)
        assert list(store.accounts()) == []
    imported(capsys, store)
    newer = {
        **USERS,
        "bob": {"total_budget": 0.5, "current_cost": 0.25, "model_cost": {"o3": 0.25}},
        "dave": {"total_budget": 1},
    }
    file.write_text(json.dumps(newer))
    rehearsed = imported(capsys, store, "--dry-run")
    done = imported(capsys, store)
    assert (done["created"], done["unchanged"], done["posted"]) == (1, 2, "0.25")
    assert {**rehearsed, "dry_run": False} == done


def test_a_dry_run_makes_no_store(env: dict[str, str], file: Path, tmp_path: Path) -> None:
    words = ("import", str(file), "--store", f"sqlite:///{tmp_path}/new.db")
    done = run(*words, "--dry-run", env=env)
    assert (done.code, done.err) == (0, "")
    assert "Nothing was written" in done.out
    assert not (tmp_path / "new.db").exists()
    assert run(*words, env=env).code == 0
    assert (tmp_path / "new.db").exists()
    again = run(*words, "--dry-run", env=env)
    assert "new here     0" in again.out


def test_it_says_what_was_done_and_how_to_go_on(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert main(["import", "user_cost.json", "--project", "my shop"], store=MemoryStore()) == 0
    shown = capsys.readouterr().out
    assert "3 users in user_cost.json" in shown
    assert "$1.2715" in shown
    assert "allowance budgets --project 'my shop'" in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("", "damaged"),
        ('{"alice": {"total_', "damaged"),
        ("[1, 2]", "no user_cost.json"),
        ("null", "no user_cost.json"),
        ("\0\1", "damaged"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_files_that_cannot_be_imported_leave_no_store(
    content: str | None, words: str, capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    for more in ((), ("--dry-run",)):
        message = refused(capsys, "import", "user_cost.json", "--store", "sqlite:///new.db", *more)
        assert words in message
    assert not (tmp_path / "new.db").exists()
    assert "Missing: FILE" in refused(capsys, "import")
    assert "cannot be read" in refused(capsys, "import", str(tmp_path))


def test_progress_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("allowance.cli.progress._PATIENCE", 0)
    assert main(["import", "user_cost.json"], store=MemoryStore()) == 0
    assert "3 of 3" in screen.getvalue()


# -- export --------------------------------------------------------------------------------------------


def test_what_was_imported_is_exported_alike(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    store = MemoryStore()
    imported(capsys, store)
    assert main(["export"], store=store) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == set(USERS)
    assert shown["carol"] == USERS["carol"]
    assert shown["alice"]["model_cost"] == USERS["alice"]["model_cost"]
    assert main(["export", "out.json"], store=store) == 0
    assert "3 users" in capsys.readouterr().out
    assert json.loads((file.parent / "out.json").read_text()) == shown
    assert main(["export", "out.json", "--json"], store=store) == 0
    assert json.loads(capsys.readouterr().out) == {"written": str(file.parent / "out.json"), "users": 3}


def test_litellm_reads_what_is_exported(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    imported(capsys, store)
    (tmp_path / "theirs").mkdir()
    assert main(["export", "theirs/user_cost.json"], store=store) == 0
    monkeypatch.chdir(tmp_path / "theirs")
    from litellm import BudgetManager

    theirs = BudgetManager(project_name="x")
    assert theirs.get_current_cost("carol") == 1.25
    assert theirs.get_total_budget("bob") == 0.5


def test_a_file_that_is_something_else_is_not_written_over(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    store = MemoryStore()
    imported(capsys, store)
    (tmp_path / "notes.json").write_text('{"a": 1}')
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("notes.json", "notes.txt"):
        before = (tmp_path / name).read_text()
        assert "it would be lost" in refused(capsys, "export", name, store=store)
        assert (tmp_path / name).read_text() == before
    assert main(["export", "user_cost.json"], store=store) == 0  # the same kind of file
    capsys.readouterr()
    assert "is a directory" in refused(capsys, "export", str(tmp_path), store=store)
    assert "cannot be written" in refused(capsys, "export", "no/where.json", store=store)


def test_an_exported_file_is_whole_or_not_there(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    imported(capsys, store)
    before = file.read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("allowance.cli.writing.os.fsync", full)
    assert "No space left" in refused(capsys, "export", "user_cost.json", store=store)
    assert file.read_text() == before
    assert [each.name for each in file.parent.iterdir()] == ["user_cost.json"]


def test_export_does_not_make_a_store(env: dict[str, str], tmp_path: Path) -> None:
    done = run("export", "--store", f"sqlite:///{tmp_path}/none.db", env=env)
    assert (done.code, done.out) == (2, "")
    assert not (tmp_path / "none.db").exists()


# -- audit ---------------------------------------------------------------------------------------------


def test_books_that_balance(capsys: pytest.CaptureFixture[str], memory: MemoryStore) -> None:
    count = sum(1 for _ in memory.accounts())
    assert main(["audit"], store=memory) == 0
    assert f"It balances: {count} budgets of the store" in capsys.readouterr().out
    assert main(["audit", "--json"], store=memory) == 0
    assert json.loads(capsys.readouterr().out) == {
        "store": "memory://", "budgets": count, "differences": [],
    }  # fmt: skip


def test_books_that_do_not_balance(env: dict[str, str], busy: dict[str, str]) -> None:
    path = busy["ALLOWANCE_STORE"].removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE account SET spent = spent + 1 WHERE name = 'carol'")
    connection.close()
    done = run("audit", env=busy)
    assert (done.code, done.err) == (1, "")
    assert "carol" in done.out
    assert "1 difference in" in done.out
    answer = json.loads(run("audit", "--json", env=busy).out)
    assert len(answer["differences"]) == 1


def test_a_store_that_is_damaged_is_told_with_code_3(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"not a ledger at all " * 500)
    for command in ("audit", "report", "export"):
        done = run(command, "--store", f"sqlite:///{tmp_path}/bad.db", env=env)
        assert (done.code, done.out) == (3, "")
        assert "Traceback" not in done.err
        assert "cannot be read as a ledger" in done.err


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["audit", "import", "export"])
def test_they_fit_a_terminal(command: str, columns: int, busy: dict[str, str], file: Path) -> None:
    file.write_text(json.dumps({**USERS, "a long name " * 12: {"total_budget": "ten"}}))
    words = {"import": ("import", "user_cost.json"), "export": ("export", "o.json")}.get(command, (command,))
    done = in_terminal(*words, env=busy, columns=columns)
    assert done.code == (1 if command == "import" else 0)
    longest = max(map(columns_of, done.lines)) - (len(str(file.parent)) if command == "export" else 0)
    assert longest <= columns
    if command == "export":
        assert stat.S_IMODE((file.parent / "o.json").stat().st_mode) & 0o600 == 0o600
