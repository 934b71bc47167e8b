"""Inside a block, decorated, and outside: to type checkers a metered client is the SDK's own."""

from __future__ import annotations

from typing import assert_type

import anthropic
import openai
from anthropic.types import Message, RawMessageStreamEvent
from google import genai
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionUserMessageParam
from openai.types.responses import Response

from allowance import budget, budgeted

GPT, AGPT = openai.OpenAI(), openai.AsyncOpenAI()
CLAUDE, ACLAUDE = anthropic.Anthropic(), anthropic.AsyncAnthropic()
GEMINI = genai.Client()
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "hello"}]

plain = GPT.chat.completions.create(model="gpt-4o", messages=HELLO)
with budget("alice", limit=5):
    metered = GPT.chat.completions.create(model="gpt-4o", messages=HELLO)
    stream = GPT.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    assert_type(GPT.responses.create(model="gpt-4o", input="hello"), Response)
    message = CLAUDE.messages.create(
        model="claude-sonnet-4-5", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
    )
    assert_type(message, Message)
    answer = GEMINI.models.generate_content(model="gemini-2.5-pro", contents="hello")
    assert_type(answer, GenerateContentResponse)
assert_type(plain, ChatCompletion)
assert_type(metered, ChatCompletion)
assert_type(stream, openai.Stream[ChatCompletionChunk])
for chunk in stream:
    assert_type(chunk, ChatCompletionChunk)
with GPT.chat.completions.with_streaming_response.create(model="gpt-4o", messages=HELLO) as response:
    assert_type(response.parse(), ChatCompletion)


@budgeted("alice", limit=5)
def ask(question: str) -> ChatCompletion:
    return GPT.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])


assert_type(ask("hello"), ChatCompletion)


async def asynchronously() -> None:
    async with budget("alice", limit=5):
        assert_type(await AGPT.chat.completions.create(model="gpt-4o", messages=HELLO), ChatCompletion)
        chunks = await AGPT.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
        events = await ACLAUDE.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=50,
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
        )
    assert_type(chunks, openai.AsyncStream[ChatCompletionChunk])
    assert_type(events, anthropic.AsyncStream[RawMessageStreamEvent])
