"""The cohere SDK: a chat and its stream, of both versions of the API."""

import asyncio
import os

import cohere

MODEL = "command-a-03-2025"
URL = os.environ["CO_API_URL"]  # the SDK itself reads it only when it is first imported
messages = [{"role": "user", "content": "hello world!"}]

co = cohere.ClientV2(base_url=URL)
print(co.chat(model=MODEL, messages=messages).message.content)
for event in co.chat_stream(model=MODEL, messages=messages):
    if event.type == "content-delta":
        print(event.delta.message.content.text, end="")
print()

old = cohere.Client(base_url=URL)
print(old.chat(model=MODEL, message="hello world!").text)


async def main() -> None:
    aco = cohere.AsyncClientV2(base_url=URL)
    print((await aco.chat(model=MODEL, messages=messages)).message.content)
    async for event in aco.chat_stream(model=MODEL, messages=messages):
        print(event.type)


asyncio.run(main())
