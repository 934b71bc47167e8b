"""R3: a reply that a metered call has settled on a user's budget is known, and not charged to it again."""

from __future__ import annotations

import copy
import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import allowance
from allowance import budget, budgeted
from allowance.calls import settled
from allowance.calls.settled import was_settled
from allowance.stores.memory import MemoryStore
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import CHAT, CLAUDE, GEMINI, MESSAGES, Flaky, key, lines, python, reply
from tests.provider import Provider, clients

ALICE, BOB = key("alice"), key("bob")
WITH_USAGE: dict[str, Any] = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(autouse=True)
def nothing_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider gives all its replies the same id, and other tests have settled many."""
    monkeypatch.setattr(settled, "_young", {})
    monkeypatch.setattr(settled, "_old", {})


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as client:
        yield client


def bearing(name: str, into: int = 10, out: int = 5) -> dict[str, Any]:
    """A reply as one's own HTTP function gives it."""
    return {"id": name, **reply(into, out)}


def fetch(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50, name: str = "a") -> Any:
    return bearing(name)


# -- whole replies ---------------------------------------------------------------------------------------


def test_r3_the_reply_of_a_decorated_litellm_completion(provider: Provider) -> None:
    import litellm

    ask: Callable[..., Any] = budgeted(user="alice", limit=1)(litellm.completion)
    got = ask(**CHAT, **clients.litellm_kwargs(provider))
    assert was_settled(got, ALICE)
    assert not was_settled(got, BOB)
    assert was_settled(got.model_dump(), ALICE)
    unmetered = litellm.completion(**CHAT, **clients.litellm_kwargs(provider))
    assert not was_settled(unmetered, ALICE)


def test_r3_the_reply_of_an_sdk_in_a_block(gpt: openai.OpenAI) -> None:
    with budget("alice", limit=1), budget("red", kind="team", limit=1):
        got = gpt.chat.completions.create(**CHAT)
        other = gpt.responses.create(model="gpt-4o", input="hello", max_output_tokens=50)
    for one in (got, got.model_dump(), got.to_dict(), json.loads(got.model_dump_json()), other, [got, other]):
        assert was_settled(one, ALICE)
        assert was_settled(one, key("red", "team"))
        assert not was_settled(one, BOB)
    assert not was_settled([], ALICE)


def test_r3_an_unmetered_reply_is_not_taken_for_settled(gpt: openai.OpenAI) -> None:
    before = gpt.chat.completions.create(**CHAT)
    with budget("alice", limit=1):
        metered = gpt.chat.completions.create(**CHAT)
    after = gpt.chat.completions.create(**CHAT)
    assert before.id == metered.id == after.id  # as stand-ins do it: the object itself decides
    assert [was_settled(one, ALICE) for one in (before, metered, after)] == [False, True, False]
    assert not was_settled([metered, after], ALICE)
    with budget("bob", limit=1):
        bobs = gpt.chat.completions.create(**CHAT)
    assert [was_settled(bobs, ALICE), was_settled(bobs, BOB), was_settled(metered, BOB)] == [
        False,
        True,
        False,
    ]
    for one in (
        None,
        "text",
        5,
        {},
        {"id": "chatcmpl-2"},
        {**metered.model_dump(), "id": "chatcmpl-2"},
        object(),
    ):
        assert not was_settled(one, ALICE)


def test_r3_a_dict_with_the_same_id_and_other_tokens_is_another_reply() -> None:
    budgeted(user="alice", limit=1)(fetch)()
    assert was_settled(bearing("a"), ALICE)
    assert not was_settled(bearing("a", out=6), ALICE)
    assert not was_settled(bearing("b"), ALICE)


async def test_r3_awaited_replies(provider: Provider) -> None:
    import litellm

    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=1):
            got = await client.chat.completions.create(**CHAT)
        ask = budgeted(user="bob", limit=1)(litellm.acompletion)
        bobs = await ask(**CHAT, **clients.litellm_kwargs(provider))
        other = await client.chat.completions.create(**CHAT)
    assert (was_settled(got, ALICE), was_settled(got, BOB)) == (True, False)
    assert (was_settled(bobs, ALICE), was_settled(bobs, BOB)) == (False, True)
    assert not was_settled(other, ALICE)


def test_r3_the_dict_of_ones_own_http_function() -> None:
    got = budgeted(user="alice", limit=1)(fetch)()
    assert type(got) is dict
    assert was_settled(got, ALICE)
    assert was_settled(copy.deepcopy(got), ALICE)
    assert not was_settled(got, BOB)


def test_r3_an_http_response_and_the_json_in_it(gpt: openai.OpenAI, provider: Provider) -> None:
    import httpx

    def post(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> httpx.Response:
        body = {"model": model, "messages": messages, "max_tokens": max_tokens}
        return httpx.post(f"{provider.url}/v1/chat/completions", json=body, trust_env=False)

    response = budgeted(user="alice", limit=1)(post)(MESSAGES)
    assert was_settled(response, ALICE)
    assert was_settled(response.json(), ALICE)
    with budget("bob", limit=1):
        raw = gpt.chat.completions.with_raw_response.create(**CHAT)
    assert was_settled(raw.parse(), BOB)


def test_r3_the_vendors_reply_in_a_frameworks(gpt: openai.OpenAI) -> None:
    with budget("alice", limit=1):
        got = gpt.chat.completions.create(**CHAT)
    assert was_settled({"text": "hi", "raw": got}, ALICE)
    message = {"id": "run-5", "response_metadata": {"id": got.id}, "usage": {"prompt_tokens": 10}}
    message["usage"] = {"prompt_tokens": 10, "completion_tokens": 5}
    assert was_settled(message, ALICE)
    endless: dict[str, Any] = {}
    endless["raw"] = endless
    assert not was_settled(endless, ALICE)


def test_r3_several_replies_of_one_call() -> None:
    both = budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o": [bearing("a"), bearing("b")])(
        MESSAGES
    )
    assert was_settled(both, ALICE)
    assert was_settled(bearing("b"), ALICE)
    assert not was_settled([*both, bearing("c")], ALICE)


def test_r3_what_is_charged_only_afterwards() -> None:
    got = budgeted(user="alice", limit=1)(lambda: bearing("late"))()
    assert was_settled(got, ALICE)


def test_r3_a_cache_hit_was_settled_at_nothing(provider: Provider, store: MemoryStore) -> None:
    import litellm

    got = litellm.completion(**CHAT, **clients.litellm_kwargs(provider))
    got._hidden_params["cache_hit"] = True
    again = budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o": got)(MESSAGES)
    assert was_settled(again, ALICE)
    assert lines(store, "alice") == []


def test_r3_a_call_that_failed_settles_no_reply(gpt: openai.OpenAI, provider: Provider) -> None:
    provider.then(status=500)
    with budget("alice", limit=1), pytest.raises(openai.InternalServerError):
        gpt.chat.completions.create(**CHAT)
    assert not was_settled(gpt.chat.completions.create(**CHAT).model_dump(), ALICE)


# -- streams ---------------------------------------------------------------------------------------------


def test_r3_a_litellm_stream_that_was_put_together_again(provider: Provider) -> None:
    import litellm

    of_claude = {**CHAT, "stream": True, "model": "anthropic/claude-sonnet-4-5"}
    for arguments in (WITH_USAGE, {**CHAT, "stream": True}, of_claude):
        ask: Callable[..., Any] = budgeted(user="alice", limit=1)(litellm.completion)
        chunks = list(ask(**arguments, **clients.litellm_kwargs(provider)))
        built = litellm.stream_chunk_builder(chunks, messages=MESSAGES)
        assert was_settled(built, ALICE)
        assert not was_settled(built, BOB)
        theirs = list(litellm.completion(**arguments, **clients.litellm_kwargs(provider)))
        for chunk in theirs:
            chunk.id = "chatcmpl-of-another"
        assert not was_settled(litellm.stream_chunk_builder(theirs, messages=MESSAGES), ALICE)


async def test_r3_an_async_litellm_stream(provider: Provider) -> None:
    import litellm

    async with budget("alice", limit=1):
        stream = await litellm.acompletion(**WITH_USAGE, **clients.litellm_kwargs(provider))
        chunks = [chunk async for chunk in stream]
    assert was_settled(litellm.stream_chunk_builder(chunks, messages=MESSAGES), ALICE)


def test_r3_the_final_message_of_a_helper(provider: Provider, gpt: openai.OpenAI) -> None:
    with clients.anthropic_sync(provider) as claude, budget("alice", limit=1):
        with claude.messages.stream(**CLAUDE) as stream:
            assert "".join(stream.text_stream)
            message = stream.get_final_message()
        with gpt.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as events:
            for _ in events:
                pass
            completion = events.get_final_completion()
    assert isinstance(message, anthropic.types.Message)
    for one in (message, completion, message.model_dump()):
        assert was_settled(one, ALICE)
        assert not was_settled(one, BOB)


def test_r3_the_streams_of_responses_and_gemini(provider: Provider, gpt: openai.OpenAI) -> None:
    with budget("alice", limit=1):
        *_, last = gpt.responses.create(model="gpt-4o", input="hi", max_output_tokens=50, stream=True)
        client = clients.gemini(provider)
        chunks = list(client.models.generate_content_stream(**GEMINI))
        client.close()
    assert last.type == "response.completed"
    assert was_settled(last.response, ALICE)
    assert was_settled(chunks[-1], ALICE)


def test_r3_a_stream_of_dicts_that_was_left_early() -> None:
    def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
        for text in ("Hello", " there"):
            yield {"id": "chatcmpl-9", "model": model, "choices": [{"index": 0, "delta": {"content": text}}]}

    stream = budgeted(user="alice", limit=1)(ask)()
    next(stream)
    stream.close()
    assert was_settled({**reply(3, 3), "id": "chatcmpl-9"}, ALICE)  # whatever somebody counted in it
    assert not was_settled({**reply(3, 3), "id": "chatcmpl-8"}, ALICE)


# -- whose -----------------------------------------------------------------------------------------------


def test_all_budgets_of_a_user_are_one(store: MemoryStore) -> None:
    got = budgeted(user="alice", limit=1, label="month")(fetch)()
    assert was_settled(got, ALICE)
    assert was_settled(got, ALICE._replace(label="week"))


def test_a_store_tells_users_of_the_same_name_apart(store: MemoryStore) -> None:
    got = budgeted(user="alice", limit=1)(fetch)()
    assert was_settled(got, ALICE, store)
    assert not was_settled(got, ALICE, MemoryStore())


def test_a_file_that_is_opened_twice_is_one_store(tmp_path: Path) -> None:
    first, second, other = (SQLiteStore(tmp_path / name) for name in ("a.db", "a.db", "b.db"))
    allowance.configure(store=first)
    got = budgeted(user="alice", limit=1)(fetch)()
    assert was_settled(got, ALICE, second)
    assert not was_settled(got, ALICE, other)
    for opened in (first, second, other):
        opened.close()


def test_a_reply_that_several_calls_gave_back_is_settled_for_each() -> None:
    for one in (bearing("same"), _Reply()):

        def ask(messages: Any = MESSAGES, model: str = "gpt-4o", it: Any = one) -> Any:
            return it

        for name in ("alice", "bob", "alice"):
            budgeted(user=name, limit=1)(ask)()
        assert was_settled(one, ALICE)
        assert was_settled(one, BOB)
        assert not was_settled(one, key("carol"))


def test_a_store_that_is_down_settles_later_and_once() -> None:
    flaky = Flaky()
    allowance.configure(store=flaky)
    with budget("alice", limit=1):
        flaky.down.add("settle")
        got = budgeted()(fetch)()
    assert was_settled(got, ALICE)


def test_blocks_of_their_own_and_the_process_leave_nothing_behind() -> None:
    allowance.max_budget = 1
    with budget(limit=1):
        got = budgeted()(fetch)(name="own")
    assert not was_settled(got, ALICE)
    assert settled._young == {}


# -- what is kept ----------------------------------------------------------------------------------------


class _Reply:
    """A reply of some SDK, which can be referred to weakly."""

    def __init__(self, name: str | None = None) -> None:
        self.id = name
        self.model = "gpt-4o"
        self.usage = {"prompt_tokens": 10, "completion_tokens": 5}


def test_no_reply_is_kept_alive() -> None:
    made = [_Reply(str(number)) for number in range(10)]
    numbers = {id(one) for one in made}  # other tests' replies may die meanwhile
    ask = budgeted(user="alice", limit=1)(lambda messages, it, model="gpt-4o": it)
    for number in range(10):
        ask(MESSAGES, made[number])
    assert numbers <= settled._objects.keys()
    references = [weakref.ref(one) for one in made]
    del made
    gc.collect()
    assert [reference() for reference in references] == [None] * 10
    assert not numbers & settled._objects.keys()


def test_an_object_in_the_place_of_a_dead_one_is_another() -> None:
    ask = budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o": _Reply())
    for _ in range(50):
        ask(MESSAGES)
        assert not was_settled(_Reply(), ALICE)


def test_a_reference_that_is_left_over_says_nothing_of_the_next_object() -> None:
    first, second = _Reply(), _Reply()
    budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o": first)(MESSAGES)
    settled._objects[id(second)] = settled._objects[id(first)]  # as if its place had been used again
    assert not was_settled(second, ALICE)
    del settled._objects[id(second)]


def test_only_the_last_ids_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "GENERATION", 10)
    ask = budgeted(user="alice", limit=1)(fetch)
    for number in range(25):
        ask(name=str(number))
    known = [number for number in range(25) if was_settled(bearing(str(number)), ALICE)]
    assert known == list(range(10, 25))
    assert len(settled._young) <= 10 >= len(settled._old)


def test_a_stand_in_that_serves_a_thousand_users_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "MOST_PAYEES", 10)
    one = _Reply("same")
    ask = budgeted(user=lambda messages, user, model="gpt-4o": user, limit=1)(
        lambda messages, user, model="gpt-4o": one
    )
    for number in range(100):
        ask(MESSAGES, str(number))
        assert was_settled(one, key(str(number)))
    assert len(settled._objects[id(one)].payees) <= 11
    assert max(len(bearer.payees) for bearer in settled._young.values()) <= 11


def test_r13_a_reply_may_die_anywhere_and_a_fork_keeps_what_is_known() -> None:
    told = python(
        """
        import os
        import allowance
        from allowance.calls.settled import was_settled
        from allowance.ledger.records import AccountKey
        from allowance.stores.memory import MemoryStore
        from tests.calls.test_settled import MESSAGES, _Reply, fetch

        allowance.configure(store=MemoryStore(), project="tests")
        alice = AccountKey("tests", "user", "alice")
        got = allowance.budgeted(user="alice", limit=1)(fetch)()
        one = allowance.budgeted(user="alice", limit=1)(lambda messages, model="gpt-4o": _Reply())(MESSAGES)
        if os.fork() == 0:
            known = was_settled(got, alice) and was_settled(one, alice) and not was_settled(_Reply(), alice)
            del one
            os._exit(0 if known else 1)
        print(os.wait()[1])
        """
    )
    assert told == "0\n"
