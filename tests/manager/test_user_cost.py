"""LiteLLM's ``user_cost.json``: taken over whole, twice over without doubling, and written for it."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import litellm
import pytest

from allowance import BudgetManager, ConfigurationError
from allowance.stores.memory import MemoryStore, system_clock
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import Clock, Flaky, reply, usd
from tests.manager.support import saves_done

DAY = 86_400
NOW = 1_800_000_000
"""What `Clock` shows at first, in seconds."""


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> BudgetManager:
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now / 1_000_000)
    return BudgetManager("shop", store=MemoryStore(clock=clock))


def written(path: Path, users: Any) -> Path:
    (path / "user_cost.json").write_text(json.dumps(users, indent=4))
    return path / "user_cost.json"


def spent(manager: BudgetManager) -> dict[str, Decimal]:
    assert manager.audit() == []
    return {budget.user: budget.spent for budget in manager.statuses()}


TWO = {
    "a": {"total_budget": 10},
    "b": {
        "total_budget": 0.5,
        "duration": 1,
        "created_at": NOW - 0.5 * DAY,
        "last_updated_at": NOW - 0.25 * DAY,
        "current_cost": 0.0015,
        "model_cost": {"gpt-4": 0.001, "gpt-3.5-turbo-0613": 0.0005},
    },
}


# -- taking over -----------------------------------------------------------------------------------------


def test_users_come_over_with_what_they_spent(manager: BudgetManager, tmp_path: Path) -> None:
    report = manager.import_user_cost(written(tmp_path, TWO))
    assert (report.users, report.created, report.unchanged, report.problems) == (2, 2, 0, ())
    assert report.posted == Decimal("0.0015")
    assert manager.user_dict["a"] == TWO["a"]
    assert manager.user_dict["b"] == {**TWO["b"], "created_at": NOW - 0.25 * DAY}
    assert spent(manager) == {"a": 0, "b": Decimal("0.0015")}
    [b] = manager.status("b")
    assert (b.duration, b.resets_at) == ("daily", datetime.fromtimestamp(NOW + 0.75 * DAY, UTC))


def test_a_file_that_litellm_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = litellm.BudgetManager("shop")
    theirs.create_budget(10, "plain")
    for duration in ("daily", "weekly", "monthly", "yearly"):
        theirs.create_budget(1.5, duration, duration, created_at=time.time())
        for _ in range(50):  # floats that do not add up
            usage = litellm.Usage(prompt_tokens=333, completion_tokens=71, total_tokens=404)
            theirs.update_cost(duration, litellm.ModelResponse(model="gpt-4", usage=usage))
    saves_done()
    theirs.save_data()
    ours = BudgetManager("shop", client_type="memory")
    report = ours.import_user_cost("user_cost.json")
    assert report.problems == ()
    assert spent(ours)["daily"] == 50 * usd(333 * 30_000 + 71 * 60_000)
    for user, record in theirs.user_dict.items():
        mine, costs = dict(ours.user_dict[user]), dict(record)
        assert mine.pop("model_cost", {}) == pytest.approx(costs.pop("model_cost", {}), rel=1e-9)
        assert mine == pytest.approx(costs, rel=1e-9)


def test_the_same_file_twice_doubles_nothing(manager: BudgetManager, tmp_path: Path) -> None:
    path = written(tmp_path, TWO)
    manager.import_user_cost(path)
    before = manager.user_dict, list(manager.entries())
    report = manager.import_user_cost(path)
    assert (report.created, report.unchanged, report.posted) == (0, 2, 0)
    assert (manager.user_dict, list(manager.entries())) == before


def test_of_a_file_that_has_grown_the_difference_is_posted(manager: BudgetManager, tmp_path: Path) -> None:
    forever = {"total_budget": 1, "current_cost": 0.25, "model_cost": {"gpt-4": 0.25}}
    manager.import_user_cost(written(tmp_path, {**TWO, "c": forever}))
    manager.update_cost("b", reply())  # used here meanwhile
    grown = {**TWO["b"], "current_cost": 0.0035, "model_cost": {"gpt-4": 0.003, "gpt-3.5-turbo-0613": 0.0005}}
    forever = {"total_budget": 1, "current_cost": 0.75, "model_cost": {"gpt-4": 0.25, "o3": 0.5}}
    for expected in (Decimal("0.502"), 0):
        report = manager.import_user_cost(written(tmp_path, {**TWO, "b": grown, "c": forever}))
        assert report.posted == expected
    assert spent(manager) == {"a": 0, "b": Decimal("0.0035") + usd(75_000), "c": Decimal("0.75")}
    assert manager.get_model_cost("c") == {"gpt-4": 0.25, "o3": 0.5}


def test_a_file_that_has_shrunk_takes_nothing_back_and_is_told(
    manager: BudgetManager, tmp_path: Path
) -> None:
    manager.import_user_cost(written(tmp_path, TWO))
    less = {**TWO["b"], "current_cost": 0.0005, "model_cost": {"gpt-4": 0, "gpt-3.5-turbo-0613": 0.0004}}
    report = manager.import_user_cost(written(tmp_path, {"b": less}))
    assert spent(manager)["b"] == Decimal("0.0016")  # what belongs to no model is new
    [problem] = report.problems
    assert problem.startswith("'b': the cost of gpt-3.5-turbo-0613 is less")


def test_the_next_window_of_litellms_counts_beside_the_first(manager: BudgetManager, tmp_path: Path) -> None:
    manager.import_user_cost(written(tmp_path, TWO))
    later = {**TWO["b"], "last_updated_at": NOW - 60.0}
    manager.import_user_cost(written(tmp_path, {"b": later}))
    assert spent(manager)["b"] == Decimal("0.003")


def test_r8_a_window_that_is_over_leaves_nothing_spent_now_and_its_history(
    manager: BudgetManager, tmp_path: Path
) -> None:
    old = {**TWO["b"], "last_updated_at": NOW - 3.25 * DAY}
    manager.import_user_cost(written(tmp_path, {"b": old}))
    assert spent(manager)["b"] == 0
    closed, present = manager.history("b")
    assert (closed.spent, closed.by_model["gpt-4"]) == (Decimal("0.0015"), Decimal("0.001"))
    assert closed.start == datetime.fromtimestamp(NOW - 3.25 * DAY, UTC)
    assert closed.end == datetime.fromtimestamp(NOW - 2.25 * DAY, UTC)
    assert present.start == datetime.fromtimestamp(NOW - 0.25 * DAY, UTC)
    assert manager.import_user_cost(written(tmp_path, {"b": old})).posted == 0


@pytest.mark.parametrize(
    ("days", "duration"),
    [
        *((1, "daily"), (7, "weekly"), (28, "monthly"), (365, "yearly"), (1.0, "daily"), ("7", "weekly")),
        *((30, "30d"), (14, "14d"), (0.5, "43200s"), (1 / 24, "3600s"), (None, None)),
    ],
)
def test_durations(days: Any, duration: str | None, manager: BudgetManager, tmp_path: Path) -> None:
    manager.import_user_cost(written(tmp_path, {"b": {**TWO["b"], "duration": days}}))
    assert manager.status("b")[0].duration == duration


def test_a_user_who_is_here_already_keeps_the_terms_that_hold_here(
    manager: BudgetManager, tmp_path: Path
) -> None:
    manager.create_budget(99, "b", "weekly")
    manager.update_cost("b", reply())
    report = manager.import_user_cost(written(tmp_path, TWO))
    assert report.created == 1
    [b] = manager.status("b")
    assert (b.limit, b.duration) == (99, "weekly")
    # The week began now: what LiteLLM counted before lies in the week before, and in its history.
    assert (b.spent, manager.history("b")[0].spent) == (usd(75_000), Decimal("0.0015"))


def test_a_user_who_was_removed_comes_over_anew(manager: BudgetManager, tmp_path: Path) -> None:
    path = written(tmp_path, TWO)
    for _ in range(9):
        assert manager.import_user_cost(path).posted == Decimal("0.0015")
        assert spent(manager)["b"] == Decimal("0.0015")
        manager.delete_user("b")


# -- what cannot be taken --------------------------------------------------------------------------------


NOT_TAKEN = {
    "nan": {"total_budget": float("nan")},
    "negative": {"total_budget": -1},
    "missing": {"duration": 1},
    "null": {"total_budget": None},
    "true": {"total_budget": True},
    "words": {"total_budget": "ten"},
    "vast": {"total_budget": 1e300},
    "list": [1],
    "number": 5,
    "dogs": {"total_budget": 1, "duration": "10dogs"},
    "zero days": {"total_budget": 1, "duration": 0},
    "endless": {"total_budget": 1, "duration": float("inf")},
    "": {"total_budget": 1},
    "a\x00b": {"total_budget": 1},
    "x" * 600: {"total_budget": 1},
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_user_without_a_usable_budget_is_named_and_not_taken(
    name: str, manager: BudgetManager, tmp_path: Path
) -> None:
    report = manager.import_user_cost(written(tmp_path, {name: NOT_TAKEN[name], **TWO}))
    [problem] = report.problems
    assert problem.startswith(repr(name[:80]))
    assert (report.users, report.created) == (3, 2)
    assert manager.get_users() == ["a", "b"]


B = TWO["b"]
NOTHING = Decimal(0)
ALL = Decimal("0.0015")
PARTLY: dict[str, tuple[dict[str, Any], Decimal, str]] = {
    "a cost of NaN": (
        {**B, "model_cost": {"gpt-4": float("nan")}, "current_cost": 0},
        Decimal(0),
        "'gpt-4' is nan",
    ),
    "a negative cost": ({**B, "model_cost": {"m": -1}, "current_cost": 0.5}, Decimal("0.5"), "'m' is -1"),
    "a cost in words": ({**B, "model_cost": {"m": "much"}, "current_cost": 0}, NOTHING, "'m' is 'much'"),
    "costs in a list": ({**B, "model_cost": [1], "current_cost": 0.5}, Decimal("0.5"), "model_cost is list"),
    "a sum of NaN": ({**B, "current_cost": float("nan")}, ALL, "current_cost is nan"),
    "a sum that is less": ({**B, "current_cost": 0.0001}, ALL, "less than its models"),
    "a vast cost": (
        {**B, "model_cost": {"m": 1e300}, "current_cost": 0},
        Decimal(0),
        "more than can be kept",
    ),
    "no times": ({"total_budget": 1, "duration": 1, "current_cost": 1}, Decimal(1), "windows begin now"),
    "times to come": (
        {**B, "created_at": NOW + 9, "last_updated_at": NOW + 9},
        Decimal("0.0015"),
        "begin now",
    ),
}


@pytest.mark.parametrize("name", PARTLY)
def test_what_is_unusable_of_a_user_is_left_out_and_said(
    name: str, manager: BudgetManager, tmp_path: Path
) -> None:
    record, expected, says = PARTLY[name]
    for _ in range(2):
        report = manager.import_user_cost(written(tmp_path, {"b": record}))
        assert len(report.problems) == 1
        assert says in report.problems[0]
        assert report.problems[0].startswith("'b'")
        assert spent(manager) == {"b": expected}


WHOLE: dict[str, tuple[dict[str, Any], Decimal]] = {
    "a model_cost of 0": ({**B, "model_cost": 0, "current_cost": 0}, Decimal(0)),
    "null costs": ({**B, "model_cost": None, "current_cost": None}, Decimal(0)),
    "numbers as text": (
        {**B, "total_budget": "10", "model_cost": {"m": "0.5"}, "current_cost": "0.5"},
        Decimal("0.5"),
    ),
    "no models": ({**B, "model_cost": {}, "current_cost": 0.5}, Decimal("0.5")),
    "noise of floats": (
        {**B, "current_cost": 0.0015000000000000002, "model_cost": {"m": 0.0015000000000000002}},
        Decimal("0.0015"),
    ),
    "an endless budget": ({**B, "total_budget": float("inf")}, Decimal("0.0015")),
    "things unknown": ({**B, "colour": "red"}, Decimal("0.0015")),
    "created_at alone": ({**{k: v for k, v in B.items() if k != "last_updated_at"}}, Decimal("0.0015")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_can_be_understood_is_taken(name: str, manager: BudgetManager, tmp_path: Path) -> None:
    record, expected = WHOLE[name]
    report = manager.import_user_cost(written(tmp_path, {"b": record}))
    assert report.problems == ()
    assert spent(manager) == {"b": expected}


def test_two_names_that_are_one_are_told(manager: BudgetManager, tmp_path: Path) -> None:
    report = manager.import_user_cost(written(tmp_path, {"café": B, "cafe\u0301": B}))
    assert "the same name" in report.problems[0]
    assert spent(manager) == {"café": Decimal("0.0015")}


DAMAGED = {
    "empty": b"",
    "truncated": json.dumps(TWO, indent=4).encode()[:-40],
    "two at once": json.dumps(TWO).encode() + b'"b": {}}',
    "no text": b"\xff\xfe\x00",
    "null": b"null",
    "a list": b"[]",
    "a number": b"5",
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_changes_nothing(name: str, manager: BudgetManager, tmp_path: Path) -> None:
    path = tmp_path / "user_cost.json"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ConfigurationError, match="Nothing was changed") as refused:
        manager.import_user_cost(path)
    assert str(path) in str(refused.value)
    assert list(manager.statuses()) == []


def test_a_file_that_cannot_be_read(manager: BudgetManager, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            manager.import_user_cost(path)


# -- many, interrupted, at once --------------------------------------------------------------------------


def many(count: int) -> dict[str, Any]:
    then = system_clock() / 1_000_000 - 60
    record = {"total_budget": 1, "duration": 1, "created_at": then, "last_updated_at": then}
    cost = {"current_cost": 0.75, "model_cost": {"gpt-4": 0.5, "o3": 0.25}}
    return {f"user {number:06}": {**record, **cost} for number in range(count)}


def test_a_file_store_takes_many_at_once_and_tells_its_progress(tmp_path: Path) -> None:
    manager = BudgetManager("shop", store=f"sqlite:///{tmp_path}/budgets.db")
    told: list[tuple[int, int]] = []
    path = written(tmp_path, many(250))
    report = manager.import_user_cost(path, progress=lambda *done: told.append(done))
    assert (report.created, report.posted, report.problems) == (250, Decimal("187.5"), ())
    assert told == [(100, 250), (200, 250), (250, 250)]
    assert set(spent(manager).values()) == {Decimal("0.75")}
    assert manager.import_user_cost(path).unchanged == 250
    manager.close()


def test_an_import_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    store = Flaky()
    manager = BudgetManager("shop", store=store)
    path = written(tmp_path, many(20))

    settle = store.settle

    def fail_at_last(posting: Any) -> Any:
        if len(list(store.entries())) == 13:
            raise KeyboardInterrupt
        return settle(posting)

    store.settle = fail_at_last  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        manager.import_user_cost(path)
    store.settle = settle  # type: ignore[method-assign]
    manager.import_user_cost(path)
    assert set(spent(manager).values()) == {Decimal("0.75")}
    assert len(spent(manager)) == 20


def test_two_imports_at_once_double_nothing(tmp_path: Path) -> None:
    path, url = written(tmp_path, many(40)), str(tmp_path / "budgets.db")
    stores = [SQLiteStore(url), SQLiteStore(url)]
    managers = [BudgetManager("shop", store=store) for store in stores]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(manager.import_user_cost, path) for manager in managers * 2]
        reports = [job.result() for job in jobs]
    assert set(spent(managers[0]).values()) == {Decimal("0.75")}
    assert sum(report.posted for report in reports) == 40 * Decimal("0.75")
    for store in stores:
        store.close()


# -- writing ---------------------------------------------------------------------------------------------


def test_litellm_reads_what_we_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours = BudgetManager("shop", client_type="memory")
    ours.create_budget(None, "endless")
    ours.create_budget(2, "plain")
    for duration in ("daily", "weekly", "monthly", "yearly"):
        ours.create_budget(1.5, duration, duration)
        ours.update_cost(duration, reply())
    ours.create_budget(1, "café")
    written_out = ours.export_user_cost("user_cost.json")
    theirs = litellm.BudgetManager("shop")
    assert theirs.user_dict == ours.user_dict == written_out
    for user in theirs.get_users():
        assert theirs.get_current_cost(user) <= theirs.get_total_budget(user)
    theirs.update_budget_all_users()
    assert theirs.get_current_cost("monthly") == float(usd(75_000))
    usage = litellm.Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)
    theirs.update_cost("monthly", litellm.ModelResponse(model="gpt-4o", usage=usage))
    assert theirs.get_current_cost("monthly") == pytest.approx(float(usd(150_000)))
    saves_done()
    back = BudgetManager("back", client_type="memory")
    assert back.import_user_cost("user_cost.json").problems == ()


def test_there_and_back_is_the_same(manager: BudgetManager, tmp_path: Path) -> None:
    manager.import_user_cost(written(tmp_path, {**TWO, "endless": {"total_budget": float("inf")}}))
    manager.export_user_cost(tmp_path / "out.json")
    back = BudgetManager("back", store=manager.store)
    assert back.import_user_cost(tmp_path / "out.json").problems == ()
    assert back.user_dict == manager.user_dict


def test_a_top_up_that_ends_is_not_written(manager: BudgetManager) -> None:
    manager.create_budget(10, "a", "daily")
    manager.add_budget("a", 1)
    manager.create_budget(10, "b")
    manager.add_budget("b", 1)
    assert [record["total_budget"] for record in manager.export_user_cost().values()] == [10, 11]


def test_only_users_main_budgets_are_written(manager: BudgetManager) -> None:
    manager.create_budget(10, "a")
    manager.set_budget("a", 5, label="month")
    manager.create_budget(10, "red", kind="team")
    assert manager.export_user_cost() == {"a": {"total_budget": 10.0}}


def test_a_file_is_written_whole_or_not_at_all(
    manager: BudgetManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, TWO)
    os.chmod(path, 0o640)
    before = path.read_bytes()
    manager.create_budget(10, "a")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            manager.export_user_cost(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["user_cost.json"]
    manager.export_user_cost(path)
    assert json.loads(path.read_text()) == {"a": {"total_budget": 10.0}}
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_place_that_cannot_be_written(manager: BudgetManager, tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "such" / "folder.json", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            manager.export_user_cost(path)
