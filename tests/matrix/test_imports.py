"""It does not matter when an SDK is imported, nor when a method of its clients was taken hold of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from allowance import sdks
from allowance.calls.sdk_meter import SdkMeter
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, GEMINI_CALL, SONNET_CALL, python, usd
from tests.matrix.engine import Bench, Cell
from tests.matrix.methods import IN_COLOURS, METHODS
from tests.matrix.row import BOTH, Endpoint, Row
from tests.matrix.rows import (
    boto3,
    cohere,
    groq,
    mistralai,
    ollama,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDKs warn of themselves


@pytest.fixture
def unmetered() -> Iterator[None]:
    """As it is before allowance is imported."""
    sdks.uninstrument()
    yield
    sdks.instrument(SdkMeter())


@pytest.mark.parametrize(("name", "colour"), [one for one in IN_COLOURS if one[0] != "mistralai"])
def test_a_method_taken_hold_of_before_is_metered(
    name: str, colour: str, bench: Bench, store: MemoryStore, unmetered: None
) -> None:
    sdk, method, arguments, nanos = METHODS[name]
    client = bench.clients_of(sdk)[BOTH.index(colour)]
    held = method(client)
    sdks.instrument(SdkMeter())
    row = Row(name, lambda _: held(**arguments), nanos)
    bench.prepare(row, store)
    bench.make(Cell(sdk, Endpoint(name, lambda _: None, (row,)), row, colour), "block", limit=1)
    bench.check("block", store, nanos, requests=1)


def test_ollamas_functions_and_clients_taken_hold_of_before_are_metered(
    bench: Bench, store: MemoryStore, unmetered: None
) -> None:
    chat = bench.clients_of(ollama.SDK)[0].chat
    sdks.instrument(SdkMeter())
    row = Row("bound", lambda _: chat(ollama.CLOUD, **ollama.ASK), ollama.COST, prices=ollama.OWN)
    bench.prepare(row, store)
    bench.make(Cell(ollama.SDK, Endpoint("chat", lambda _: None, (row,)), row, "sync"), "block", limit=1)
    bench.check("block", store, ollama.COST, requests=1)


def test_of_mistralai_a_method_taken_hold_of_before_is_missed(
    bench: Bench, store: MemoryStore, unmetered: None
) -> None:
    """The README says so. Its public methods are the one place that knows what a call is."""
    client = bench.clients_of(mistralai.SDK)[0]
    held = client.chat.complete
    sdks.instrument(SdkMeter())
    for chat, nanos in ((held, 0), (client.chat.complete, mistralai.COST)):
        row = Row("bound", lambda _, chat=chat: chat(**mistralai.CHAT), nanos)
        bench.prepare(row, store)
        bench.make(Cell(mistralai.SDK, Endpoint("chat", lambda _: None, (row,)), row, "sync"), "block", 1)
        bench.check("block", store, nanos, requests=1)


PROGRAM = """
import os, warnings
warnings.simplefilter("ignore")
from litellm import completion
from openai import OpenAI
from allowance import budget

url = os.environ["OLLAMA_HOST"]
says = [{"role": "user", "content": "hello there"}]
parts = [{"role": "user", "content": [{"text": "hello there"}]}]
key = {"api_key": "k"}

def ask(function, model, **more):
    function(model=model, max_tokens=50, **{"messages": says, **more})

with budget("alice", limit=1) as b:
    ask(completion, "openai/gpt-4o", **key, api_base=f"{url}/v1")
    ask(OpenAI(**key, base_url=f"{url}/v1").chat.completions.create, "gpt-4o")
    import anthropic, boto3, cohere, ollama
    ask(anthropic.Anthropic(**key, base_url=url).messages.create, "claude-sonnet-4-5")
    ask(cohere.ClientV2("k", base_url=url).chat, "command-a-03-2025")
    ollama.chat("llama3.2", says)
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    boto3.client("bedrock-runtime", endpoint_url=url, **keys).converse(
        modelId="anthropic.claude-sonnet-4-5-20250929-v1:0",
        messages=parts,
        inferenceConfig={"maxTokens": 50},
    )
    from groq import Groq
    ask(Groq(**key, base_url=url).chat.completions.create, "llama-3.3-70b-versatile")
    from mistralai.client import Mistral
    ask(Mistral(**key, server_url=f"{url}/mistral").chat.complete, "mistral-small-latest")
    from google.genai import Client
    gemini = Client(**key, http_options={"base_url": url})
    gemini.models.generate_content(
        model="gemini-2.5-pro", contents="hello there", config={"max_output_tokens": 50}
    )
print(f"{b.spent:f}", b.held)
"""

COSTS = (
    *(CALL, CALL, SONNET_CALL, cohere.COST, 0),
    *(boto3.CLAUDE_COST, groq.COST, mistralai.COST, GEMINI_CALL),
)


def test_sdks_may_be_imported_above_allowance_or_inside_a_block_by_module_or_by_name(
    bench: Bench, store: MemoryStore
) -> None:
    bench.provider.forget()
    environment = {"ALLOWANCE_STORE": "memory://", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    out = python(PROGRAM, OLLAMA_HOST=bench.provider.url, **environment)
    assert bench.provider.count == len(COSTS)
    assert out.split() == [f"{usd(sum(COSTS)):f}", "0"]
