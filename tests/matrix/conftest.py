"""One provider for the whole matrix, and the clients of all SDKs with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.calls.conftest import store as store  # an automatic fixture, here too
from tests.matrix.engine import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()
