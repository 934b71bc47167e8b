"""LiteLLM: completions of several vendors, streams, async, embeddings, the Router."""

import asyncio

from litellm import Router, acompletion, completion, embedding

messages = [{"role": "user", "content": "Hello, how are you?"}]

print(completion(model="openai/gpt-4o", messages=messages).choices[0].message.content)
print(
    completion(model="anthropic/claude-sonnet-4-5", messages=messages, max_tokens=50)
    .choices[0]
    .message.content
)

usage = {"include_usage": True}
for part in completion(model="gpt-4o", messages=messages, stream=True, stream_options=usage):
    print((part.choices[0].delta.content if part.choices else "") or "", end="")
print()
print(len(embedding(model="text-embedding-3-small", input=["hello"]).data))

router = Router(
    model_list=[{"model_name": "smart", "litellm_params": {"model": "openai/gpt-4o"}}], num_retries=0
)
print(router.completion(model="smart", messages=messages).choices[0].message.content)


async def main() -> None:
    print((await acompletion(model="gpt-4o", messages=messages)).choices[0].message.content)
    print((await router.acompletion(model="smart", messages=messages)).choices[0].message.content)


asyncio.run(main())
