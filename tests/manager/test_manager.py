"""A manager as an object: what it is bound to, its async twins, forks, pickles, its end."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import allowance
from allowance import (
    BudgetExceededError,
    BudgetManager,
    ConfigurationError,
    StoreUnavailableError,
    UnknownModelError,
    UnknownUserError,
    budget,
)
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import CALL, CHAT, HELD, MESSAGES, PROJECT, Flaky, python, reply, usd


def ask(**kwargs: Any) -> Any:
    return reply()


# -- what it is bound to -----------------------------------------------------------------------------------


def test_local_is_what_configure_names(store: MemoryStore) -> None:
    manager = BudgetManager("shop")
    assert manager.store is store
    assert (manager.client_type, manager.project_name, manager.api_base, manager.headers) == (
        *("local", "shop", None, None),
    )


def test_local_is_what_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from allowance.manager import configuring

    monkeypatch.setattr(configuring, "_given", {})
    monkeypatch.setenv("ALLOWANCE_STORE", f"sqlite:///{tmp_path}/mine.db")
    manager = BudgetManager("shop")
    manager.create_budget(1, "alice")
    assert manager.store.url == f"sqlite:///{tmp_path}/mine.db"
    assert (tmp_path / "mine.db").exists()
    manager.store.close()


def test_local_is_else_one_file_that_every_local_manager_shares(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from allowance.manager import configuring

    monkeypatch.setattr(configuring, "_given", {})
    one, other = BudgetManager("shop"), BudgetManager("shop")
    assert one.store is other.store
    one.create_budget(1, "alice")
    assert (tmp_path / "state" / "allowance" / "allowance.db").exists()
    one.close()
    assert other.is_valid_user("alice")  # the shared one stays open
    other.store.close()


def test_memory_is_each_managers_own() -> None:
    one, other = (BudgetManager("shop", client_type="memory") for _ in range(2))
    one.create_budget(1, "alice")
    assert not other.is_valid_user("alice")


def test_a_store_by_its_url_or_as_an_object(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/budgets.db"
    with BudgetManager("shop", store=url) as manager:
        manager.create_budget(1, "alice")
    file = SQLiteStore(str(tmp_path / "budgets.db"))
    assert BudgetManager("shop", store=file).is_valid_user("alice")
    file.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"client_type": "hosted"}, "api_base=.*ALLOWANCE_STORE"),
        ({"client_type": "hosted", "store": "memory://"}, "leave store= out"),
        ({"client_type": "s3"}, "'local'"),
        ({"client_type": None}, "'local'"),
        ({"client_type": "memory", "store": "memory://"}, "already"),
        ({"store": "sqlite://"}, "names no store"),
        ({"store": "carrier-pigeon://x"}, "names no store"),
        ({"store": 5}, "URL"),
        ({"project": "x"}, "first argument"),
        ({"type": "client"}, "BudgetManager\\(\\) knows no 'type'"),
        ({"prices": 5}, "prices"),
        ({"default_limit": -1}, "default_limit"),
        ({"on_unknown_model": "guess"}, "on_unknown_model"),
        ({"warn_at": 2}, "BudgetManager\\(warn_at=...\\)"),
        ({"project_name": ""}, "empty"),
        ({"project_name": 5}, "BudgetManager\\(project=...\\)|str"),
    ],
    ids=str,
)
def test_what_it_cannot_be_bound_to(arguments: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        BudgetManager(**{"project_name": "shop", **arguments})


def test_settings_are_those_of_configure_unless_they_are_given() -> None:
    ours = {"ours": allowance.Price(input=1, output=1)}
    allowance.configure(prices=ours)
    told = BudgetManager("shop", client_type="memory", prices={"mine": allowance.Price(input=2, output=2)})
    plain = BudgetManager("shop", client_type="memory")
    allowance.configure(prices=None)
    for manager, model, other in ((told, "mine", "ours"), (plain, "ours", "mine")):
        manager.create_budget(1, "alice")
        manager.update_cost("alice", reply(model=model))
        with pytest.raises(UnknownModelError):
            manager.update_cost("alice", reply(model=other))
    assert allowance.configure(prices=None) is None


def test_local_prints_and_logs_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "allowance")
    manager = BudgetManager("shop")
    manager.create_budget(1, "alice", "daily")
    manager.update_cost("alice", reply())
    manager.print_verbose("something")
    manager.save_data()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "allowance")
    manager.print_verbose("something")
    assert [record.getMessage() for record in caplog.records] == ["something"]


# -- budget and budgeted -----------------------------------------------------------------------------------


def test_budget_and_budgeted_are_the_managers() -> None:
    manager = BudgetManager("shop", client_type="memory", prices={"ours": allowance.Price(input=1, output=1)})
    manager.create_budget(usd(HELD + CALL), "alice")
    with manager.budget("alice") as block:
        manager.budgeted()(ask)(**CHAT)
    assert block.spent == usd(CALL)
    call = manager.budgeted(user="alice")(ask)
    call(**CHAT)
    with pytest.raises(BudgetExceededError):
        call(**CHAT)
    with pytest.raises(UnknownUserError):
        manager.budgeted(user="bob")(ask)(**CHAT)
    manager.budgeted(user="bob", limit=1)(ask)(model="ours", messages=MESSAGES, max_tokens=5)
    assert manager.get_users() == ["alice", "bob"]
    assert manager.audit() == []


def test_tags_and_owners_are_seen_by_the_manager() -> None:
    manager = BudgetManager("shop", client_type="memory")

    @manager.budgeted(user="alice", limit=1, tags=("night",))
    def look(**kwargs: Any) -> Any:
        [hold] = manager.holds("alice")
        assert hold.tags == ("night",)
        assert hold.owner.endswith(f":{os.getpid()}")
        return reply()

    look(**CHAT)
    assert [(row.name, row.spent) for row in manager.report("tag")] == [("night", usd(CALL))]


def test_two_managers_of_one_user_are_two_budgets() -> None:
    one, other = (BudgetManager(name, client_type="memory") for name in ("one", "other"))
    for manager in (one, other):
        manager.create_budget(1, "alice")
    with one.budget("alice"), other.budget("alice"):
        one.budgeted()(ask)(**CHAT)
    assert one.get_current_cost("alice") == other.get_current_cost("alice") == float(usd(CALL))


def test_the_managers_project_is_not_the_default_one(store: MemoryStore) -> None:
    BudgetManager("shop").create_budget(1, "alice")
    with pytest.raises(UnknownUserError, match="'shop'"), budget("alice"):
        pass
    assert PROJECT != "shop"


# -- async twins -------------------------------------------------------------------------------------------


PLAIN = {"budget", "budgeted", "print_verbose"}
"""Methods that do no I/O worth a worker thread, and those that come in both colours already."""


def _methods() -> Iterator[str]:
    for name, member in inspect.getmembers(BudgetManager, inspect.isfunction):
        if not name.startswith("_") and not inspect.iscoroutinefunction(member):
            yield name


def test_every_method_has_a_twin_of_the_same_signature() -> None:
    names = set(_methods())
    assert len(names) >= 25
    for name in names - PLAIN:
        method, twin = getattr(BudgetManager, name), getattr(BudgetManager, f"a{name}")
        assert inspect.iscoroutinefunction(twin)
        assert twin.__name__ == f"a{name}"
        assert f"`{name}`" in twin.__doc__
        mine, theirs = inspect.signature(twin).parameters, inspect.signature(method).parameters
        assert [*mine] == [*theirs]


async def test_twins_do_what_methods_do_and_do_not_block_the_loop(tmp_path: Path) -> None:
    where: list[int] = []

    class Watched(Flaky):
        blocking = True

        def _reach(self, verb: str) -> None:
            where.append(threading.get_ident())

    manager = BudgetManager("shop", store=Watched())
    where.clear()
    record = await manager.acreate_budget(10, user="alice", duration="daily")
    assert record["total_budget"] == 10.0
    assert (await manager.aupdate_cost("alice", reply()))["user"]["current_cost"] == float(usd(CALL))
    assert await manager.aget_current_cost("alice") == float(usd(CALL))
    assert await manager.aprojected_cost("gpt-4o", MESSAGES, "alice") > 0
    assert where
    assert threading.get_ident() not in where
    assert [status.user for status in await manager.astatuses()] == ["alice"]
    assert [entry.amount for entry in await manager.aentries("alice")] == [CALL]
    assert (await manager.ahistory("alice"))[0].spent == usd(CALL)
    assert (await manager.aexplain("alice", **CHAT)).fits
    assert (await manager.areport("user"))[0].spent == usd(CALL)
    assert await manager.aremaining("alice") == 10 - usd(CALL)
    assert await manager.aexport_user_cost() == manager.user_dict
    with pytest.raises(UnknownUserError):
        await manager.aget_current_cost("bob")
    await asyncio.gather(*(manager.aupdate_cost("alice", reply()) for _ in range(20)))
    assert manager.status("alice")[0].spent == usd(21 * CALL)


async def test_an_async_manager_charges_a_decorated_coroutine() -> None:
    manager = BudgetManager("shop", client_type="memory")

    @manager.budgeted(user="alice", limit=usd(HELD))
    async def ask_later(**kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return reply()

    done = await asyncio.gather(*(ask_later(**CHAT) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, BudgetExceededError) for one in done) == 4


# -- its end, forks, copies, pickles -----------------------------------------------------------------------


def test_its_end_closes_what_it_opened(tmp_path: Path) -> None:
    for arguments in (
        {"client_type": "memory"},
        {"store": f"sqlite:///{tmp_path}/a.db"},
        {"store": "memory://"},
    ):
        with BudgetManager("shop", **arguments) as manager:
            manager.create_budget(1, "alice")
        manager.close()
        with pytest.raises(StoreUnavailableError):
            manager.get_current_cost("alice")


def test_its_end_leaves_open_what_others_may_use(store: MemoryStore) -> None:
    mine = MemoryStore()
    for given in (None, mine):
        with BudgetManager("shop", store=given) as manager:
            manager.create_budget(1, "alice")
        assert manager.is_valid_user("alice")


def test_its_end_writes_what_waits() -> None:
    store = Flaky()
    with BudgetManager("shop", store=store) as manager:
        manager.create_budget(1, "alice")
        store.down.add("settle")
        manager.update_cost("alice", reply())
        store.down.clear()
    assert manager.get_current_cost("alice") == float(usd(CALL))


def test_a_copy_is_the_same_manager(manager: BudgetManager) -> None:
    assert copy.copy(manager) is manager
    assert copy.deepcopy({"manager": manager})["manager"] is manager


def test_a_pickle_opens_the_same_store(tmp_path: Path) -> None:
    manager = BudgetManager("shop", store=f"sqlite:///{tmp_path}/budgets.db", default_limit=3)
    manager.create_budget(1, "alice")
    other = pickle.loads(pickle.dumps(manager))
    assert other.is_valid_user("alice")
    assert other.books.default_terms == manager.books.default_terms
    assert (other.project_name, other.client_type) == ("shop", "local")
    other.close()
    assert manager.is_valid_user("alice")
    manager.close()


def test_what_one_process_has_cannot_be_pickled(manager: BudgetManager) -> None:
    for mine in (manager, BudgetManager("shop", store=MemoryStore())):
        with pytest.raises(ConfigurationError, match="sqlite:///"):
            pickle.dumps(mine)


def test_a_forked_child_goes_on_with_a_file_and_not_with_memory(tmp_path: Path) -> None:
    out = python(
        f"""
        import os
        from allowance import BudgetManager, StoreUnavailableError
        from tests.calls.support import reply

        file = BudgetManager("shop", store="sqlite:///{tmp_path}/budgets.db")
        memory = BudgetManager("shop", client_type="memory")
        for manager in (file, memory):
            manager.create_budget(1, "alice")
        pid = os.fork()
        if not pid:
            file.update_cost("alice", reply())
            try:
                memory.update_cost("alice", reply())
                memory.get_current_cost("alice")
            except StoreUnavailableError:
                print("memory refused", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        file.update_cost("alice", reply())
        print(file.get_current_cost("alice"), memory.get_current_cost("alice"))
        """
    )
    assert out.splitlines() == ["memory refused", "0.00015 0.0"]


def test_reading_raises_where_the_store_is_down() -> None:
    store = Flaky()
    manager = BudgetManager("shop", store=store)
    manager.create_budget(1, "alice")
    store.down.add("all")
    for question in (manager.get_current_cost, manager.get_total_budget, manager.is_valid_user):
        with pytest.raises(StoreUnavailableError):
            question("alice")


def test_its_repr_says_where_it_is(manager: BudgetManager) -> None:
    assert repr(manager) == "<BudgetManager of project 'shop' in memory://>"
