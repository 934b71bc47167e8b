"""``allowance show`` and ``allowance why``: all that an operator needs to know of one user."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from allowance import BudgetManager
from allowance.ledger.names import account_key
from allowance.ledger.records import Posting, Scope
from allowance.stores.sqlite import SQLiteStore
from tests.cli.conftest import EXPIRED, OPEN, InProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from allowance.ledger.records import Entry


def test_show_tells_all_about_a_user(here: InProcess) -> None:
    done = here("show", "alice")
    assert done.code == 0
    main, _, others = done.out.partition("\nalice [day]\n")
    for told in (
        "limit     $5.00 monthly",
        "top-up    $2.00 until ",
        "held      $0.22 by open calls",
        "resets    ",
        "uncapped  shrink",
        "claude-sonnet-4-5  $0.",
        "Windows before",
    ):
        assert told in main, told
    assert "models    gpt-4o*" in others
    holds = {line.split()[0]: line for line in done.lines if line.startswith("  5a0b")}
    assert holds[OPEN].split()[1] == "$0.22"
    assert "worker-3:4711" in holds[OPEN]
    assert " min " in holds[OPEN]
    assert holds[EXPIRED].split()[1] == "$0.15"
    assert "unconfirmed" in done.out
    assert "allowance release ID" in done.out
    assert "demo on Friday" in here("show", "alice", "--json").out


def test_a_user_without_a_limit_or_calls(here: InProcess) -> None:
    bob = here("show", "bob").out
    assert "none: it only counts, for good" in bob
    assert "left" not in bob
    dave = here("show", "dave").out
    assert "$0.00 daily" in dave
    assert "begins    at midnight, in Europe/Berlin" in dave
    for title in ("Open calls", "Models", "Windows before", "Latest"):
        assert title not in dave


def test_a_long_ledger_is_not_read_from_its_beginning(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a daily budget with 38 windows, and of one without any, only the latest lines are read."""
    days = [line for line in here("show", "alice").lines if line.endswith(" 2")]
    assert len(days) == 5
    read: list[Entry] = []
    entries = SQLiteStore.entries

    def counting(*args: Any, **named: Any) -> Iterator[Entry]:
        for entry in entries(*args, **named):
            read.append(entry)
            yield entry

    monkeypatch.setattr(SQLiteStore, "entries", counting)
    assert [line for line in here("show", "alice").lines if line.endswith(" 2")] == days
    assert 0 < sum(entry.key.label == "day" for entry in read) < 40
    read.clear()
    assert "Latest lines" in here("show", "bob").out
    assert len(read) < 40


def test_the_first_window_of_the_calendar_is_shown_whole(here: InProcess) -> None:
    """It began before the budget was made."""
    made = datetime.now(UTC) - timedelta(days=2)
    with BudgetManager("default", store=here.environment["ALLOWANCE_STORE"]) as manager:
        manager.create_budget(5, "zoe", "daily", align="calendar", created_at=made)
        scopes = (Scope(account_key("default", "user", "zoe")),)
        manager.store.settle(Posting("first", 10**9, scopes, "o3", at=round(made.timestamp() * 1e6) + 1))
    shown = here("show", "zoe").out
    assert shown.partition("Windows before")[2].splitlines()[2].split()[-2:] == ["$1.00", "1"]


def test_show_as_json(here: InProcess) -> None:
    shown = json.loads(here("show", "alice", "--json").out)
    assert [budget["label"] for budget in shown["budgets"]] == ["", "day", "gpt-4o*"]
    main = shown["budgets"][0]
    assert main["models"] == []
    assert main["model_costs"]["gpt-4o"].startswith("0.")
    assert len(main["entries"]) == 5
    assert {hold["call_id"]: hold["unconfirmed"] for hold in shown["holds"]} == {OPEN: False, EXPIRED: True}
    current = main["windows"][-1]
    assert current["current"] is True
    assert current["spent"] == main["spent"]


def test_why_says_that_nothing_stands_in_the_way(here: InProcess) -> None:
    done = here("why", "alice")
    assert done.code == 0
    assert done.lines[0].startswith("Nothing stands in the way: $")
    assert here("why", "alice", "--model", "gpt-4o-mini", "--max-tokens", "10").code == 0


def test_why_names_the_budget_that_refuses_and_what_helps(here: InProcess) -> None:
    done = here("why", "alice", "--model", "gpt-4o", "--max-tokens", "90000")
    assert done.code == 1
    rows = {line.split("  ")[0]: line for line in done.lines}
    assert rows["alice"].endswith("fits")
    assert rows["alice [day]"].endswith("too little")
    assert "    allowance add alice 0.27 --label day" in done.lines
    assert "lower max_tokens" in done.out


def test_the_top_up_that_why_names_is_enough(here: InProcess) -> None:
    words = ("why", "alice", "--model", "gpt-4o", "--max-tokens", "900000")
    helps = [line.split() for line in here(*words).lines if "allowance add" in line]
    assert len(helps) == 3
    for command in helps:
        assert here(*(word.strip("'") for word in command[1:])).code == 0
    assert here(*words).code == 0


def test_commands_to_copy_name_the_project_and_the_store(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = here.environment["ALLOWANCE_STORE"]
    monkeypatch.delenv("ALLOWANCE_STORE")
    refused = here(
        *("why", "zed", "--model", "gpt-4o", "--max-tokens", "5000000"),
        *("--store", url, "--project", "billing"),
    )
    (command,) = [line.strip() for line in refused.lines if line.startswith("    allowance add")]
    assert here(*shlex.split(command)[1:]).code == 0


def test_a_user_whose_name_begins_with_a_dash(here: InProcess) -> None:
    assert here("set", "--limit", "5", "--", "-zoe").code == 0
    refused = here("why", "--model", "gpt-4o", "--max-tokens", "5000000", "--", "-zoe")
    (command,) = [line.strip() for line in refused.lines if line.startswith("    allowance add")]
    assert here(*shlex.split(command)[1:]).code == 0


def test_why_names_the_call_that_holds_what_is_left(here: InProcess) -> None:
    assert here("set", "alice", "--limit", "0.80", "--label", "day").code == 0
    words = ("why", "alice", "--model", "gpt-4o", "--max-tokens", "60000")
    done = here(*words)
    assert done.code == 1
    assert done.lines[0] == "Not now: open calls hold what is left."
    assert f"    allowance release {OPEN}" in done.lines
    assert "worker-3:4711" in done.out
    assert here("release", OPEN).code == 0
    assert here(*words).code == 0


def test_why_of_a_window_that_is_used_up_says_when_it_turns(here: InProcess) -> None:
    assert here("set", "red", "--kind", "team", "--limit", "1").code == 0
    done = here("why", "red", "--kind", "team")
    assert done.code == 1
    assert done.lines[0] == "Nothing is left."
    assert "when the window turns" in done.out
    assert "    allowance add red 0.11 --kind team" in done.lines


def test_why_of_a_limit_of_zero(here: InProcess) -> None:
    done = here("why", "dave")
    assert done.code == 1
    assert "    allowance set dave --limit 5" in done.lines


def test_why_of_a_model_without_a_price(here: InProcess) -> None:
    done = here("why", "alice", "--model", "gpt-99-ultra")
    assert done.code == 1
    assert "no price" in done.out
    assert "    allowance prices --search gpt" in done.lines
    assert here("why", "bob", "--model", "gpt-99-ultra").code == 0  # only counts


def test_why_counts_what_is_sent(here: InProcess, tmp_path: Path) -> None:
    text, messages = tmp_path / "prompt.txt", tmp_path / "messages.json"
    text.write_text("word " * 1000)
    messages.write_text(json.dumps([{"role": "user", "content": "word " * 1000}]))
    bracket = tmp_path / "bracket.txt"
    bracket.write_text("[no JSON " * 300)
    words = ("why", "alice", "--model", "gpt-4o", "--max-tokens", "10", "--json")
    needs = [
        float(json.loads(here(*words, *more).out)["needs"])
        for more in ((), ("--input", str(text)), ("--input", str(messages)), ("--input", str(bracket)))
    ]
    assert needs[0] < 0.001 < needs[1] == needs[2]
    assert needs[3] > needs[0] + 0.0005


def test_why_refuses_what_is_no_text(here: InProcess, tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"\xff\xfe\x00")
    done = here("why", "alice", "--model", "gpt-4o", "--input", str(noise))
    assert done.code == 2
    assert "not text in UTF-8" in done.err


def test_why_reads_standard_input(busy: dict[str, str]) -> None:
    from tests.cli.terminal import run

    words = ("why", "alice", "--model", "gpt-4o", "--max-tokens", "10", "--input", "-", "--json")
    done = run(*words, env=busy, stdin="word " * 1000)
    assert float(json.loads(done.out)["needs"]) > 0.001
