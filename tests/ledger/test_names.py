"""Names: what may stand for whose budget it is."""

from __future__ import annotations

import pytest

from allowance.errors import ConfigurationError
from allowance.ledger.names import account_key


@pytest.mark.parametrize("name", ["alice", "a" * 512, "O'Brien", "用户", "\U0001f600", "a b", "%", "\u200d"])
def test_names_that_are_kept_as_they_are(name: str) -> None:
    assert account_key("app", "user", name, name) == ("app", "user", name, name)


def test_equal_to_the_eye_is_equal() -> None:
    assert account_key("app", "user", "zoe\u0308") == account_key("app", "user", "zo\u00eb")


def test_the_main_budget_has_no_label_and_removed_ones_have_their_own_kind() -> None:
    assert account_key("app", "user", "alice").label == ""
    assert account_key("app", "user", "alice", "month").main == account_key("app", "user", "alice")
    with pytest.raises(ConfigurationError, match="another word"):
        account_key("app", "deleted", "alice")
    for label in (" ", "a\0", 5, "x" * 513, None):
        with pytest.raises(ConfigurationError, match="label"):
            account_key("app", "user", "alice", label)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("", "give the id"),
        (" \t", "give the id"),
        ("a" * 513, "hash"),
        ("a\nb", "Remove"),
        ("a\0", "Remove"),
        ("a\x85é", "Remove"),
        ("\ud800", "Remove"),
        (5, "pass str"),
        (None, "pass str"),
    ],
)
def test_names_that_are_refused(name: str, remedy: str) -> None:
    for parts in ((name, "user", "x"), ("x", name, "x"), ("x", "user", name)):
        with pytest.raises(ConfigurationError, match=remedy):
            account_key(*parts)
