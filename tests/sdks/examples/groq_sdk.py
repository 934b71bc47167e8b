"""The groq SDK: a completion, a stream, async."""

import asyncio
import os

from groq import AsyncGroq, Groq

MODEL = "llama-3.3-70b-versatile"
messages = [{"role": "user", "content": "Why are fast models useful?"}]

client = Groq(api_key=os.environ.get("GROQ_API_KEY"))
print(client.chat.completions.create(messages=messages, model=MODEL).choices[0].message.content)
for chunk in client.chat.completions.create(messages=messages, model=MODEL, stream=True):
    print(chunk.choices[0].delta.content or "", end="")
print()


async def main() -> None:
    async with AsyncGroq() as aclient:
        print(
            (await aclient.chat.completions.create(messages=messages, model=MODEL)).choices[0].message.content
        )


asyncio.run(main())
client.close()
