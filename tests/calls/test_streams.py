"""Streams: the SDK's own in every way that can be noticed, and settled once, wherever they end."""

# ruff: noqa: SIM117  # blocks inside blocks

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from allowance import budget, budgeted
from allowance.calls import lifeline
from allowance.stores.memory import MemoryStore
from tests.calls.support import (
    CALL,
    CHAT,
    CLAUDE,
    GEMINI,
    GEMINI_CALL,
    GPT_4O_IN,
    GPT_4O_OUT,
    MESSAGES,
    SONNET_CALL,
    books,
    lines,
    python,
)
from tests.provider import Provider, clients

STREAM: dict[str, Any] = {**CHAT, "stream": True}
WITH_USAGE: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True}}
RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
INPUT = 9 * GPT_4O_IN
RESPONSE_HELD = INPUT + 50 * GPT_4O_OUT
TEXT_TOKENS = 7
"""What "Hello, how can I help?" counts."""
COUNTED = INPUT + TEXT_TOKENS * GPT_4O_OUT


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as made:
        yield made


@pytest.fixture
def claude(provider: Provider) -> Iterator[anthropic.Anthropic]:
    with clients.anthropic_sync(provider) as made:
        yield made


@pytest.fixture
def alice(store: MemoryStore) -> Iterator[Callable[[], list[int]]]:
    """A block of alice's; call it for the amounts that were charged to her, of which none may be held."""

    def amounts() -> list[int]:
        lifeline.drain()
        assert books(store, "alice")[1] == 0
        return [entry.amount for entry in lines(store, "alice")]

    with budget("alice", limit=1):
        yield amounts


# -- what is handed back ---------------------------------------------------------------------------------


def test_openais_stream_is_still_one(gpt: openai.OpenAI, alice: Callable[[], list[int]]) -> None:
    stream = gpt.chat.completions.create(**WITH_USAGE)
    assert isinstance(stream, openai.Stream)
    assert stream.__class__ is openai.Stream
    assert stream.response.status_code == 200
    assert inspect.isgenerator(iter(stream))  # as the SDK has it
    for name in ("close", "response", "__enter__", "__exit__", "__next__", "__iter__"):
        assert hasattr(stream, name), name
    for name in ("aclose", "send", "throw", "asend", "__anext__", "text_stream", "nonsense"):
        assert not hasattr(stream, name), name
    with stream as inner:
        chunks = list(inner)
    assert all(type(chunk) is openai.types.chat.ChatCompletionChunk for chunk in chunks)
    assert chunks[-1].usage is not None
    assert alice() == [CALL]


async def test_openais_async_stream_is_still_one(provider: Provider, store: MemoryStore) -> None:
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=1):
            stream = await client.chat.completions.create(**WITH_USAGE)
            assert isinstance(stream, openai.AsyncStream)
            assert hasattr(stream, "__anext__")
            assert not hasattr(stream, "__next__")
            async with stream as inner:
                chunks = [chunk async for chunk in inner]
            await stream.close()
    assert chunks[-1].usage is not None
    assert books(store, "alice") == (CALL, 0)
    assert len(lines(store, "alice")) == 1


def test_anthropics_helper_is_still_one(claude: anthropic.Anthropic, alice: Callable[[], list[int]]) -> None:
    manager = claude.messages.stream(**CLAUDE)
    assert isinstance(manager, anthropic.MessageStreamManager)
    with manager as stream:
        assert isinstance(stream, anthropic.MessageStream)
        assert "".join(stream.text_stream) == "Hello, how can I help?"
        message = stream.get_final_message()
    assert type(message).__name__ in ("Message", "ParsedMessage")
    assert alice() == [SONNET_CALL]
    with claude.messages.stream(**CLAUDE) as stream:
        stream.until_done()
    with claude.messages.stream(**CLAUDE) as stream:
        assert stream.get_final_text() == "Hello, how can I help?"
    with claude.messages.stream(**CLAUDE) as stream:
        kinds = [event.type for event in stream]
    assert kinds[-1] == "message_stop"
    assert alice() == [SONNET_CALL] * 4


async def test_anthropics_async_helper(provider: Provider, store: MemoryStore) -> None:
    async with clients.anthropic_async(provider) as client:
        async with budget("alice", limit=1):
            async with client.messages.stream(**CLAUDE) as stream:
                assert "".join([text async for text in stream.text_stream]) == "Hello, how can I help?"
            async with client.messages.stream(**CLAUDE) as stream:
                message = await stream.get_final_message()
            events = [event async for event in await client.messages.create(**CLAUDE, stream=True)]
    assert message.usage.output_tokens == 5
    assert events[-1].type == "message_stop"
    assert [entry.amount for entry in lines(store, "alice")] == [SONNET_CALL] * 3


def test_openais_helpers(gpt: openai.OpenAI, alice: Callable[[], list[int]]) -> None:
    with gpt.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
        final = stream.get_final_completion()
    assert final.usage is not None
    with gpt.responses.stream(model="gpt-4o", input="hello", max_output_tokens=50) as helper:
        assert helper.get_final_response().output_text == "Hello, how can I help?"
    with gpt.responses.create(model="gpt-4o", input="hello", max_output_tokens=50, stream=True) as events:
        assert list(events)[-1].type == "response.completed"
    assert alice() == [CALL] * 3


def test_raw_and_streaming_responses(gpt: openai.OpenAI, alice: Callable[[], list[int]]) -> None:
    raw = gpt.chat.completions.with_raw_response.create(**CHAT)
    assert raw.status_code == 200
    assert raw.parse().usage is not None
    assert raw.headers["content-type"] == "application/json"
    assert alice() == [CALL]
    with gpt.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert response.status_code == 200
        assert response.parse().usage is not None
    assert alice() == [CALL] * 2
    with gpt.chat.completions.with_streaming_response.create(**WITH_USAGE) as response:
        list(response.parse())
    assert alice() == [CALL] * 3
    parsed = gpt.chat.completions.with_raw_response.create(**WITH_USAGE).parse()
    assert isinstance(parsed, openai.Stream)
    list(parsed)
    assert alice() == [CALL] * 4


async def test_async_raw_and_streaming_responses(provider: Provider, store: MemoryStore) -> None:
    async with clients.openai_async(provider) as client:
        async with budget("alice", limit=1):
            raw = await client.chat.completions.with_raw_response.create(**CHAT)
            assert raw.parse().usage is not None
            async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
                assert (await response.parse()).usage is not None
    assert [entry.amount for entry in lines(store, "alice")] == [CALL] * 2
    assert books(store, "alice")[1] == 0


def test_a_streaming_response_that_is_read_past_parse(
    gpt: openai.OpenAI, alice: Callable[[], list[int]]
) -> None:
    with gpt.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()
    with gpt.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert response.json()["usage"]["prompt_tokens"] == 10  # type: ignore[index]
    assert alice() == [CALL] * 2


def test_geminis_stream(provider: Provider, alice: Callable[[], list[int]]) -> None:
    client = clients.gemini(provider)
    chunks = list(client.models.generate_content_stream(**GEMINI))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello, how can I help?"
    assert alice() == [GEMINI_CALL]
    stream = client.models.generate_content_stream(**GEMINI)
    del stream
    gc.collect()
    assert alice() == [GEMINI_CALL]  # nothing is sent before the first item
    assert provider.count == 1
    client.close()


async def test_geminis_async_stream(provider: Provider, store: MemoryStore) -> None:
    client = clients.gemini(provider)
    async with budget("alice", limit=1):
        chunks = [chunk async for chunk in await client.aio.models.generate_content_stream(**GEMINI)]
    assert chunks
    await client.aio.aclose()
    client.close()
    assert [entry.amount for entry in lines(store, "alice")] == [GEMINI_CALL]


def test_litellms_stream(provider: Provider, alice: Callable[[], list[int]]) -> None:
    import litellm

    stream = litellm.completion(**WITH_USAGE, **clients.litellm_kwargs(provider))
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == (
        "Hello, how can I help?"
    )
    assert alice() == [CALL]


async def test_litellms_async_stream(provider: Provider, store: MemoryStore) -> None:
    import litellm

    async with budget("alice", limit=1):
        stream = await litellm.acompletion(**WITH_USAGE, **clients.litellm_kwargs(provider))
        assert isinstance(stream, litellm.CustomStreamWrapper)
        assert [chunk async for chunk in stream]
    assert [entry.amount for entry in lines(store, "alice")] == [CALL]


# -- where they end ----------------------------------------------------------------------------------------


def test_without_usage_the_text_is_counted(
    provider: Provider, gpt: openai.OpenAI, alice: Callable[[], list[int]]
) -> None:
    provider.reply(usage=False)
    list(gpt.chat.completions.create(**STREAM))
    assert alice() == [COUNTED]


def test_an_entry_says_that_it_was_counted(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.then(usage=False)
    with budget("alice", limit=1):
        list(gpt.chat.completions.create(**STREAM))
        list(gpt.chat.completions.create(**WITH_USAGE))
    assert [entry.counted for entry in lines(store, "alice")] == [True, False]


def test_a_plain_reply_without_usage_is_counted(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.reply(usage=False)
    with budget("alice", limit=1):
        gpt.chat.completions.create(**CHAT)
    (entry,) = lines(store, "alice")
    assert (entry.amount, entry.counted) == (COUNTED, True)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_r12_a_response_in_the_background_is_charged_as_expected(
    status: str, provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.reply(usage=False, text="", extra={"status": status, "output": [], "background": True})
    with budget("alice", limit=1):
        gpt.responses.create(**RESPONSE, background=True)
    (entry,) = lines(store, "alice")
    assert (entry.amount, entry.unconfirmed) == (RESPONSE_HELD, True)


def test_r12_a_stream_that_is_left_to_run_in_the_background_is_charged_as_expected(
    provider: Provider, gpt: openai.OpenAI, store: MemoryStore
) -> None:
    provider.reply(extra={"background": True})
    with budget("alice", limit=1):
        list(gpt.responses.create(**RESPONSE, background=True, stream=True))
        with gpt.responses.create(**RESPONSE, background=True, stream=True) as left:
            next(left)
    assert [(entry.amount, entry.unconfirmed) for entry in lines(store, "alice")] == [
        (CALL, False),
        (RESPONSE_HELD, True),
    ]


def test_close_exit_and_collection_charge_what_was_seen(
    gpt: openai.OpenAI, alice: Callable[[], list[int]], provider: Provider
) -> None:
    provider.reply(text="Hello", chunks=1)

    def begun() -> Any:
        stream = gpt.chat.completions.create(**STREAM)
        next(stream)
        next(stream)
        return stream

    seen = INPUT + 1 * GPT_4O_OUT
    begun().close()
    assert alice() == [seen]
    with begun():
        pass
    assert alice() == [seen] * 2
    stream = begun()
    stream.response.close()
    del stream
    gc.collect()
    assert alice() == [seen] * 3


def test_a_stream_that_was_never_read_costs_its_input(
    gpt: openai.OpenAI, alice: Callable[[], list[int]]
) -> None:
    stream = gpt.chat.completions.create(**STREAM)
    stream.close()
    assert alice() == [INPUT]
    stream = gpt.chat.completions.create(**STREAM)
    stream.response.close()
    del stream
    gc.collect()
    assert alice() == [INPUT] * 2


def test_a_stream_is_settled_at_its_end_not_at_its_close(gpt: openai.OpenAI, store: MemoryStore) -> None:
    with budget("alice", limit=1) as b:
        stream = gpt.chat.completions.create(**WITH_USAGE)
        for _ in stream:
            assert b.cost == 0
        assert (b.held, len(lines(store, "alice"))) == (0, 1)
        assert next(stream, None) is None
        stream.close()
    assert len(lines(store, "alice")) == 1


def test_anthropics_stream_left_early_costs_its_stated_input_and_what_was_seen(
    provider: Provider, claude: anthropic.Anthropic, alice: Callable[[], list[int]]
) -> None:
    provider.reply(input_tokens=400, output_tokens=300, text="Hello", chunks=1)
    with claude.messages.create(**CLAUDE, stream=True) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break
    (amount,) = alice()
    assert amount % 15_000 == 400 * 3_000 % 15_000
    output = (amount - 400 * 3_000) // 15_000
    assert 1 <= output <= 5


def test_within_a_decorated_function(gpt: openai.OpenAI, store: MemoryStore) -> None:
    @budgeted(user="alice", limit=1)
    def ask(**arguments: Any) -> Any:
        return gpt.chat.completions.create(**arguments)

    stream = ask(**WITH_USAGE)
    assert isinstance(stream, openai.Stream)
    list(stream)
    assert books(store, "alice") == (CALL, 0)

    @budgeted(user="bob", limit=1)
    def generate(**arguments: Any) -> Iterator[str]:
        with gpt.chat.completions.create(**arguments) as inner:
            for chunk in inner:
                if chunk.choices:
                    yield chunk.choices[0].delta.content or ""

    assert "".join(generate(**WITH_USAGE)) == "Hello, how can I help?"
    assert books(store, "bob") == (CALL, 0)
    for piece in generate(**STREAM):
        if piece:
            break
    gc.collect()
    lifeline.drain()
    spent, held = books(store, "bob")
    assert held == 0
    assert spent > CALL + INPUT


def test_a_plain_function_that_returns_any_iterator(store: MemoryStore) -> None:
    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return iter(["Hello", ", how can I help?"])

    assert "".join(ask(MESSAGES)) == "Hello, how can I help?"
    assert books(store, "alice") == (COUNTED, 0)


def test_a_dict_with_a_stream_in_it(store: MemoryStore) -> None:
    def events() -> Iterator[dict[str, Any]]:
        yield {"contentBlockDelta": {"delta": {"text": "Hello"}}}
        yield {"messageStop": {"stopReason": "end_turn"}}
        yield {"metadata": {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}}}

    @budgeted(user="alice", limit=1)
    def converse(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return {"ResponseMetadata": {}, "stream": events()}

    got = converse(MESSAGES)
    assert len(list(got["stream"])) == 3
    assert books(store, "alice") == (CALL, 0)


# -- R13 -------------------------------------------------------------------------------------------------


def test_r13_finalizers_take_no_locks(gpt: openai.OpenAI, store: MemoryStore) -> None:
    """A stream that is collected while the store's lock is held: a finalizer that settled would hang."""
    with budget("alice", limit=1):
        stream: Any = [gpt.chat.completions.create(**STREAM)]
        stream[0].response.close()
        with store._lock, lifeline._lifeline.lock:
            del stream
            gc.collect()
        lifeline.drain()
    assert books(store, "alice") == (INPUT, 0)


def test_r13_at_exit_what_is_pending_is_drained(tmp_path: Any) -> None:
    out = python(
        """
        import atexit, warnings
        warnings.simplefilter("ignore")
        import allowance
        from allowance import budget
        from allowance.stores.memory import MemoryStore
        from tests.calls.support import CHAT
        from tests.provider import Provider, clients

        class Kept(MemoryStore):
            def settle(self, posting):
                done = super().settle(posting)
                print("settled", posting.amount, posting.counted, flush=True)
                return done

        allowance.configure(store=Kept())
        provider = Provider()
        client = clients.openai_sync(provider)
        with budget("alice", limit=1):
            stream = client.chat.completions.create(**CHAT, stream=True)
        print("leaving", flush=True)
        """
    ).split("\n")
    assert out[:2] == ["leaving", f"settled {INPUT} True"]


def test_r13_a_forked_child_never_settles_its_parents_calls() -> None:
    out = python(
        """
        import gc, os, warnings
        warnings.simplefilter("ignore")
        import allowance
        from allowance import budget
        from allowance.calls import lifeline
        from allowance.stores.memory import MemoryStore
        from tests.calls.support import CHAT, MESSAGES, reply
        from tests.provider import Provider, clients

        class Told(MemoryStore):
            def settle(self, posting):
                print(os.getpid() == parent, "settles", posting.amount, flush=True)
                return super().settle(posting)

        parent = os.getpid()
        allowance.configure(store=Told())
        provider = Provider()
        client = clients.openai_sync(provider)
        with budget("alice", limit=1):
            stream = client.chat.completions.create(**CHAT, stream=True,
                                                    stream_options={"include_usage": True})
            pid = os.fork()
            if not pid:
                del stream
                gc.collect()
                lifeline.drain()
                try:
                    client.chat.completions.create(**CHAT)
                except allowance.StoreUnavailableError as error:
                    print("closed in the child", flush=True)
                lifeline._at_exit()
                os._exit(0)
            os.waitpid(pid, 0)
            list(stream)
        """
    ).splitlines()
    assert out == ["closed in the child", f"True settles {CALL}"]


def test_r13_a_block_of_its_own_fails_closed_in_a_forked_child() -> None:
    out = python(
        """
        import os
        import allowance
        from allowance import budget, budgeted
        from tests.calls.support import MESSAGES, reply

        ask = budgeted()(lambda messages, model, max_tokens: reply())
        with budget(limit=1) as b:
            ask(MESSAGES, "gpt-4o", 50)
            pid = os.fork()
            if not pid:
                try:
                    ask(MESSAGES, "gpt-4o", 50)
                except allowance.StoreUnavailableError as error:
                    print("closed", flush=True)
                with budget(limit=1) as fresh:
                    try:
                        ask(MESSAGES, "gpt-4o", 50)
                    except allowance.StoreUnavailableError:
                        print("still closed", flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            print(b.cost)
        """
    ).splitlines()
    assert out == ["closed", "still closed", "0.000075"]


def test_r13_a_child_forked_in_mid_call_by_another_thread_can_go_on() -> None:
    out = python(
        """
        import os, threading
        import allowance
        from allowance import budgeted
        from tests.calls.support import MESSAGES, reply

        allowance.max_budget = 1
        inside, leave = threading.Event(), threading.Event()

        @budgeted()
        def slow(messages, model="gpt-4o", max_tokens=50):
            inside.set()
            leave.wait()
            return reply()

        thread = threading.Thread(target=slow, args=(MESSAGES,))
        thread.start()
        inside.wait()
        pid = os.fork()
        if not pid:
            budgeted()(lambda messages, model, max_tokens: reply())(MESSAGES, "gpt-4o", 50)
            print("child", allowance.current_cost, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        leave.set()
        thread.join()
        print("parent", allowance.current_cost)
        """
    ).splitlines()
    assert out == ["child 0.000075", "parent 0.000075"]


def test_r13_a_forked_child_has_a_lifeline_of_its_own() -> None:
    out = python(
        """
        import os, time
        import allowance
        from allowance import budgeted
        from allowance.calls import lifeline
        from tests.calls.support import MESSAGES, reply

        allowance.max_budget = 1

        @budgeted()
        def ask(messages, model="gpt-4o", max_tokens=50):
            yield reply()
            yield {}

        list(ask(MESSAGES))
        mine = ask(MESSAGES)
        next(mine)
        with lifeline._lifeline.lock:
            pid = os.fork()
            if not pid:
                assert not lifeline._lifeline.open
                lost = ask(MESSAGES)
                next(lost)
                del lost
                until = time.monotonic() + 30
                while not allowance.current_cost and time.monotonic() < until:
                    time.sleep(0.01)
                print("child", allowance.current_cost, flush=True)
                os._exit(0)
        os.waitpid(pid, 0)
        list(mine)
        print("parent", allowance.current_cost)
        """
    ).splitlines()
    assert out[0].split()[1] != "0"
    assert out[1] == "parent 0.00015"


def test_r13_a_call_abandoned_in_mid_generator_is_settled_by_the_next(store: MemoryStore) -> None:
    @budgeted(user="alice", limit=1)
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Iterator[Any]:
        yield {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}
        yield {}

    stream = ask(MESSAGES)
    next(stream)
    del stream
    gc.collect()
    with budget("alice") as b:
        assert b.held == 0
    assert [entry.amount for entry in lines(store, "alice")] == [INPUT + GPT_4O_OUT]
