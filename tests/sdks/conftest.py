"""A loopback provider, and a recorder that every SDK's calls go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from allowance import sdks
from allowance.sdks import current
from tests.provider.clients import close_litellm

from .recorder import Recorder
from .server import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    close_litellm()
    provider.close()


@pytest.fixture(autouse=True)
def _instrumented_as_before() -> Iterator[None]:
    # Importing allowance instruments this process: other tests rely on that.
    meter = current._meter
    sdks.uninstrument()
    yield
    sdks.uninstrument()
    if meter is not None:
        sdks.instrument(meter)


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    sdks.instrument(recorder)
    return recorder
