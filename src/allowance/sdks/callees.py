"""Who answers the calls of an SDK's own method, told by the client that it is bound to.

A decorated method is reserved for before its SDK is reached. Where a model's name is known with its provider
alone (``llama-3.1-8b-instant`` is Groq's), that needs to know what the SDK's own call knows.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from allowance.calls.callees import Callee
from allowance.sdks import groq, mistralai, ollama, openai

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["callee"]


def _behind(provider: Callable[[Any, str], str | None]) -> Callable[[Any], Callee]:
    """Of a resource of an SDK with a base client: by that client, and the host that it calls."""

    def tell(resource: Any) -> Callee:
        client = getattr(resource, "_client", resource)
        host = urlsplit(str(getattr(client, "base_url", ""))).hostname
        return Callee(provider(client, host or ""))

    return tell


_TELL: dict[str, Callable[[Any], Callee]] = {
    "openai": _behind(openai.provider),
    "groq": _behind(groq.provider),
    "mistralai": lambda resource: Callee(mistralai.provider(resource)),
    "ollama": lambda client: Callee(ollama.provider(client)),
    "litellm": lambda _router: Callee(is_scope=True),
}
"""By the package that a method stands in."""


def callee(function: Any) -> Callee | None:
    """Who answers its calls, where it is a bound method of one of these SDKs."""
    while isinstance(function, functools.partial):
        function = function.func
    package = str(getattr(function, "__module__", "")).partition(".")[0]
    owner, tell = getattr(function, "__self__", None), _TELL.get(package)
    return None if owner is None or isinstance(owner, type) or tell is None else tell(owner)
