"""The ollama SDK: each request of its clients ends in one method, with the final JSON.

What runs on the user's own machine has the price zero and is never blocked. Models that Ollama runs in its
cloud (``...-cloud``, or any at ollama.com) are billed, and as unknown as any other model without a price.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from allowance.calls.sdk_call import SdkCall
from allowance.sdks.points import AttributePoint, metered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests.request import Api
    from allowance.sdks.points import Point

__all__ = ["NOT_METERED", "POINTS", "provider"]

NOT_METERED = "web searches and fetches of Ollama's cloud"

_PATHS: dict[str, Api] = {
    "/api/chat": "chat",
    "/api/generate": "chat",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
}


def _read(
    function: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> SdkCall | None:
    path = args[2] if len(args) > 2 else None
    api = _PATHS.get(path) if isinstance(path, str) else None
    body = kwargs.get("json")
    if api is None or not isinstance(body, dict):
        return None
    return SdkCall(
        sdk="ollama",
        function=function,
        args=args,
        kwargs=kwargs,
        arguments={**_arguments(path, body), "stream": bool(kwargs.get("stream"))},
        api="other" if body.get("context") else api,  # tokens of an earlier reply, which are not text
        provider=provider(client),
        with_cap=partial(_with_cap, args, kwargs) if api == "chat" else None,
        with_model=_with_model,
    )


def provider(client: Any) -> str:
    """Who runs the models: the user's own machine, or Ollama's cloud."""
    host = str(getattr(getattr(getattr(client, "_client", None), "base_url", None), "host", ""))
    return "ollama_cloud" if host == "ollama.com" or host.endswith(".ollama.com") else "ollama"


def _arguments(path: str | None, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same in OpenAI's words, where they differ."""
    if path == "/api/embeddings":
        return {**body, "input": body.get("prompt")}
    if path == "/api/embed":
        return body
    messages = body.get("messages")
    if path == "/api/generate":
        system = {"role": "system", "content": body.get("system")}
        asked = {"role": "user", "content": f"{body.get('prompt') or ''}{body.get('suffix') or ''}"}
        messages = [*([system] if body.get("system") else []), {**asked, "images": body.get("images")}]
    options = body.get("options")
    cap = options.get("num_predict") if isinstance(options, dict) else None
    return {
        "model": body.get("model"),
        "messages": [_message(each) for each in messages or ()],
        "tools": body.get("tools"),
        "max_tokens": cap,
    }


def _message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    images = message.get("images")
    if not images:
        return message
    pictures = [{"type": "image", "source": {"media_type": "image/png", "data": each}} for each in images]
    text = {"type": "text", "text": message.get("content")}
    return {**{key: value for key, value in message.items() if key != "images"}, "content": [text, *pictures]}


def _with_cap(
    args: tuple[Any, ...], kwargs: dict[str, Any], cap: int, _name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    body = kwargs["json"]
    options = {**(body.get("options") or {}), "num_predict": cap}
    return args, {**kwargs, "json": {**body, "options": options}}


def _with_model(
    args: tuple[Any, ...], kwargs: dict[str, Any], model: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, {**kwargs, "json": {**kwargs["json"], "model": model}}


POINTS: tuple[Point, ...] = tuple(
    AttributePoint("ollama._client", name, partial(metered, read=_read), takes="cls")
    for name in ("Client._request", "AsyncClient._request")
)
