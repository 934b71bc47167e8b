"""LiteLLM's own ``BudgetManager``, hosted, against our server; and what its protocol may do to the books."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from allowance.ledger.records import AccountKey, Declaration, Posting, Scope
from tests.server.running import Answer, Inside, inside

DOLLAR = 1_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside(f"sqlite:///{tmp_path_factory.mktemp('litellm')}/a.db") as server:
        yield server


@pytest.fixture(scope="module")
def key(server: Inside) -> str:
    return server.mint("app", ["spend"])


def post(server: Inside, key: str, project: str, **users: Any) -> Answer:
    return server.ask("/set_budget", {"project_name": project, "user_dict": users}, key=key)


def got(server: Inside, key: str, project: str) -> dict[str, Any]:
    answer = server.ask("/get_budget", {"project_name": project}, key=key)
    assert answer.status == 200
    found: dict[str, Any] = answer.body.get("data", {})
    assert answer.body["status"] == ("success" if found else "error")
    return found


def spent(server: Inside, project: str, name: str) -> int:
    account = server.store.account(AccountKey(project, "user", name))
    assert account is not None
    return account.spent


def costs(usd: float, model: str = "gpt-4") -> dict[str, Any]:
    return {"current_cost": usd, "model_cost": {model: usd}}


def test_litellms_documented_script_runs_unchanged(server: Inside, key: str) -> None:
    import litellm

    def manager() -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        made = litellm.BudgetManager(
            project_name="script", client_type="hosted", api_base=server.url, headers=headers
        )
        made._save_data_thread = made.save_data  # else nobody can tell when it has saved
        return made

    def reply(tokens: int) -> Any:
        usage = litellm.Usage(prompt_tokens=tokens, completion_tokens=tokens, total_tokens=2 * tokens)
        return litellm.ModelResponse(model="gpt-4", usage=usage)

    budgets = manager()
    assert budgets.get_users() == []
    user = "1234"
    if not budgets.is_valid_user(user):
        budgets.create_budget(total_budget=10, user=user, duration="daily")
    messages = [{"role": "user", "content": "Hey, how's it going"}]
    projected = budgets.projected_cost(model="gpt-4", messages=messages, user=user)
    assert budgets.get_current_cost(user=user) <= budgets.get_total_budget(user)
    for _ in range(3):
        budgets.update_cost(completion_obj=reply(1_000), user=user)
    budgets.update_cost(
        user=user, model="gpt-4", input_text="hello, how are you", output_text="well, thank you"
    )
    assert projected > 0
    assert budgets.save_data() == {"status": "success"}

    again = manager()
    assert again.get_users() == [user]
    assert again.get_total_budget(user) == 10
    assert again.user_dict[user]["duration"] == 1
    assert again.get_current_cost(user) == pytest.approx(budgets.get_current_cost(user), abs=1e-9)
    exact = round(Decimal(repr(budgets.get_current_cost(user))), 9)
    assert spent(server, "script", user) == int(exact * DOLLAR)
    assert again.get_model_cost(user) == {"gpt-4": float(exact)}

    again.user_dict[user]["last_updated_at"] -= 2 * 86_400  # two days have gone by
    again.reset_on_duration(user)
    assert again.get_current_cost(user) == 0
    assert manager().get_current_cost(user) == 0
    again.update_cost(completion_obj=reply(1_000), user=user)
    assert spent(server, "script", user) == 90_000_000
    again.update_budget_all_users()
    assert [server.store.audit(), len(list(server.store.entries(AccountKey("script", "user", user))))] == [
        [],
        5,
    ]


def test_an_unknown_project_is_told_as_litellm_expects(server: Inside, key: str) -> None:
    assert server.ask("/get_budget", {"project_name": "none"}, key=key).body == {"status": "error"}
    bound = server.mint("bound", ["spend"], projects=["mine"])
    post(server, key, "theirs", a={"total_budget": 1})
    assert server.ask("/get_budget", {"project_name": "theirs"}, key=bound).body == {"status": "error"}
    assert post(server, bound, "theirs", a={"total_budget": 1}).status == 403


def test_r3_the_same_post_counts_once(server: Inside, key: str) -> None:
    record = {"total_budget": 10, **costs(0.1 + 0.2)}
    for _ in range(3):
        assert post(server, key, "twice", a=record, b=record).body == {"status": "success"}
    assert spent(server, "twice", "a") == spent(server, "twice", "b") == 300_000_000
    with inside_again(server) as other:  # a server that never saw the posts
        assert post(other, key, "twice", a=record).status == 200
    assert spent(server, "twice", "a") == 300_000_000
    assert len(list(server.store.entries(AccountKey("twice", "user", "a")))) == 1


@contextmanager
def inside_again(server: Inside) -> Iterator[Inside]:
    """Another server on the same store and tables, which has not seen what the first has."""
    with inside(server.store, admin=f"admin-{time.time_ns()}") as other:
        yield other


def test_r3_the_same_post_many_times_at_once_counts_once(
    server: Inside, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = server.store.model_costs

    def read_and_dawdle(of: AccountKey) -> dict[str | None, int]:
        found = read(of)
        time.sleep(0.02)  # others post meanwhile
        return found

    monkeypatch.setattr(server.store, "model_costs", read_and_dawdle)
    record = {"total_budget": 10, "current_cost": 0.6, "model_cost": {"a": 0.1, "b": 0.2, "c": 0.3}}
    with inside_again(server) as other:
        threads = [
            threading.Thread(target=post, args=(one, key, "race"), kwargs={"u": record})
            for one in (server, other) * 8
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert spent(server, "race", "u") == 600_000_000
    models = read(AccountKey("race", "user", "u"))
    assert models == {"a": 100_000_000, "b": 200_000_000, "c": 300_000_000}


def test_a_cost_goes_up_model_by_model_beside_our_own_calls(server: Inside, key: str) -> None:
    post(server, key, "beside", a={"total_budget": 10, **costs(1.0)})
    account = AccountKey("beside", "user", "a")
    server.store.settle(Posting("ours", 2 * DOLLAR, (Scope(account),), "gpt-5"))
    post(server, key, "beside", a={"total_budget": 10, **costs(1.5)})
    assert server.store.model_costs(account) == {"gpt-4": 1_500_000_000, "gpt-5": 2 * DOLLAR}
    assert got(server, key, "beside")["a"]["current_cost"] == 3.5


def test_a_lower_cost_changes_nothing_and_absent_users_stay(server: Inside, key: str) -> None:
    post(server, key, "lower", a={"total_budget": 10, **costs(1.0)}, b={"total_budget": 3, **costs(2.0)})
    post(server, key, "lower", a={"total_budget": 10, **costs(0.4)})
    post(server, key, "lower", a={"total_budget": 10})
    assert spent(server, "lower", "a") == DOLLAR
    assert got(server, key, "lower")["b"] == {"total_budget": 3, **costs(2.0)}


def test_a_reset_counts_once_and_only_where_it_is_newer(server: Inside, key: str) -> None:
    began = time.time() - 3_600
    base = {"total_budget": 10, "duration": 1, "created_at": began}
    post(server, key, "reset", a={**base, "last_updated_at": began, **costs(4.0)})
    post(server, key, "reset", a={**base, "last_updated_at": began})
    assert spent(server, "reset", "a") == 4 * DOLLAR, "it is not newer than ours"
    later = time.time() - 60
    reset = {**base, "last_updated_at": later, "current_cost": 0, "model_cost": {}}
    post(server, key, "reset", a=reset)
    assert spent(server, "reset", "a") == 0
    account = AccountKey("reset", "user", "a")
    server.store.settle(Posting("after the reset", DOLLAR, (Scope(account),), "gpt-4"))
    with inside_again(server) as other:
        post(other, key, "reset", a=reset)
        post(other, key, "reset", a={**base, "last_updated_at": began, **costs(4.0)})
    assert spent(server, "reset", "a") == DOLLAR, "neither the same reset nor a copy from before it counts"
    assert server.store.audit() == []
    assert "budget.reset" in [line.action for line in server.state.audit_lines(limit=3)]


def test_a_total_from_before_the_window_turned_adds_what_is_new(server: Inside, key: str) -> None:
    began = time.time() - 86_400 - 3_600  # yesterday's window; today's began an hour ago
    base = {"total_budget": 10, "duration": 1, "created_at": began, "last_updated_at": began}
    post(server, key, "turned", a={**base, **costs(4.0)})
    assert spent(server, "turned", "a") == 4 * DOLLAR
    post(server, key, "turned", a={**base, **costs(4.5)})
    assert spent(server, "turned", "a") == 4_500_000_000


def test_terms_are_taken_when_they_change(server: Inside, key: str) -> None:
    account = AccountKey("terms", "user", "a")
    post(server, key, "terms", a={"total_budget": 10, "duration": 28})
    made = server.store.account(account)
    assert made is not None
    assert (made.terms.limit, made.terms.duration) == (10 * DOLLAR, "28d")
    server.store.define(account, Declaration(limit=25 * DOLLAR))
    post(server, key, "terms", a={"total_budget": 10, "duration": 28, **costs(1.0)})
    assert got(server, key, "terms")["a"]["total_budget"] == 25, (
        "an old copy does not undo an operator's limit"
    )
    post(server, key, "terms", a={"total_budget": 12, "duration": 7, **costs(1.0)})
    changed = server.store.account(account)
    assert changed is not None
    assert (changed.terms.limit, changed.terms.duration) == (12 * DOLLAR, "weekly")
    fixed = server.mint("fixed", ["spend"], fixed_terms=True)
    assert post(server, fixed, "terms", a={"total_budget": 90}).status == 403
    assert post(server, fixed, "terms", a={"total_budget": 12, "duration": 7, **costs(2.0)}).status == 200
    assert spent(server, "terms", "a") == 2 * DOLLAR


def test_a_budget_that_only_counts_comes_and_goes(server: Inside, key: str) -> None:
    account = AccountKey("counts", "user", "a")
    server.store.define(account, Declaration(None, creates=True))
    record = got(server, key, "counts")["a"]
    assert record == {"total_budget": 1e9}
    post(server, key, "counts", a={**record, **costs(1.0)})
    after = server.store.account(account)
    assert after is not None
    assert (after.limit, after.spent) == (None, DOLLAR)


@pytest.mark.parametrize(
    "record",
    [
        5,
        {},
        {"total_budget": "10"},
        {"total_budget": -1},
        {"total_budget": True},
        {"total_budget": float("nan")},
        {"total_budget": 1, "current_cost": float("nan")},
        {"total_budget": 1, "current_cost": float("inf")},
        {"total_budget": 1, "current_cost": -0.1},
        {"total_budget": 1, "current_cost": "1"},
        {"total_budget": 1, "model_cost": {"gpt-4": None}},
        {"total_budget": 1, "model_cost": {"gpt-4": -1}},
        {"total_budget": 1, "model_cost": [1]},
        {"total_budget": 1, "duration": "daily"},
        {"total_budget": 1, "duration": 0},
        {"total_budget": 1, "last_updated_at": "now"},
        {"total_budget": 1, "last_updated_at": -5},
    ],
    ids=repr,
)
def test_a_record_that_cannot_be_used_changes_nothing(server: Inside, key: str, record: Any) -> None:
    answer = post(server, key, "bad", fine={"total_budget": 1, **costs(0.5)}, **{"ev'il": record})
    assert answer.status == 422
    assert '"ev\'il"' in answer.body["detail"]
    assert got(server, key, "bad") == {}


def test_what_is_no_post_is_refused(server: Inside, key: str) -> None:
    for data in (b"", b"[]", b"{", b'{"project_name": 5}', b'{"project_name": "x"}', b"[" * 100_000):
        assert server.ask("/set_budget", data=data, key=key).status == 422, data[:40]
    long = server.ask("/set_budget", {"project_name": "x", "user_dict": {"n" * 129: {}}}, key=key)
    assert long.status == 422
    control = post(server, key, "x", **{"a\x00b": {"total_budget": 1}})
    assert control.status == 422


def test_many_users_in_one_post(server: Inside, key: str) -> None:
    users = {f"user-{number}": {"total_budget": 1, **costs(0.25)} for number in range(500)}
    assert post(server, key, "many", **users).status == 200
    users["user-7"] |= costs(0.5)
    assert post(server, key, "many", **users).status == 200
    found = got(server, key, "many")
    assert len(found) == 500
    assert (found["user-7"]["current_cost"], found["user-8"]["current_cost"]) == (0.5, 0.25)


@pytest.mark.parametrize("model", ["\ud800", "a\0b", "m" * 513])
def test_a_model_that_no_store_keeps_as_it_is_is_refused_not_posted_without_end(
    server: Inside, key: str, model: str
) -> None:
    record = {"total_budget": 1, "current_cost": 1.0, "model_cost": {model: 1.0}}
    answer = post(server, key, "models", u=record)
    assert answer.status == 422
    assert "model" in answer.body["detail"]
    assert server.store.account(AccountKey("models", "user", "u")) is None


def test_a_user_with_thousands_of_models_is_refused(server: Inside, key: str) -> None:
    record = {"total_budget": 1, "current_cost": 1.0, "model_cost": {f"m{n}": 1.0 for n in range(1_001)}}
    assert post(server, key, "models", u=record).status == 422


def test_a_post_without_users_leaves_no_name_behind(server: Inside, key: str) -> None:
    for number in range(3):
        assert post(server, key, f"{number}" + "x" * 200).status == 422
    assert post(server, server.mint("elsewhere", ["spend"], projects=["other"]), "empty").status == 403
    assert post(server, key, "empty").status == 200


def test_r3_no_other_project_can_take_the_id_of_a_posting_before_it(server: Inside, key: str) -> None:
    """Ids made of what anybody can guess could be released before they were posted, and never be posted."""
    victim = AccountKey("victim", "user", "u")
    account = server.store.define(victim, Declaration(DOLLAR, creates=True))
    thief = server.mint("thief", ["spend"], projects=["thieves"])
    text = json.dumps(["cost", *victim, account.version])
    guess = f"litellm {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"
    assert server.ask("/v1/release", {"hold_id": guess}, key=thief).status == 200
    assert post(server, key, "victim", u={"total_budget": 1, **costs(0.5)}).status == 200
    assert spent(server, "victim", "u") == DOLLAR // 2


def test_a_key_with_fixed_terms_resets_nothing_and_still_counts(server: Inside) -> None:
    user = AccountKey("fixed", "user", "u")
    server.store.define(user, Declaration(2 * DOLLAR, creates=True))
    server.store.settle(Posting("own call", DOLLAR, (Scope(user),)))
    fixed = server.mint("no resets", ["spend"], fixed_terms=True)
    time.sleep(0.01)
    begun = time.time()
    terms = {"total_budget": 2, "last_updated_at": begun}
    assert post(server, fixed, "fixed", u={**terms, "current_cost": 0, "model_cost": {}}).status == 200
    assert spent(server, "fixed", "u") == DOLLAR
    assert post(server, fixed, "fixed", u={**terms, **costs(0.5)}).status == 200
    assert post(server, fixed, "fixed", u={**terms, **costs(0.5)}).status == 200
    assert spent(server, "fixed", "u") == DOLLAR + DOLLAR // 2
