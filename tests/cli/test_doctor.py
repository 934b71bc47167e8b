"""``allowance doctor``: what it finds, what it says to do about it, and that it leaves no trace."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from allowance.cli import main
from allowance.cli.checks import sdks
from allowance.cli.checks import store as store_checks
from allowance.cli.checks.machine import clock_check, sqlite_check
from allowance.cli.checks.place import file_system_check
from allowance.cli.checks.prices import catalogue_check
from allowance.cli.checks.settings import without_secrets
from allowance.ledger.names import account_key
from allowance.ledger.records import Declaration
from allowance.quotes import vocabularies
from allowance.stores.sqlite import SQLiteStore, lockfile
from tests.cli.terminal import columns_of, in_terminal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ALLOWANCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with one budget, closed."""
    folder = tmp_path / "budgets"
    folder.mkdir(mode=0o700)
    path = folder / "a.db"
    store = SQLiteStore(path)
    store.define(account_key("default", "user", "alice"), Declaration(limit=5 * 10**9, creates=True))
    store.close()
    return path


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the checks by name."""
    code = main(["doctor", "--quick", "--json", *words])
    told = json.loads(capsys.readouterr().out)
    return code, {check["name"]: check for check in told["checks"]}


@pytest.fixture
def imported(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever runs the test as nobody may not read where Python's own modules lie: they are here by then."""
    doctor(capsys)


def problem(capsys: pytest.CaptureFixture[str], name: str, *words: str) -> str:
    """What the one problem says; exit code 1."""
    code, checks = doctor(capsys, *words)
    found = [check for check in checks.values() if check["state"] == "problem"]
    assert (code, [check["name"] for check in found]) == (1, [name])
    return f"{found[0]['text']} {found[0]['remedy']}"


def tree(path: Path) -> dict[str, tuple[int, int]]:
    return {
        str(each): (each.stat().st_size, each.stat().st_mtime_ns)
        for each in path.rglob("*")
        if each.is_file()
    }


def test_a_machine_without_budgets_is_well_and_stays_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, checks = doctor(capsys)
    assert code == 0
    assert {check["state"] for check in checks.values()} <= {"ok", "note"}
    assert str(tmp_path / "state/allowance/allowance.db") in checks["store"]["text"]
    assert "is not there yet" in checks["store"]["text"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_looked_at_and_left_alone(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    before = tree(file.parent)
    code, checks = doctor(capsys, "--store", f"sqlite:///{file}")
    assert code == 0
    assert checks["contents"]["text"] == "1 budget, 0 open calls"
    assert checks["permissions"]["state"] == checks["directory"]["state"] == "ok"
    assert "integrity" not in checks  # --quick
    assert tree(file.parent) == before


def test_a_file_without_its_lock_gets_none(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.with_name("a.db.lock").unlink()
    assert doctor(capsys, "--store", f"sqlite:///{file}")[0] == 0
    assert [each.name for each in file.parent.iterdir()] == ["a.db"]


def test_a_file_that_is_in_use_is_looked_at_beside_its_users(tmp_path: Path, file: Path) -> None:
    store = SQLiteStore(file)  # in use: its log lies beside it
    store.define(account_key("default", "user", "bob"), Declaration(limit=1, creates=True))
    before = sorted(tree(file.parent))
    assert f"{file}-wal" in before
    done = subprocess.run(
        [sys.executable, "-m", "allowance.cli", "doctor", "--quick", "--store", f"sqlite:///{file}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 budgets, 0 open calls" in done.stdout  # what stands in the log alone counts too
    assert sorted(tree(file.parent)) == before
    store.define(account_key("default", "user", "carol"), Declaration(limit=1, creates=True))
    store.close()


def test_nobody_waits_while_a_file_in_use_is_looked_at(file: Path) -> None:
    store = SQLiteStore(file)
    other = lockfile.LockFile(f"{file}.lock")
    with store_checks._reading(str(file)) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (1,)
        assert other._try()
        other.release()
    other.close()
    store.close()


def test_its_log_without_its_index_is_left_alone(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.with_name("a.db-wal").write_bytes(b"")
    before = sorted(tree(file.parent))
    doctor(capsys, "--store", f"sqlite:///{file}")
    assert sorted(tree(file.parent)) == before


def test_a_damaged_page_is_found(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (size - 4096))
    code = main(["doctor", "--json", "--store", f"sqlite:///{file}"])
    told = json.loads(capsys.readouterr().out)
    bad = [check for check in told["checks"] if check["state"] == "problem"]
    assert code == 1
    assert bad
    assert bad[0]["name"] in ("contents", "integrity")
    assert "estore" in bad[0]["text"] + bad[0]["remedy"]


def test_integrity_is_told_unless_it_is_to_be_quick(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allowance.cli.commands.doctor.sdk_checks", lambda *, quick: iter(()))
    assert main(["doctor", "--store", f"sqlite:///{file}"]) == 0
    assert "SQLite finds nothing wrong with the file" in " ".join(capsys.readouterr().out.split())


def test_a_look_that_would_take_long_is_given_up(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allowance.cli.commands.doctor.sdk_checks", lambda *, quick: iter(()))
    monkeypatch.setattr("allowance.cli.checks.store._PATIENCE", -1)
    monkeypatch.setattr("allowance.cli.checks.store._STEPS", 1)
    assert main(["doctor", "--store", f"sqlite:///{file}"]) == 0
    assert "(allowance audit does)" in " ".join(capsys.readouterr().out.split())


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, not at all " * 400)


def somebody_elses(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()


def from_the_future(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def ahead(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET clock = ?", (time.time_ns() // 1000 + 7_200_000_000,))
    connection.close()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.rename(path.with_name("b.db"))
    path.symlink_to(path.with_name("b.db"))


def anybodys_place(path: Path) -> None:
    path.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("harm", "name", "words"),
    [
        (empty, "place", "is empty"),
        (garbage, "contents", "cannot be read as a ledger"),
        (somebody_elses, "contents", "not one of allowance's"),
        (from_the_future, "contents", "pip install --upgrade allowance"),
        (ahead, "store's clock", "See that the clocks"),
        (directory, "place", "is a directory"),
        (link, "place", "Name the file itself"),
        (anybodys_place, "place", "chmod o-w"),
    ],
)
def test_what_is_wrong_with_a_file(
    harm: Any, name: str, words: str, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    harm(file)
    for ending in ("-wal", "-shm"):
        file.with_name(f"a.db{ending}").unlink(missing_ok=True)
    before = sorted(tree(file.parent))
    assert words in problem(capsys, name, "--store", f"sqlite:///{file}")
    assert sorted(tree(file.parent)) == before


def test_a_file_that_others_may_read_is_noted(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.chmod(0o644)
    code, checks = doctor(capsys, "--store", f"sqlite:///{file}")
    assert (code, checks["permissions"]["state"]) == (0, "note")
    assert checks["permissions"]["remedy"] == f"chmod 600 {file}"


@pytest.mark.usefixtures("imported")
def test_a_file_that_this_user_may_not_write(
    capsys: pytest.CaptureFixture[str], unprivileged_path: Path
) -> None:
    store = SQLiteStore(unprivileged_path / "a.db")
    store.close()
    (unprivileged_path / "a.db").chmod(0o000)
    told = problem(capsys, "permissions", "--store", f"sqlite:///{unprivileged_path / 'a.db'}")
    assert "may not read and write" in told


@pytest.mark.usefixtures("imported")
def test_a_directory_that_this_user_may_not_write(
    capsys: pytest.CaptureFixture[str], unprivileged_path: Path
) -> None:
    (unprivileged_path / "shut").mkdir(mode=0o500)
    told = problem(capsys, "directory", "--store", f"sqlite:///{unprivileged_path}/shut/new/a.db")
    assert "cannot be written" in told


def test_a_file_that_another_process_has_locked(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "PATIENCE", 0.05)
    holder = lockfile.LockFile(f"{file}.lock")
    holder.acquire()
    try:
        assert "Another process has held" in problem(capsys, "contents", "--store", f"sqlite:///{file}")
    finally:
        holder.close()


def test_the_lock_is_free_afterwards(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    doctor(capsys, "--store", f"sqlite:///{file}")
    other = lockfile.LockFile(f"{file}.lock")
    assert other._try()
    other.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://", ""),
        ("redis://me:hush@db.example/0", "comes with a later version"),
        ("postgresql://me:hush@db.example/b?nosuch=hush", "not shown"),
        ("https://me:hush@budgets.example", "holds a user or a password"),
        ("budgets.db", "names no store"),
        ("ftp://me:hush@x/y", "names no store"),
    ],
)
def test_other_stores(url: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    if words:
        assert words in problem(capsys, "store", "--store", url)
    else:
        code, checks = doctor(capsys, "--store", url)
        assert (code, checks["store"]["state"]) == (0, "note")
        assert "forgets" in checks["store"]["text"]
    main(["doctor", "--quick", "--store", url])
    shown = capsys.readouterr()
    assert "hush" not in shown.out + shown.err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@host:6379/0?x=pw", "redis://host:6379/0"),
        ("https://key@budgets.example/a?token=pw", "https://budgets.example/a"),
        ("sqlite:////var/a.db", "sqlite:////var/a.db"),
        ("sqlite:///a.db?key=pw", "sqlite:///a.db"),
        ("http://[pw", "http://..."),
        ("plain", "plain"),
    ],
)
def test_secrets_of_a_url_are_left_out(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 36, 0), "problem"), ((3, 37, 0), "note"), ((3, 40, 1), "note"), ((3, 44, 5), "note"),
        ((3, 44, 6), "ok"), ((3, 45, 0), "note"), ((3, 50, 6), "note"), ((3, 50, 7), "ok"),
        ((3, 51, 2), "note"), ((3, 51, 3), "ok"), ((3, 52, 0), "ok"), ((4, 0, 0), "ok"),
    ],
)  # fmt: skip
def test_which_sqlite_is_well(version: tuple[int, int, int], state: str) -> None:
    assert sqlite_check(version).state == state


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("ext4", "ok"), ("apfs", "ok"), ("overlay", "ok"), ("tmpfs", "ok"), ("nfs4", "problem"),
        ("cifs", "problem"), ("smb3", "problem"), ("9p", "problem"), ("fuse.sshfs", "note"),
        ("fuseblk", "note"),
    ],
)  # fmt: skip
def test_which_file_system_it_is_on(kind: str, state: str) -> None:
    mounts = [("/", "ext4"), ("/data", kind), ("/database", "ext4"), ("/data/sub", "xfs")]
    assert file_system_check("/data/a", mounts).state == state
    assert file_system_check("/database/a", mounts).state == "ok"
    assert file_system_check("/data2/a", mounts).state == "ok"
    assert file_system_check("/data/sub/a", mounts).state == "ok"
    assert file_system_check("/data", [("/data", "nfs"), ("/data", kind)]).state == state
    assert "cannot be told" in file_system_check("/data", []).text


def test_a_clock_that_cannot_be_right() -> None:
    assert clock_check(datetime(1970, 1, 1, tzinfo=UTC)).state == "problem"
    assert clock_check(datetime.now(UTC)).state == "ok"


@pytest.mark.parametrize(
    ("as_of", "state"), [("2026-11-22", "ok"), ("2026-08-24", "ok"), ("2026-08-23", "note"), ("soon", "note")]
)
def test_prices_grow_old_after_ninety_days(as_of: str, state: str) -> None:
    assert catalogue_check("ours", as_of, date(2026, 11, 22)).state == state


@pytest.mark.parametrize(
    ("variable", "value", "name", "words"),
    [
        ("ALLOWANCE_CATALOGUE", "nowhere.json", "catalogue", "cannot be read"),
        ("ALLOWANCE_PRICES", "nowhere.json", "own prices", "cannot be read"),
        ("ALLOWANCE_WARN_AT", "7", "settings", "ALLOWANCE_WARN_AT"),
        ("ALLOWANCE_ON_ERROR", "shrug", "settings", "ALLOWANCE_ON_ERROR"),
        ("ALLOWANCE_HOLD_MINUTES", "long", "settings", "ALLOWANCE_HOLD_MINUTES"),
    ],
)
def test_settings_that_cannot_be(
    variable: str, value: str, name: str, words: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    assert words in problem(capsys, name)


def test_a_variable_that_means_nothing_is_noted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWANCE_MAXBUDGET", "5")
    code, checks = doctor(capsys)
    assert (code, checks["ALLOWANCE_MAXBUDGET"]["state"]) == (0, "note")
    assert "ALLOWANCE_MAX_BUDGET" in checks["ALLOWANCE_MAXBUDGET"]["remedy"]


def test_the_process_cap_counts_one_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWANCE_MAX_BUDGET", "5")
    _, checks = doctor(capsys)
    assert checks["process cap"]["state"] == "note"
    assert "N workers may spend N times it" in checks["process cap"]["text"]


def test_a_cap_that_is_no_amount_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWANCE_MAX_BUDGET", "plenty")
    code, checks = doctor(capsys)
    assert (code, checks["process cap"]["state"]) == (1, "problem")
    assert "'plenty'" in checks["process cap"]["text"]


def test_settings_say_where_they_come_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWANCE_PROJECT", "shop")
    monkeypatch.setenv("ALLOWANCE_DOWNLOAD_VOCABULARY", "0")
    main(["doctor", "--quick", "--json", "--store", "memory://"])
    settings = {one["name"]: one for one in json.loads(capsys.readouterr().out)["settings"]}
    assert settings["project"] == {"name": "project", "value": "shop", "origin": "ALLOWANCE_PROJECT"}
    assert settings["store"] == {"name": "store", "value": "memory://", "origin": "--store"}
    assert settings["warn_at"]["origin"] == "default"
    assert settings["download_vocabulary"]["origin"] == "ALLOWANCE_DOWNLOAD_VOCABULARY"


@pytest.mark.parametrize(("download", "words"), [("1", "in the background"), ("0", "switched off")])
def test_a_vocabulary_that_is_not_here(
    download: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabularies, "_places", lambda name: iter(()))
    monkeypatch.setenv("ALLOWANCE_DOWNLOAD_VOCABULARY", download)
    code, checks = doctor(capsys)
    assert (code, checks["o200k_base"]["state"]) == (0, "note")
    assert words in checks["o200k_base"]["text"]
    assert "TIKTOKEN_CACHE_DIR" in checks["o200k_base"]["remedy"]


def test_every_sdk_that_is_installed_here_is_metered() -> None:
    found = {check.name: check for check in sdks.sdk_checks()}
    assert set(found) - {"frameworks", "others"} == {
        "openai",
        "anthropic",
        "google-genai",
        "litellm",
        "groq",
        "boto3",
        "mistralai",
        "ollama",
        "cohere",
    }
    assert {check.state for name, check in found.items() if name != "others"} == {"ok"}
    assert "metered" in found["openai"].text


def test_an_sdk_that_cannot_be_imported_and_one_that_lacks_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai.py").write_text("raise ImportError('no such file: libssl')")
    (tmp_path / "anthropic").mkdir()
    (tmp_path / "anthropic" / "__init__.py").write_text("import anthropic._base_client")
    (tmp_path / "anthropic" / "_base_client.py").write_text("class SyncAPIClient: pass")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    broken = sdks._judged("openai", "2", sdks._begin("openai"))
    assert (broken.state, "libssl" in broken.text) == ("problem", True)
    lacking = sdks._judged("anthropic", "2", sdks._begin("anthropic"))
    assert (lacking.state, "It lacks" in lacking.text) == ("problem", True)


def package(folder: Path, name: str, version: str, **modules: str) -> None:
    """Put a distribution where Python finds it first."""
    (folder / name).mkdir()
    for module, text in modules.items():
        (folder / name / f"{module}.py").write_text(text)
    (folder / f"{name}-{version}.dist-info").mkdir()
    (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")


def test_versions_that_nobody_tried_and_layouts_that_nobody_knows_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = "class Client:\n def _request(self, cls): ...\n"
    client += "class AsyncClient(Client):\n def _request(self, cls): ..."
    package(tmp_path, "ollama", "9.1", __init__="import ollama._client", _client=client)
    package(tmp_path, "cohere", "4.57", __init__="class Client: ...")
    package(tmp_path, "mistralai", "0.4", __init__="", client="class MistralClient: ...")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    newer = sdks._judged("ollama", "9.1", sdks._begin("ollama"))
    assert (newer.state, "Tested with 0.4 to 0.6." in newer.text) == ("note", True)
    for sdk, version in (("cohere", "4.57"), ("mistralai", "0.4")):
        older = sdks._judged(sdk, version, sdks._begin(sdk))
        assert older.state == "problem"
        assert "not all metered" in older.text
        assert "None of what is metered of it is loaded." in older.text
        assert "Tested with" in older.text


def test_what_calls_the_sdks_and_what_goes_past_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package(tmp_path, "crewai", "1.2.3")
    package(tmp_path, "replicate", "4.5.6")
    monkeypatch.syspath_prepend(tmp_path)
    code, checks = doctor(capsys)
    assert code == 0
    assert "crewai 1.2.3" in checks["frameworks"]["text"]
    assert "replicate" not in checks["frameworks"]["text"]
    assert (checks["others"]["state"], "replicate 4.5.6" in checks["others"]["text"]) == ("note", True)
    assert "@budgeted" in checks["others"]["remedy"]


def test_sdks_that_are_left_alone_are_noted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWANCE_INSTRUMENT", "0")
    _, checks = doctor(capsys)
    assert checks["metering"]["state"] == "note"
    assert "openai" not in checks


def test_the_exit_code_and_the_last_line_say_how_it_is(
    capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert main(["doctor", "--quick", "--store", f"sqlite:///{file}"]) == 0
    assert "No problems." in capsys.readouterr().out.splitlines()[-1]
    empty(file)
    assert main(["doctor", "--quick", "--store", f"sqlite:///{file}"]) == 1
    assert "1 problem to mend." in capsys.readouterr().out.splitlines()[-1]


def test_a_hostile_path_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--quick", "--store", "sqlite:////tmp/\x1b[31mred\x07/a.db"])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\x07" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_a_terminal_but_for_paths(columns: int, busy: dict[str, str]) -> None:
    done = in_terminal("doctor", "--quick", env=busy, columns=columns)
    assert done.code == 0
    assert "\x1b[32m" in done.out  # ok is green
    too_long = [line.split() for line in done.lines if columns_of(line) > columns]
    assert all("/" in words[-1] for words in too_long), too_long
    plain = in_terminal("doctor", "--quick", "--no-color", env=busy, columns=columns)
    assert "\x1b[" not in plain.out


@pytest.mark.parametrize(
    "command", ["report", "quote", "prices", "prices refresh", "import", "export", "audit", "doctor"]
)
def test_help_can_be_worked_from(command: str, env: dict[str, str]) -> None:
    done = in_terminal(*command.split(), "--help", env=env, columns=80)
    assert done.code == 0
    assert max(map(columns_of, done.lines)) <= 80
    assert f"  allowance {command}" in done.text.partition("examples:")[2]
