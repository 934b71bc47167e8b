"""`BudgetManager(client_type="hosted")`, against a real server: every method, its key, its journal."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import allowance
from allowance import BudgetExceededError, BudgetManager, ConfigurationError, StoreUnavailableError
from allowance.calls import journal
from allowance.config import read_settings
from allowance.manager import hosted
from allowance.stores.hosted import HostedStore
from tests.calls.support import CALL, MESSAGES, reply, usd
from tests.server.running import Inside, inside


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside(f"sqlite:///{tmp_path_factory.mktemp('server')}/server.db") as running:
        yield running


@pytest.fixture
def key(server: Inside, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A program's own key, in the environment."""
    token = server.mint(request.node.name, ["spend"])
    monkeypatch.setenv("ALLOWANCE_API_KEY", token)
    return token


@pytest.fixture(autouse=True)
def _own_journals() -> Iterator[None]:
    yield
    for shared in list(hosted._open.values()):
        shared.store.close()
    hosted._open.clear()
    journal._after_fork()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return f"project of {request.node.name}"[:128]


# -- where the server is, and with which key ---------------------------------------------------------------


def test_hosted_without_a_server_names_both_ways_to_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"api_base=.*ALLOWANCE_STORE") as caught:
        BudgetManager("shop", client_type="hosted")
    assert "allowance serve" in str(caught.value)
    monkeypatch.setenv("ALLOWANCE_STORE", "sqlite:////tmp/a.db")
    allowance.configure(store=None)
    with pytest.raises(ConfigurationError, match=r"api_base=.*ALLOWANCE_STORE"):
        BudgetManager("shop", client_type="hosted")
    with pytest.raises(ConfigurationError, match="URL of a server"):
        BudgetManager("shop", client_type="hosted", api_base="your_custom_api")
    with pytest.raises(ConfigurationError, match="leave store= out"):
        BudgetManager("shop", client_type="hosted", api_base="https://b.example", store="memory://")


@pytest.mark.parametrize("wrong", [{"api_base": "https://b.example"}, {"headers": {"x": "y"}}])
@pytest.mark.parametrize("client_type", ["local", "memory"])
def test_a_server_that_would_not_be_asked_is_refused(client_type: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="would not be on that server"):
        BudgetManager("shop", client_type=client_type, **wrong)


def test_the_server_may_be_configured(server: Inside, key: str, project: str) -> None:
    store = HostedStore(server.url)
    for configured in (server.url, store):
        allowance.configure(store=configured, project=project)
        with BudgetManager(project, client_type="hosted") as manager:
            manager.create_budget(1, "alice")
        assert manager.get_users() == ["alice"] if configured is store else True
        with allowance.budget("alice") as block:
            assert block.limit == 1
    store.close()


@pytest.mark.parametrize("how", ["headers", "x-api-key", "api_key", "configure", "environment"])
def test_the_key_comes_from(how: str, server: Inside, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = server.mint(f"key by {how}", ["spend"])
    given: dict[str, Any] = {}
    if how == "headers":
        monkeypatch.setenv("ALLOWANCE_API_KEY", "that of another program")  # what code says goes first
        given = {"headers": {"Authorization": f"Bearer {token}"}}
    elif how == "x-api-key":
        given = {"headers": {"X-Api-Key": token}}
    elif how == "api_key":
        given = {"api_key": token}
    elif how == "configure":
        allowance.configure(api_key=token)
    else:
        monkeypatch.setenv("ALLOWANCE_API_KEY", token)
    with BudgetManager(project, client_type="hosted", api_base=server.url, **given) as manager:
        assert manager.create_budget(1, "alice")["total_budget"] == 1
        assert token not in repr(manager)
        assert "alw_" not in repr(manager)


def test_a_wrong_key_is_named_by_its_id_alone(server: Inside, project: str) -> None:
    token = server.mint("to be revoked", ["spend"])
    server.keys.revoke("to be revoked", actor="test")
    with (
        BudgetManager(project, client_type="hosted", api_base=server.url, api_key=token) as manager,
        pytest.raises(ConfigurationError) as caught,
    ):
        manager.create_budget(1, "alice")
    key_id, secret = token.split("_")[1:3]
    assert key_id in str(caught.value)
    assert secret not in str(caught.value)


def test_settings_show_neither_a_key_nor_a_password() -> None:
    settings = read_settings({"api_key": "alw_secret", "store": "postgresql://me:secret@host/db"})
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings)
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"api_key": ["alw_secret"]})
    assert "secret" not in str(caught.value)


def test_a_manager_of_a_server_is_pickled_without_its_key(server: Inside, key: str, project: str) -> None:
    with BudgetManager(project, client_type="hosted", api_base=server.url) as manager:
        manager.create_budget(1, "alice")
        pickled = pickle.dumps(manager)
        assert key.encode() not in pickled
        with pickle.loads(pickled) as again:
            assert again.get_users() == ["alice"]
        assert manager.get_users() == ["alice"], "the other one has left, not closed it"


@pytest.mark.parametrize(
    "given",
    [
        {"client_type": "hosted", "api_base": "https://b.example", "headers": {"Authorization": "Bearer k"}},
        {"client_type": "hosted", "api_base": "https://b.example", "api_key": "k"},
        {"store": "https://b.example", "api_key": "k"},
        {"store": "postgresql://me:secret@127.0.0.1/db"},
    ],
)
def test_a_key_in_code_is_not_pickled(given: dict[str, Any]) -> None:
    manager = BudgetManager("shop", **given)
    with pytest.raises(ConfigurationError, match="ALLOWANCE_API_KEY") as caught:
        pickle.dumps(manager)
    assert "secret" not in str(caught.value)
    manager.close()


@pytest.mark.usefixtures("key")
def test_managers_of_one_server_and_one_key_share_a_store(server: Inside, project: str) -> None:
    def made(**given: Any) -> BudgetManager:
        return BudgetManager(project, client_type="hosted", api_base=server.url, **given)

    first, second, other = made(), made(), made(api_key=server.mint("another one", ["spend"]))
    by_url = BudgetManager(project, store=server.url)
    assert first.store is second.store is by_url.store is not other.store
    first.close()
    first.close()  # twice is once
    second.create_budget(1, "alice")
    second.close()
    assert by_url.get_users() == ["alice"]
    by_url.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        by_url.get_users()
    other.close()
    assert not hosted._open


# -- every method ------------------------------------------------------------------------------------------


def test_every_method_does_what_it_does_in_memory(server: Inside, project: str, tmp_path: Path) -> None:
    with (
        BudgetManager(project, client_type="hosted", api_base=server.url, api_key=server.admin_key) as far,
        BudgetManager(project, client_type="memory") as near,
    ):
        done = list(every_method(far, tmp_path))
        expected = list(every_method(near, tmp_path))
    for (name, found), (_, wanted) in zip(done, expected, strict=True):
        assert scrubbed(found) == scrubbed(wanted), name
    called = {name for name, _ in done}
    public = {name for name in dir(BudgetManager) if not name.startswith("_")}
    twins = {name for name in public if name.startswith("a") and name[1:] in public}
    assert public - twins - called == {"close"}


def every_method(manager: BudgetManager, folder: Path) -> Iterator[tuple[str, Any]]:
    """Each method of a manager, with what it hands back."""
    yield "create_budget", manager.create_budget(10, "alice", "monthly")
    yield "create_budget", manager.create_budget(2, "alice", "daily", label="a day", align="calendar")
    yield "create_budget", manager.create_budget(5, "red", kind="team")
    yield "is_valid_user", [manager.is_valid_user(user) for user in ("alice", "bob", "\0")]
    yield "update_cost", manager.update_cost("alice", completion_obj=reply())
    yield (
        "update_cost",
        manager.update_cost("alice", model="gpt-4o", input_text="hello", output_text="you"),
    )
    with manager.budget("alice") as block:
        yield "budget", [block.spent, block.limit, block.remaining]
    yield "budgeted", manager.budgeted(user="alice")(paid)(MESSAGES)
    yield "projected_cost", manager.projected_cost("gpt-4o", MESSAGES, "alice")
    yield "get_current_cost", manager.get_current_cost("alice")
    yield "get_model_cost", manager.get_model_cost("alice")
    yield "get_total_budget", manager.get_total_budget("alice")
    yield "get_users", manager.get_users()
    yield "user_dict", dict(manager.user_dict)
    yield "remaining", [manager.remaining("alice"), manager.remaining("red", kind="team")]
    yield "status", manager.status("alice")
    yield "statuses", list(manager.statuses())
    yield "set_budget", manager.set_budget("alice", 12)
    yield "add_budget", manager.add_budget("alice", 3, reason="a gift")
    yield "adjust", manager.adjust("alice", -0.00001, reason="a refund", adjustment_id="one")
    yield "explain", manager.explain("alice", model="gpt-4o", messages=MESSAGES, max_tokens=10**6)
    with suppress(BudgetExceededError), manager.budget("alice"):
        manager.set_budget("alice", 0, label="a day")
        manager.budgeted()(paid)(MESSAGES)
        raise AssertionError("it is refused")
    yield "entries", list(manager.entries("alice"))
    yield "history", manager.history("alice")
    yield "report", [manager.report(by) for by in ("user", "model", "day", "tag")]
    yield "export_user_cost", manager.export_user_cost(folder / "user_cost.json")
    other = {"carol": {"total_budget": 7, "current_cost": 0.5, "model_cost": {"gpt-4o": 0.5}}}
    (folder / "other.json").write_text(json.dumps(other))
    yield "import_user_cost", manager.import_user_cost(folder / "other.json")
    yield "import_user_cost", manager.import_user_cost(folder / "other.json")
    yield "get_current_cost", manager.get_current_cost("carol")
    yield "holds", manager.holds()
    yield "release", manager.release("a call that nobody knows")
    yield "reset_cost", manager.reset_cost("alice")
    yield "reset_on_duration", manager.reset_on_duration("alice")
    yield "update_budget_all_users", manager.update_budget_all_users()
    yield "save_data", manager.save_data()
    yield "load_data", manager.load_data()
    yield "print_verbose", manager.print_verbose("anything")
    yield "delete_user", manager.delete_user("carol")
    yield "get_users", manager.get_users()
    yield "audit", manager.audit()


def paid(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


def scrubbed(value: Any) -> Any:
    """The same, without what tells one time or one run from another."""
    if isinstance(value, datetime) or (isinstance(value, (int, float)) and value > 10**9):
        return "then"
    if isinstance(value, str):
        return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+", "then", value)
    if isinstance(value, dict):
        return {name: scrubbed(one) for name, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: scrubbed(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "_asdict"):
        return {
            name: scrubbed(one)
            for name, one in value._asdict().items()
            if name not in ("seq", "hold_id", "version")
        }
    if isinstance(value, (list, tuple)):
        return [scrubbed(one) for one in value]
    return value


@pytest.mark.usefixtures("key")
async def test_its_async_twins(server: Inside, project: str) -> None:
    manager = BudgetManager(project, client_type="hosted", api_base=server.url)
    await manager.acreate_budget(1, "alice")
    async with manager.budget("alice") as block:
        manager.budgeted()(paid)(MESSAGES)
        await block.arefresh()
        assert block.spent == usd(CALL)
    assert await manager.aget_current_cost("alice") == float(usd(CALL))
    assert len(await manager.aentries("alice")) == 1
    await manager.aclose()


def test_r14_a_manager_that_is_closed_while_its_server_is_away_leaves_its_costs_to_the_next(
    server: Inside, key: str, project: str
) -> None:
    manager = BudgetManager(project, client_type="hosted", api_base=server.url)
    manager.create_budget(1, "alice")
    known = journal.journal_of(manager.store)
    known.failed(StoreUnavailableError("down", retry_after=60))
    assert manager.update_cost("alice", completion_obj=reply()) == {"user": {}}
    real, known._attempt = known._attempt, lambda *_: False  # type: ignore[method-assign]
    manager.close()
    with BudgetManager(project, client_type="hosted", api_base=server.url) as again:
        assert again.get_current_cost("alice") == 0
        again.update_cost("alice", completion_obj=reply())
    with BudgetManager(project, client_type="hosted", api_base=server.url) as again:
        assert again.get_current_cost("alice") == float(2 * usd(CALL))
    assert real
