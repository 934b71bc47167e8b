"""The table of verbs says what `Store` has, and carries arguments and answers over the wire whole."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey, Ask, Declaration, Posting, Scope
from allowance.stores.base import Store
from allowance.stores.memory import MemoryStore
from allowance.wire import json
from allowance.wire.pages import dump_page, load_page, page_of
from allowance.wire.verbs import VERBS, Verb, deadline_of, scope_of

ALICE = AccountKey("app", "user", "alice")
DAY = ALICE._replace(label="day")

ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "reserve": [{"ask": Ask("h", (Scope(ALICE),), 1, 2, 3, 1, False, 60)}],
    "settle": [{"posting": Posting("h", 5, model="m", tags=("a",), at=7)}],
    "release": [{"hold_id": "h", "reason": "by hand"}, {"hold_id": "h", "reason": ""}],
    "renew": [{"hold_ids": ("a", "b"), "ttl": 5}],
    "define": [
        {"key": DAY, "terms": Declaration(limit=5, creates=True), "declared": flag} for flag in (True, False)
    ],
    "account": [{"key": DAY}],
    "family": [{"key": ALICE}],
    "accounts": [{"project": "app", "after": DAY}, {"project": None, "after": None}],
    "model_costs": [{"key": ALICE}],
    "adjust": [
        {"key": ALICE, "amount": None, "reason": "reset", "adjustment_id": None},
        {"key": ALICE, "amount": -5, "reason": "refund", "adjustment_id": "one"},
    ],
    "extend": [{"key": ALICE, "amount": 5, "until": 9, "reason": "", "adjustment_id": "one"}],
    "remove": [{"key": ALICE}],
    "entries": [
        {"key": None, "since": None, "until": None, "hold_id": None, "after": 0},
        {"key": ALICE, "since": 1, "until": 2, "hold_id": "h", "after": 3},
    ],
    "hold": [{"hold_id": "h"}],
    "holds": [{"key": ALICE}, {"key": None}],
    "sweep": [{}],
    "audit": [{}],
    "prune": [{"before": 5}],
}


def over(data: json.Json) -> json.Json:
    back = json.loads(json.dumps(data))
    assert isinstance(back, dict)
    return back


def test_every_verb_of_a_store_is_a_verb_of_the_wire() -> None:
    verbs = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    assert verbs - {"close"} <= set(VERBS)
    assert set(VERBS) == set(ARGUMENTS)
    for name in verbs - {"close"}:
        parameters = list(inspect.signature(getattr(Store, name)).parameters)[1:]
        assert set(parameters) == set(ARGUMENTS[name][0]), name


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_come_back_as_they_went(name: str) -> None:
    verb = VERBS[name]
    for arguments in ARGUMENTS[name]:
        assert verb.load_arguments(over(verb.dump_arguments(arguments))) == arguments


def through(store: Store, verb: Verb, arguments: dict[str, Any]) -> Any:
    """Do a verb as the two ends of the wire would."""
    asked = verb.load_arguments(over(verb.dump_arguments(arguments)))
    return verb.load_reply(over(verb.dump_reply(getattr(store, verb.name)(**asked))))


def test_answers_come_back_as_they_were_given() -> None:
    store, twin = MemoryStore(clock=lambda: 10**15), MemoryStore(clock=lambda: 10**15)
    for name, arguments in [
        ("define", {"key": ALICE, "terms": Declaration(limit=50, creates=True), "declared": False}),
        ("reserve", {"ask": Ask("a", (Scope(ALICE),), 9, 9, 9, 9, True, 60)}),
        ("reserve", {"ask": Ask("b", (Scope(ALICE),), 99, 99, 99, 99, True, 60)}),
        ("renew", {"hold_ids": ("a",), "ttl": 90}),
        ("settle", {"posting": Posting("a", 7, model="m")}),
        ("reserve", {"ask": Ask("c", (Scope(ALICE),), 9, 9, 9, 9, True, 60)}),
        ("hold", {"hold_id": "c"}),
        ("hold", {"hold_id": "nobody"}),
        ("release", {"hold_id": "c", "reason": ""}),
        ("release", {"hold_id": "nobody", "reason": ""}),
        ("adjust", {"key": ALICE, "amount": 5, "reason": "x", "adjustment_id": "1"}),
        ("extend", {"key": ALICE, "amount": 5, "until": None, "reason": "x", "adjustment_id": "2"}),
        ("account", {"key": ALICE}),
        ("account", {"key": DAY}),
        ("family", {"key": ALICE}),
        ("model_costs", {"key": ALICE}),
        ("sweep", {}),
        ("audit", {}),
        ("remove", {"key": ALICE}),
    ]:
        assert through(store, VERBS[name], arguments) == getattr(twin, name)(**arguments), name


def test_listings_come_in_pages_that_join_to_the_whole() -> None:
    now = [10**15]
    store = MemoryStore(clock=lambda: now[0])
    for number in range(7):
        now[0] += number % 2
        key = AccountKey("app", "user", f"u{number}")
        store.define(key, Declaration(limit=50, creates=True))
        store.reserve(Ask(f"h{number}", (Scope(key),), 1, 1, 1, 1, True, 60))
        store.adjust(key, number, reason="x")
    for name in ("accounts", "entries", "holds"):
        verb, pages, after = VERBS[name], [], None
        while True:
            body: json.Json = {"limit": 3, "after": after}
            arguments = verb.load_arguments(body)
            page = page_of(verb, body, arguments)
            items, after = load_page(verb, over(dump_page(verb, getattr(store, name)(**arguments), page)))
            pages.append(items)
            if after is None:
                break
        assert [len(items) for items in pages] == [3, 3, 1]
        assert [item for items in pages for item in items] == list(getattr(store, name)())


@pytest.mark.parametrize("limit", [0, -1, 501, True, "x"])
def test_a_page_has_its_bounds(limit: object) -> None:
    with pytest.raises(ConfigurationError, match="'limit'"):
        page_of(VERBS["holds"], {"limit": limit}, {})


def test_an_operators_terms_need_more_than_codes_own() -> None:
    define = VERBS["define"]
    assert scope_of(define, ARGUMENTS["define"][0]) == "spend"
    assert scope_of(define, ARGUMENTS["define"][1]) == "admin"
    assert scope_of(VERBS["remove"], {}) == "admin"


def test_a_reserve_says_how_long_it_waits() -> None:
    assert deadline_of({}) is None
    assert deadline_of({"deadline_ms": 1500}) == 1500
    for bad in (0, -5, True, 1.5):
        with pytest.raises(ConfigurationError, match="'deadline_ms'"):
            deadline_of({"deadline_ms": bad})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("adjust", {"key": ["p", "k", "n"], "reason": "x"}),
        ("extend", {"key": ["p", "k", "n"], "amount": None}),
        ("renew", {"hold_ids": ["x"] * 257, "ttl": 5}),
        ("define", {"key": ["p", "k", "n"]}),
        ("prune", {}),
        ("accounts", {"after": "alice"}),
    ],
)
def test_arguments_that_lack_something_are_refused(name: str, body: json.Json) -> None:
    with pytest.raises(ConfigurationError):
        VERBS[name].load_arguments(body)


@pytest.mark.parametrize("amount", [True, 1.5, "5"])
def test_amounts_by_hand_that_are_no_whole_numbers_do_not_leave(amount: object) -> None:
    for name in ("adjust", "extend"):
        with pytest.raises(ConfigurationError, match="'amount'"):
            VERBS[name].dump_arguments({**ARGUMENTS[name][0], "amount": amount})
