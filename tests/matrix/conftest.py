"""One provider for each file of the matrix, and the clients of all SDKs with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.calls.conftest import store as store  # an automatic fixture, here too
from tests.matrix.engine import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")  # not longer: other files close what LiteLLM keeps, each in its own loop
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()
