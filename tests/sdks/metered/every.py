"""A client of each SDK against the loopback provider, as a context manager that closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import groq
import httpx

from tests.provider import Provider, clients


@contextmanager
def gemini_sync(provider: Provider) -> Iterator[Any]:
    with closing(clients.gemini(provider)) as client:
        yield client


@contextmanager
def groq_sync(provider: Provider) -> Iterator[Any]:
    http = groq.DefaultHttpxClient(trust_env=False)
    with groq.Groq(api_key="k", base_url=provider.url, max_retries=0, http_client=http) as client:
        yield client


@contextmanager
def litellm_sync(provider: Provider) -> Iterator[Any]:
    import litellm

    yield litellm
    clients.close_litellm()


@contextmanager
def mistral_sync(provider: Provider) -> Iterator[Any]:
    from mistralai.client import Mistral

    with (
        httpx.Client(trust_env=False) as http,
        Mistral(api_key="k", server_url=f"{provider.url}/mistral", client=http) as client,
    ):
        yield client


@contextmanager
def cohere_sync(provider: Provider) -> Iterator[Any]:
    import cohere

    with httpx.Client(trust_env=False) as http:
        yield cohere.ClientV2("k", base_url=provider.url, httpx_client=http, max_retries=0)


@contextmanager
def ollama_sync(provider: Provider) -> Iterator[Any]:
    import ollama

    with ollama.Client(provider.url, trust_env=False) as client:
        yield client


@contextmanager
def bedrock(provider: Provider) -> Iterator[Any]:
    import boto3
    from botocore.config import Config

    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    with closing(boto3.client("bedrock-runtime", endpoint_url=provider.url, config=config, **keys)) as client:
        yield client


@asynccontextmanager
async def groq_async(provider: Provider) -> AsyncIterator[Any]:
    http = groq.DefaultAsyncHttpxClient(trust_env=False)
    async with groq.AsyncGroq(api_key="k", base_url=provider.url, max_retries=0, http_client=http) as client:
        yield client


@asynccontextmanager
async def gemini_async(provider: Provider) -> AsyncIterator[Any]:
    client = clients.gemini(provider)
    yield client.aio
    await client.aio.aclose()
    client.close()


@asynccontextmanager
async def litellm_async(provider: Provider) -> AsyncIterator[Any]:
    import litellm

    yield litellm


@asynccontextmanager
async def mistral_async(provider: Provider) -> AsyncIterator[Any]:
    from mistralai.client import Mistral

    async with (
        httpx.AsyncClient(trust_env=False) as http,
        Mistral(api_key="k", server_url=f"{provider.url}/mistral", async_client=http) as client,
    ):
        yield client


@asynccontextmanager
async def cohere_async(provider: Provider) -> AsyncIterator[Any]:
    import cohere

    async with httpx.AsyncClient(trust_env=False) as http:
        yield cohere.AsyncClientV2("k", base_url=provider.url, httpx_client=http, max_retries=0)


@asynccontextmanager
async def ollama_async(provider: Provider) -> AsyncIterator[Any]:
    import ollama

    async with ollama.AsyncClient(provider.url, trust_env=False) as client:
        yield client
