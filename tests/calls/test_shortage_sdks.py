"""A short budget through every SDK: another model, or a cap, goes out on the wire, and is charged exactly.

A row is one way of calling one SDK with a model and a cap. Every row is downgraded and clamped, in a block
and in a decorated function.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import cohere
import groq
import httpx
import litellm
import ollama
import pytest
from google import genai

import allowance
from allowance import BudgetExceededError, Price, budget, budgeted, clamp, downgrade
from tests.calls.support import MESSAGES, PROJECT, books, lines, usd
from tests.provider import Call, Provider, clients
from tests.sdks.metered import every

mistral = pytest.importorskip("mistralai.client")

if TYPE_CHECKING:
    from allowance.calls.strategies import OnShort
    from allowance.stores.memory import MemoryStore

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

STREAM = {"stream": True}
OLLAMA = {"big": Price(input=4, output=8), "small": Price(input=1, output=2)}


@dataclass(frozen=True, slots=True)
class Model:
    """A model under the name by which the SDK takes it, and nano-dollars a token."""

    name: str
    into: int
    out: int

    def cost(self, out: int) -> int:
        return 10 * self.into + out * self.out


@dataclass(frozen=True, slots=True)
class Row:
    """One way of calling one SDK.

    Attributes:
        client: makes the client; the stack closes it.
        call: makes the call, with a client, a model and a cap.
        dear, cheap: what is asked for, and what it is downgraded to.
        cap: where in the request's body the cap stands; None where the call takes none.
        words: how the reply says that the cap ended it.
        read: what of the reply is read.
    """

    client: Callable[[Provider, Any], Any]
    call: Callable[[Any, str, int], Any]
    dear: Model
    cheap: Model
    cap: str | None = "max_tokens"
    words: str = "length"
    read: Callable[[Any], Any] = field(default=lambda reply: reply)


GPT, MINI = Model("gpt-4o", 2_500, 10_000), Model("gpt-4o-mini", 150, 600)
O3, O4 = Model("o3", 2_000, 8_000), Model("o4-mini", 1_100, 4_400)
INSTRUCT, BABBAGE = Model("gpt-3.5-turbo-instruct", 1_500, 2_000), Model("babbage-002", 400, 400)
LARGE, SMALL = Model("text-embedding-3-large", 130, 0), Model("text-embedding-3-small", 20, 0)
SONNET, HAIKU = Model("claude-sonnet-4-5", 3_000, 15_000), Model("claude-haiku-4-5", 1_000, 5_000)
PRO, FLASH = Model("gemini-2.5-pro", 1_250, 10_000), Model("gemini-2.5-flash-lite", 100, 400)
LLAMA, INSTANT = Model("llama-3.3-70b-versatile", 590, 790), Model("llama-3.1-8b-instant", 50, 80)
MISTRAL, MINISTRAL = Model("mistral-large-latest", 500, 1_500), Model("mistral-small-latest", 150, 600)
COMMAND, R7B = Model("command-a-03-2025", 2_500, 10_000), Model("command-r-08-2024", 150, 600)
BIG, LITTLE = Model("big", 4_000, 8_000), Model("small", 1_000, 2_000)
BEDROCK = (
    Model("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3_300, 16_500),
    Model("us.anthropic.claude-haiku-4-5-20251001-v1:0", 1_100, 5_500),
)


def via_litellm(model: Model, prefix: str) -> Model:
    return Model(f"{prefix}/{model.name}", model.into, model.out)


# -- clients ---------------------------------------------------------------------------------------------


def aws(provider: Provider, stack: ExitStack) -> Any:
    return stack.enter_context(every.bedrock(provider))


def gemini(provider: Provider, stack: ExitStack) -> genai.Client:
    client = clients.gemini(provider)
    stack.callback(client.close)
    return client


def agemini(provider: Provider, stack: AsyncExitStack) -> Any:
    client = clients.gemini(provider).aio
    stack.push_async_callback(client.aclose)
    return client


def lite(vendor: str) -> Callable[[Provider, ExitStack], Any]:
    def make(provider: Provider, stack: ExitStack) -> Any:
        stack.callback(clients.close_litellm)
        return clients.litellm_kwargs(provider, vendor)

    return make


def alite(provider: Provider, stack: AsyncExitStack) -> Any:
    stack.push_async_callback(clients.aclose_litellm)
    return clients.litellm_kwargs(provider)


def made(make: Callable[..., Any]) -> Callable[[Provider, ExitStack], Any]:
    return lambda provider, stack: stack.enter_context(make(provider))


def amade(make: Callable[..., Any]) -> Callable[[Provider, AsyncExitStack], Any]:
    def later(provider: Provider, stack: AsyncExitStack) -> Any:
        client = make(provider)
        stack.push_async_exit(client)
        return client

    return later


def plain_http(provider: Provider, stack: ExitStack) -> httpx.Client:
    return stack.enter_context(httpx.Client(trust_env=False))


def aplain_http(stack: AsyncExitStack) -> httpx.AsyncClient:
    http = httpx.AsyncClient(trust_env=False)
    stack.push_async_exit(http)
    return http


GPTS, AGPTS = made(clients.openai_sync), amade(clients.openai_async)
CLAUDES, ACLAUDES = made(clients.anthropic_sync), amade(clients.anthropic_async)
OLLAMAS = made(lambda provider: ollama.Client(provider.url, trust_env=False))
AOLLAMAS = amade(lambda provider: ollama.AsyncClient(provider.url, trust_env=False))


def groqs(provider: Provider, stack: ExitStack) -> Any:
    http = groq.DefaultHttpxClient(trust_env=False)
    return stack.enter_context(groq.Groq(api_key="k", base_url=provider.url, max_retries=0, http_client=http))


def agroqs(provider: Provider, stack: AsyncExitStack) -> Any:
    http = groq.DefaultAsyncHttpxClient(trust_env=False)
    client = groq.AsyncGroq(api_key="k", base_url=provider.url, max_retries=0, http_client=http)
    stack.push_async_exit(client)
    return client


def mistrals(provider: Provider, stack: ExitStack) -> Any:
    url = f"{provider.url}/mistral"
    return mistral.Mistral(api_key="k", server_url=url, client=plain_http(provider, stack))


def amistrals(provider: Provider, stack: AsyncExitStack) -> Any:
    return mistral.Mistral(api_key="k", server_url=f"{provider.url}/mistral", async_client=aplain_http(stack))


def coheres(kind: str) -> Callable[[Provider, ExitStack], Any]:
    def make(provider: Provider, stack: ExitStack) -> Any:
        http = plain_http(provider, stack)
        return getattr(cohere, kind)("k", base_url=provider.url, httpx_client=http, max_retries=0)

    return make


def acoheres(provider: Provider, stack: AsyncExitStack) -> Any:
    return cohere.AsyncClientV2("k", base_url=provider.url, httpx_client=aplain_http(stack), max_retries=0)


# -- calls -----------------------------------------------------------------------------------------------


def chat(client: Any, model: str, cap: int, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=cap, **more)


def reasoned(client: Any, model: str, cap: int, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=MESSAGES, max_completion_tokens=cap, **more)


def respond(client: Any, model: str, cap: int, **more: Any) -> Any:
    return client.responses.create(model=model, input="hello there", max_output_tokens=cap, **more)


def message(client: Any, model: str, cap: int, **more: Any) -> Any:
    return client.messages.create(model=model, messages=MESSAGES, max_tokens=cap, **more)


def generate(client: Any, model: str, cap: int) -> Any:
    return client.models.generate_content(
        model=model, contents="hello there", config={"max_output_tokens": cap}
    )


def generate_stream(client: Any, model: str, cap: int) -> Any:
    return client.models.generate_content_stream(
        model=model, contents="hello there", config=genai.types.GenerateContentConfig(max_output_tokens=cap)
    )


def say(client: Any, model: str, cap: int) -> Any:
    return client.chats.create(model=model, config={"max_output_tokens": cap}).send_message("hello there")


def say_stream(client: Any, model: str, cap: int) -> Any:
    said = client.chats.create(model=model, config={"max_output_tokens": cap})
    return said.send_message_stream("hello there")


def converse(client: Any, model: str, cap: int) -> Any:
    return client.converse(**conversed(model, cap))


def conversed(model: str, cap: int) -> dict[str, Any]:
    asked = [{"role": "user", "content": [{"text": "hello there"}]}]
    return {"modelId": model, "messages": asked, "inferenceConfig": {"maxTokens": cap}}


def body(model: str, cap: int) -> dict[str, Any]:
    fields = {"anthropic_version": "bedrock-2023-05-31", "messages": MESSAGES, "max_tokens": cap}
    return {"modelId": model, "body": json.dumps(fields)}


def completed(to: Any, model: str, cap: int, **more: Any) -> Any:
    return litellm.completion(model=model, messages=MESSAGES, max_tokens=cap, **to, **more)


def acompleted(to: Any, model: str, cap: int, **more: Any) -> Any:
    return litellm.acompletion(model=model, messages=MESSAGES, max_tokens=cap, **to, **more)


def routed(to: Any, model: str, cap: int) -> Any:
    deployment = {"model_name": "any", "litellm_params": {"model": model, **to}}
    return litellm.Router(model_list=[deployment]).completion("any", MESSAGES, max_tokens=cap)


def arouted(to: Any, model: str, cap: int) -> Any:
    deployment = {"model_name": "any", "litellm_params": {"model": model, **to}}
    return litellm.Router(model_list=[deployment]).acompletion("any", MESSAGES, max_tokens=cap)


ASKED = {"stream": True, "stream_options": {"include_usage": True}}
LITE, LITE_MINI = via_litellm(GPT, "openai"), via_litellm(MINI, "openai")
OPTIONS = "options.num_predict"
GEMINI_CAP = "generationConfig.maxOutputTokens"

SYNC = {
    "openai chat": Row(GPTS, chat, GPT, MINI),
    "openai chat stream": Row(GPTS, lambda c, m, n: chat(c, m, n, **STREAM), GPT, MINI),
    "openai chat helper": Row(
        GPTS,
        lambda c, m, n: c.chat.completions.stream(model=m, messages=MESSAGES, max_completion_tokens=n),
        GPT,
        MINI,
        cap="max_completion_tokens",
    ),
    "openai o-series": Row(GPTS, reasoned, O3, O4, cap="max_completion_tokens"),
    "openai responses": Row(GPTS, respond, GPT, MINI, "max_output_tokens", "incomplete"),
    "openai responses stream": Row(
        GPTS, lambda c, m, n: respond(c, m, n, **STREAM), GPT, MINI, "max_output_tokens", "incomplete"
    ),
    "openai completions": Row(
        GPTS,
        lambda c, m, n: c.completions.create(model=m, prompt="hello there", max_tokens=n),
        INSTRUCT,
        BABBAGE,
    ),
    "openai embeddings": Row(
        GPTS, lambda c, m, n: c.embeddings.create(model=m, input="hello there"), LARGE, SMALL, cap=None
    ),
    "anthropic messages": Row(CLAUDES, message, SONNET, HAIKU, words="max_tokens"),
    "anthropic stream": Row(
        CLAUDES, lambda c, m, n: message(c, m, n, **STREAM), SONNET, HAIKU, words="max_tokens"
    ),
    "anthropic helper": Row(
        CLAUDES,
        lambda c, m, n: c.messages.stream(model=m, messages=MESSAGES, max_tokens=n),
        SONNET,
        HAIKU,
        words="max_tokens",
    ),
    "anthropic beta": Row(CLAUDES, lambda c, m, n: message(c.beta, m, n), SONNET, HAIKU, words="max_tokens"),
    "gemini": Row(gemini, generate, PRO, FLASH, GEMINI_CAP, "MAX_TOKENS"),
    "gemini stream": Row(gemini, generate_stream, PRO, FLASH, GEMINI_CAP, "MAX_TOKENS"),
    "gemini chat": Row(gemini, say, PRO, FLASH, GEMINI_CAP, "MAX_TOKENS"),
    "gemini chat stream": Row(gemini, say_stream, PRO, FLASH, GEMINI_CAP, "MAX_TOKENS"),
    "groq": Row(groqs, chat, LLAMA, INSTANT),
    "groq stream": Row(groqs, lambda c, m, n: chat(c, m, n, **STREAM), LLAMA, INSTANT),
    "mistral": Row(
        mistrals,
        lambda c, m, n: c.chat.complete(model=m, messages=MESSAGES, max_tokens=n),
        MISTRAL,
        MINISTRAL,
    ),
    "mistral stream": Row(
        mistrals,
        lambda c, m, n: c.chat.stream(model=m, messages=MESSAGES, max_tokens=n),
        MISTRAL,
        MINISTRAL,
    ),
    "cohere": Row(
        coheres("ClientV2"),
        lambda c, m, n: c.chat(model=m, messages=MESSAGES, max_tokens=n),
        COMMAND,
        R7B,
        words="MAX_TOKENS",
    ),
    "cohere stream": Row(
        coheres("ClientV2"),
        lambda c, m, n: c.chat_stream(model=m, messages=MESSAGES, max_tokens=n),
        COMMAND,
        R7B,
        words="MAX_TOKENS",
    ),
    "cohere v1": Row(
        coheres("Client"),
        lambda c, m, n: c.chat(model=m, message="hello there", max_tokens=n),
        COMMAND,
        R7B,
        words="MAX_TOKENS",
    ),
    "cohere v1 stream": Row(
        coheres("Client"),
        lambda c, m, n: c.chat_stream(model=m, message="hello there", max_tokens=n),
        COMMAND,
        R7B,
        words="MAX_TOKENS",
    ),
    "ollama": Row(
        OLLAMAS, lambda c, m, n: c.chat(m, MESSAGES, options={"num_predict": n}), BIG, LITTLE, OPTIONS
    ),
    "ollama stream": Row(
        OLLAMAS,
        lambda c, m, n: c.chat(model=m, messages=MESSAGES, options={"num_predict": n}, stream=True),
        BIG,
        LITTLE,
        OPTIONS,
    ),
    "ollama generate": Row(
        OLLAMAS,
        lambda c, m, n: c.generate(m, "hello there", options={"num_predict": n}),
        BIG,
        LITTLE,
        OPTIONS,
    ),
    "bedrock converse": Row(aws, converse, *BEDROCK, "inferenceConfig.maxTokens", "max_tokens"),
    "bedrock converse stream": Row(
        aws,
        lambda c, m, n: c.converse_stream(**conversed(m, n)),
        *BEDROCK,
        "inferenceConfig.maxTokens",
        "max_tokens",
        lambda reply: reply["stream"],
    ),
    "bedrock invoke": Row(
        aws,
        lambda c, m, n: c.invoke_model(**body(m, n)),
        *BEDROCK,
        words="max_tokens",
        read=lambda reply: reply["body"].read(),
    ),
    "bedrock invoke stream": Row(
        aws,
        lambda c, m, n: c.invoke_model_with_response_stream(**body(m, n)),
        *BEDROCK,
        words="max_tokens",
        read=lambda reply: reply["body"],
    ),
    "litellm": Row(lite("openai"), completed, LITE, LITE_MINI),
    "litellm stream": Row(lite("openai"), lambda c, m, n: completed(c, m, n, **ASKED), LITE, LITE_MINI),
    "litellm claude": Row(
        lite("anthropic"), completed, via_litellm(SONNET, "anthropic"), via_litellm(HAIKU, "anthropic")
    ),
    "litellm text": Row(
        lite("openai"),
        lambda c, m, n: litellm.text_completion("hello there", m, max_tokens=n, **c),
        via_litellm(INSTRUCT, "text-completion-openai"),
        via_litellm(BABBAGE, "text-completion-openai"),
    ),
    "litellm embedding": Row(
        lite("openai"),
        lambda c, m, n: litellm.embedding(m, ["hello there"], **c),
        via_litellm(LARGE, "openai"),
        via_litellm(SMALL, "openai"),
        cap=None,
    ),
    "litellm router": Row(lite("openai"), routed, LITE, LITE_MINI),
}

ASYNC = {
    "openai chat": Row(AGPTS, chat, GPT, MINI),
    "openai chat stream": Row(AGPTS, lambda c, m, n: chat(c, m, n, **STREAM), GPT, MINI),
    "openai responses stream": Row(
        AGPTS, lambda c, m, n: respond(c, m, n, **STREAM), GPT, MINI, "max_output_tokens", "incomplete"
    ),
    "anthropic messages": Row(ACLAUDES, message, SONNET, HAIKU, words="max_tokens"),
    "anthropic helper": Row(
        ACLAUDES,
        lambda c, m, n: c.messages.stream(model=m, messages=MESSAGES, max_tokens=n),
        SONNET,
        HAIKU,
        words="max_tokens",
    ),
    "gemini": Row(agemini, generate, PRO, FLASH, GEMINI_CAP, "MAX_TOKENS"),
    "gemini stream": Row(agemini, generate_stream, PRO, FLASH, GEMINI_CAP, "MAX_TOKENS"),
    "groq": Row(agroqs, chat, LLAMA, INSTANT),
    "groq stream": Row(agroqs, lambda c, m, n: chat(c, m, n, **STREAM), LLAMA, INSTANT),
    "mistral": Row(
        amistrals,
        lambda c, m, n: c.chat.complete_async(model=m, messages=MESSAGES, max_tokens=n),
        MISTRAL,
        MINISTRAL,
    ),
    "mistral stream": Row(
        amistrals,
        lambda c, m, n: c.chat.stream_async(model=m, messages=MESSAGES, max_tokens=n),
        MISTRAL,
        MINISTRAL,
    ),
    "cohere": Row(
        acoheres,
        lambda c, m, n: c.chat(model=m, messages=MESSAGES, max_tokens=n),
        COMMAND,
        R7B,
        words="MAX_TOKENS",
    ),
    "cohere stream": Row(
        acoheres,
        lambda c, m, n: c.chat_stream(model=m, messages=MESSAGES, max_tokens=n),
        COMMAND,
        R7B,
        words="MAX_TOKENS",
    ),
    "ollama": Row(
        AOLLAMAS, lambda c, m, n: c.chat(m, MESSAGES, options={"num_predict": n}), BIG, LITTLE, OPTIONS
    ),
    "ollama stream": Row(
        AOLLAMAS,
        lambda c, m, n: c.chat(m, MESSAGES, options={"num_predict": n}, stream=True),
        BIG,
        LITTLE,
        OPTIONS,
    ),
    "litellm": Row(alite, acompleted, LITE, LITE_MINI),
    "litellm stream": Row(alite, lambda c, m, n: acompleted(c, m, n, **ASKED), LITE, LITE_MINI),
    "litellm router": Row(alite, arouted, LITE, LITE_MINI),
}


# -- the tests -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _priced(store: MemoryStore) -> None:
    allowance.configure(store=store, project=PROJECT, prices=OLLAMA)


def whole(row: Row, reply: Any) -> str:
    """All that came back, as text: streams are read to their end."""
    if not isinstance(reply, dict) and hasattr(reply, "__enter__"):
        with reply as entered:
            return str(list(entered))
    found = row.read(reply)
    return (
        str(list(found))
        if hasattr(found, "__iter__") and not isinstance(found, (dict, bytes))
        else str(found)
    )


async def awhole(row: Row, reply: Any) -> str:
    if inspect.isawaitable(reply):
        reply = await reply
    if hasattr(reply, "__aenter__"):
        async with reply as entered:
            return str([each async for each in entered])
    if hasattr(reply, "__aiter__"):
        return str([each async for each in reply])
    return str(reply)


def run(way: str, row: Row, client: Any, cap: int, limit: Decimal, strategy: OnShort | None) -> str:
    def ask() -> str:
        return whole(row, row.call(client, row.dear.name, cap))

    if way == "decorated":
        return budgeted(user="alice", limit=limit, on_exceeded=strategy)(ask)()
    with budget("alice", limit=limit, on_exceeded=strategy):
        return ask()


async def arun(way: str, row: Row, client: Any, cap: int, limit: Decimal, strategy: OnShort | None) -> str:
    async def ask() -> str:
        return await awhole(row, row.call(client, row.dear.name, cap))

    if way == "decorated":
        return await budgeted(user="alice", limit=limit, on_exceeded=strategy)(ask)()
    async with budget("alice", limit=limit, on_exceeded=strategy):
        return await ask()


def sent_model(call: Call) -> str:
    """What the request names, in its body or in its path."""
    return str(call.body.get("model") or call.model)


def sent_cap(call: Call, path: str) -> Any:
    found: Any = call.body
    for name in path.split("."):
        found = found[name]
    return found


def check(row: Row, provider: Provider, store: MemoryStore, model: Model, out: int) -> Call:
    (call,) = provider.calls
    assert sent_model(call) == model.name.rpartition("/")[2]
    (entry,) = lines(store, "alice")
    assert books(store, "alice") == (model.cost(out), 0)
    assert entry.model is not None
    assert model.name.rpartition("/")[2] in entry.model
    assert not entry.counted
    return call


@pytest.mark.parametrize("way", ["block", "decorated"])
@pytest.mark.parametrize("name", SYNC)
def test_downgrade_sends_and_charges_the_cheaper_model(
    name: str, way: str, provider: Provider, store: MemoryStore
) -> None:
    row = SYNC[name]
    with ExitStack() as stack:
        client = row.client(provider, stack)
        with pytest.raises(BudgetExceededError) as refused:
            run(way, row, client, 50, usd(1), None)
        limit = refused.value.projected - usd(1)
        run(way, row, client, 50, limit, downgrade(row.cheap.name))
    check(row, provider, store, row.cheap, 0 if row.cap is None else 5)


@pytest.mark.parametrize("way", ["block", "decorated"])
@pytest.mark.parametrize("name", ASYNC)
async def test_downgrade_sends_and_charges_the_cheaper_model_in_async_calls(
    name: str, way: str, provider: Provider, store: MemoryStore
) -> None:
    row = ASYNC[name]
    async with AsyncExitStack() as stack:
        client = row.client(provider, stack)
        with pytest.raises(BudgetExceededError) as refused:
            await arun(way, row, client, 50, usd(1), None)
        limit = refused.value.projected - usd(1)
        await arun(way, row, client, 50, limit, downgrade(row.cheap.name))
    check(row, provider, store, row.cheap, 5)


@pytest.mark.parametrize("way", ["block", "decorated"])
@pytest.mark.parametrize("name", [name for name, row in SYNC.items() if row.cap is not None])
def test_clamp_puts_in_the_cap_and_the_reply_says_so(
    name: str, way: str, provider: Provider, store: MemoryStore
) -> None:
    row = SYNC[name]
    provider.reply(usage="cap")
    with ExitStack() as stack:
        client = row.client(provider, stack)
        with pytest.raises(BudgetExceededError) as refused:
            run(way, row, client, 50, usd(1), None)
        limit = refused.value.projected - usd(10 * row.dear.out)
        said = run(way, row, client, 50, limit, clamp())
    call = check(row, provider, store, row.dear, 40)
    assert row.cap is not None
    assert sent_cap(call, row.cap) == 40
    assert row.words in said


@pytest.mark.parametrize("way", ["block", "decorated"])
@pytest.mark.parametrize("name", ASYNC)
async def test_clamp_puts_in_the_cap_and_the_reply_says_so_in_async_calls(
    name: str, way: str, provider: Provider, store: MemoryStore
) -> None:
    row = ASYNC[name]
    provider.reply(usage="cap")
    async with AsyncExitStack() as stack:
        client = row.client(provider, stack)
        with pytest.raises(BudgetExceededError) as refused:
            await arun(way, row, client, 50, usd(1), None)
        limit = refused.value.projected - usd(10 * row.dear.out)
        said = await arun(way, row, client, 50, limit, clamp())
    call = check(row, provider, store, row.dear, 40)
    assert row.cap is not None
    assert sent_cap(call, row.cap) == 40
    assert row.words in said
