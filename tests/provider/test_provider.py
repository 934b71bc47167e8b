"""Each SDK, as installed, against the loopback provider: plain and streamed, sync and async, and failing."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anthropic
import httpx
import openai
import pytest
from google.genai import errors, types

from tests.provider import clients

if TYPE_CHECKING:
    from tests.provider import Provider

MESSAGES = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "gpt-4o", "messages": MESSAGES}
CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": MESSAGES}


def test_openai_chat(provider: Provider) -> None:
    provider.reply(input_tokens=100, output_tokens=20, cached=50, reasoning=5, service_tier="flex")
    with clients.openai_sync(provider) as client:
        reply = client.chat.completions.create(**CHAT)
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (100, 20)
    assert reply.choices[0].message.content == "Hello, how can I help?"
    assert reply.service_tier == "flex"
    assert provider.count == 1
    assert provider.calls[0].body["messages"] == MESSAGES
    assert provider.calls[0].headers["Authorization"] == "Bearer test-key"
    assert provider.billed == [("gpt-4o", 100, 20)]


async def test_openai_chat_async(provider: Provider) -> None:
    provider.then(text="first")
    provider.reply(text="later")
    async with clients.openai_async(provider) as client:
        replies = [await client.chat.completions.create(**CHAT) for _ in range(2)]
    assert [reply.choices[0].message.content for reply in replies] == ["first", "later"]


def test_openai_stream_has_usage_only_where_it_is_asked_for(provider: Provider) -> None:
    provider.reply(output_tokens=7, text="abcdef", chunks=3)
    with clients.openai_sync(provider) as client:
        plain = list(client.chat.completions.create(**CHAT, stream=True))
        asked = list(
            client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        )
    assert [chunk.usage for chunk in plain] == [None] * 5
    assert [chunk.choices[0].delta.content for chunk in plain if chunk.choices[0].delta.content] == [
        *("ab", "cd", "ef")
    ]
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 7
    assert [chunk.usage for chunk in asked[:-1]] == [None] * 5


async def test_openai_stream_async(provider: Provider) -> None:
    async with clients.openai_async(provider) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "Hello, how can I help?"


def test_openai_responses(provider: Provider) -> None:
    provider.reply(input_tokens=30, output_tokens=9, tool=("weather", '{"city": "Rome"}'))
    with clients.openai_sync(provider) as client:
        reply = client.responses.create(model="gpt-4o", input="Hi")
        with client.responses.create(model="gpt-4o", input="Hi", stream=True) as stream:
            events = list(stream)
        with client.responses.stream(model="gpt-4o", input="Hi") as helper:
            final = helper.get_final_response()
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (30, 9)
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage == reply.usage
    assert final.output_text == reply.output_text == "Hello, how can I help?"


def test_openai_embeddings_and_legacy_completions(provider: Provider) -> None:
    provider.reply(input_tokens=8, output_tokens=3)
    with clients.openai_sync(provider) as client:
        embedded = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        completed = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hi")
        streamed = list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hi", stream=True))
    assert (len(embedded.data), embedded.usage.prompt_tokens) == (2, 8)
    assert embedded.data[0].embedding == [0.25, -0.5]
    assert completed.usage is not None
    assert completed.usage.completion_tokens == 3
    assert "".join(chunk.choices[0].text for chunk in streamed) == completed.choices[0].text
    assert provider.billed[0] == ("text-embedding-3-small", 8, 0)


def test_openai_chat_helper_and_raw_responses(provider: Provider) -> None:
    provider.reply(tool=("weather", '{"city": "Rome"}'))
    with clients.openai_sync(provider) as client:
        with client.chat.completions.stream(**CHAT) as stream:
            final = stream.get_final_completion()
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        with client.chat.completions.with_streaming_response.create(**CHAT) as streaming:
            parsed = streaming.parse()
    assert final.choices[0].message.tool_calls is not None
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city": "Rome"}'
    assert raw.parse().usage == parsed.usage


def test_anthropic_messages(provider: Provider) -> None:
    provider.reply(input_tokens=310, cached=200, cache_write=60, cache_write_1h=40, output_tokens=12)
    with clients.anthropic_sync(provider) as client:
        reply = client.messages.create(**CLAUDE)
        events = list(client.messages.create(**CLAUDE, stream=True))
        with client.messages.stream(**CLAUDE) as helper:
            final = helper.get_final_message()
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 12)
    assert (reply.usage.cache_read_input_tokens, reply.usage.cache_creation_input_tokens) == (200, 100)
    assert events[0].type == "message_start"
    assert events[0].message.usage.output_tokens == 1
    assert events[-2].type == "message_delta"
    assert events[-2].usage.output_tokens == 12
    assert final.usage.output_tokens == 12
    assert final.usage.input_tokens == 10


async def test_anthropic_messages_async(provider: Provider) -> None:
    provider.reply(tool=("weather", '{"city": "Rome"}'))
    async with clients.anthropic_async(provider) as client:
        reply = await client.messages.create(**CLAUDE)
        async with client.messages.stream(**CLAUDE) as helper:
            final = await helper.get_final_message()
        events = [event async for event in await client.messages.create(**CLAUDE, stream=True)]
    assert reply.content[1].type == "tool_use"
    assert final.content[1].input == {"city": "Rome"}
    assert events[-1].type == "message_stop"


def test_gemini(provider: Provider) -> None:
    provider.reply(input_tokens=40, output_tokens=30, reasoning=10, cached=16)
    client = clients.gemini(provider)
    reply = client.models.generate_content(model="gemini-2.5-flash", contents="Hi")
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi"))
    embedded = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    client.close()
    usage = reply.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (
        40,
        20,
        10,
    )
    assert "".join(chunk.text or "" for chunk in chunks) == reply.text
    assert [chunk.usage_metadata.candidates_token_count for chunk in chunks if chunk.usage_metadata] == [
        0,
        10,
        20,
    ]
    assert len(embedded.embeddings or []) == 2
    assert provider.calls[0].model == "gemini-2.5-flash"


async def test_gemini_async(provider: Provider) -> None:
    client = clients.gemini(provider)
    reply = await client.aio.models.generate_content(model="gemini-2.5-flash", contents="Hi")
    stream = await client.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi")
    text = "".join([chunk.text or "" async for chunk in stream])
    await client.aio.aclose()
    client.close()
    assert text == reply.text


def test_litellm(provider: Provider) -> None:
    import litellm

    provider.reply(input_tokens=100, output_tokens=20, model="gpt-4o-2024-08-06")
    reply = litellm.completion(**CHAT, **clients.litellm_kwargs(provider))
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(litellm.completion(**CHAT, **options, **clients.litellm_kwargs(provider)))
    assert reply.usage.prompt_tokens == 100
    assert chunks[-1].usage.completion_tokens == 20
    assert provider.count == 2


async def test_litellm_async_and_other_vendors(provider: Provider) -> None:
    import litellm

    provider.reply(input_tokens=310, cached=200, output_tokens=20)
    reply = await litellm.acompletion(**CHAT, **clients.litellm_kwargs(provider))
    claude = {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 50, "messages": MESSAGES}
    second = await litellm.acompletion(**claude, **clients.litellm_kwargs(provider, "anthropic"))
    assert reply.usage.prompt_tokens == second.usage.prompt_tokens == 310
    assert [call.api for call in provider.calls] == ["chat", "messages"]


async def test_litellms_clients_are_closed_with_the_test(provider: Provider) -> None:
    import litellm

    await litellm.acompletion(**CHAT, **clients.litellm_kwargs(provider))
    claude = {"model": "anthropic/claude-sonnet-4-5", "messages": MESSAGES, "stream": True}
    chunks = await litellm.acompletion(**claude, **clients.litellm_kwargs(provider, "anthropic"))
    assert [chunk async for chunk in chunks]
    await clients.aclose_litellm()
    gc.collect()  # an open socket would be a ResourceWarning, which fails the test
    assert not litellm.in_memory_llm_clients_cache.cache_dict


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        (400, (openai.BadRequestError, anthropic.BadRequestError, errors.ClientError)),
        (429, (openai.RateLimitError, anthropic.RateLimitError, errors.ClientError)),
        (500, (openai.InternalServerError, anthropic.InternalServerError, errors.ServerError)),
    ],
)
def test_errors_have_each_vendors_shape(
    provider: Provider, status: int, kinds: tuple[type[Exception], ...]
) -> None:
    provider.reply(status=status, error="no more", headers={"retry-after": "7"})
    gemini = clients.gemini(provider)
    with clients.openai_sync(provider) as gpt, clients.anthropic_sync(provider) as claude:
        with pytest.raises(kinds[0], match="no more") as raised:
            gpt.chat.completions.create(**CHAT)
        with pytest.raises(kinds[1], match="no more"):
            claude.messages.create(**CLAUDE)
        with pytest.raises(kinds[2], match="no more"):
            gemini.models.generate_content(model="gemini-2.5-flash", contents="Hi")
    gemini.close()
    assert raised.value.response.headers["retry-after"] == "7"
    assert provider.count == 3
    assert provider.billed == []


def test_a_connection_cut_in_mid_stream(provider: Provider) -> None:
    provider.reply(text="abcdef", chunks=3, drop_after_chunks=1)
    with clients.openai_sync(provider) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        seen = [next(stream).choices[0].delta.content for _ in range(2)]
        with pytest.raises(httpx.RemoteProtocolError):
            next(stream)
    assert seen == ["", "ab"]


def test_a_connection_cut_before_the_first_byte(provider: Provider) -> None:
    provider.reply(drop=True)
    with clients.anthropic_sync(provider) as client, pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**CLAUDE)
    assert provider.count == 1


def test_a_timeout(provider: Provider) -> None:
    gate = threading.Event()
    provider.reply(gate=gate)
    with clients.openai_sync(provider, timeout=0.2) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**CHAT)
    gate.set()


def test_usage_by_the_cap_for_fifty_threads(provider: Provider) -> None:
    provider.reply(input_tokens=1000, usage="cap", output_tokens=1)
    gate = threading.Event()
    with clients.openai_sync(provider) as client, ThreadPoolExecutor(50) as pool:
        provider.reply(input_tokens=1000, usage="cap", gate=gate)
        pending = [
            pool.submit(client.chat.completions.create, **CHAT, max_tokens=1000, n=2) for _ in range(50)
        ]
        provider.wait_for_calls(50)
        gate.set()
        replies = [future.result() for future in pending]
    assert {reply.usage.completion_tokens for reply in replies if reply.usage} == {2000}
    assert provider.billed == [("gpt-4o", 1000, 2000)] * 50


def test_the_cap_of_the_other_apis(provider: Provider) -> None:
    provider.reply(usage="cap")
    client = clients.gemini(provider)
    config = types.GenerateContentConfig(max_output_tokens=77)
    client.models.generate_content(model="gemini-2.5-flash", contents="Hi", config=config)
    client.close()
    with clients.anthropic_sync(provider) as claude, clients.openai_sync(provider) as gpt:
        claude.messages.create(**CLAUDE)
        gpt.responses.create(model="gpt-4o", input="Hi", max_output_tokens=55)
    assert [output for _, _, output in provider.billed] == [77, 100, 55]
