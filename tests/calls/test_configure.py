"""What settings do, and what they leave alone."""

from __future__ import annotations

import decimal
import logging
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import allowance
from allowance import BudgetExceededError, ConfigurationError, StoreUnavailableError, budget, budgeted
from allowance.calls.books import default_books
from allowance.ledger.records import Ask, Declaration, Scope
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, HELD, MESSAGES, PROJECT, Clock, books, key, python, reply, usd

if TYPE_CHECKING:
    from pathlib import Path


def ask_as(user: str, **terms: Any) -> Any:
    return budgeted(user=user, **terms)(lambda messages, model="gpt-4o", max_tokens=50: reply())


def test_what_is_not_named_stays_as_it_was() -> None:
    allowance.configure(store="memory://")
    ask_as("alice", limit=1)(MESSAGES)
    learned = default_books().quoting
    allowance.configure(warn_at=0.5)
    assert default_books().policy.warn_at == 0.5
    assert default_books().quoting is learned
    with budget("alice") as alice:
        assert alice.spent == usd(CALL)


def test_each_variable_sets_its_setting(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"mine": {"input": "1", "output": "2"}}')
    said = python(
        """
        import allowance
        from allowance.calls.books import default_books
        books = default_books()
        print(books.store.url, books.project, books.policy.on_unknown_model, books.policy.on_error)
        print(books.policy.on_store_error, books.policy.warn_at, books.policy.ttl, books.policy.stream_usage)
        print(allowance.quote(model="mine", messages=[], max_tokens=1_000_000).amount)
        """,
        ALLOWANCE_STORE=f"sqlite:///{tmp_path}/a.db",
        ALLOWANCE_PROJECT="mine",
        ALLOWANCE_ON_UNKNOWN_MODEL="free",
        ALLOWANCE_ON_ERROR="release",
        ALLOWANCE_ON_STORE_ERROR="open",
        ALLOWANCE_STREAM_USAGE="off",
        ALLOWANCE_WARN_AT="0.5",
        ALLOWANCE_HOLD_MINUTES="20",
        ALLOWANCE_PRICES=str(tmp_path / "prices.json"),
    ).splitlines()
    assert said[0] == f"sqlite:///{tmp_path}/a.db mine free release"
    assert said[1] == f"open 0.5 {20 * 60_000_000} off"
    assert int(said[2]) >= 2_000_000_000


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("on_event", 5),
        ("counter", 5),
        ("default_duration", "daily"),
        ("warn_at", True),
        ("hold_minutes", 1),
        ("hold_minutes", True),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        allowance.configure(**{setting: value})


def test_default_terms_that_cannot_be_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="fortnight"):
        allowance.configure(default_limit=1, default_duration="fortnight")


def test_the_first_line_of_the_log_names_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="allowance")
    allowance.configure(store=f"sqlite:///{tmp_path}/a.db")
    ask_as("alice", limit=1)(MESSAGES)
    assert f"{tmp_path}/a.db" in caplog.messages[0]


def test_r9_a_budget_that_only_counts_goes_on_where_its_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    allowance.configure(store=f"sqlite:///{tmp_path}/file/a.db")
    assert ask_as("alice", limit=None)(MESSAGES) == reply()
    with budget("alice", limit=None):
        pass
    with pytest.raises(StoreUnavailableError):
        ask_as("bob", limit=1)(MESSAGES)
    with pytest.raises(StoreUnavailableError), budget("bob", limit=1):
        pass


def test_r14_open_lets_a_block_be_entered_whose_store_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    allowance.configure(store=f"sqlite:///{tmp_path}/file/a.db", on_store_error="open")
    with budget("bob", limit=1):
        assert ask_as("bob", limit=1)(MESSAGES) == reply()


def test_a_refusal_does_not_depend_on_the_users_decimal_context() -> None:
    def refused() -> BudgetExceededError:
        with pytest.raises(BudgetExceededError) as caught:
            ask_as("alice", limit="0.000123456")(MESSAGES)
        return caught.value

    plain = refused()
    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact])):
        odd = refused()
    assert (odd.remaining, str(odd)) == (plain.remaining, str(plain))
    assert plain.remaining == Decimal("0.000123456")


def test_every_error_comes_back_whole_from_another_process() -> None:
    with pytest.raises(BudgetExceededError) as caught:
        ask_as("alice", limit=0)(MESSAGES)
    errors: list[allowance.BudgetError] = [
        caught.value,
        allowance.UnknownUserError(user="a", projects=["p"]),
        allowance.UnknownModelError(model="m", near=["n"]),
        allowance.StoreUnavailableError("down", retry_after=2),
        allowance.StoreCorruptError("bad"),
        allowance.HoldConflictError("twice"),
        allowance.ConfigurationError("wrong"),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_replies_that_their_own_cap_cut_teach_nothing() -> None:
    cut = budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o", max_tokens=5: reply(out=5))
    before = allowance.quote(model="gpt-4o", messages=MESSAGES).output_tokens
    for _ in range(30):
        cut(MESSAGES)
    assert allowance.quote(model="gpt-4o", messages=MESSAGES).output_tokens == before


def test_of_several_choices_the_length_of_one_is_learned() -> None:
    several = budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o", n=5: reply(out=500))
    for _ in range(30):
        several(MESSAGES)
    assert allowance.quote(model="gpt-4o", messages=MESSAGES).output_tokens == 100


def test_r5_whatever_a_store_raises_the_reply_comes_back() -> None:
    class Broken(MemoryStore):
        def settle(self, posting: Any) -> Any:
            raise KeyError("a bug of the store's own")

    allowance.configure(store=Broken())
    assert ask_as("alice", limit=1)(MESSAGES) == reply()


def test_a_file_shows_at_once_that_a_hold_was_let_go(tmp_path: Path) -> None:
    class RefusedError(Exception):
        status_code = 500

    def fail(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> None:
        raise RefusedError

    allowance.configure(store=f"sqlite:///{tmp_path}/a.db")
    with budget("alice", limit=1) as alice:
        with pytest.raises(RefusedError):
            budgeted()(fail)(MESSAGES)
        assert (alice.spent, alice.held) == (0, 0)


def test_a_threshold_is_told_for_each_part_that_was_asked_for() -> None:
    told: list[Any] = []
    ask = ask_as("alice", limit=usd(HELD * 2), warn_at=0.2)
    with budget("alice", limit=usd(HELD * 2), warn_at=0.1, on_event=told.append):
        for _ in range(4):
            ask(MESSAGES)
    spent = [event.spent for event in told if event.kind == "threshold"]
    assert spent == [usd(CALL * 2), usd(CALL * 3)]


def test_an_expired_hold_is_told_of_with_the_figures_of_its_own_budget() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    told: list[Any] = []
    allowance.configure(store=store, on_event=told.append)
    scope = Scope(key("alice"), Declaration(limit=10**9, creates=True))
    store.reserve(Ask("dead", (scope,), 7, 7, 7, 7, True, 60_000_000, None, "gpt-4"))
    clock.forward(minutes=2)
    ask_as("bob", limit=1)(MESSAGES)
    assert [event.user for event in told if event.kind == "expired"] == []
    store.reserve(Ask("dead too", (scope,), 7, 7, 7, 7, True, 60_000_000, None, "gpt-4"))
    clock.forward(minutes=2)
    ask_as("alice", limit=1)(MESSAGES)
    (event,) = [event for event in told if event.kind == "expired"]
    assert (event.user, event.model, event.amount) == ("alice", "gpt-4", usd(7))
    assert books(store, "alice") == (14 + CALL, 0)
    assert event.project == PROJECT
    assert HELD > CALL


def test_a_refusal_on_a_byte_bound_says_how_to_get_a_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    from allowance.quotes import Quoting, Vocabularies
    from allowance.quotes import vocabularies as module

    monkeypatch.setattr(module, "_places", lambda name: [])
    monkeypatch.setattr(default_books(), "quoting", Quoting(vocabularies=Vocabularies(download=False)))
    with pytest.raises(BudgetExceededError, match=r"bytes.*o200k_base.*TIKTOKEN_CACHE_DIR"):
        ask_as("alice", limit="0.0001")(MESSAGES)
