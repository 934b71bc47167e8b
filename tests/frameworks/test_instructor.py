"""Instructor over the openai SDK: each of its retries is a call of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from allowance import BudgetExceededError, budget
from tests.calls.support import CALL, CHAT
from tests.provider import Provider, clients


class City(BaseModel):
    city: str


ASKED: dict[str, Any] = {**CHAT, "response_model": City}
ROME = ("City", '{"city": "Rome"}')
WRONG = ("City", '{"town": "Rome"}')


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    import instructor

    provider.reply(tool=ROME)
    with clients.openai_sync(provider) as plain:
        yield instructor.from_openai(plain)


def test_create_and_create_partial(client: Any, provider: Provider, spent: Callable[[], int]) -> None:
    with budget("alice", limit=1):
        assert client.chat.completions.create(**ASKED).city == "Rome"
        assert spent() == CALL
        assert list(client.chat.completions.create_partial(**ASKED))[-1].city == "Rome"
        assert spent() == 2 * CALL
    assert provider.count == 2


async def test_create_async(provider: Provider, spent: Callable[[], int]) -> None:
    import instructor

    provider.reply(tool=ROME)
    async with clients.openai_async(provider) as plain, budget("alice", limit=1):
        client = instructor.from_openai(plain)
        assert (await client.chat.completions.create(**ASKED)).city == "Rome"
    assert provider.count == 1
    assert spent() == CALL


def test_each_retry_is_charged(client: Any, provider: Provider, spent: Callable[[], int]) -> None:
    provider.then(tool=WRONG)
    provider.then(tool=WRONG)
    with budget("alice", limit=1):
        assert client.chat.completions.create(**ASKED, max_retries=3).city == "Rome"
    assert provider.count == 3
    assert spent() == 3 * CALL


@pytest.mark.usefixtures("refusing")
def test_a_refusal_is_not_retried_and_is_the_cause_of_instructors_own_error(client: Any) -> None:
    from instructor.core import InstructorRetryException

    with pytest.raises(InstructorRetryException) as raised:
        client.chat.completions.create(**ASKED, max_retries=3)
    assert isinstance(raised.value.__cause__, BudgetExceededError)
    assert raised.value.n_attempts == 1


def test_a_retry_that_is_refused_ends_it(client: Any, provider: Provider, spent: Callable[[], int]) -> None:
    from instructor.core import InstructorRetryException

    provider.reply(tool=WRONG)
    with budget("alice", limit="0.0008"), pytest.raises(InstructorRetryException) as raised:
        client.chat.completions.create(**ASKED, max_retries=5)
    assert isinstance(raised.value.__cause__, BudgetExceededError)
    assert spent() == provider.count * CALL
    assert 1 <= provider.count < 5
