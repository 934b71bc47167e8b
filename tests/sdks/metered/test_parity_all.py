"""What each installed SDK hands out, with and without a budget: all that can be asked of it, side by side.

What differs stands in `DIFFERENT`, each with its reason; nothing else may, and none of it may vanish unseen.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import pickle
import re
import sys
from collections import abc
from collections.abc import Callable
from typing import Any

import pytest

import allowance
from allowance import Price, budget, sdks
from allowance.sdks import registry
from allowance.stores.memory import MemoryStore
from tests.calls.support import CHAT, CLAUDE, GEMINI, MESSAGES, PROJECT, books
from tests.provider import Provider, clients

from . import every

# LiteLLM and pydantic warn of one another, and google-genai of its own base classes.
pytestmark = pytest.mark.filterwarnings("ignore")

DIFFERENT = {
    "type": "a stream that is followed is of a class of its own: `__class__` and isinstance() say the SDK's",
    "has __copy__": "a copy of a stream shares its source, and so must be followed as well",
    "has __slots__": "that class has slots, whatever the SDK's own has",
    "module": "generators have none, and that class has the one of their type",
    "methods of generators": "are built in, and those that a followed one has are not",
    "values": "LiteLLM's stream says in `stream_options` that it was asked for its usage: `stream_usage=`",
}
FOLLOWED = {"type", "has __copy__"}
SLOTTED = {*FOLLOWED, "has __slots__"}
GENERATORS = {*SLOTTED, "module", "methods of generators"}


SPECIAL = (
    *("__len__", "__iter__", "__next__", "__aiter__", "__anext__", "__enter__", "__exit__", "__aenter__"),
    *(
        "__aexit__",
        "__getitem__",
        "__setitem__",
        "__contains__",
        "__call__",
        "__bool__",
        "__index__",
        "__int__",
    ),
    *(
        "__float__",
        "__bytes__",
        "__await__",
        "__reversed__",
        "__add__",
        "__lt__",
        "__missing__",
        "__fspath__",
    ),
    *(
        "__copy__",
        "__deepcopy__",
        "__wrapped__",
        "__del__",
        "__get__",
        "__set_name__",
        "__slots__",
        "__dict__",
    ),
    *("send", "throw", "close", "aclose", "asend", "athrow", "response", "nonsense"),
)
KINDS = (
    *(abc.Iterable, abc.Iterator, abc.AsyncIterable, abc.AsyncIterator, abc.Generator, abc.AsyncGenerator),
    *(abc.Sized, abc.Container, abc.Hashable, abc.Callable, abc.Awaitable, abc.Mapping, abc.Sequence),
    *(contextlib.AbstractContextManager, contextlib.AbstractAsyncContextManager),
)
ASKED = (
    *(inspect.isgenerator, inspect.isasyncgen, inspect.isawaitable, inspect.iscoroutine, inspect.isroutine),
    *(inspect.iscoroutinefunction, inspect.isclass, inspect.ismodule, callable, bool),
)


def outcome(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:
        return type(error), plain_text(str(error))


def plain_text(text: str) -> str:
    """Without addresses and times; long texts tell both."""
    return re.sub(r"0x[0-9a-f]+|\d+\.\d+|\d{9,}|'[0-9a-f-]{30,}'", "", text)


def attempt(run: Callable[[], Any]) -> Any:
    """Of what fails for the client, coroutine or lock within it, whichever comes first."""
    try:
        return run()
    except Exception:
        return None


def looks(thing: Any) -> dict[str, Any]:
    """What can be asked of a thing without using it up, by question."""
    kind = thing.__class__
    public = [name for name in dir(thing) if not name.startswith("_")]
    seen = {
        "type": type(thing),
        "class": kind,
        "names": [name for name in dir(thing) if name != "__slotnames__"],  # pickle's own note
        "bases": [isinstance(thing, base) for base in kind.__mro__],
        "kinds": [isinstance(thing, base) for base in KINDS],
        "asked": [outcome(lambda question=question: question(thing)) for question in ASKED],
        "repr": plain_text(repr(thing)) if len(repr(thing)) < 200 else "",
        "equal": (thing == thing, thing != thing, thing == object()),
        "hash": outcome(lambda: hash(thing) == hash(thing)),
        "length": outcome(lambda: len(thing)),
        "in a set": outcome(lambda: thing in {thing: 1}),
        "the same": [outcome(lambda: iter(thing) is thing), outcome(lambda: aiter(thing) is thing)],
        "turns": [outcome(lambda: type(iter(thing)).__name__), outcome(lambda: type(aiter(thing)).__name__)],
        "copy": outcome(lambda: copy.copy(thing).__class__),
        "deepcopy": attempt(lambda: copy.deepcopy(thing).__class__),
        "pickle": attempt(lambda: type(pickle.loads(pickle.dumps(thing)))),
        "fields": sorted(vars(thing)) if hasattr(thing, "__dict__") else None,
        "values": {name: outcome(lambda name=name: getattr(thing, name).__class__) for name in public},
        "doc": thing.__doc__,
        "module": getattr(thing, "__module__", None),
        "name of type": (type(thing).__name__, type(thing).__module__, type(thing).__doc__),
    }
    seen |= {f"has {name}": hasattr(thing, name) for name in SPECIAL}
    methods = [name for name in public if inspect.isroutine(inspect.getattr_static(kind, name, None))]
    for name in methods:
        method = getattr(thing, name)
        seen[f"method {name}"] = (
            *(
                str(outcome(lambda method=method: inspect.signature(method))),
                method.__doc__,
                getattr(method, "__name__", None),
            ),
            *(inspect.ismethod(method), inspect.isroutine(method), inspect.iscoroutinefunction(method)),
        )
    return seen


def unlike(plain: Any, metered: Any) -> set[str]:
    """The questions to which they answer differently."""
    one, other = looks(plain), looks(metered)
    names = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    if inspect.isgenerator(plain) or inspect.isasyncgen(plain):
        methods = {
            "values",
            *(f"method {name}" for name in ("send", "throw", "close", "asend", "athrow", "aclose")),
        }
        return names - methods | ({"methods of generators"} if names & methods else set())
    return names


@pytest.fixture(autouse=True)
def _priced(store: MemoryStore) -> None:
    allowance.configure(store=store, project=PROJECT, prices={"local": Price(input=1, output=2)})


RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 50}
LLAMA: dict[str, Any] = {**CHAT, "model": "llama-3.3-70b-versatile"}
MISTRAL: dict[str, Any] = {"model": "mistral-small-latest", "messages": MESSAGES, "max_tokens": 50}
COMMAND: dict[str, Any] = {"model": "command-a-03-2025", "messages": MESSAGES, "max_tokens": 50}
PROMPT: dict[str, Any] = {"model": "gpt-4o", "prompt": "hello", "max_tokens": 50}
EMBED: dict[str, Any] = {"model": "text-embedding-3-small", "input": "a"}
CONVERSE: dict[str, Any] = {
    "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
    "inferenceConfig": {"maxTokens": 50},
}


def through_litellm(client: Any, provider: Provider, **options: Any) -> Any:
    return client.completion(**CHAT, **clients.litellm_kwargs(provider), **options)


Ask = Callable[[Any, Provider], Any]

REPLIES: dict[str, tuple[Any, Ask]] = {
    "openai chat": (clients.openai_sync, lambda c, _: c.chat.completions.create(**CHAT)),
    "openai parse": (clients.openai_sync, lambda c, _: c.chat.completions.parse(**CHAT)),
    "openai raw": (clients.openai_sync, lambda c, _: c.chat.completions.with_raw_response.create(**CHAT)),
    "openai responses": (clients.openai_sync, lambda c, _: c.responses.create(**RESPONSE)),
    "openai completions": (clients.openai_sync, lambda c, _: c.completions.create(**PROMPT)),
    "openai embeddings": (clients.openai_sync, lambda c, _: c.embeddings.create(**EMBED)),
    "anthropic": (clients.anthropic_sync, lambda c, _: c.messages.create(**CLAUDE)),
    "anthropic raw": (clients.anthropic_sync, lambda c, _: c.messages.with_raw_response.create(**CLAUDE)),
    "google-genai": (every.gemini_sync, lambda c, _: c.models.generate_content(**GEMINI)),
    "groq": (every.groq_sync, lambda c, _: c.chat.completions.create(**LLAMA)),
    "litellm": (every.litellm_sync, through_litellm),
    "mistralai": (every.mistral_sync, lambda c, _: c.chat.complete(**MISTRAL)),
    "cohere": (every.cohere_sync, lambda c, _: c.chat(**COMMAND)),
    "ollama": (every.ollama_sync, lambda c, _: c.chat("local", MESSAGES)),
    "bedrock": (every.bedrock, lambda c, _: c.converse(**CONVERSE)),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply(name: str, provider: Provider, store: MemoryStore) -> None:
    client_of, ask = REPLIES[name]
    with client_of(provider) as client:
        plain = ask(client, provider)
        with budget("alice", limit=1):
            metered = ask(client, provider)
    assert unlike(plain, metered) == set()
    if looks(plain)["pickle"] is type(plain):
        assert unlike(pickle.loads(pickle.dumps(plain)), pickle.loads(pickle.dumps(metered))) == set()
    assert books(store, "alice")[1] == 0


AREPLIES: dict[str, tuple[Any, Ask]] = {
    "openai chat": (clients.openai_async, lambda c, _: c.chat.completions.create(**CHAT)),
    "openai raw": (clients.openai_async, lambda c, _: c.chat.completions.with_raw_response.create(**CHAT)),
    "openai responses": (clients.openai_async, lambda c, _: c.responses.create(**RESPONSE)),
    "anthropic": (clients.anthropic_async, lambda c, _: c.messages.create(**CLAUDE)),
    "google-genai": (every.gemini_async, lambda c, _: c.models.generate_content(**GEMINI)),
    "groq": (every.groq_async, lambda c, _: c.chat.completions.create(**LLAMA)),
    "litellm": (
        every.litellm_async,
        lambda c, provider: c.acompletion(**CHAT, **clients.litellm_kwargs(provider)),
    ),
    "mistralai": (every.mistral_async, lambda c, _: c.chat.complete_async(**MISTRAL)),
    "cohere": (every.cohere_async, lambda c, _: c.chat(**COMMAND)),
    "ollama": (every.ollama_async, lambda c, _: c.chat("local", MESSAGES)),
}


@pytest.mark.parametrize("name", AREPLIES)
async def test_an_async_reply(name: str, provider: Provider, store: MemoryStore) -> None:
    client_of, ask = AREPLIES[name]
    async with client_of(provider) as client:
        asked = ask(client, provider)
        plain = await asked
        with budget("alice", limit=1):
            other = ask(client, provider)
            assert (type(other), inspect.isawaitable(other)) == (type(asked), True)
            metered = await other
    assert unlike(plain, metered) == set()
    assert books(store, "alice")[1] == 0


STREAMS: dict[str, tuple[Any, Ask, set[str]]] = {
    "openai chat": (
        clients.openai_sync,
        lambda c, _: c.chat.completions.create(**CHAT, stream=True),
        FOLLOWED,
    ),
    "openai responses": (
        clients.openai_sync,
        lambda c, _: c.responses.create(**RESPONSE, stream=True),
        FOLLOWED,
    ),
    "openai completions": (
        clients.openai_sync,
        lambda c, _: c.completions.create(**PROMPT, stream=True),
        FOLLOWED,
    ),
    "openai raw": (
        clients.openai_sync,
        lambda c, _: c.chat.completions.with_raw_response.create(**CHAT, stream=True),
        FOLLOWED,
    ),
    "openai chat helper": (clients.openai_sync, lambda c, _: c.chat.completions.stream(**CHAT), set()),
    "openai responses helper": (clients.openai_sync, lambda c, _: c.responses.stream(**RESPONSE), set()),
    "openai streaming response": (
        clients.openai_sync,
        lambda c, _: c.chat.completions.with_streaming_response.create(**CHAT),
        set(),
    ),
    "anthropic": (
        clients.anthropic_sync,
        lambda c, _: c.messages.create(**CLAUDE, stream=True),
        FOLLOWED,
    ),
    "anthropic helper": (clients.anthropic_sync, lambda c, _: c.messages.stream(**CLAUDE), set()),
    "google-genai": (every.gemini_sync, lambda c, _: c.models.generate_content_stream(**GEMINI), set()),
    "groq": (
        every.groq_sync,
        lambda c, _: c.chat.completions.create(**LLAMA, stream=True),
        FOLLOWED,
    ),
    "litellm": (
        every.litellm_sync,
        lambda c, provider: through_litellm(c, provider, stream=True),
        {*SLOTTED, "values"},
    ),
    "mistralai": (every.mistral_sync, lambda c, _: c.chat.stream(**MISTRAL), FOLLOWED),
    "cohere": (every.cohere_sync, lambda c, _: c.chat_stream(**COMMAND), set()),
    "ollama": (
        every.ollama_sync,
        lambda c, _: c.chat("local", MESSAGES, stream=True),
        GENERATORS,
    ),
    "bedrock": (
        every.bedrock,
        lambda c, _: c.converse_stream(**CONVERSE)["stream"],
        SLOTTED,
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(name: str, provider: Provider, store: MemoryStore) -> None:
    client_of, ask, different = STREAMS[name]
    with client_of(provider) as client:
        plain = ask(client, provider)
        with budget("alice", limit=1):
            metered = ask(client, provider)
            assert unlike(plain, metered) == different
            use_up(plain), use_up(metered)
            assert unlike(plain, metered) == different
    assert books(store, "alice")[1] == 0


def use_up(stream: Any) -> None:
    if hasattr(stream, "__iter__"):
        for _ in stream:
            pass
    elif hasattr(stream, "parse"):
        use_up(stream.parse())
    else:
        with stream as entered:
            use_up(entered)


async def ause_up(stream: Any) -> None:
    if hasattr(stream, "__aiter__"):
        async for _ in stream:
            pass
    else:
        async with stream as entered:
            await ause_up(entered)


ASTREAMS: dict[str, tuple[Any, Ask, set[str]]] = {
    "openai chat": (
        clients.openai_async,
        lambda c, _: c.chat.completions.create(**CHAT, stream=True),
        FOLLOWED,
    ),
    "openai chat helper": (clients.openai_async, lambda c, _: c.chat.completions.stream(**CHAT), set()),
    "openai responses helper": (clients.openai_async, lambda c, _: c.responses.stream(**RESPONSE), set()),
    "anthropic": (
        clients.anthropic_async,
        lambda c, _: c.messages.create(**CLAUDE, stream=True),
        FOLLOWED,
    ),
    "anthropic helper": (clients.anthropic_async, lambda c, _: c.messages.stream(**CLAUDE), set()),
    "google-genai": (every.gemini_async, lambda c, _: c.models.generate_content_stream(**GEMINI), set()),
    "groq": (
        every.groq_async,
        lambda c, _: c.chat.completions.create(**LLAMA, stream=True),
        FOLLOWED,
    ),
    "litellm": (
        every.litellm_async,
        lambda c, provider: c.acompletion(**CHAT, **clients.litellm_kwargs(provider), stream=True),
        {*SLOTTED, "values"},
    ),
    "mistralai": (every.mistral_async, lambda c, _: c.chat.stream_async(**MISTRAL), FOLLOWED),
    "cohere": (every.cohere_async, lambda c, _: c.chat_stream(**COMMAND), set()),
    "ollama": (
        every.ollama_async,
        lambda c, _: c.chat("local", MESSAGES, stream=True),
        GENERATORS,
    ),
}


@pytest.mark.parametrize("name", ASTREAMS)
async def test_an_async_stream(name: str, provider: Provider, store: MemoryStore) -> None:
    client_of, ask, different = ASTREAMS[name]

    async def made() -> Any:
        asked = ask(client, provider)
        return await asked if inspect.isawaitable(asked) else asked

    async with client_of(provider) as client:
        plain = await made()
        async with budget("alice", limit=1):
            metered = await made()
            assert unlike(plain, metered) == different
            await ause_up(plain)
            await ause_up(metered)
            assert unlike(plain, metered) == different
    assert books(store, "alice")[1] == 0


def test_every_difference_has_its_reason() -> None:
    named = {
        name for table in (STREAMS, ASTREAMS) for _, _, different in table.values() for name in different
    }
    assert named == set(DIFFERENT)


def places() -> list[tuple[str, str]]:
    """Every function of an installed SDK that is metered."""
    return sorted(
        {
            (point.module, point.name)
            for sdk in registry._SDKS.values()
            for point in sdk.points
            if found(point)
        }
    )


def found(point: Any) -> bool:
    return point.module in sys.modules and placed(point.module, point.name) is not None


def placed(module: str, name: str) -> Any:
    holder: Any = sys.modules[module]
    for part in name.split("."):
        holder = getattr(holder, part, None)
    return holder


def test_every_metered_function_looks_as_the_sdks_own() -> None:
    for name in (
        "openai",
        "anthropic",
        "google.genai",
        "litellm",
        "groq",
        "mistralai.client",
        "cohere",
        "ollama",
        "boto3",
    ):
        importlib.import_module(name)

    def observe() -> dict[str, Any]:
        return {f"{module}:{name}": facts(placed(module, name)) for module, name in places()}

    def facts(function: Any) -> dict[str, Any]:
        names = (
            "__class__",
            "__name__",
            "__qualname__",
            "__doc__",
            "__module__",
            "__annotations__",
        )
        asked = (
            *(inspect.signature, inspect.getsource, inspect.iscoroutinefunction, inspect.isgeneratorfunction),
            *(inspect.isasyncgenfunction, inspect.isfunction, inspect.isroutine),
        )
        return {name: getattr(function, name, None) for name in names} | {
            question.__name__: question(function) for question in asked
        }

    metered = observe()
    sdks.uninstrument()
    plain = observe()
    assert len(plain) > 60
    for place, seen in plain.items():
        assert {name for name in seen if seen[name] != metered[place][name]} == set(), place
