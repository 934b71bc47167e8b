"""Each test of managers begins with a configuration, a memory store and a process of nothing spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from allowance import BudgetManager
from tests.calls.conftest import store  # noqa: F401  # an automatic fixture, here too

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def manager() -> Iterator[BudgetManager]:
    """A manager in memory."""
    with BudgetManager("shop", client_type="memory") as made:
        yield made


@pytest.fixture
def in_tmp(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current directory is an empty one: LiteLLM keeps its users there."""
    monkeypatch.chdir(tmp_path)
    yield
