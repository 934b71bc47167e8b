"""Metered or not: clients, replies and streams look and behave the same to who uses them.

Each case is made twice, without any budget and inside a block, and what can be observed is compared, and how
it is used up. What is seen of every SDK's, and the few things that differ, are in ``test_parity_all``.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import pickle
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from allowance import budget, sdks
from allowance.stores.memory import MemoryStore
from tests.calls.support import CHAT, CLAUDE, GEMINI, books
from tests.provider import Provider, clients

# LiteLLM and pydantic warn of one another, and google-genai of its own base classes.
pytestmark = pytest.mark.filterwarnings("ignore")

STREAM = {"stream": True}
RESPONSE = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}


class Sdks:
    """A synchronous client of each SDK."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.openai = clients.openai_sync(provider)
        self.anthropic = clients.anthropic_sync(provider)
        self.gemini = clients.gemini(provider)

    def litellm(self, **options: Any) -> Any:
        import litellm

        return litellm.completion(**CHAT, **clients.litellm_kwargs(self.provider), **options)


@pytest.fixture
def each(provider: Provider) -> Iterator[Sdks]:
    made = Sdks(provider)
    with made.openai, made.anthropic, contextlib.closing(made.gemini):
        yield made
    clients.close_litellm()


def both(make: Callable[[], Any], observe: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What is observed of what is made without any budget, and inside a block."""
    plain = observe(make())
    with budget("alice", limit=1):
        metered = observe(make())
    return plain, metered


def looks(thing: Any) -> dict[str, Any]:
    """What can be seen without using it."""
    kind = thing.__class__
    names = sorted(name for name in dir(thing) if not name.startswith("__"))
    methods = [name for name in names if not name.startswith("_") and inspect.isroutine(vars(kind).get(name))]
    return {
        "class": kind,
        "isinstance": [isinstance(thing, base) for base in kind.__mro__],
        "repr": "" if inspect.isgenerator(thing) else shown(thing),
        "names": names,
        "signatures": {
            name: str(outcome(lambda name=name: inspect.signature(getattr(thing, name)))) for name in methods
        },
        "docs": [thing.__doc__, *(getattr(thing, name).__doc__ for name in methods)],
        "true": bool(thing),
        "equal": (thing == thing, thing == object(), hash(thing) == hash(thing) if kind.__hash__ else None),
        "generator": (inspect.isgenerator(thing), inspect.isasyncgen(thing), inspect.isawaitable(thing)),
        "pickle": attempt(lambda: type(pickle.loads(pickle.dumps(thing)))),
        "deepcopy": attempt(lambda: copy.deepcopy(thing).__class__),
        "copy": outcome(lambda: copy.copy(thing).__class__),
    }


def shown(thing: Any) -> str:
    text = repr(thing)
    return re.sub("0x[0-9a-f]+", "", text) if len(text) < 200 else ""  # longer ones tell the time


def outcome(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:
        return type(error), re.sub("0x[0-9a-f]+", "", str(error))


def attempt(run: Callable[[], Any]) -> Any:
    """None for what cannot be done; of the things within that forbid it, any may be met first."""
    try:
        return run()
    except Exception:
        return None


REPLIES: dict[str, Callable[[Sdks], Any]] = {
    "openai chat": lambda each: each.openai.chat.completions.create(**CHAT),
    "openai raw": lambda each: each.openai.chat.completions.with_raw_response.create(**CHAT),
    "openai responses": lambda each: each.openai.responses.create(**RESPONSE),
    "openai embeddings": lambda each: each.openai.embeddings.create(
        model="text-embedding-3-small", input="a"
    ),
    "anthropic": lambda each: each.anthropic.messages.create(**CLAUDE),
    "google-genai": lambda each: each.gemini.models.generate_content(**GEMINI),
    "litellm": lambda each: each.litellm(),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_the_sdks_own(name: str, each: Sdks, store: MemoryStore) -> None:
    def observe(reply: Any) -> dict[str, Any]:
        seen = looks(reply) | {"type": type(reply), "mro": type(reply).__mro__}
        if hasattr(reply, "model_dump"):
            seen["content"] = reply.model_dump(exclude={"sdk_http_response", "created", "id"})
            seen["back"] = pickle.loads(pickle.dumps(reply)).model_dump() == reply.model_dump()
        return seen

    plain, metered = both(lambda: REPLIES[name](each), observe)
    assert plain == metered
    spent, held = books(store, "alice")
    assert spent > 0
    assert held == 0


STREAMS: dict[str, Callable[[Sdks], Any]] = {
    "openai chat": lambda each: each.openai.chat.completions.create(**CHAT, stream=True),
    "openai responses": lambda each: each.openai.responses.create(**RESPONSE, stream=True),
    "anthropic": lambda each: each.anthropic.messages.create(**CLAUDE, stream=True),
    "google-genai": lambda each: each.gemini.models.generate_content_stream(**GEMINI),
    "litellm": lambda each: each.litellm(stream=True),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_looks_like_the_sdks_own(name: str, each: Sdks, store: MemoryStore) -> None:
    def observe(stream: Any) -> dict[str, Any]:
        seen = looks(stream)
        end_of(stream)
        return seen

    plain, metered = both(lambda: STREAMS[name](each), observe)
    assert plain == metered
    assert books(store, "alice")[1] == 0


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_iterated_as_the_sdks_own(name: str, each: Sdks, store: MemoryStore) -> None:
    def observe(stream: Any) -> list[Any]:
        chunks = [next(stream), *stream]
        ended = [outcome(lambda: next(stream)), list(stream)]
        return [(type(chunk), str(content(chunk))) for chunk in chunks] + ended

    def content(chunk: Any) -> Any:
        return chunk.model_dump(exclude={"sdk_http_response", "created", "id"})

    plain, metered = both(lambda: STREAMS[name](each), observe)
    assert plain == metered
    assert books(store, "alice")[1] == 0


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in ("google-genai", "litellm")])
def test_a_stream_is_entered_left_and_closed_as_the_sdks_own(
    name: str, each: Sdks, store: MemoryStore
) -> None:
    def observe(stream: Any) -> list[Any]:
        with stream as entered:
            seen = [entered is stream, next(entered).__class__]
        return [*seen, stream.response.is_closed, stream.close(), stream.close(), stream.response.is_closed]

    plain, metered = both(lambda: STREAMS[name](each), observe)
    assert plain == metered
    assert metered[0] is True
    assert books(store, "alice")[1] == 0


HELPERS: dict[str, Callable[[Sdks], Any]] = {
    "openai chat": lambda each: each.openai.chat.completions.stream(**CHAT),
    "openai responses": lambda each: each.openai.responses.stream(model="gpt-4o", input="hello there"),
    "anthropic": lambda each: each.anthropic.messages.stream(**CLAUDE),
}


@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_and_what_it_is_entered_as_look_like_the_sdks_own(
    name: str, each: Sdks, store: MemoryStore
) -> None:
    def observe(manager: Any) -> list[Any]:
        seen = [looks(manager)]
        with manager as entered:
            seen.append(looks(entered))
            seen.append(
                [type(event) for event in entered] if hasattr(entered, "__next__") else entered.json()
            )
        return seen

    plain, metered = both(lambda: HELPERS[name](each), observe)
    assert plain == metered
    assert books(store, "alice")[1] == 0


def end_of(stream: Any) -> None:
    for _ in stream:
        pass


@pytest.fixture
async def aclients(provider: Provider) -> AsyncIterator[tuple[Any, Any]]:
    async with clients.openai_async(provider) as openai, clients.anthropic_async(provider) as anthropic:
        yield openai, anthropic


ASYNC: dict[str, Callable[[Any, Any], Any]] = {
    "openai": lambda openai, _: openai.chat.completions.create(**CHAT, stream=True),
    "anthropic": lambda _, anthropic: anthropic.messages.create(**CLAUDE, stream=True),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_an_async_stream_looks_and_is_iterated_as_the_sdks_own(
    name: str, aclients: tuple[Any, Any], store: MemoryStore
) -> None:
    async def observe() -> list[Any]:
        asked = ASYNC[name](*aclients)
        seen: list[Any] = [inspect.iscoroutine(asked)]
        stream = await asked
        seen.append(looks(stream))
        async with stream as entered:
            seen.append(entered is stream)
            seen.extend([(type(chunk), chunk.model_dump()) async for chunk in entered])
        return [*seen, await stream.close()]

    plain = await observe()
    async with budget("alice", limit=1):
        assert await observe() == plain
    assert books(store, "alice")[1] == 0


def test_clients_and_their_classes_look_as_before_they_were_instrumented(each: Sdks) -> None:
    import anthropic
    import openai
    from google.genai.models import AsyncModels, Models

    def observe() -> list[Any]:
        kinds = (openai.OpenAI, openai.AsyncOpenAI, anthropic.Anthropic, anthropic.AsyncAnthropic)
        seen: list[Any] = [[kind.__mro__, *signature(kind.request)] for kind in kinds]
        for kind in (Models, AsyncModels):
            functions = [
                value for name in dir(kind) if callable(value := getattr(kind, name)) and name[:2] != "__"
            ]
            seen.extend(signature(function) for function in functions)
        for client in (each.openai, each.anthropic):
            seen.append([type(client).__mro__, signature(client.request), sorted(vars(client))])
            seen.append(copy.copy(client).__class__)
            seen.append(client.with_options(timeout=3).__class__)
        return seen

    def signature(function: Any) -> list[Any]:
        return [
            inspect.signature(function),
            inspect.iscoroutinefunction(function),
            inspect.isfunction(function),
            inspect.ismethod(function),
            function.__name__,
            function.__qualname__,
            function.__doc__,
            function.__module__,
        ]

    metered = observe()
    sdks.uninstrument()
    assert metered == observe()
