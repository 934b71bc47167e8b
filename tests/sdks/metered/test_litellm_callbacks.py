"""What users' callbacks of LiteLLM's do: a call that one makes is a call of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from allowance import budget
from tests.calls.support import CALL, CHAT, MESSAGES, books
from tests.provider import Provider, clients

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

ASKED: dict[str, Any] = {"model": "openai/gpt-4o", "messages": MESSAGES, "max_tokens": 50}


class _Judge(CustomLogger):
    """Does one thing when LiteLLM first tells it of a call that succeeded (of a stream it does so often)."""

    then: Callable[[], object] | None = None
    athen: Callable[[], Awaitable[object]] | None = None

    def log_success_event(self, *_: Any, **__: Any) -> None:
        then, self.then = self.then, None
        if then is not None:
            then()

    async def async_log_success_event(self, *_: Any, **__: Any) -> None:
        athen, self.athen = self.athen, None
        if athen is not None:
            await athen()


JUDGE = _Judge()
"""One for all tests: LiteLLM never forgets a callback, and takes no second one of the same class."""


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Judge]:
    monkeypatch.setattr(litellm, "callbacks", [JUDGE])
    yield JUDGE
    JUDGE.then = JUDGE.athen = None


@pytest.mark.parametrize("stream", [False, True])
def test_a_callback_that_asks_a_model_is_charged_for_it(
    stream: bool, judge: _Judge, provider: Provider, store: MemoryStore
) -> None:
    judged = threading.Event()

    def ask() -> None:
        gpt.chat.completions.create(**CHAT)
        judged.set()

    judge.then = ask
    with clients.openai_sync(provider) as gpt, budget("alice", limit=1):
        list(litellm.completion(**ASKED, stream=stream, **clients.litellm_kwargs(provider)))
        assert judged.wait(10)
    assert provider.count == 2
    assert books(store, "alice") == (2 * CALL, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_async_callback_that_asks_a_model_is_charged_for_it(
    stream: bool, judge: _Judge, provider: Provider, store: MemoryStore
) -> None:
    judged = asyncio.Event()

    async def ask() -> None:
        await gpt.chat.completions.create(**CHAT)
        judged.set()

    judge.athen = ask
    async with clients.openai_async(provider) as gpt, budget("alice", limit=1):
        reply = await litellm.acompletion(**ASKED, stream=stream, **clients.litellm_kwargs(provider))
        if stream:
            async for _ in reply:
                pass
        await asyncio.wait_for(judged.wait(), 10)
    assert provider.count == 2
    assert books(store, "alice") == (2 * CALL, 0)
