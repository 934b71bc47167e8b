"""What the tests of quotes share: one price, quoting with the vocabularies of this machine, and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from allowance.quotes import Quote, Quoting, Vocabularies
from allowance.replies.usage import Usage
from allowance.requests import Request, read


class Flat:
    """2,500 nano-dollars a token in, 10,000 out: gpt-4o's, with nothing dearer that a call could hit."""

    def __init__(
        self, *, into: int = 2_500, out: int = 10_000, max_output_tokens: int | None = 16_384
    ) -> None:
        self.into = into
        self.out = out
        self.max_output_tokens = max_output_tokens

    def cost(self, usage: Usage) -> int:
        return usage.input_tokens * self.into + usage.output_tokens * self.out

    def worst(self, usage: Usage, request: Request) -> int:
        return self.cost(usage)


@pytest.fixture(scope="session")
def vocabularies() -> Vocabularies:
    """Those on this machine: the installed LiteLLM carries them."""
    found = Vocabularies(download=False)
    assert found.get("o200k_base") is not None
    assert found.get("cl100k_base") is not None
    return found


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A machine without any vocabulary."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.fixture
def quote(vocabularies: Vocabularies) -> Callable[..., Quote]:
    """Read the arguments of a call and quote it, counted."""
    quoting = Quoting(vocabularies=vocabularies)

    def make(**arguments: Any) -> Quote:
        request = read(arguments)
        assert request is not None
        return quoting.quote(request, Flat())

    return make


@pytest.fixture
def bytes_quote(nowhere: None) -> Callable[..., Quote]:
    """The same without a vocabulary and without a network."""
    quoting = Quoting(vocabularies=Vocabularies(download=False))

    def make(**arguments: Any) -> Quote:
        request = read(arguments)
        assert request is not None
        return quoting.quote(request, Flat())

    return make
