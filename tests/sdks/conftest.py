"""A loopback provider, and a recorder that every SDK's calls go through."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from allowance import sdks

from .recorder import Recorder
from .server import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

# LiteLLM would fetch its price map at import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    sdks.instrument(recorder)
    yield recorder
    sdks.uninstrument()


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    # The SDKs leave sockets and sessions to the collector, which would blame a later test for them.
    yield
    gc.collect()
