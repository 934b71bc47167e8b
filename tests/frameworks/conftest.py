"""Every framework calls the loopback provider through the real SDK, inside a block, with nothing of ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from allowance import budget
from allowance.stores.memory import MemoryStore
from tests.calls.conftest import store as store  # an automatic fixture, here too
from tests.calls.support import books
from tests.provider import Provider

# What the frameworks would otherwise tell their makers, or ask them for.
os.environ.setdefault("LANGSMITH_TRACING", "false")
os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")

# They warn of themselves and of one another; allowance's own warnings are tested elsewhere.
QUIET = pytest.mark.filterwarnings("ignore")


MODULES = {
    "test_instructor.py": "instructor",
    "test_langchain.py": "langchain_openai",
    "test_llama_index.py": "llama_index.llms.openai",
    "test_openai_agents.py": "agents",
    "test_pydantic_ai.py": "pydantic_ai",
}


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    module = MODULES.get(request.path.name)
    if module is None:
        return  # it looks for each framework by itself
    pytest.importorskip(module, reason=f"{module} is not here: pip install -e '.[test,frameworks]'")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "frameworks" in item.path.parts:
            item.add_marker(QUIET)


@pytest.fixture
def spent(store: MemoryStore) -> Callable[[], int]:
    """The nano-dollars that Alice spent; nothing may be held any more."""

    def nanos() -> int:
        spent, held = books(store, "alice")
        assert held == 0
        return spent

    return nanos


@pytest.fixture
def refusing(provider: Provider) -> Any:
    """A block that refuses whatever costs; nothing may have been sent from it."""
    with budget("poor", limit=0):
        yield
    assert provider.count == 0
