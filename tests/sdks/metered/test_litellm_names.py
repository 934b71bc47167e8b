"""LiteLLM's own names for models: what is held is what the model that it sends may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import litellm
import pytest

from allowance import BudgetExceededError, budget
from tests.calls.support import CALL, HELD, MESSAGES, books, usd
from tests.provider import Provider, clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    clients.close_litellm()


@pytest.mark.parametrize("alias", ["gpt-3.5-turbo", "the-good-one"])
def test_r1_an_alias_is_held_and_charged_as_what_it_stands_for(
    alias: str, provider: Provider, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "model_alias_map", {alias: "openai/gpt-4o"})
    chat: dict[str, Any] = {"model": alias, "messages": MESSAGES, "max_tokens": 50}
    with budget("alice", limit=usd(HELD - 1)), pytest.raises(BudgetExceededError, match="gpt-4o"):
        litellm.completion(**chat, **clients.litellm_kwargs(provider))
    assert provider.count == 0
    with budget("bob", limit=usd(HELD)):
        litellm.completion(**chat, **clients.litellm_kwargs(provider))
    assert provider.calls[0].body["model"] == "gpt-4o"
    assert books(store, "bob") == (CALL, 0)
