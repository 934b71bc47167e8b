"""LiteLLM's page, with only the import changed, against a server that has its two endpoints and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from allowance import BudgetExceededError, BudgetManager
from allowance.calls import journal
from allowance.manager import hosted
from tests.calls.support import CHAT, reply
from tests.stores.litellm_only import Server, litellm_only


@pytest.fixture
def server() -> Iterator[Server]:
    with litellm_only() as server:
        yield server


@pytest.fixture(autouse=True)
def _own_journals() -> Iterator[None]:
    yield
    for shared in list(hosted._open.values()):
        shared.store.close()
    hosted._open.clear()
    journal._after_fork()


def test_the_documented_script(server: Server) -> None:
    """Samples 2 and 4 of the page, and the rest of the documented methods."""
    manager = BudgetManager(project_name="test_project", client_type="hosted", api_base=server.url)
    user = "1234"
    if not manager.is_valid_user(user):
        manager.create_budget(total_budget=10, user=user, duration="monthly")
    assert manager.get_current_cost(user=user) <= manager.get_total_budget(user)
    completion = reply(1000, 500)
    manager.update_cost(completion_obj=completion, user=user)
    cost = manager.get_current_cost(user)
    assert cost > 0
    record = server.projects["test_project"][user]
    assert (record["total_budget"], record["duration"]) == (10, 28)
    assert record["current_cost"] == cost
    assert record["model_cost"] == manager.get_model_cost(user)
    assert manager.get_users() == [user]
    manager.update_cost(model="gpt-4o", input_text="Hey, how's it going", output_text="Well.", user=user)
    assert server.projects["test_project"][user]["current_cost"] > cost
    manager.reset_cost(user)
    assert server.projects["test_project"][user]["current_cost"] == 0
    manager.update_budget_all_users()
    assert manager.get_current_cost(user) == 0
    assert manager.save_data() == {"status": "success"}


def test_another_process_finds_what_this_one_spent(server: Server) -> None:
    first = BudgetManager("app", client_type="hosted", api_base=server.url)
    first.create_budget(total_budget=10, user="a")
    first.update_cost(completion_obj=reply(1000, 500), user="a")
    for shared in list(hosted._open.values()):
        shared.store.close()
    hosted._open.clear()
    second = BudgetManager("app", client_type="hosted", api_base=server.url)
    assert second.get_current_cost("a") == first_cost(server) > 0


def first_cost(server: Server) -> float:
    cost: float = server.projects["app"]["a"]["current_cost"]
    return cost


def test_r1_decorated_calls_are_refused_before_they_are_made(server: Server) -> None:
    manager = BudgetManager("app", client_type="hosted", api_base=server.url)
    made = []

    @manager.budgeted(user="a", limit="0.003", duration="daily")
    def complete(**request: object) -> object:
        made.append(request)
        return reply()

    for _ in range(50):
        with suppress(BudgetExceededError):
            complete(**CHAT)
    assert 0 < len(made) < 50
    assert 0 < first_cost(server) <= 0.003
    assert server.projects["app"]["a"]["duration"] == 1
