"""Bad input meets one of our errors with its remedy, and nothing is lost."""

# ruff: noqa: PT012  # blocks, and what is raised inside them, are what this is about

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import allowance
from allowance import BudgetError, BudgetExceededError, budget, budgeted
from allowance.errors import ConfigurationError, StoreCorruptError, StoreError
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import CALL, HELD, MESSAGES, books, key, reply, usd
from tests.provider import Provider, clients

AMOUNTS = [
    float("nan"),
    float("inf"),
    float("-inf"),
    -1,
    -0.01,
    "-1",
    "NaN",
    "Infinity",
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    True,
    False,
    "",
    "five",
    "5 dollars",
    "9" * 10_000,
    10**30,
    b"5",
    [5],
    1j,
    object(),
]
USERS = ["", " ", "\t\n", "x" * 10_000, "a\x00b", "a\nb", "\x1b[31m", "\ud800"]


def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: Any = 50, **more: Any) -> Any:
    return reply()


def _entrances(amount: Any) -> list[Callable[[], Any]]:
    return [
        lambda: budget("alice", limit=amount),
        lambda: budget(limit=amount),
        lambda: budgeted(user="alice", limit=amount),
        lambda: setattr(allowance, "max_budget", amount),
        lambda: (allowance.configure(default_limit=amount), budgeted(user="new")(ask)()),
    ]


@pytest.mark.parametrize("amount", AMOUNTS, ids=lambda amount: repr(amount)[:20])
def test_amounts(amount: Any, store: MemoryStore) -> None:
    for enter in _entrances(amount):
        with pytest.raises(ConfigurationError) as refused:
            enter()
        assert len(str(refused.value)) < 1_000
        assert "US dollars" in str(refused.value)
    assert not list(store.accounts())


@pytest.mark.parametrize("user", USERS, ids=lambda user: ascii(user)[:20])
def test_users(user: str, store: MemoryStore) -> None:
    with pytest.raises(ConfigurationError) as refused, budget(user, limit=1):
        pass
    assert len(str(refused.value)) < 1_000
    with pytest.raises(ConfigurationError):
        budgeted(user=user, limit=1)(ask)()
    with pytest.raises(ConfigurationError):
        budgeted(user=lambda *args, **kwargs: user, limit=1)(ask)()
    with pytest.raises(ConfigurationError):
        allowance.configure(project=user)
    with pytest.raises(ConfigurationError), budget("alice", limit=1, kind=user):
        pass
    assert not list(store.accounts())


@pytest.mark.parametrize("user", [None, b"alice", 1.5, ["alice"], object(), True])
def test_users_of_other_types(user: Any) -> None:
    with pytest.raises(ConfigurationError):
        budget(user)


def test_users_that_look_odd_and_are_fine(store: MemoryStore) -> None:
    for user in ("O'Brien", "../../etc/passwd", "a/b", "💸", "x" * 512, "a b", "%s", "{0}", "'; DROP TABLE"):
        with budget(user, limit=1):
            budgeted()(ask)()
        assert books(store, user) == (CALL, 0)
    with budget("é", limit=1):
        pass
    with budget("é"):  # the same to the eye
        pass


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ({"duration": "fortnight"}, "daily"),
        ({"duration": "0s"}, "duration"),
        ({"duration": "-1d"}, "duration"),
        ({"duration": 30}, "duration"),
        ({"align": "left"}, "calendar"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"timezone": "../../etc/passwd"}, "IANA"),
        ({"uncapped": "hope"}, "shrink"),
    ],
)
def test_terms(terms: dict[str, Any], named: str) -> None:
    for make in (budget, budgeted):
        with pytest.raises(ConfigurationError, match=named):
            make("alice", limit=1, **terms)


@pytest.mark.parametrize("warn_at", [0, -1, 2, float("nan"), True, "often"])
def test_thresholds(warn_at: Any) -> None:
    for make in (budget, budgeted):
        with pytest.raises(ConfigurationError, match="warn_at"):
            make("alice", limit=1, warn_at=warn_at)
    if warn_at is not True:  # pydantic takes it for 1
        with pytest.raises(ConfigurationError, match="warn_at"):
            allowance.configure(warn_at=warn_at)


def test_what_is_no_callable() -> None:
    for name in ("on_exceeded", "on_event", "request"):
        with pytest.raises(ConfigurationError, match=name):
            budgeted(user="alice", limit=1, **{name: "not callable"})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="on_event"):
        budget("alice", limit=1, on_event="not callable")  # type: ignore[arg-type]


# -- prompts ---------------------------------------------------------------------------------------------


def _circular() -> Any:
    messages: list[Any] = [{"role": "user", "content": []}]
    messages[0]["content"].append(messages)
    return messages


def _deep() -> Any:
    content: Any = "x"
    for _ in range(100_000):
        content = [content]
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("messages", [_circular(), _deep()], ids=["circular", "deep"])
def test_messages_without_end(messages: Any, store: MemoryStore) -> None:
    with pytest.raises(ConfigurationError, match="nested"):
        budgeted(user="alice", limit=1)(ask)(messages)
    assert store.account(key("alice")) is None or books(store, "alice") == (0, 0)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        5,
        "text",
        [],
        [None],
        [5],
        [[]],
        {},
        [{}],
        [{"role": 5, "content": 7}],
        [{"role": "user", "content": b"bytes"}],
        [{"role": "user", "content": object()}],
        [{"role": "user", "content": {"type": "text", "text": 5}}],
        [{"role": "user", "content": "\ud800 lone surrogate \udfff"}],
        [{"role": "user", "content": "a\x00b<|endoftext|>"}],
    ],
    ids=lambda messages: ascii(messages)[:40],
)
def test_messages_that_no_provider_would_take_reach_it_all_the_same(
    messages: Any, store: MemoryStore
) -> None:
    """What is wrong with them is the provider's to say: we only must not fall over."""
    budgeted(user="alice", limit=1)(ask)(messages)
    assert books(store, "alice") == (CALL, 0)


@pytest.mark.parametrize(
    "text", ["x" * 8_000_000, " " * 1_000_000, "\U0001f4b8" * 500_000], ids=["8 MB", "spaces", "emoji"]
)
def test_prompts_that_are_huge(text: str, store: MemoryStore) -> None:
    messages = [{"role": "user", "content": text}]
    tight = budgeted(user="tight", limit="0.001")(ask)
    with pytest.raises(BudgetExceededError) as refused:
        tight(messages)
    assert refused.value.projected <= usd((len(text.encode()) + 20) * 2_500 + 50 * 10_000)
    budgeted(user="alice", limit=1_000)(ask)(messages)
    assert books(store, "alice") == (CALL, 0)


@pytest.mark.parametrize("cap", [True, False])
def test_a_cap_that_is_a_bool(cap: bool, store: MemoryStore) -> None:
    with pytest.raises(ConfigurationError, match="max_tokens"):
        budgeted(user="alice", limit=1)(ask)(MESSAGES, max_tokens=cap)


@pytest.mark.parametrize(
    "model", ["", " ", "x" * 100_000, "gpt-4o\x00", "\ud800"], ids=lambda model: ascii(model)[:12]
)
def test_models_that_are_none(model: str, store: MemoryStore) -> None:
    with pytest.raises(BudgetError) as refused:
        budgeted(user="alice", limit=1)(ask)(MESSAGES, model)
    assert len(str(refused.value)) < 2_000
    assert store.account(key("alice")) is None or books(store, "alice") == (0, 0)


# -- replies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        None,
        5,
        "text",
        b"bytes",
        {},
        {"usage": None},
        {"usage": {"prompt_tokens": -5, "completion_tokens": -5}},
        {"usage": {"prompt_tokens": "many", "completion_tokens": True}},
        {"usage": {"prompt_tokens": float("nan"), "completion_tokens": 10**40}},
        object(),
    ],
    ids=lambda given: "object" if type(given) is object else ascii(given)[:40],  # the same in each worker
)
def test_replies_of_any_kind_come_back_as_they_are(given: Any, store: MemoryStore) -> None:
    wrapped = budgeted(user="alice", limit=1)(lambda messages, model, max_tokens: given)
    assert wrapped(MESSAGES, "gpt-4o", 50) is given
    spent, held = books(store, "alice")
    assert held == 0
    assert spent >= 0


# -- files -------------------------------------------------------------------------------------------------


def _use(path: Path | str) -> None:
    allowance.configure(store=f"sqlite:///{path}")
    with budget("alice", limit=1):
        budgeted()(ask)()


def test_a_file_that_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="directory"):
        _use(tmp_path)


def test_a_garbage_file(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    path.write_bytes(b"this is not a database" * 1_000)
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError):
        _use(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError):
        _use(path)
    assert path.read_bytes() == before


def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    SQLiteStore(str(path)).close()
    with sqlite3.connect(path) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.close()
    with pytest.raises(StoreCorruptError, match="later version"):
        _use(path)


def test_a_file_that_is_read_only(unprivileged_path: Path) -> None:
    path = unprivileged_path / "budgets.db"
    SQLiteStore(str(path)).close()
    path.chmod(stat.S_IRUSR)
    with pytest.raises(StoreError):
        _use(path)


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "redis://:secret@host/0", "sqlite:", "", 5])
def test_urls_that_name_no_store(url: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        allowance.configure(store=url)
        with budget("alice", limit=1):
            pass
    assert "secret" not in str(refused.value)
    assert "sqlite:///" in str(refused.value)


def test_unknown_settings_are_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="on_unknown_model"):
        allowance.configure(on_unknown_modell="free")
    for name, value in (
        ("on_error", "ignore"),
        ("on_store_error", "x"),
        ("hold_minutes", 0),
        ("on_unknown_model", "x"),
    ):
        with pytest.raises(ConfigurationError, match=name):
            allowance.configure(**{name: value})


def test_errors_of_ours_reach_the_caller_through_every_sdk(provider: Provider) -> None:
    import litellm

    allowance.max_budget = usd(HELD - 1)
    chat = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 50}
    gemini = clients.gemini(provider)
    with clients.openai_sync(provider) as gpt, clients.anthropic_sync(provider) as claude:
        calls: list[Callable[[], Any]] = [
            lambda: gpt.chat.completions.create(**chat),
            lambda: claude.messages.create(**{**chat, "model": "claude-sonnet-4-5"}),
            lambda: gemini.models.generate_content(
                model="gemini-2.5-pro", contents="x", config={"max_output_tokens": 100}
            ),
            lambda: litellm.completion(**chat, **clients.litellm_kwargs(provider)),
        ]
        for call in calls:
            with pytest.raises(BudgetExceededError) as refused:
                call()
            assert type(refused.value) is BudgetExceededError
    gemini.close()
    assert provider.count == 0
    assert not isinstance(refused.value, openai.OpenAIError)
