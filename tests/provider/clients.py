"""Clients of the real SDKs against the loopback provider: no retries, no proxies, closed by the fixture."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import anthropic
    import openai
    from google import genai

    from tests.provider.server import Provider

__all__ = [
    "aclose_litellm",
    "anthropic_async",
    "anthropic_sync",
    "close_litellm",
    "gemini",
    "litellm_kwargs",
    "openai_async",
    "openai_sync",
]

_KEY = "test-key"


def openai_sync(provider: Provider, **options: Any) -> openai.OpenAI:
    """The caller closes it: ``with openai_sync(provider) as client``."""
    import openai

    settings = {"api_key": _KEY, "max_retries": 0, "base_url": f"{provider.url}/v1"} | options
    return openai.OpenAI(http_client=openai.DefaultHttpxClient(trust_env=False), **settings)


def openai_async(provider: Provider, **options: Any) -> openai.AsyncOpenAI:
    """The caller closes it: ``async with openai_async(provider) as client``."""
    import openai

    settings = {"api_key": _KEY, "max_retries": 0, "base_url": f"{provider.url}/v1"} | options
    return openai.AsyncOpenAI(http_client=openai.DefaultAsyncHttpxClient(trust_env=False), **settings)


def anthropic_sync(provider: Provider, **options: Any) -> anthropic.Anthropic:
    """The caller closes it: ``with anthropic_sync(provider) as client``."""
    import anthropic

    settings = {"api_key": _KEY, "max_retries": 0, "base_url": provider.url} | options
    return anthropic.Anthropic(http_client=anthropic.DefaultHttpxClient(trust_env=False), **settings)


def anthropic_async(provider: Provider, **options: Any) -> anthropic.AsyncAnthropic:
    """The caller closes it: ``async with anthropic_async(provider) as client``."""
    import anthropic

    settings = {"api_key": _KEY, "max_retries": 0, "base_url": provider.url} | options
    return anthropic.AsyncAnthropic(
        http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False), **settings
    )


def gemini(provider: Provider) -> genai.Client:
    """Sync and ``.aio``. The caller closes both: ``client.close()`` and ``await client.aio.aclose()``."""
    from google import genai
    from google.genai import types

    options = types.HttpOptions(base_url=provider.url, client_args={"trust_env": False})
    options.async_client_args = {"trust_env": False}
    return genai.Client(api_key=_KEY, http_options=options)


def litellm_kwargs(provider: Provider, vendor: str = "openai") -> dict[str, Any]:
    """Arguments for ``litellm.completion(model=..., messages=..., **litellm_kwargs(provider))``."""
    base = f"{provider.url}/v1" if vendor == "openai" else provider.url
    return {"api_base": base, "api_key": _KEY, "num_retries": 0, "max_retries": 0}


def close_litellm() -> None:
    """Close and forget the synchronous clients that LiteLLM keeps for later calls."""
    for key, client in list(_kept_by_litellm().items()):
        if not inspect.iscoroutinefunction(client.close):
            client.close()
            del _kept_by_litellm()[key]


async def aclose_litellm() -> None:
    """Close and forget all of them; the asynchronous ones must be closed in the loop that used them."""
    close_litellm()
    for key, client in list(_kept_by_litellm().items()):
        await client.close()
        del _kept_by_litellm()[key]


def _kept_by_litellm() -> dict[str, Any]:
    litellm = sys.modules.get("litellm")
    return {} if litellm is None else litellm.in_memory_llm_clients_cache.cache_dict
