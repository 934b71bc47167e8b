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
