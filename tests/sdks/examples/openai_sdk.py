"""The openai SDK: text, a conversation, streams, an image, tools' arguments, raw responses, async."""

import asyncio
import base64
import os

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY"))

response = client.responses.create(model="gpt-4o", instructions="Talk like a pirate.", input="Who are you?")
print(response.output_text)

question = {"role": "user", "content": "How do I sort a list?"}
completion = client.chat.completions.create(
    model="gpt-4o", messages=[{"role": "developer", "content": "Be brief."}, question]
)
print(completion.choices[0].message.content)

picture = base64.b64encode(b"not really an image").decode()
seen = client.responses.create(
    model="gpt-4o",
    input=[
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{picture}"},
            ],
        }
    ],
)
print(seen.output_text)

for event in client.responses.create(model="gpt-4o", input="Tell me a story.", stream=True):
    print(event.type)

for chunk in client.chat.completions.create(model="gpt-4o", messages=[question], stream=True):
    print(chunk.choices[0].delta.content or "", end="")
print()

with client.chat.completions.stream(model="gpt-4o", messages=[question]) as stream:
    for event in stream:
        if event.type == "content.delta":
            print(event.delta)
print(stream.get_final_completion().choices[0].finish_reason)

raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=[question])
print(raw.http_response.status_code, raw.parse().choices[0].message.role)

with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=[question]) as opened:
    print(len(list(opened.iter_lines())))

vectors = client.embeddings.create(model="text-embedding-3-small", input="hello there")
print(len(vectors.data))


class Answer(BaseModel):
    city: str


asked = client.chat.completions.create(
    model="gpt-4o",
    messages=[question],
    tools=[
        {
            "type": "function",
            "function": {"name": "Answer", "description": "", "parameters": Answer.model_json_schema()},
        }
    ],
)
print(asked.choices[0].finish_reason)


async def main() -> None:
    async with AsyncOpenAI() as aclient:
        print((await aclient.responses.create(model="gpt-4o", input="Explain it.")).output_text)
        async for event in await aclient.responses.create(model="gpt-4o", input="Again.", stream=True):
            print(event.type)
        first, second = await asyncio.gather(
            *(aclient.chat.completions.create(model="gpt-4o", messages=[question]) for _ in range(2))
        )
        print(first.choices[0].message.content == second.choices[0].message.content)


asyncio.run(main())
client.close()
