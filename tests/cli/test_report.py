"""``allowance report``: what it sums up, and how it is printed."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from allowance.cli import main
from allowance.cli.commands import report as report_module
from allowance.ledger.records import Declaration, EntryKind, Posting, Scope
from allowance.money import to_usd
from allowance.stores.memory import MemoryStore
from tests.cli.conftest import LONG, WIDE, key
from tests.cli.terminal import columns_of, in_terminal, run

if TYPE_CHECKING:
    from allowance.stores.base import Store

BY = ("user", "model", "day", "tag")
MODELS = ("gpt-4o", "claude-sonnet-4-5", "gpt-4.1", "gpt-4o-mini", "o3")


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ALLOWANCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")


def asked(capsys: pytest.CaptureFixture[str], store: Store, *words: str) -> str:
    assert main(["report", *words], store=store) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def rows_of(capsys: pytest.CaptureFixture[str], store: Store, *words: str) -> dict[str, Decimal]:
    answer = json.loads(asked(capsys, store, "--json", *words))
    return {row["name"]: Decimal(row["spent"]) for row in answer["rows"]}


def posted(
    store: Store, name: str, amount: int, *, at: int | None = None, tags: tuple[str, ...] = ()
) -> None:
    """One call of a user, afterwards."""
    whose = key(name)
    if store.account(whose) is None:
        store.define(whose, Declaration(creates=True))
    number = sum(1 for _ in store.entries())
    store.settle(Posting(f"call-{number}", amount, (Scope(whose),), "gpt-4o", at=at, tags=tags))


def test_it_adds_up_what_stands_in_the_ledger(
    capsys: pytest.CaptureFixture[str], memory: MemoryStore
) -> None:
    entries = [
        entry
        for entry in memory.entries()
        if entry.key.kind == "user"
        and entry.key.project == "default"
        and not entry.key.label
        and entry.kind is not EntryKind.ADJUSTMENT
    ]
    total = to_usd(sum(entry.amount for entry in entries))
    for by in ("user", "model", "day"):
        assert sum(rows_of(capsys, memory, "--by", by).values()) == total
    models = rows_of(capsys, memory, "--by", "model")
    for model in models:
        assert models[model] == to_usd(sum(entry.amount for entry in entries if entry.model == model))


def test_kinds_and_projects_are_apart(capsys: pytest.CaptureFixture[str], memory: MemoryStore) -> None:
    assert set(rows_of(capsys, memory, "--kind", "team")) == {"red"}
    assert "red" not in rows_of(capsys, memory)
    assert rows_of(capsys, memory, "--project", "billing") == {}


def test_since_is_in_and_until_is_out(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    for hours, amount in ((-13, 1), (-12, 2), (0, 4), (12, 8)):
        at = noon + timedelta(hours=hours)
        posted(store, "a", amount * 10**9, at=int(at.timestamp() * 1_000_000))
    assert rows_of(capsys, store, "--since", "2026-03-29", "--until", "2026-03-30") == {"a": Decimal(6)}
    assert rows_of(capsys, store, "--until", "2026-03-29") == {"a": Decimal(1)}
    assert rows_of(capsys, store, "--since", "2026-03-30T00:00:00+00:00") == {"a": Decimal(8)}
    # The same dates in Berlin, where this day has 23 hours, from 23:00 UTC on the 28th to 22:00 on the 29th.
    berlin = ("--timezone", "Europe/Berlin")
    assert rows_of(capsys, store, "--since", "2026-03-29", "--until", "2026-03-30", *berlin) == {
        "a": Decimal(7)
    }
    assert rows_of(capsys, store, "--by", "day", *berlin) == {
        "2026-03-29": Decimal(7),
        "2026-03-30": Decimal(8),
    }
    assert rows_of(capsys, store, "--by", "day") == {
        "2026-03-28": Decimal(1), "2026-03-29": Decimal(6), "2026-03-30": Decimal(8),
    }  # fmt: skip


def test_so_long_ago_may_be_said_in_days(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    now = datetime.now(UTC)
    for days, amount in ((10, 1), (5, 2), (0, 4)):
        at = None if not days else int((now - timedelta(days=days)).timestamp() * 1_000_000)
        posted(store, "a", amount * 10**9, at=at)
    assert rows_of(capsys, store, "--since", "7d") == {"a": Decimal(6)}


def test_the_table_has_a_total_and_says_what_it_covers(
    capsys: pytest.CaptureFixture[str], memory: MemoryStore
) -> None:
    lines = asked(capsys, memory, "--by", "model", "--since", "2020-01-01").splitlines()
    assert lines[0].split() == ["model", "calls", "tokens", "in", "tokens", "out", "spent", "unconfirmed"]
    total = next(line for line in lines if line.startswith("total"))
    assert total.split()[4] == f"${sum(rows_of(capsys, memory).values()):,}"
    assert lines[-1] == "project default, since 2020-01-01 00:00 +00:00"


def test_what_nobody_confirmed_is_told_only_where_there_is_some(
    capsys: pytest.CaptureFixture[str], memory: MemoryStore
) -> None:
    assert "unconfirmed" in asked(capsys, memory)
    assert "unconfirmed" not in asked(capsys, memory, "--kind", "team")
    answer = json.loads(asked(capsys, memory, "--json"))
    assert Decimal(answer["total"]["unconfirmed"]) == Decimal("0.15")


def test_tags_have_no_total_for_a_call_may_have_several(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    posted(store, "a", 10**9, tags=("x", "y"))
    posted(store, "a", 10**9)
    shown = asked(capsys, store, "--by", "tag")
    assert "total" not in shown
    assert "(no tag)" in shown
    assert "counts under each" in shown
    answer = json.loads(asked(capsys, store, "--by", "tag", "--json"))
    assert answer["total"] is None
    assert {row["name"]: row["spent"] for row in answer["rows"]} == {"x": "1", "y": "1", "": "1"}


def test_json_is_exact_and_says_what_was_asked(
    capsys: pytest.CaptureFixture[str], memory: MemoryStore
) -> None:
    answer = json.loads(asked(capsys, memory, "--format", "json", "--until", "2100-01-01"))
    assert (answer["by"], answer["kind"], answer["timezone"]) == ("user", "user", "UTC")
    assert (answer["since"], answer["until"]) == (None, "2100-01-01T00:00:00+00:00")
    assert next(row for row in answer["rows"] if row["name"] == LONG)["spent"] == "11000.123456789"


def test_csv_is_clean(capsys: pytest.CaptureFixture[str], memory: MemoryStore) -> None:
    shown = asked(capsys, memory, "--format", "csv", "--by", "model")
    assert "\r" not in shown
    head, *rows = csv.reader(io.StringIO(shown))
    assert head == ["model", "calls", "input_tokens", "output_tokens", "spent", "unconfirmed"]
    assert {row[0] for row in rows} <= {*MODELS, ""}
    for row in rows:
        assert all(Decimal(figure) >= 0 for figure in row[1:])  # plain numbers: no $ and no commas
    assert sum(Decimal(row[4]) for row in rows) == sum(rows_of(capsys, memory).values())


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"),
        ('=HYPERLINK("http://x","y")', "'=HYPERLINK(\"http://x\",\"y\")"),
        ("a,b", "a,b"), ('say "hi"', 'say "hi"'), ("a=b", "a=b"), (WIDE, WIDE), ("1-2", "1-2"),
        ("\uff1d1", "'\uff1d1"), (" =1", "' =1"),
    ],
)  # fmt: skip
def test_a_name_cannot_become_a_formula(name: str, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    posted(store, name, 10**9)
    _, row = csv.reader(io.StringIO(asked(capsys, store, "--format", "csv")))
    assert row == [cell, "1", "0", "0", "1", "0"]
    assert rows_of(capsys, store) == {name: Decimal(1)}


def test_a_tag_or_a_model_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    posted(store, "a", 10**9, tags=("\x1b[2Jtag\n=1",))
    for words in ((), ("--format", "csv")):
        shown = asked(capsys, store, "--by", "tag", *words)
        assert "\x1b" not in shown
        assert "\\x1b[2Jtag\\n=1" in shown


def test_nothing_spent_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    shown = asked(capsys, MemoryStore())
    assert "Nothing was spent" in shown
    assert "allowance budgets" in shown
    assert json.loads(asked(capsys, MemoryStore(), "--json"))["rows"] == []
    assert len(asked(capsys, MemoryStore(), "--format", "csv").splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--by", "colour"], "user"),
        (["--format", "xml"], "csv"),
        (["--since", "yesterday"], "7d"),
        (["--since", "2026-13-01"], "--since"),
        (["--until", "2026-02-30"], "--until"),
        (["--since", ""], "--since"),
        (["--since", "2026-02-02", "--until", "2026-02-01"], "no time is left"),
        (["--since", "2026-02-02", "--until", "2026-02-02"], "no time is left"),
        (["--timezone", "Mars/Olympus"], "Europe/Berlin"),
        (["--timezone", "../../etc/passwd"], "Europe/Berlin"),
        (["--timezone", ""], "Europe/Berlin"),
        (["--timezone", "\x1b[31m"], "Europe/Berlin"),
        (["extra"], "--help"),
        (["--project", ""], "--project is empty"),
    ],
)
def test_bad_input(
    words: list[str], remedy: str, capsys: pytest.CaptureFixture[str], memory: MemoryStore
) -> None:
    assert main(["report", *words], store=memory) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert remedy in shown.err
    assert "\x1b" not in shown.err
    assert 1 <= len(shown.err.splitlines()) <= 3


def test_a_store_that_is_not_there_is_not_made(env: dict[str, str], tmp_path: Any) -> None:
    done = run("report", "--store", f"sqlite:///{tmp_path}/none.db", env=env)
    assert (done.code, done.out) == (2, "")
    assert "does not exist" in done.err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("by", BY)
def test_it_fits_a_terminal(by: str, columns: int, busy: dict[str, str]) -> None:
    done = in_terminal("report", "--by", by, env=busy, columns=columns)
    assert done.code == 0
    assert max(map(columns_of, done.lines)) <= columns


def test_the_zone_of_this_machine_is_the_zone_of_its_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert report_module.local_zone() == ZoneInfo("Asia/Tokyo")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # no IANA name
    assert isinstance(report_module.local_zone(), ZoneInfo)


def test_progress_is_told_while_the_ledger_is_read(
    monkeypatch: pytest.MonkeyPatch, memory: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("allowance.cli.progress._PATIENCE", 0)
    assert main(["report"], store=memory) == 0
    count = sum(1 for _ in memory.entries())
    assert f"Reading the ledger  {count:,}" in screen.getvalue()
    assert "Reading" not in capsys.readouterr().out
