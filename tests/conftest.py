"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# LiteLLM fetches its price map at import, and sends telemetry, unless these are set before it.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")

from tests.provider.clients import aclose_litellm, close_litellm
from tests.provider.server import Provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_WARNINGS_OF_SDKS = (
    # The SDKs, LiteLLM above all, leave sockets to the collector, at a moment that no test chooses.
    # allowance itself opens none.
    r"ignore:unclosed <socket.socket:ResourceWarning",
    r"ignore:unclosed transport:ResourceWarning",
    # anthropic: tests name models that will be retired, for as long as their prices are known.
    r"ignore:The model '.*' is deprecated and will reach end-of-life:DeprecationWarning",
    # google-genai's asynchronous client subclasses aiohttp's session.
    r"ignore:Inheritance class AiohttpClientSession from ClientSession is discouraged:DeprecationWarning",
    # litellm: pydantic builds the schemas of its replies when the first one is made.
    r"ignore:Items? '.*' on TypedDict class '.*' (is|are) using the `ReadOnly` qualifier:UserWarning",
    # litellm: it looks through every attribute of a chunk that says nothing.
    r"ignore:Accessing the 'model_.*' attribute on the instance:DeprecationWarning:"
    "litellm.litellm_core_utils.model_response_utils",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for other processes, or for the disk."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Let pass, each by its own text, what the SDKs warn of when they are used rightly.

    No test speaks TLS, and loading the world's root certificates takes 25 ms for each client that is made.
    """
    setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)  # noqa: B010  # as mypy would have it
    for line in _WARNINGS_OF_SDKS:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Async tests close what LiteLLM keeps open while their loop still runs."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.append("_litellm_closed")


@pytest.fixture
async def _litellm_closed() -> AsyncIterator[None]:
    yield
    await aclose_litellm()


@pytest.fixture
def unprivileged_path() -> Iterator[Path]:
    """A folder of one who may not write anywhere: as root, the test runs as nobody."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _no_loop_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the event loop that LiteLLM's synchronous calls make for their logging, and leave behind."""
    yield
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        loop = getattr(getattr(asyncio.get_event_loop_policy(), "_local", None), "_loop", None)
        if loop is not None and not loop.is_running() and not loop.is_closed():
            loop.close()
            asyncio.set_event_loop(None)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A fresh provider on loopback that speaks the vendors' wire formats."""
    running = Provider()
    yield running
    close_litellm()
    running.close()
