"""The anthropic SDK: Anthropic itself, and Claude on Bedrock and Vertex AI."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from types import SimpleNamespace
from typing import Any

from tests.calls.support import CLAUDE, SONNET_CALL
from tests.matrix.row import Endpoint, Row, Sdk

BEDROCK = CLAUDE | {"model": "anthropic.claude-sonnet-4-5-20250929-v1:0"}
VERTEX = CLAUDE | {"model": "claude-sonnet-4-5@20250929"}
TOOL = {"tool": ("weather", "{}")}


def run_tools(messages: Any) -> Any:
    """A loop that calls a function of the user's and goes on: a request each time."""
    from anthropic import beta_async_tool, beta_tool

    def weather() -> str:
        """What the weather is like."""
        return "fine"

    async def aweather() -> str:
        """What the weather is like."""
        return "fine"

    asynchronous = type(messages).__name__.startswith("Async")
    tool = beta_async_tool(aweather, name="weather") if asynchronous else beta_tool(weather)
    return messages.tool_runner(**CLAUDE, tools=[tool]).until_done()


def parsed(reply: Any) -> Any:
    return reply.parse()


def text(stream: Any) -> Any:
    return stream.text_stream


def final(stream: Any) -> Any:
    return stream.get_final_message()


def done(stream: Any) -> Any:
    return stream.until_done()


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    import anthropic

    def both(kind: str, **settings: Any) -> tuple[Any, Any]:
        client = getattr(anthropic, kind)(
            http_client=anthropic.DefaultHttpxClient(trust_env=False), base_url=url, max_retries=0, **settings
        )
        aclient = getattr(anthropic, kind.replace("Anthropic", "AsyncAnthropic"))(
            http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False),
            base_url=url,
            max_retries=0,
            **settings,
        )
        stack.enter_context(client)
        astack.push_async_exit(aclient)
        return client, aclient

    made = {
        "anthropic": both("Anthropic", api_key="k"),
        "bedrock": both("AnthropicBedrock", aws_region="us-east-1", aws_access_key="a", aws_secret_key="s"),
        "foundry": both("AnthropicFoundry", api_key="k"),
        "vertex": both("AnthropicVertex", region="us-east5", project_id="p", access_token="t"),
    }
    sync, asynchronous = (
        SimpleNamespace(**{name: pair[colour] for name, pair in made.items()}) for colour in (0, 1)
    )
    return sync, asynchronous


SDK = Sdk(
    "anthropic",
    clients,
    (
        Endpoint(
            "messages",
            lambda c: c.anthropic.messages,
            (
                Row("create", lambda messages: messages.create(**CLAUDE), SONNET_CALL),
                Row("stream=True", lambda messages: messages.create(**CLAUDE, stream=True), SONNET_CALL),
                Row("stream()", lambda messages: messages.stream(**CLAUDE), SONNET_CALL),
                Row("text_stream", lambda messages: messages.stream(**CLAUDE), SONNET_CALL, text),
                Row("get_final_message", lambda messages: messages.stream(**CLAUDE), SONNET_CALL, final),
                Row("until_done", lambda messages: messages.stream(**CLAUDE), SONNET_CALL, done),
                Row("parse", lambda messages: messages.parse(**CLAUDE), SONNET_CALL),
                Row(
                    "with_raw_response",
                    lambda messages: messages.with_raw_response.create(**CLAUDE),
                    SONNET_CALL,
                    parsed,
                ),
                Row(
                    "with_streaming_response",
                    lambda messages: messages.with_streaming_response.create(**CLAUDE),
                    SONNET_CALL,
                    parsed,
                ),
            ),
        ),
        Endpoint(
            "beta.messages",
            lambda c: c.anthropic.beta.messages,
            (
                Row("create", lambda messages: messages.create(**CLAUDE), SONNET_CALL),
                Row("stream=True", lambda messages: messages.create(**CLAUDE, stream=True), SONNET_CALL),
                Row("stream()", lambda messages: messages.stream(**CLAUDE), SONNET_CALL),
                Row("parse", lambda messages: messages.parse(**CLAUDE), SONNET_CALL),
                Row("tool_runner", run_tools, 2 * SONNET_CALL, first=TOOL, requests=2),
            ),
        ),
        Endpoint(
            "AnthropicBedrock",
            lambda c: c.bedrock.messages,
            (
                Row("create", lambda messages: messages.create(**BEDROCK), SONNET_CALL),
                Row("stream=True", lambda messages: messages.create(**BEDROCK, stream=True), SONNET_CALL),
                Row("stream()", lambda messages: messages.stream(**BEDROCK), SONNET_CALL),
            ),
        ),
        Endpoint(
            "AnthropicVertex",
            lambda c: c.vertex.messages,
            (
                Row("create", lambda messages: messages.create(**VERTEX), SONNET_CALL),
                Row("stream=True", lambda messages: messages.create(**VERTEX, stream=True), SONNET_CALL),
                Row("stream()", lambda messages: messages.stream(**VERTEX), SONNET_CALL),
            ),
        ),
        Endpoint(
            "AnthropicFoundry",
            lambda c: c.foundry.messages,
            (
                Row("create", lambda messages: messages.create(**CLAUDE), SONNET_CALL),
                Row("stream=True", lambda messages: messages.create(**CLAUDE, stream=True), SONNET_CALL),
            ),
        ),
    ),
)
