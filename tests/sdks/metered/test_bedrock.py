"""boto3's bedrock-runtime under the real meter, over HTTP: every operation costs exactly what AWS bills."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

import allowance
from allowance import BudgetExceededError, budget, sdks
from allowance.calls.sdk_meter import SdkMeter
from tests.calls.support import books, lines, usd

from . import every
from .support import check, run

boto3 = pytest.importorskip("boto3")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.stores.memory import MemoryStore
    from tests.provider import Provider

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CONVERSE: dict[str, Any] = {
    "modelId": MODEL,
    "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
    "inferenceConfig": {"maxTokens": 50},
}
CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "hello there"}],
}
INVOKE: dict[str, Any] = {"modelId": MODEL, "body": json.dumps(CLAUDE)}
LLAMA: dict[str, Any] = {
    "modelId": "meta.llama3-70b-instruct-v1:0",
    "body": json.dumps({"prompt": "hello there", "max_gen_len": 50}),
}
COST = 10 * 3_000 + 5 * 15_000
LLAMA_COST = 10 * 2_650 + 5 * 3_500
TEXT = "Hello, how can I help?"


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with every.bedrock(provider) as client:
        yield client


def converse(client: Any) -> str:
    return client.converse(**CONVERSE)["output"]["message"]["content"][0]["text"]


def converse_stream(client: Any) -> str:
    events = list(client.converse_stream(**CONVERSE)["stream"])
    return "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)


def invoke(client: Any) -> str:
    return json.loads(client.invoke_model(**INVOKE)["body"].read())["content"][0]["text"]


def invoke_stream(client: Any) -> str:
    stream = client.invoke_model_with_response_stream(**INVOKE)["body"]
    events = [json.loads(event["chunk"]["bytes"]) for event in stream]
    return "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")


SYNC: dict[str, Callable[[Any], str]] = {
    "converse": converse,
    "converse stream": converse_stream,
    "invoke": invoke,
    "invoke stream": invoke_stream,
}


CACHED = {"input_tokens": 1000, "cached": 300, "cache_write": 200, "cache_write_1h": 100}
CACHED_COST = 400 * 3_000 + 300 * 300 + 200 * 3_750 + 100 * 6_000 + 5 * 15_000


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("name", SYNC)
def test_cached_input_is_billed_as_it_is(
    name: str, counts: bool, client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(**CACHED, counts=counts)
    assert run("block", lambda: SYNC[name](client)) == TEXT
    check("block", store, provider, CACHED_COST)


@pytest.mark.parametrize("counts", [True, False])
def test_a_body_can_be_read_as_before(
    counts: bool, client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(counts=counts)
    with budget("alice", limit=1):
        reply = client.invoke_model(**LLAMA)
        body = reply["body"]
        assert type(body).__name__ == "StreamingBody"
        whole = body.read(10) + b"".join(body.iter_chunks(7))
    assert json.loads(whole)["generation"] == TEXT
    check("block", store, provider, LLAMA_COST)


def test_the_counts_of_a_vendors_own_stream_are_in_its_last_chunk(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        stream = client.invoke_model_with_response_stream(**LLAMA)["body"]
        pieces = [json.loads(event["chunk"]["bytes"])["generation"] for event in stream]
    assert "".join(pieces) == TEXT
    check("block", store, provider, LLAMA_COST)


@pytest.mark.parametrize("body", [json.dumps(CLAUDE).encode(), io.BytesIO(json.dumps(CLAUDE).encode())])
def test_a_body_of_bytes_or_a_file_is_quoted_and_sent(
    body: Any, client: Any, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        client.invoke_model(modelId=MODEL, body=body)
    assert provider.calls[0].body == CLAUDE
    check("block", store, provider, COST)


def test_what_a_call_holds_is_its_input_and_its_cap(client: Any, provider: Provider) -> None:
    quote = allowance.quote(model=MODEL, messages=CLAUDE["messages"], max_tokens=50)
    for ask in (converse, invoke):
        with pytest.raises(BudgetExceededError) as refusal:
            run("block", lambda ask=ask: ask(client), 1e-9)
        assert refusal.value.projected == quote.projected
    assert provider.count == 0


@pytest.mark.parametrize("name", ["converse", "invoke"])
def test_the_clamp_policy_puts_a_cap_in(name: str, client: Any, provider: Provider) -> None:
    converse = {key: value for key, value in CONVERSE.items() if key != "inferenceConfig"}
    body = {key: value for key, value in CLAUDE.items() if key != "max_tokens"}
    with budget("alice", limit="0.003", uncapped="clamp"):
        if name == "converse":
            client.converse(**converse)
            cap = provider.calls[0].body["inferenceConfig"]["maxTokens"]
        else:
            client.invoke_model(modelId=MODEL, body=json.dumps(body))
            cap = provider.calls[0].body["max_tokens"]
    assert 0 < cap <= 200
    assert "inferenceConfig" not in converse


def test_a_stream_that_is_closed_is_charged_for_what_was_seen(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(text="one two three four", chunks=4)
    with budget("alice", limit=1):
        stream = client.converse_stream(**CONVERSE)["stream"]
        for event in stream:
            if "contentBlockDelta" in event:
                break
        stream.close()
    spent, held = books(store, "alice")
    assert held == 0
    assert 15_000 < spent < COST


def test_r12_an_error_of_the_server_costs_nothing(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(status=429, headers={"x-amzn-errortype": "ThrottlingException"})
    with budget("alice", limit=1), pytest.raises(client.exceptions.ThrottlingException):
        client.converse(**CONVERSE)
    assert books(store, "alice") == (0, 0)


def test_an_sdks_own_retries_are_one_call(provider: Provider, store: MemoryStore) -> None:
    from botocore.config import Config

    provider.then(status=503)
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=provider.url,
        aws_access_key_id="a",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 2, "mode": "standard"}, proxies={}),
    )
    with budget("alice", limit=1):
        client.converse(**CONVERSE)
    client.close()
    check("block", store, provider, COST, calls=2)


@pytest.mark.parametrize(
    ("region", "into", "out"),
    [("us-east-1", 2_650, 3_500), ("ap-south-1", 3_180, 4_200), ("mx-central-1", 2_650, 3_500)],
)
def test_a_model_costs_what_its_region_takes(
    region: str, into: int, out: int, provider: Provider, store: MemoryStore
) -> None:
    """Where the catalogue has no price of the region's own, the model's own price serves."""
    client = in_region(provider, region)
    spoken = CONVERSE | {"modelId": LLAMA["modelId"]}
    with budget("alice", limit=1):
        client.invoke_model(**LLAMA)
        list(client.invoke_model_with_response_stream(**LLAMA)["body"])
        client.converse(**spoken)
        list(client.converse_stream(**spoken)["stream"])
    check("block", store, provider, 4 * (10 * into + 5 * out), calls=4)
    with budget("bob", limit=1e-9), pytest.raises(BudgetExceededError) as refused:
        client.converse(**spoken)
    assert refused.value.model == LLAMA["modelId"]
    assert refused.value.projected >= usd(50 * out + 5 * into)
    client.close()


@pytest.mark.parametrize("name", SYNC)
def test_claude_costs_more_in_the_clouds_of_the_government(
    name: str, provider: Provider, store: MemoryStore
) -> None:
    """Also where its reply names the model, as Anthropic's body does."""
    client = in_region(provider, "us-gov-west-1")
    provider.reply(model="claude-sonnet-4-5-20250929")
    with budget("alice", limit=1):
        assert SYNC[name](client) == TEXT
    check("block", store, provider, 10 * 3_600 + 5 * 18_000)
    client.close()


@pytest.mark.parametrize(
    ("region", "model", "into", "out"),
    [("us-gov-west-1", MODEL, 3_600, 18_000), ("us-east-1", f"us.{MODEL}", 3_300, 16_500)],
)
def test_anthropics_own_client_of_bedrock_costs_what_bedrock_takes(
    region: str, model: str, into: int, out: int, provider: Provider, store: MemoryStore
) -> None:
    """The reply names Anthropic's model, and the price is that of the one that was asked of Bedrock."""
    anthropic = pytest.importorskip("anthropic")
    provider.reply(model="claude-sonnet-4-5-20250929")
    http = anthropic.DefaultHttpxClient(trust_env=False)
    settings = {"aws_region": region, "aws_access_key": "a", "aws_secret_key": "s", "max_retries": 0}
    client = anthropic.AnthropicBedrock(base_url=provider.url, http_client=http, **settings)
    with client, budget("alice", limit=1):
        client.messages.create(model=model, messages=CLAUDE["messages"], max_tokens=50)
    check("block", store, provider, 10 * into + 5 * out)


def in_region(provider: Provider, region: str) -> Any:
    from botocore.config import Config

    return boto3.client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=provider.url,
        aws_access_key_id="a",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def test_r10_a_profile_of_the_users_own_has_no_price(client: Any, provider: Provider) -> None:
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    with budget("alice", limit=1), pytest.raises(allowance.UnknownModelError):
        client.converse(**CONVERSE | {"modelId": profile})
    assert provider.count == 0


def test_other_services_and_operations_are_left_alone(client: Any, provider: Provider) -> None:
    from botocore.exceptions import ClientError, ParamValidationError

    with budget("alice", limit=0):
        with pytest.raises(ClientError):
            client.count_tokens(modelId=MODEL, input={"invokeModel": {"body": json.dumps(CLAUDE)}})
        with pytest.raises(ParamValidationError):
            client.converse(messages=[])


def test_uninstrumented_it_is_not_metered(client: Any, provider: Provider, store: MemoryStore) -> None:
    sdks.uninstrument()
    with budget("alice", limit=0):
        assert converse(client) == TEXT
    assert books(store, "alice") == (0, 0)
    sdks.instrument(SdkMeter())
    with budget("alice", limit=0), pytest.raises(BudgetExceededError):
        converse(client)


def test_headers_alone_tell_what_was_cached() -> None:
    names = {"input": "40", "output": "5", "cache-read-input": "30", "cache-write-input": "20"}
    headers = {f"x-amzn-bedrock-{name}-token-count": count for name, count in names.items()}
    usage = allowance.usage_of({"ResponseMetadata": {"HTTPHeaders": headers}, "body": object()})
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (90, 5)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (30, 20)


def test_the_counts_of_a_vendors_own_stream_tell_what_was_cached(
    client: Any, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(input_tokens=100, cached=30, cache_write=20)
    with budget("alice", limit=1):
        list(client.invoke_model_with_response_stream(**LLAMA)["body"])
    [line] = lines(store, "alice")
    assert (line.input_tokens, line.output_tokens) == (100, 5)
    cost = 80 * 2_650 + 20 * 2_650 * 5 // 4 + 5 * 3_500  # what has no price of its own falls back
    check("block", store, provider, cost)
