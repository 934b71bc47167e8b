"""Which models an account counts: the globs against a slow reading of them."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allowance.errors import ConfigurationError
from allowance.ledger.models import applies, check_models
from allowance.ledger.records import Terms

PATTERN = st.text("aB/*?[]!-.", min_size=1, max_size=6)
MODEL = st.text("abAB/.", max_size=8)


@given(models=st.lists(PATTERN, max_size=3).map(tuple), model=st.none() | MODEL)
def test_a_pattern_is_tried_on_the_name_and_on_what_follows_each_slash(
    models: tuple[str, ...], model: str | None
) -> None:
    parts = [] if model is None else model.lower().split("/")
    names = ["/".join(parts[number:]) for number in range(len(parts))]
    fits = [fnmatchcase(name, pattern.lower()) for name in names for pattern in models]
    assert applies(Terms(1, models=models), model) == (not models or any(fits))


@pytest.mark.parametrize(
    ("pattern", "model", "expected"),
    [
        ("gpt-4o*", "openai/gpt-4o-mini", True),
        ("openai/*", "openai/gpt-4o", True),
        ("openai/*", "azure/openai/gpt-4o", True),
        ("GPT-4O", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "my-gpt-4o", False),
        ("gpt-?", "gpt-4", True),
        ("gpt-[45]*", "gpt-5-nano", True),
        ("*", "", True),
        ("*", None, False),
        ("a\nb", "a\nb", True),
        ("gpt", "gpt\n", False),
        ("gpt-4o", "openai/gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o", False),
        ("claude-sonnet-4", "vertex_ai/claude-sonnet-4@20250514", True),
        ("claude-sonnet-4", "claude-sonnet-4-20250514", True),
        ("gpt-4", "gpt-4-0613", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
    ],
)
def test_patterns_as_people_write_them(pattern: str, model: str | None, expected: bool) -> None:
    assert applies(Terms(1, models=("o3*", pattern)), model) is expected


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not applies(Terms(1, models=("*a" * 200,)), "a" * 199 + "/" * 300 + "b")


@pytest.mark.parametrize("models", [("",), ("\t",), ["gpt"], "gpt", (None,), ("x" * 513,), None, {"gpt": 1}])
def test_patterns_that_are_refused(models: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"models|pattern"):
        check_models(models)
