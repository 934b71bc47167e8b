"""One SDK's calls, as `tests.sdks.versions` has them made by each version: ``version_calls.py SDK URL``.

It runs where only that version and allowance are installed. Each call is made twice, without any budget and
inside a block, and a line of JSON tells what came of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import allowance
from allowance import Price, budget, sdks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Form = Callable[[], str] | Callable[[], Awaitable[str]]

MESSAGES: list[Any] = [{"role": "user", "content": "hello there"}]


async def main() -> None:
    sdk, url = sys.argv[1:]
    allowance.configure(store="memory://", prices={"priced": Price(input=1, output=2)})
    told: dict[str, Any] = {"forms": {}}
    try:
        for name, form in FORMS[sdk](url).items():
            told["forms"][name] = await outcome(form)
    except (ImportError, AttributeError) as error:  # its names are not those below
        told["error"] = f"{type(error).__name__}: {error}"
    allowance.instrument()
    found = next(each for each in sdks.coverage() if each.sdk == sdk)
    told |= {"covered": found.covered, "detail": found.detail, "tried": found.tried}
    print(json.dumps(told))


async def outcome(form: Form) -> dict[str, Any]:
    """What it says without a budget and within one, and the nano-dollars that it cost there."""
    try:
        before = await said(form)
    except Exception as error:  # this version cannot do it, or not here
        return {"unable": f"{type(error).__name__}: {error}"}
    try:
        with budget(limit=1) as block:
            text = await said(form)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"same": before == text == "Hello, how can I help?", "nanos": int(block.cost * 10**9)}


async def said(form: Form) -> str:
    text = form()
    return text if isinstance(text, str) else await text


def stainless(client: Any, aclient: Any, model: str) -> dict[str, Form]:
    asked: dict[str, Any] = {"model": model, "messages": MESSAGES, "max_tokens": 50}

    def stream() -> str:
        chunks = client.chat.completions.create(**asked, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    async def plain() -> str:
        return str((await aclient.chat.completions.create(**asked)).choices[0].message.content)

    async def astream() -> str:
        chunks = await aclient.chat.completions.create(**asked, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    return {
        "plain": lambda: client.chat.completions.create(**asked).choices[0].message.content,
        "stream": stream,
        "async": plain,
        "async stream": astream,
    }


def openai(url: str) -> dict[str, Form]:
    import openai

    settings = {"api_key": "k", "base_url": f"{url}/v1", "max_retries": 0}
    return stainless(openai.OpenAI(**settings), openai.AsyncOpenAI(**settings), "gpt-4o")


def groq(url: str) -> dict[str, Form]:
    import groq

    settings = {"api_key": "k", "base_url": url, "max_retries": 0}
    return stainless(groq.Groq(**settings), groq.AsyncGroq(**settings), "llama-3.3-70b-versatile")


def anthropic(url: str) -> dict[str, Form]:
    import anthropic

    settings: dict[str, Any] = {"api_key": "k", "base_url": url, "max_retries": 0}
    client, aclient = anthropic.Anthropic(**settings), anthropic.AsyncAnthropic(**settings)
    asked: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": MESSAGES, "max_tokens": 50}

    def stream() -> str:
        with client.messages.stream(**asked) as events:
            return "".join(events.text_stream)

    async def plain() -> str:
        return str((await aclient.messages.create(**asked)).content[0].text)

    async def astream() -> str:
        async with aclient.messages.stream(**asked) as events:
            return "".join([text async for text in events.text_stream])

    return {
        "plain": lambda: client.messages.create(**asked).content[0].text,
        "stream": stream,
        "async": plain,
        "async stream": astream,
    }


def google_genai(url: str) -> dict[str, Form]:
    from google import genai

    client = genai.Client(api_key="k", http_options={"base_url": url})
    asked: dict[str, Any] = {
        "model": "gemini-2.5-pro",
        "contents": "hello there",
        "config": {"max_output_tokens": 50},
    }

    async def plain() -> str:
        return str((await client.aio.models.generate_content(**asked)).text)

    async def astream() -> str:
        chunks = await client.aio.models.generate_content_stream(**asked)
        return "".join([chunk.text or "" async for chunk in chunks])

    return {
        "plain": lambda: client.models.generate_content(**asked).text,
        "stream": lambda: "".join(c.text or "" for c in client.models.generate_content_stream(**asked)),
        "async": plain,
        "async stream": astream,
    }


def litellm(url: str) -> dict[str, Form]:
    from litellm import acompletion, completion

    asked: dict[str, Any] = {"model": "openai/gpt-4o", "messages": MESSAGES, "max_tokens": 50}
    asked |= {"api_key": "k", "api_base": f"{url}/v1"}
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}

    async def plain() -> str:
        return str((await acompletion(**asked)).choices[0].message.content)

    async def astream() -> str:
        chunks = await acompletion(**streamed)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    return {
        "plain": lambda: completion(**asked).choices[0].message.content,
        "stream": lambda: "".join(c.choices[0].delta.content or "" for c in completion(**streamed)),
        "async": plain,
        "async stream": astream,
    }


def mistralai(url: str) -> dict[str, Form]:
    try:
        from mistralai.client import Mistral
    except ImportError:
        try:
            from mistralai import Mistral  # version 1
        except ImportError:
            return mistralai_0(url)
    client = Mistral(api_key="k", server_url=f"{url}/mistral")
    asked: dict[str, Any] = {"model": "mistral-small-latest", "messages": MESSAGES, "max_tokens": 50}

    async def plain() -> str:
        return str((await client.chat.complete_async(**asked)).choices[0].message.content)

    async def astream() -> str:
        events = await client.chat.stream_async(**asked)
        return "".join([event.data.choices[0].delta.content or "" async for event in events])

    return {
        "plain": lambda: client.chat.complete(**asked).choices[0].message.content,
        "stream": lambda: "".join(e.data.choices[0].delta.content or "" for e in client.chat.stream(**asked)),
        "async": plain,
        "async stream": astream,
    }


def mistralai_0(url: str) -> dict[str, Form]:
    from mistralai.client import MistralClient
    from mistralai.models.chat_completion import ChatMessage

    client = MistralClient(api_key="k", endpoint=f"{url}/mistral")
    asked: dict[str, Any] = {"model": "mistral-small-latest", "max_tokens": 50}
    asked["messages"] = [ChatMessage(role="user", content="hello there")]
    return {
        "plain": lambda: client.chat(**asked).choices[0].message.content,
        "stream": lambda: "".join(e.choices[0].delta.content or "" for e in client.chat_stream(**asked)),
    }


def cohere(url: str) -> dict[str, Form]:
    import cohere

    if not hasattr(cohere, "ClientV2"):
        return cohere_v1(url)
    client, aclient = cohere.ClientV2("k", base_url=url), cohere.AsyncClientV2("k", base_url=url)
    asked: dict[str, Any] = {"model": "command-a-03-2025", "messages": MESSAGES, "max_tokens": 50}

    def text(event: Any) -> str:
        return event.delta.message.content.text if event.type == "content-delta" else ""

    async def plain() -> str:
        return str((await aclient.chat(**asked)).message.content[0].text)

    async def astream() -> str:
        return "".join([text(event) async for event in aclient.chat_stream(**asked)])

    return {
        "plain": lambda: client.chat(**asked).message.content[0].text,
        "stream": lambda: "".join(text(event) for event in client.chat_stream(**asked)),
        "async": plain,
        "async stream": astream,
    }


def cohere_v1(url: str) -> dict[str, Form]:
    import cohere

    asked: dict[str, Any] = {"model": "command-a-03-2025", "message": "hello there", "max_tokens": 50}
    if hasattr(cohere, "base_client"):
        client = cohere.Client("k", base_url=f"{url}/v1")
    else:
        client = cohere.Client("k", api_url=url, check_api_key=False)  # version 4
    return {"plain": lambda: client.chat(**asked).text}


def ollama(url: str) -> dict[str, Form]:
    import ollama

    asked: dict[str, Any] = {"model": "priced", "messages": MESSAGES, "options": {"num_predict": 50}}
    client = ollama.Client(url)

    async def plain() -> str:
        return str((await ollama.AsyncClient(url).chat(**asked))["message"]["content"])

    async def astream() -> str:
        parts = await ollama.AsyncClient(url).chat(**asked, stream=True)
        return "".join([part["message"]["content"] async for part in parts])

    return {
        "plain": lambda: client.chat(**asked)["message"]["content"],
        "stream": lambda: "".join(part["message"]["content"] for part in client.chat(**asked, stream=True)),
        "async": plain,
        "async stream": astream,
    }


def boto3(url: str) -> dict[str, Form]:
    import boto3

    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="a",
        aws_secret_access_key="s",
    )
    asked: dict[str, Any] = {
        "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
        "inferenceConfig": {"maxTokens": 50},
    }

    def stream() -> str:
        events = client.converse_stream(**asked)["stream"]
        return "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)

    return {
        "plain": lambda: client.converse(**asked)["output"]["message"]["content"][0]["text"],
        "stream": stream,
    }


FORMS: dict[str, Callable[[str], dict[str, Form]]] = {
    "openai": openai,
    "anthropic": anthropic,
    "google-genai": google_genai,
    "litellm": litellm,
    "groq": groq,
    "boto3": boto3,
    "mistralai": mistralai,
    "ollama": ollama,
    "cohere": cohere,
}

if __name__ == "__main__":
    asyncio.run(main())
