"""The ollama SDK: a chat, streams, generation, embeddings, async, by its functions and its clients."""

import asyncio

import ollama
from ollama import AsyncClient, Client

MODEL = "priced"
messages = [{"role": "user", "content": "Why is the sky blue?"}]

client = Client()
response = client.chat(model=MODEL, messages=messages)
print(response["message"]["content"], response.message.role)
for chunk in client.chat(model=MODEL, messages=messages, stream=True):
    print(chunk["message"]["content"], end="", flush=True)
print(client.generate(model=MODEL, prompt="Why is the sky blue?")["response"])
print(len(client.embed(model=MODEL, input="hello")["embeddings"]))
print(ollama.Options(num_predict=5).num_predict)


async def chat() -> None:
    print((await AsyncClient().chat(model=MODEL, messages=messages)).message.content)
    async for part in await AsyncClient().chat(model=MODEL, messages=messages, stream=True):
        print(part["message"]["content"], end="", flush=True)


asyncio.run(chat())
