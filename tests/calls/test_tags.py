"""`tags=` on the ledger's lines, and whose a hold is."""

from __future__ import annotations

import os
import platform
from typing import Any

import openai
import pytest

from allowance import budget, budgeted
from allowance.stores.memory import MemoryStore
from tests.calls.support import CHAT, MESSAGES, key, lines, python, reply
from tests.provider import Provider, clients


def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


def test_those_of_all_frames_are_joined_outermost_first(store: MemoryStore) -> None:
    with budget("red", kind="team", limit=1, tags="nightly"):
        with budget("alice", limit=1, tags=("search", "beta")):
            budgeted(tags=("beta", "rank"))(ask)()
        budgeted(user="alice", tags=["cafe\u0301"])(ask)()
        budgeted(user="alice")(ask)()
    assert [entry.tags for entry in lines(store, "alice")] == [
        ("nightly", "search", "beta", "rank"),
        ("nightly", "caf\u00e9"),
        ("nightly",),
    ]
    assert [entry.tags for entry in store.entries(key("red", "team"))] == [
        entry.tags for entry in lines(store, "alice")
    ]


def test_on_sdk_calls_streams_and_failures(provider: Provider, store: MemoryStore) -> None:
    with clients.openai_sync(provider) as client, budget("alice", limit=1, tags="search"):
        client.chat.completions.create(**CHAT)
        for _ in client.chat.completions.create(**CHAT, stream=True):
            pass
        provider.then(drop=True)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
    assert [entry.tags for entry in lines(store, "alice")] == [("search",)] * 3


def test_on_what_is_charged_only_afterwards(store: MemoryStore) -> None:
    budgeted(user="alice", limit=1, tags="late")(lambda: reply())()
    assert [entry.tags for entry in lines(store, "alice")] == [("late",)]


def test_a_hold_bears_them_and_says_whose_it_is(store: MemoryStore) -> None:
    def look(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        (hold,) = store.holds()
        assert hold.tags == ("search",)
        assert hold.owner == f"{platform.node()}:{os.getpid()}"
        return reply()

    budgeted(user="alice", limit=1, tags="search")(look)(MESSAGES)


def test_after_a_fork_a_hold_is_the_childs() -> None:
    told = python(
        """
        import os
        from allowance.calls.ids import owner

        before = owner()
        assert before.endswith(f":{os.getpid()}")
        if os.fork() == 0:
            assert owner().endswith(f":{os.getpid()}") and owner() != before
            os._exit(0)
        assert os.wait()[1] == 0
        print("both")
        """
    )
    assert told == "both\n"
