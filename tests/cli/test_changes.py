"""``allowance set``, ``add``, ``reset``, ``delete`` and ``release``: what they change, and what they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from allowance.stores.open import open_store
from tests.cli.conftest import ENDED, EXPIRED, OPEN, InProcess
from tests.cli.terminal import Terminal, run

if TYPE_CHECKING:
    pass


def budget(here: InProcess, user: str, label: str = "", kind: str = "user") -> dict[str, Any]:
    shown = json.loads(here("show", user, "--kind", kind, "--json").out)["budgets"]
    return next(one for one in shown if one["label"] == label)


def balanced(here: InProcess) -> bool:
    store = open_store(here.environment["ALLOWANCE_STORE"])
    try:
        return store.audit() == []
    finally:
        store.close()


# -- set ----------------------------------------------------------------------------------------------


def test_a_new_budget(here: InProcess) -> None:
    done = here("set", "nina", "--limit", "$1,000", "--duration", "7d", "--uncapped", "refuse")
    assert done.lines[0] == "Made nina in project default."
    made = budget(here, "nina")
    assert (made["limit"], made["duration"], made["uncapped"]) == ("1000", "7d", "refuse")


def test_an_operator_changes_only_what_is_given_and_spend_stays(here: InProcess) -> None:
    before = budget(here, "alice")
    assert here("set", "alice", "--limit", "20").lines[0] == "Changed alice in project default."
    after = budget(here, "alice")
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"limit", "base_limit", "remaining"}
    assert here("set", "alice", "--limit", "20").lines[0] == "Unchanged: alice in project default."


def test_r9_a_new_duration_keeps_the_spend_of_its_window(here: InProcess) -> None:
    whole = json.loads(here("show", "bob", "--json").out)["budgets"][0]["spent"]
    assert here("set", "bob", "--duration", "monthly").code == 0
    month = budget(here, "bob")
    assert 0 < float(month["spent"]) < float(whole)
    assert here("set", "bob", "--duration", "forever").code == 0
    assert budget(here, "bob")["spent"] == whole
    assert budget(here, "bob")["resets_at"] is None


def test_a_limit_is_lifted_with_none(here: InProcess) -> None:
    assert "it only counts" in here("set", "carol", "--limit", "none").out
    assert budget(here, "carol")["limit"] is None
    assert budget(here, "carol")["spent"] == "9.5"


def test_a_limit_below_what_was_spent_is_warned_of(here: InProcess) -> None:
    done = here("set", "carol", "--limit", "5")
    assert done.code == 0
    assert "$9.50 were spent already" in done.err


def test_further_budgets_have_labels(here: InProcess) -> None:
    assert here("set", "bob", "--limit", "2", "--duration", "daily", "--label", "day").code == 0
    assert "Made bob [o3*,o4*]" in here("set", "bob", "--limit", "1", "--models", "o3*, o4*").out
    assert budget(here, "bob", "o3*,o4*")["models"] == ["o3*", "o4*"]
    assert budget(here, "bob")["limit"] is None
    done = here("set", "bob", "--duration", "daily", "--label", "week")
    assert done.code == 2
    assert "allowance set bob --limit 5 --label week" in done.err


def test_calendar_windows(here: InProcess) -> None:
    words = ("--duration", "weekly", "--align", "calendar", "--timezone", "Europe/Berlin")
    done = here("set", "nina", "--limit", "5", *words)
    assert "begins    on Mondays, in Europe/Berlin" in done.out


# -- add ----------------------------------------------------------------------------------------------


def test_a_top_up_lasts_to_the_end_of_the_window(here: InProcess) -> None:
    done = here("add", "alice", "1", "--label", "day", "--reason", "demo")
    assert done.lines[0].startswith("Added $1.00 to alice [day], until 20")
    day = budget(here, "alice", "day")
    assert (day["limit"], day["base_limit"], day["extra"]) == ("2", "1", "1")
    assert day["top_ups"][0]["until"] == day["resets_at"]
    assert day["entries"][-1]["reason"].endswith("demo")


def test_a_top_up_of_a_budget_for_good_is_for_good(here: InProcess) -> None:
    assert here("add", "carol", "0.50").lines[0] == "Added $0.50 to carol, for good."


def test_a_top_up_until_a_date(here: InProcess) -> None:
    done = here("add", "carol", "1", "--until", "2099-01-02T03:04:05Z", "--json")
    top_ups = json.loads(done.out)["top_ups"]
    assert top_ups == [{"amount": "1", "until": "2099-01-02T03:04:05+00:00"}]


# -- reset and delete ---------------------------------------------------------------------------------


def test_a_reset_of_all_of_a_users_budgets_or_of_one(here: InProcess) -> None:
    assert here("reset", "alice", "--label", "day", "--yes").lines == ["Reset alice [day] ($0.15 spent)."]
    assert budget(here, "alice", "day")["spent"] == "0"
    assert budget(here, "alice")["spent"] != "0"
    done = here("reset", "alice", "--yes", "--json", "--reason", "new year")
    assert [one["spent"] for one in json.loads(done.out)] == ["0", "0", "0"]
    assert budget(here, "alice")["held"] == "0.22"
    assert "new year" in here("show", "alice").out
    assert balanced(here)


def test_a_deletion_of_a_user_or_of_one_budget(here: InProcess) -> None:
    done = here("delete", "alice", "--label", "day", "--yes")
    assert done.lines == ["Deleted alice [day] ($0.15 spent). Its ledger is kept."]
    assert "alice [day]" not in here("budgets").out
    assert "alice [gpt-4o*]" in here("budgets").out
    assert here("delete", "alice", "--yes").code == 0
    assert "alice" not in here("budgets").out
    assert here("show", "alice").code == 2
    assert balanced(here)


@pytest.mark.parametrize("command", ["reset", "delete"])
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("", 1), ("n", 1), ("yellow", 1)])
def test_they_ask_on_a_terminal(command: str, answer: str, code: int, here: InProcess) -> None:
    terminal = Terminal(command, "carol", env=here.environment)
    terminal.wait_for(f"{command.capitalize()} carol ($9.50 spent)? [y/N] ")
    terminal.type(f"{answer}\n")
    done = terminal.end()
    assert done.code == code
    assert ("Nothing was changed." in done.text) is (code == 1)
    left = here("show", "carol", "--json")
    assert (left.code == 0 and json.loads(left.out)["budgets"][0]["spent"] == "9.5") is (code == 1)


def test_without_a_terminal_nobody_is_asked(busy: dict[str, str]) -> None:
    done = run("delete", "carol", env=busy, stdin="yes\n")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "allowance: This would delete carol ($9.50 spent). "
        "There is no terminal to confirm it on: add --yes.\n"
    )


# -- release ------------------------------------------------------------------------------------------


def test_an_open_hold_is_released(here: InProcess) -> None:
    done = here("release", OPEN)
    assert done.code == 0
    assert done.lines[0].startswith(
        "Released $0.22, which a call to gpt-4o by alice, alice [day], alice [gpt-4o*]"
    )
    assert "worker-3:4711" in done.err
    assert budget(here, "alice")["held"] == "0"
    assert balanced(here)


def test_an_expired_hold_gives_its_charge_back(here: InProcess) -> None:
    before = float(budget(here, "alice")["spent"])
    done = here("release", EXPIRED, "--reason", "never sent")
    assert done.lines[0].startswith("Gave back $0.15")
    assert float(budget(here, "alice")["spent"]) == pytest.approx(before - 0.15)
    assert "never sent" in here("show", "alice").out
    assert balanced(here)


def test_what_has_ended_is_not_released(here: InProcess) -> None:
    done = here("release", ENDED)
    assert (done.code, done.lines) == (1, ["Nothing to release: that call has ended, and cost $9.50."])
    assert here("release", EXPIRED).code == 0
    again = here("release", EXPIRED)
    assert (again.code, again.lines) == (
        1,
        ["Nothing to release: that call was released before, and costs nothing."],
    )


def test_an_unknown_id_is_not_remembered(here: InProcess) -> None:
    """The store would refuse the call of an id that was released before it came."""
    done = here("release", "5a0b74c1b8a2f9d3dddddddddddd")
    assert done.code == 2
    store = open_store(here.environment["ALLOWANCE_STORE"])
    try:
        assert store.release("5a0b74c1b8a2f9d3dddddddddddd") is None  # else it were remembered: a hold
        from allowance.ledger.records import Ask, Grant, Scope
        from tests.cli.conftest import MINUTE, key

        amounts = {"floor": 1, "amount": 1, "ceiling": 1, "expected": 1, "bounded": True, "ttl": MINUTE}
        assert here("release", "eeee").code == 2
        assert isinstance(store.reserve(Ask("eeee", (Scope(key("bob")),), **amounts)), Grant)
    finally:
        store.close()


def test_a_call_of_another_project_names_it(here: InProcess) -> None:
    done = here("release", OPEN, "--project", "billing")
    assert done.code == 2
    assert "--project default" in done.err


def test_release_as_json(here: InProcess) -> None:
    released = json.loads(here("release", OPEN, "--json").out)
    assert (released["state"], released["amount"]) == ("released", "0.22")


def test_a_call_whose_hold_was_released_is_charged_when_it_ends(here: InProcess) -> None:
    """What the note beside a release says: letting a hold go does not make a living call free (R5)."""
    from allowance import BudgetManager

    with BudgetManager("default", store=here.environment["ALLOWANCE_STORE"]) as manager:
        manager.create_budget(1, "zoe")
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}

        @manager.budgeted(user="zoe")
        def ask(messages: object, model: str = "gpt-4o", max_tokens: int = 500) -> dict[str, object]:
            (hold,) = manager.holds("zoe")
            done = here("release", hold.call_id)
            assert (done.code, "is charged when it ends" in done.err) == (0, True)
            assert manager.holds("zoe") == []
            return {"model": model, "choices": [], "usage": usage}

        ask([{"role": "user", "content": "hello"}])
        assert str(manager.status("zoe")[0].spent) == "0.0035"
