"""The google-genai SDK: text, settings, a chat, streams, a function that is called by itself, embeddings."""

import asyncio

from google import genai
from google.genai import types

client = genai.Client()
MODEL = "gemini-2.5-pro"

print(client.models.generate_content(model=MODEL, contents="Why is the sky blue?").text)
print(
    client.models.generate_content(
        model=MODEL,
        contents=types.Part.from_text(text="Why is the sky blue?"),
        config=types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=50),
    ).text
)
for chunk in client.models.generate_content_stream(model=MODEL, contents="Tell me a story."):
    print(chunk.text, end="")
print()

chat = client.chats.create(model=MODEL)
print(chat.send_message("Tell me a story.").text)
for chunk in chat.send_message_stream("And another."):
    print(chunk.text, end="")
print(len(chat.get_history()))


def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


print(
    client.models.generate_content(
        model=MODEL, contents="The weather?", config=types.GenerateContentConfig(tools=[weather])
    ).text
)


async def main() -> None:
    print((await client.aio.models.generate_content(model=MODEL, contents="Why?")).text)
    async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents="Why not?"):
        print(chunk.text, end="")
    print()
    await client.aio.aclose()


asyncio.run(main())
client.close()
