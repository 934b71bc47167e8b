"""Every record comes back from the wire as it went; what is not one is refused, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey, Ask, Declaration, Posting, Scope, Terms
from allowance.wire import budgets, json, records
from tests.wire import records as some

Dump = Callable[[Any], json.Json]
Load = Callable[[json.Json], Any]

WAYS: list[tuple[str, st.SearchStrategy[Any], Dump, Load]] = [
    ("terms", some.TERMS, budgets.dump_terms, budgets.load_terms),
    ("declaration", some.DECLARATIONS, budgets.dump_declaration, budgets.load_declaration),
    ("scope", some.SCOPES, budgets.dump_scope, budgets.load_scope),
    ("account", some.ACCOUNTS, budgets.dump_account, budgets.load_account),
    ("ask", some.ASKS, records.dump_ask, records.load_ask),
    ("posting", some.POSTINGS, records.dump_posting, records.load_posting),
    ("grant", some.GRANTS, records.dump_grant, records.load_grant),
    ("denial", some.DENIALS, records.dump_denial, records.load_denial),
    ("outcome", some.GRANTS | some.DENIALS, records.dump_outcome, records.load_outcome),
    ("settlement", some.SETTLEMENTS, records.dump_settlement, records.load_settlement),
    ("hold", some.HOLDS, records.dump_hold, records.load_hold),
    ("entry", some.ENTRIES, records.dump_entry, records.load_entry),
]


@pytest.mark.parametrize(("strategy", "dump", "load"), [way[1:] for way in WAYS], ids=[w[0] for w in WAYS])
def test_every_record_comes_back_as_it_went(strategy: st.SearchStrategy[Any], dump: Dump, load: Load) -> None:
    @settings(max_examples=60, deadline=None)
    @given(strategy)
    def check(record: Any) -> None:
        sent = json.loads(json.dumps(dump(record)))
        assert isinstance(sent, dict)
        back = load(sent)
        assert back == record
        assert type(back) is type(record)
        assert load({**sent, "a later version's": [{"field": None}]}) == record

    check()


ASK = Ask(
    "h", (Scope(AccountKey("p", "user", "alice"), Declaration(limit=5, creates=True)),), 1, 2, 3, 2, True, 9
)
SENT = records.dump_ask(ASK)


def test_an_ask_is_small() -> None:
    capped = ASK._replace(floor=2, ceiling=2)
    assert records.dump_ask(capped) == {
        "hold_id": "h",
        "scopes": [{"key": ["p", "user", "alice", ""], "declared": {"limit": 5, "creates": True}}],
        "amount": 2,
        "expected": 2,
        "ttl": 9,
        "bounded": True,
    }


def test_a_key_may_come_without_a_label_and_an_ask_without_what_is_usual() -> None:
    sent: json.Json = {
        "hold_id": "h",
        "scopes": [{"key": ["p", "k", "n"]}],
        "amount": "7",
        "ttl": 1,
        "model": None,
    }
    assert records.load_ask(sent) == Ask("h", (Scope(AccountKey("p", "k", "n")),), 7, 7, 7, 7, False, 1)


@pytest.mark.parametrize("amount", [2**53 + 1, 2**63 - 1, -(2**63), 0])
def test_whole_numbers_may_come_as_texts(amount: int) -> None:
    assert records.load_posting({"hold_id": "h", "amount": str(amount)}).amount == amount


@pytest.mark.parametrize(
    "amount",
    [
        *(True, False, 1.0, 2.5, "1.0", "", "-", "--1", "+1", " 1", "1_0", "1e3", "٣", "²"),
        *(2**63, -(2**63) - 1, str(2**63), "9" * 5000, [], {}, None),
    ],
)
@pytest.mark.parametrize("field", ["amount", "floor", "ttl"])
def test_what_is_no_whole_number_is_refused_by_name(amount: object, field: str) -> None:
    if amount is None and field == "floor":
        return
    with pytest.raises(ConfigurationError, match=f"'{field}'"):
        records.load_ask({**SENT, field: amount})


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("hold_id", None),
        ("hold_id", 5),
        ("hold_id", "a\0b"),
        ("hold_id", "\ud800"),
        ("scopes", {}),
        ("scopes", [[]]),
        ("scopes", [{}]),
        ("scopes", [{"key": ["p", "k"]}]),
        ("scopes", [{"key": ["p", "k", "n", "l", "x"]}]),
        ("scopes", [{"key": ["p", "k", 5]}]),
        ("scopes", [{"key": "p/k/n"}]),
        ("bounded", 1),
        ("bounded", "true"),
        ("model", 5),
        ("tags", "a"),
        ("tags", [None]),
        ("owner", []),
        ("replacing", False),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(field: str, bad: object) -> None:
    with pytest.raises(ConfigurationError, match=r"'key'|scopes" if field == "scopes" else f"'{field}'"):
        records.load_ask({**SENT, field: bad})


def test_a_fault_deep_inside_is_named_with_its_place() -> None:
    scopes = [*records.dump_ask(ASK)["scopes"], {"key": ["p", "k", "n"], "default": {"limit": 1.5}}]  # type: ignore[misc]  # a list
    with pytest.raises(ConfigurationError, match=r"scopes\[1\]: .*'limit'.*not 1.5"):
        records.load_ask({**SENT, "scopes": scopes})


def test_terms_without_a_limit_are_refused_for_they_would_limit_nothing() -> None:
    with pytest.raises(ConfigurationError, match="'limit'"):
        budgets.load_terms({"limits": 5})
    assert budgets.load_terms({"limit": None}) == Terms(None)


@pytest.mark.parametrize("word", ["Shrink", "", 5, ["shrink"]])
def test_a_word_that_is_none_of_those_known_is_refused(word: object) -> None:
    with pytest.raises(ConfigurationError, match="shrink, clamp, reserve, refuse"):
        budgets.load_declaration({"uncapped": word})


@pytest.mark.parametrize("amount", [True, 1.0, "5", None])
def test_what_is_no_whole_number_does_not_leave(amount: Any) -> None:
    with pytest.raises(ConfigurationError, match="'amount'"):
        records.dump_posting(Posting("h", amount))
    with pytest.raises(ConfigurationError, match="'amount'"):
        records.dump_ask(ASK._replace(amount=amount))
    with pytest.raises(ConfigurationError, match="'limit'"):
        budgets.dump_terms(Terms(True))


@pytest.mark.parametrize("texts", ["gpt-*", ["gpt-*"], {"gpt-*"}])
def test_a_text_does_not_leave_as_its_letters(texts: Any) -> None:
    with pytest.raises(ConfigurationError, match="'models'"):
        budgets.dump_declaration(Declaration(models=texts))
    with pytest.raises(ConfigurationError, match="'tags'"):
        records.dump_ask(ASK._replace(tags=texts))
    with pytest.raises(ConfigurationError, match="'tags'"):
        records.dump_posting(Posting("h", 1, tags=texts))


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*SENT, "key", "declared", "default", "limit"]), inner, max_size=5
            )
        ),
    )
)
def test_no_body_raises_anything_else(body: object) -> None:
    if not isinstance(body, dict):
        return
    for _, _, _, load in WAYS:
        try:
            load(body)
        except ConfigurationError:
            continue
