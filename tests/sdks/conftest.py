"""A loopback provider, and a recorder that every SDK's calls go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from allowance import sdks
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


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    sdks.instrument(recorder)
    yield recorder
    sdks.uninstrument()
