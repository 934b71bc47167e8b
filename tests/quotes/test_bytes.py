"""Without a vocabulary, and for texts that break one: bytes bound the count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from allowance.quotes import Quote, Quoting, Vocabularies
from allowance.quotes.tokens import PIECE, byte_length, count_tokens
from allowance.requests import read
from tests.quotes.conftest import Flat

Make = Callable[..., Quote]


def test_without_vocabulary_and_network_the_quote_is_an_upper_bound_and_says_how_to_get_one(
    bytes_quote: Make, quote: Make
) -> None:
    messages = [{"role": "user", "content": "Grüße, 東京! " * 50}]
    counted = quote(model="gpt-4o", messages=messages, max_tokens=10)
    bound = bytes_quote(model="gpt-4o", messages=messages, max_tokens=10)
    assert bound.input_tokens == 4 + len(messages[0]["content"].encode()) + 6
    assert bound.amount > counted.amount
    assert bound.bound
    assert bound.counted_by == "bytes"
    assert "TIKTOKEN_CACHE_DIR" in bound.note
    assert counted.note == ""


def test_bytes_are_a_bound_for_families_that_a_factor_only_estimates(bytes_quote: Make) -> None:
    assert bytes_quote(model="claude-opus-5", messages=[{"content": "hello there"}], max_tokens=1).bound


def test_a_cheap_quote_counts_bytes_though_there_is_a_vocabulary(vocabularies: Vocabularies) -> None:
    request = read({"model": "gpt-4o", "messages": [{"content": "hello there"}], "max_tokens": 1})
    assert request is not None
    quoting = Quoting(vocabularies=vocabularies)
    assert quoting.quote(request, Flat(), cheap=True).input_tokens == 11 + 6
    assert quoting.quote(request, Flat()).input_tokens == 2 + 6


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=())))
@example("\ud800")
@example("\U0001f9d1\U0001f3fd‍\U0001f680")
@example("<|endoftext|>")
@example("\ud83d\ude00")
@example(" \t　\r\n" * 30)
def test_bytes_bound_the_count_of_any_text(vocabularies: Vocabularies, text: str) -> None:
    for name in ("o200k_base", "cl100k_base"):
        encoding = vocabularies.get(name)
        assert encoding is not None
        assert count_tokens(encoding, text) <= byte_length(text)


def test_a_lone_surrogate_counts_the_bytes_of_its_code_point() -> None:
    assert (byte_length("\ud800"), byte_length("é"), byte_length("a"), byte_length("")) == (3, 2, 1, 0)


@pytest.mark.parametrize("text", [" " * 1_000_000, "\t" * 1_000_000, "　" * 1_000_000, "a" * 1_000_000])
def test_runs_that_make_tiktoken_panic_are_counted(vocabularies: Vocabularies, text: str) -> None:
    encoding = vocabularies.get("o200k_base")
    assert encoding is not None
    assert 0 < count_tokens(encoding, text) <= byte_length(text)


class Panic(BaseException):
    """As pyo3's, which no ``except Exception`` sees."""


class Broken:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def encode(self, text: str, disallowed_special: object) -> list[int]:
        raise self.error


@pytest.mark.parametrize("error", [Panic(), ValueError("backtracking")])
def test_a_panic_inside_tiktoken_falls_back_to_bytes(error: BaseException) -> None:
    assert count_tokens(Broken(error), "hello") == 5  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_what_ends_the_program_passes(error: BaseException) -> None:
    with pytest.raises(type(error)):
        count_tokens(Broken(error), "hello")  # type: ignore[arg-type]


def test_long_prose_is_counted_in_pieces_without_a_difference(vocabularies: Vocabularies) -> None:
    text = "The sum of $1,234.56 isn't due until 3 o'clock; see https://example.com/x?y=1. \n\n" * 4_000
    encoding = vocabularies.get("o200k_base")
    assert encoding is not None
    assert len(text) > 3 * PIECE
    assert count_tokens(encoding, text) == len(encoding.encode(text, disallowed_special=()))


def test_text_without_words_is_hardly_overcounted(vocabularies: Vocabularies) -> None:
    text = "東京は日本の首都です。" * 30_000
    encoding = vocabularies.get("o200k_base")
    assert encoding is not None
    whole = len(encoding.encode(text, disallowed_special=()))
    assert whole <= count_tokens(encoding, text) <= whole + 10


def test_a_prompt_of_eight_megabytes_is_quoted(quote: Make, vocabularies: Vocabularies) -> None:
    text = "word " * 1_600_000
    made = quote(model="gpt-4o", messages=[{"content": text}], max_tokens=1)
    assert made.input_tokens == pytest.approx(1_600_007, abs=20)
    assert made.bound
