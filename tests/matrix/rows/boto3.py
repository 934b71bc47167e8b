"""boto3's bedrock-runtime, and the bodies of the vendors that it carries."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from tests.matrix.row import SYNC, Endpoint, Row, Sdk

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CONVERSE: dict[str, Any] = {
    "modelId": MODEL,
    "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
    "inferenceConfig": {"maxTokens": 50},
}
NOVA = CONVERSE | {"modelId": "amazon.nova-lite-v1:0"}


def body(model: str, **fields: Any) -> dict[str, Any]:
    return {"modelId": model, "body": json.dumps(fields)}


SAID = [{"role": "user", "content": "hello there"}]
CLAUDE = body(MODEL, anthropic_version="bedrock-2023-05-31", max_tokens=50, messages=SAID)
NOVA_BODY = body(NOVA["modelId"], messages=CONVERSE["messages"], inferenceConfig={"maxTokens": 50})
LLAMA = body("meta.llama3-70b-instruct-v1:0", prompt="hello there", max_gen_len=50)
TITAN = body(
    "amazon.titan-text-express-v1", inputText="hello there", textGenerationConfig={"maxTokenCount": 50}
)
CAT = body(
    "amazon.titan-image-generator-v2:0",
    taskType="TEXT_IMAGE",
    textToImageParams={"text": "a cat"},
    imageGenerationConfig={"numberOfImages": 2},
)
UNCOUNTED = {"counts": False}
CLAUDE_COST = 10 * 3_000 + 5 * 15_000
NOVA_COST = 10 * 60 + 5 * 240
LLAMA_COST = 10 * 2_650 + 5 * 3_500
TITAN_COST = 10 * 200 + 5 * 600
PICTURE = 8_000_000


def clients(url: str, stack: ExitStack, _astack: AsyncExitStack) -> tuple[Any, Any]:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="a",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    stack.callback(client.close)
    return client, None


def streamed(reply: dict[str, Any]) -> Any:
    return reply.get("stream") or reply["body"]


def read(reply: dict[str, Any]) -> Any:
    assert reply["body"].read()


SDK = Sdk(
    "boto3",
    clients,
    (
        Endpoint(
            "converse",
            lambda c: c.converse,
            (
                Row("Claude", lambda converse: converse(**CONVERSE), CLAUDE_COST, colours=SYNC),
                Row("Nova", lambda converse: converse(**NOVA), NOVA_COST, colours=SYNC),
            ),
        ),
        Endpoint(
            "converse_stream",
            lambda c: c.converse_stream,
            (Row("Claude", lambda converse: converse(**CONVERSE), CLAUDE_COST, streamed, colours=SYNC),),
        ),
        Endpoint(
            "invoke_model",
            lambda c: c.invoke_model,
            (
                Row("Claude", lambda invoke: invoke(**CLAUDE), CLAUDE_COST, read, colours=SYNC),
                Row("Nova", lambda invoke: invoke(**NOVA_BODY), NOVA_COST, read, colours=SYNC),
                Row("Llama", lambda invoke: invoke(**LLAMA), LLAMA_COST, read, colours=SYNC),
                Row("Titan", lambda invoke: invoke(**TITAN), TITAN_COST, read, colours=SYNC),
                Row("pictures", lambda invoke: invoke(**CAT), 2 * PICTURE, read, UNCOUNTED, colours=SYNC),
                Row(
                    "no counts in the headers",
                    lambda invoke: invoke(**LLAMA),
                    LLAMA_COST,
                    read,
                    UNCOUNTED,
                    colours=SYNC,
                ),
            ),
        ),
        Endpoint(
            "invoke_model_with_response_stream",
            lambda c: c.invoke_model_with_response_stream,
            (
                Row("Claude", lambda invoke: invoke(**CLAUDE), CLAUDE_COST, streamed, colours=SYNC),
                Row("Nova", lambda invoke: invoke(**NOVA_BODY), NOVA_COST, streamed, colours=SYNC),
                Row("Llama", lambda invoke: invoke(**LLAMA), LLAMA_COST, streamed, colours=SYNC),
                Row("Titan", lambda invoke: invoke(**TITAN), TITAN_COST, streamed, colours=SYNC),
            ),
        ),
    ),
)
