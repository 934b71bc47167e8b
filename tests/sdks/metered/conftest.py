"""The SDKs under the real meter: budgets in memory, and the provider that speaks the vendors' formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.calls.conftest import store
from tests.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["store"]


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()
