"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

# LiteLLM fetches its price map at import, and sends telemetry, unless these are set before it.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")

from tests.provider.server import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARNINGS_OF_SDKS = (
    # anthropic: tests name models that will be retired, for as long as their prices are known.
    r"ignore:The model '.*' is deprecated and will reach end-of-life:DeprecationWarning",
    # google-genai's asynchronous client subclasses aiohttp's session.
    r"ignore:Inheritance class AiohttpClientSession from ClientSession is discouraged:DeprecationWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Let pass, each by its own text, what the SDKs warn of when they are used rightly."""
    for line in _WARNINGS_OF_SDKS:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A fresh provider on loopback that speaks the vendors' wire formats."""
    running = Provider()
    yield running
    running.close()
