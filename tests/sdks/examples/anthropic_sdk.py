"""The anthropic SDK: a message, streams and their helpers, a tool's loop, async."""

import asyncio
import os

from anthropic import Anthropic, AsyncAnthropic

client = Anthropic(api_key=os.environ.get("ANTHROPIC_API_KEY"))
asked = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello, Claude"}],
}

message = client.messages.create(**asked)
print(message.content, message.usage.output_tokens)

for event in client.messages.create(**asked, stream=True):
    print(event.type)

with client.messages.stream(**asked) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print(stream.get_final_message().stop_reason)

weather = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
turns = list(asked["messages"])
for _ in range(2):
    answer = client.messages.create(**{**asked, "messages": turns}, tools=[weather])
    turns.append({"role": "assistant", "content": [block.model_dump() for block in answer.content]})
    turns.append({"role": "user", "content": "And then?"})
    print(answer.stop_reason)


async def main() -> None:
    async with AsyncAnthropic() as aclient:
        print((await aclient.messages.create(**asked)).content)
        async with aclient.messages.stream(**asked) as stream:
            async for text in stream.text_stream:
                print(text, end="", flush=True)
            print((await stream.get_final_message()).usage.input_tokens)


asyncio.run(main())
client.close()
