"""An error of ours comes out of the wire as the class, and with the fields, with which it went in."""

from __future__ import annotations

import pytest

from allowance.errors import (
    ConfigurationError,
    HoldConflictError,
    StoreCorruptError,
    StoreUnavailableError,
    UnknownModelError,
    UnknownUserError,
)
from allowance.wire import json, problems

ERRORS = [
    (UnknownUserError(user="alice", kind="team", project="app", label="day", projects=["b", "c"]), 404),
    (HoldConflictError("The id h stands for another call."), 409),
    (ConfigurationError("A hold needs an id."), 422),
    (StoreUnavailableError("The file is locked.", retry_after=1.5), 503),
    (StoreUnavailableError("Gone."), 503),
    (StoreCorruptError("No ledger."), 500),
]


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=lambda one: str(one)[:24])
def test_an_error_comes_back_as_it_went(error: Exception, status: int) -> None:
    sent, data = problems.dump(error)
    assert sent == status == data["status"]
    assert {"type", "title", "detail", "code"} <= set(data)
    read = json.loads(json.dumps(data))
    assert isinstance(read, dict)
    back = problems.load(status, read)
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_what_is_not_ours_says_nothing_of_what_it_was() -> None:
    for error in (KeyError("sk-secret"), RuntimeError("sk-secret"), UnknownModelError(model="sk-secret")):
        status, data = problems.dump(error)
        assert (status, data["code"]) == (500, "internal")
        assert "secret" not in str(data)
        assert isinstance(problems.load(status, data), StoreUnavailableError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unauthorized", ConfigurationError),
        ("forbidden", ConfigurationError),
        ("not_found", ConfigurationError),
        ("method_not_allowed", ConfigurationError),
        ("too_large", ConfigurationError),
        ("unsupported_media_type", ConfigurationError),
        ("rate_limited", StoreUnavailableError),
        ("internal", StoreUnavailableError),
    ],
)
def test_a_problem_that_is_no_exception_of_ours_becomes_the_nearest(code: str, kind: type[Exception]) -> None:
    status, data = problems.problem(code, "Because.", retry_after=2, other=None)
    assert "other" not in data
    error = problems.load(status, data)
    assert type(error) is kind
    assert str(error) == "Because."
    assert getattr(error, "retry_after", 2.0) == 2.0


@pytest.mark.parametrize(
    "data", [{}, {"code": 5, "detail": [], "retry_after": "soon"}, {"retry_after": True}]
)
def test_a_problem_without_words_is_told_by_its_status(data: json.Json) -> None:
    assert "502" in str(problems.load(502, data))
    assert isinstance(problems.load(502, data), StoreUnavailableError)
    assert isinstance(problems.load(400, data), ConfigurationError)
