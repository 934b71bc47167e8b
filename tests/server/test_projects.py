"""Two keys of two projects on one server: neither sees nor touches what is the other's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from allowance.server.key import KEY_PROJECT
from tests.server.running import Answer, Inside, inside

TTL = 900_000_000
DOLLAR = 1_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside(f"sqlite:///{tmp_path_factory.mktemp('projects')}/a.db") as server:
        yield server


@pytest.fixture(scope="module")
def red(server: Inside) -> str:
    return server.mint("red", ["spend"], projects=["red"])


@pytest.fixture(scope="module")
def blue(server: Inside) -> str:
    return server.mint("blue", ["spend"], projects=["blue"])


def reserve(server: Inside, key: str, hold_id: str, name: str, project: str = "red", **more: Any) -> Answer:
    scope: dict[str, Any] = {"key": [project, "user", name]}
    scope |= {"declared": {"limit": DOLLAR, "creates": True}} if more.pop("declared", True) else {}
    body = {"hold_id": hold_id, "scopes": [scope], "amount": 1_000, "ttl": TTL, **more}
    return server.ask("/v1/reserve", body, key=key)


def test_budgets_of_another_project_are_as_if_they_were_not(server: Inside, red: str, blue: str) -> None:
    assert reserve(server, red, "seen-1", "ann").status == 200
    ann = ["red", "user", "ann"]
    assert server.ask("/v1/account", {"key": ann}, key=red).body["account"]["held"] == 1_000
    assert server.ask("/v1/account", {"key": ann}, key=blue).body == {"account": None}
    assert server.ask("/v1/family", {"key": ann}, key=blue).body == {"accounts": []}
    for body in ({}, {"project": "red"}, {"after": ["", "user", "a"]}):
        assert server.ask("/v1/accounts", body, key=blue).body == {"items": [], "next": None}
    assert server.ask("/v1/holds", {}, key=blue).body["items"] == []
    assert server.ask("/v1/holds", {"key": ann}, key=blue).body["items"] == []
    assert server.ask("/v1/hold", {"hold_id": "seen-1"}, key=blue).body == {"hold": None}
    assert server.ask("/v1/hold", {"hold_id": "seen-1"}, key=red).body["hold"]["state"] == "held"
    unknown = server.ask("/v1/model_costs", {"key": ["blue", "user", "nobody"]}, key=blue)
    foreign = server.ask("/v1/model_costs", {"key": ann}, key=blue)
    assert unknown.status == foreign.status == 404
    assert foreign.body["projects"] == []


def test_entries_of_another_project_are_not_listed(server: Inside, red: str, blue: str) -> None:
    reserve(server, red, "entry-1", "bea")
    assert server.ask("/v1/settle", {"hold_id": "entry-1", "amount": 7}, key=red).status == 200
    assert [one["amount"] for one in server.ask("/v1/entries", {}, key=red).body["items"]] == [7]
    for body in ({}, {"hold_id": "entry-1"}, {"key": ["red", "user", "bea"]}):
        assert server.ask("/v1/entries", body, key=blue).body["items"] == [], body


def test_holds_of_another_project_answer_as_unknown_ones_do(server: Inside, red: str, blue: str) -> None:
    reserve(server, red, "hold-1", "cay")
    foreign = server.ask("/v1/settle", {"hold_id": "hold-1", "amount": 5}, key=blue)
    unknown = server.ask("/v1/settle", {"hold_id": "hold-9", "amount": 5}, key=blue)
    assert foreign.status == unknown.status == 404
    assert str(foreign.body).replace("hold-1", "hold-9") == str(unknown.body)
    assert server.ask("/v1/release", {"hold_id": "hold-1"}, key=blue).body == {"hold": None}
    assert server.ask("/v1/renew", {"hold_ids": ["hold-1"], "ttl": 1}, key=blue).status == 200
    with_scopes = {"hold_id": "hold-1", "amount": 5, "scopes": [{"key": ["blue", "user", "x"]}]}
    assert server.ask("/v1/settle", with_scopes, key=blue).status == 409
    held = server.ask("/v1/hold", {"hold_id": "hold-1"}, key=red).body["hold"]
    assert held["state"] == "held"
    assert held["expires_at"] - held["reserved_at"] == TTL
    assert server.ask("/v1/settle", {"hold_id": "hold-1", "amount": 5}, key=red).status == 200


def test_nothing_is_made_or_changed_in_another_project(server: Inside, red: str, blue: str) -> None:
    refused = reserve(server, blue, "made-1", "dan", project="red")
    assert (refused.status, refused.body["code"]) == (403, "forbidden")
    assert (
        reserve(server, blue, "made-2", "dan", project="nowhere").status == 403
    )  # alike where there is none
    define = {"key": ["red", "user", "dan"], "terms": {"limit": 5, "creates": True}, "declared": True}
    assert server.ask("/v1/define", define, key=blue).status == 403
    assert server.ask("/v1/account", {"key": ["red", "user", "dan"]}, key=red).body == {"account": None}
    posting = {"hold_id": "made-3", "amount": 5, "scopes": [{"key": ["red", "user", "ann"]}]}
    assert server.ask("/v1/settle", posting, key=blue).status == 403


def test_an_unknown_user_is_not_told_to_be_elsewhere(server: Inside, red: str, blue: str) -> None:
    reserve(server, red, "else-1", "eva")
    of_blue = reserve(server, blue, "else-2", "eva", project="blue", declared=False)
    assert (of_blue.status, of_blue.body["projects"]) == (404, [])
    both = server.mint("both", ["spend"], projects=["red", "blue"])
    assert reserve(server, both, "else-3", "eva", project="blue", declared=False).body["projects"] == ["red"]


def test_a_hold_of_another_project_is_not_replaced(server: Inside, red: str, blue: str) -> None:
    reserve(server, red, "replaced-1", "fay")
    granted = reserve(server, blue, "replaced-2", "fay", project="blue", replacing="replaced-1").body[
        "granted"
    ]
    assert "replaced" not in granted
    assert server.ask("/v1/hold", {"hold_id": "replaced-1"}, key=red).body["hold"]["state"] == "held"
    own = reserve(server, red, "replaced-3", "fay", replacing="replaced-1").body["granted"]
    assert own["replaced"] is True


def test_a_bound_admin_key_stays_within_its_projects(server: Inside, red: str) -> None:
    reserve(server, red, "admin-1", "gus")
    bound = server.mint("blue-admin", ["admin"], projects=["blue"])
    key = ["red", "user", "gus"]
    for path, body in (
        ("/v1/adjust", {"key": key, "amount": 5, "reason": "x"}),
        ("/v1/extend", {"key": key, "amount": 5}),
        ("/v1/remove", {"key": key}),
        ("/v1/define", {"key": key, "terms": {"limit": 1}}),
        ("/v1/audit", {}),
        ("/v1/prune", {"before": 5}),
    ):
        assert server.ask(path, body, key=bound).status == 403, path
    assert server.ask("/v1/sweep", {}, key=bound).body == {"holds": []}
    assert server.ask("/v1/account", {"key": key}, key=red).body["account"]["spent"] == 0


def test_expired_holds_of_another_project_are_not_handed_out(server: Inside, red: str, blue: str) -> None:
    reserve(server, red, "expired-1", "hal", ttl=1)
    time.sleep(0.01)
    answer = reserve(server, blue, "expired-2", "hal", project="blue")
    assert "expired" not in answer.body["granted"]
    assert "expired-1" not in str(answer.body)
    assert server.ask("/v1/hold", {"hold_id": "expired-1"}, key=red).body["hold"]["state"] == "expired"


def test_r4_a_keys_own_budget_must_admit_each_call_too(server: Inside) -> None:
    token = server.mint("metered", ["spend"], limit=2_500, duration=None)
    other = server.mint("unmetered", ["spend"])
    assert reserve(server, token, "own-1", "ida").status == 200
    granted = reserve(server, token, "own-2", "ida").body["granted"]
    assert [account["key"][:3] for account in granted["accounts"]] == [
        ["red", "user", "ida"],
        [KEY_PROJECT, "key", "metered"],
    ]
    denied = reserve(server, token, "own-3", "ida").body["denied"]
    assert denied["account"]["key"][:3] == [KEY_PROJECT, "key", "metered"]
    assert (
        server.ask("/v1/account", {"key": ["red", "user", "ida"]}, key=token).body["account"]["held"] == 2_000
    )
    assert server.ask("/v1/settle", {"hold_id": "own-1", "amount": 900}, key=token).status == 200
    own = server.ask("/v1/account", {"key": [KEY_PROJECT, "key", "metered"]}, key=token).body["account"]
    assert (own["spent"], own["held"]) == (900, 1_000)
    assert reserve(server, other, "own-4", "ida").status == 200, "another key is not held back by it"
    late = {"hold_id": "own-5", "amount": 40, "scopes": [{"key": ["red", "user", "ida"]}]}
    assert server.ask("/v1/settle", late, key=token).status == 200
    own = server.ask("/v1/account", {"key": [KEY_PROJECT, "key", "metered"]}, key=token).body["account"]
    assert own["spent"] == 940, "what is posted without a hold counts on it as well"


def test_the_budgets_of_other_keys_are_not_seen(server: Inside) -> None:
    one = server.mint("key-one", ["spend"], limit=DOLLAR)
    two = server.mint("key-two", ["spend"])
    reserve(server, one, "keys-1", "jim")
    key = [KEY_PROJECT, "key", "key-one"]
    assert server.ask("/v1/account", {"key": key}, key=one).body["account"] is not None
    assert server.ask("/v1/account", {"key": key}, key=two).body["account"] is None
    assert KEY_PROJECT not in str(server.ask("/v1/accounts", {}, key=two).body)
    hold = server.ask("/v1/hold", {"hold_id": "keys-1"}, key=two).body["hold"]
    assert [window["key"][0] for window in hold["windows"]] == ["red"]
    assert KEY_PROJECT not in str(server.ask("/v1/settle", {"hold_id": "keys-1", "amount": 3}, key=two).body)
    for token in (one, two):
        scoped = {"hold_id": "keys-2", "amount": 1, "ttl": TTL, "scopes": [{"key": key}]}
        free = {"key": key, "terms": {"limit": 10**15, "creates": True}, "declared": True}
        assert server.ask("/v1/define", free, key=token).status == 403
        assert server.ask("/v1/reserve", scoped, key=two).status == 403
    assert server.ask("/v1/account", {"key": key}, key=server.admin_key).body["account"]["spent"] == 3


def test_a_key_with_fixed_terms_names_none(server: Inside, red: str) -> None:
    fixed = server.mint("fixed", ["spend"], fixed_terms=True)
    assert reserve(server, fixed, "fixed-1", "kim").status == 404
    define = {"key": ["red", "user", "kim"], "terms": {"limit": 5, "creates": True}, "declared": True}
    assert server.ask("/v1/define", define, key=fixed).status == 403
    reserve(server, red, "fixed-2", "kim")
    raised = {"key": ["red", "user", "kim"], "declared": {"limit": 9 * DOLLAR, "creates": True}}
    body = {"hold_id": "fixed-3", "scopes": [raised], "amount": 1_000, "ttl": TTL}
    assert server.ask("/v1/reserve", body, key=fixed).status == 200
    account = server.ask("/v1/account", {"key": ["red", "user", "kim"]}, key=red).body["account"]
    assert account["terms"]["limit"] == DOLLAR


def test_an_operators_terms_need_admin_and_leave_a_line(server: Inside, red: str) -> None:
    reserve(server, red, "terms-1", "lee")
    define = {"key": ["red", "user", "lee"], "terms": {"limit": 5 * DOLLAR}}
    assert server.ask("/v1/define", define, key=red).status == 403
    assert server.ask("/v1/define", define, key=server.admin_key).status == 200
    line = server.state.audit_lines(limit=1)[0]
    assert (line.action, line.target) == ("budget.define", "user lee")
    assert "5000000000" in str(line.after)
    assert server.admin_key.split("_")[1] == line.actor


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/adjust", {"amount": 5}),
        ("/v1/extend", {"amount": 5}),
        ("/v1/remove", {}),
        ("/v1/define", {"terms": {}}),
        ("/v1/define", {"terms": {}, "declared": True}),
    ],
)
def test_no_change_tells_that_another_project_knows_the_user(
    server: Inside, red: str, path: str, more: dict[str, Any]
) -> None:
    reserve(server, red, "ulf-1", "ulf")
    token = server.mint(f"blue {path} {len(more)}", ["admin"], projects=["blue"])
    answer = server.ask(path, {"key": ["blue", "user", "ulf"], **more}, key=token)
    assert answer.status == 404
    assert "red" not in str(answer.body)
    whole = server.ask(path, {"key": ["blue", "user", "ulf"], **more}, key=server.admin_key)
    assert whole.body["projects"] == ["red"]


def test_figures_of_all_projects_are_for_who_sees_all(server: Inside) -> None:
    bound = server.mint("a reader of red", ["read"], projects=["red"])
    assert server.ask("/metrics", key=bound).status == 403
    assert server.ask("/metrics", key=server.mint("prometheus", ["read"])).status == 200


def test_no_key_is_bound_to_the_project_of_keys(server: Inside) -> None:
    body = {"name": "sly", "scopes": ["admin"], "projects": ["red", KEY_PROJECT]}
    assert server.ask("/v1/keys", body, key=server.admin_key).status == 422


def test_r6_no_hold_is_for_good(server: Inside, red: str) -> None:
    longest = 7 * 24 * 3600 * 1_000_000
    assert reserve(server, red, "long-1", "lou", ttl=longest + 1).status == 422
    assert reserve(server, red, "long-2", "lou", ttl=2**62).status == 422
    assert reserve(server, red, "long-3", "lou", ttl=longest).status == 200
    renewed = server.ask("/v1/renew", {"hold_ids": ["long-3"], "ttl": 2**62}, key=red)
    assert renewed.status == 422
    assert server.ask("/holds", key=server.admin_key).status == 200
