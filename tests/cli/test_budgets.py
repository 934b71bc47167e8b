"""``allowance budgets``: which, in what order, how much of each is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from allowance.cli.output import Console, Styled
from allowance.ledger.records import Declaration
from allowance.stores.memory import MemoryStore
from tests.cli.conftest import DOLLAR, LONG, WIDE, InProcess, key
from tests.cli.terminal import in_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.ledger.records import Account, AccountKey


def names(printed: str) -> list[str]:
    return [line.split("  ")[0] for line in printed.splitlines()[1:-2]]


def test_a_line_for_each_budget_with_kind_and_label(here: InProcess) -> None:
    done = here("budgets")
    assert names(done.out) == [
        *("team red", LONG, "alice", "alice [day]", "alice [gpt-4o*]", "bob", "carol", "dave", WIDE),
    ]
    lines = {line.split("  ")[0]: line for line in done.lines}
    assert lines["carol"].split() == ["carol", "$10.00", "$9.50", "-", "██████████", "95%", "never"]
    assert "no limit" in lines["bob"]
    assert "%" not in lines["bob"]
    assert lines["alice"].split()[3] == "$0.22"  # held by the open call
    assert "busy.db" in done.lines[-1]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (("--sort", "name"), "team red"),
        (("--sort", "spent"), LONG),
        (("--sort", "remaining"), "dave"),
        (("--kind", "team"), "team red"),
        (("--over", "80%"), LONG),
        (("--over", "0.9"), "carol"),
        (("--over", "90"), "carol"),
    ],
)
def test_which_ones_and_in_what_order(words: tuple[str, ...], first: str, here: InProcess) -> None:
    assert names(here("budgets", *words).out)[0] == first


def test_budgets_without_a_limit_come_last_by_what_remains(here: InProcess) -> None:
    assert names(here("budgets", "--sort", "remaining").out)[-1] == "bob"


def test_over_leaves_out_what_is_not_past_it(here: InProcess) -> None:
    assert sorted(names(here("budgets", "--over", "80%").out)) == sorted([LONG, "carol"])
    done = here("budgets", "--over", "100%")
    assert (done.code, done.lines[0]) == (0, "No budgets past 100% in project 'default'.")


def test_json_is_exact(here: InProcess) -> None:
    budgets = {
        (one["kind"], one["user"], one["label"]): one for one in json.loads(here("budgets", "--json").out)
    }
    assert len(budgets) == 9
    assert budgets["user", LONG, ""]["spent"] == "11000.123456789"
    assert budgets["user", LONG, ""]["remaining"] == "1344.876543211"
    assert budgets["user", "bob", ""]["limit"] is None
    alice = budgets["user", "alice", ""]
    assert (alice["limit"], alice["base_limit"], alice["extra"], alice["held"]) == ("7", "5", "2", "0.22")
    assert alice["resets_at"].endswith("+00:00")
    assert budgets["user", "alice", "gpt-4o*"]["models"] == ["gpt-4o*"]


def test_an_empty_store_says_how_to_make_one(here: InProcess) -> None:
    empty = MemoryStore()
    done = here("budgets", store=empty)
    assert done.code == 0
    assert "allowance set alice --limit 5" in done.out
    assert here("budgets", "--json", store=empty).out == "[]\n"


def test_an_empty_project_names_the_others(here: InProcess) -> None:
    done = here("budgets", "--project", "biling")
    assert "--project billing, --project default" in done.out


def test_a_kind_without_budgets(here: InProcess) -> None:
    assert here("budgets", "--kind", "robot").lines == ["No budgets of kind 'robot' in project 'default'."]


class _Counted(MemoryStore):
    taken = 0

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        for account in super().accounts(project, after=after):
            self.taken += 1
            yield account


def test_thousands_are_printed_as_they_are_read(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _Counted()
    for number in range(1500):
        store.define(key(f"user-{number:04}"), Declaration(limit=DOLLAR, creates=True))
    seen = []
    bar = Console.bar

    def counted(console: Console, part: float, width: int = 10, *, held: float = 0) -> Styled:
        seen.append(store.taken)
        return bar(console, part, width, held=held)

    monkeypatch.setattr(Console, "bar", counted)
    done = here("budgets", store=store)
    assert len(done.lines) == 1500 + 3
    assert "1,500 budgets" in done.lines[-1]
    assert seen[0] < 600  # the first row is made before the last account is read


def test_more_room_gives_longer_bars(busy: dict[str, str]) -> None:
    assert "█" * 19 in in_terminal("budgets", env=busy, columns=120).text
