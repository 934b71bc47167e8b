"""The mistralai SDK: a completion, a stream, embeddings, async."""

import asyncio
import os

from mistralai.client import Mistral

MODEL = "mistral-small-latest"
messages = [{"role": "user", "content": "Who is the best painter?"}]
settings = {"api_key": os.getenv("MISTRAL_API_KEY", ""), "server_url": os.environ["MISTRAL_URL"]}

with Mistral(**settings) as mistral:
    print(mistral.chat.complete(model=MODEL, messages=messages, response_format={"type": "text"}).choices)
    with mistral.chat.stream(model=MODEL, messages=messages) as events:
        for event in events:
            print(event.data.choices[0].delta.content, end="")
    print(len(mistral.embeddings.create(model="mistral-embed", inputs=["hello"]).data))


async def main() -> None:
    async with Mistral(**settings) as mistral:
        print((await mistral.chat.complete_async(model=MODEL, messages=messages)).choices)
        async for event in await mistral.chat.stream_async(model=MODEL, messages=messages):
            print(event.data.choices[0].delta.content, end="")


asyncio.run(main())
