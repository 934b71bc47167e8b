"""The base client that the openai and anthropic SDKs are both generated with (each has its own copy).

Every helper, ``parse``, raw and streaming responses end in ``request``, with the final options: method, URL
and JSON. Retries happen below it: they are one call here, as they are one reply.
"""

from __future__ import annotations

import copy
import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from allowance.calls.sdk_call import SdkCall
from allowance.sdks.asking import asking_for
from allowance.sdks.lazy import carrying_request
from allowance.sdks.points import AttributePoint, metered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests.request import Api
    from allowance.sdks.points import Point

__all__ = ["Endpoint", "base_client_points"]

_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
"""In the path of a request of Azure's, or in that of the client which sends it."""
_CAPPED = frozenset({"chat", "completions", "responses", "messages"})


class Endpoint(NamedTuple):
    """A path to which a POST costs money: its last segments, ``*`` standing for an id."""

    path: str
    api: Api


class _Target(NamedTuple):
    api: Api
    host: str
    server: str
    deployment: str | None


def base_client_points(
    sdk: str,
    module: str,
    endpoints: tuple[Endpoint, ...],
    provider: Callable[[Any, str], str | None],
    *,
    asks: frozenset[Api] = frozenset(),
    managers: tuple[tuple[str, str], ...] = (),
) -> tuple[Point, ...]:
    """The points of such an SDK. ``provider`` tells it by the client and the URL's host.

    ``asks`` are the families whose streams report their usage only where they are asked to; ``managers``
    the classes, by module, that send a request when they are entered, beside those of raw responses.
    """
    read = _Reader(sdk, endpoints, provider, asks)
    requests = tuple(
        AttributePoint(module, name, partial(metered, read=read))
        for name in ("SyncAPIClient.request", "AsyncAPIClient.request")
    )
    raw = module.replace("_base_client", "_response")
    entered = (*managers, (raw, "ResponseContextManager"), (raw, "AsyncResponseContextManager"))
    return (
        *requests,
        *(AttributePoint(at, f"{name}.__init__", carrying_request, essential=False) for at, name in entered),
    )


class _Reader:
    """Reads the requests of one SDK's base clients: the `allowance.sdks.standing.Read` of its points."""

    def __init__(
        self,
        sdk: str,
        endpoints: tuple[Endpoint, ...],
        provider: Callable[[Any, str], str | None],
        asks: frozenset[Api],
    ) -> None:
        self._sdk = sdk
        self._patterns = [(_pattern(endpoint.path), endpoint) for endpoint in endpoints]
        self._provider = provider
        self._asks = asks
        self._target = lru_cache(maxsize=512)(self._find_target)

    def __call__(
        self, function: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> SdkCall | None:
        options = args[1] if len(args) > 1 else kwargs.get("options")
        if str(getattr(options, "method", "")).lower() != "post":
            return None
        found = self._target(str(getattr(options, "url", "")), str(getattr(client, "base_url", "")))
        if found is None:
            return None
        served_by = self._provider(client, found.host)
        arguments = _arguments(options, found.deployment, stream=bool(kwargs.get("stream")))
        asking = None
        if found.api in self._asks and arguments.get("stream"):
            asking = asking_for(function, options, arguments, found.server, served_by)
        return SdkCall(
            sdk=self._sdk,
            function=function,
            args=args,
            kwargs=kwargs,
            arguments=arguments,
            api=found.api,
            provider=served_by,
            with_cap=partial(_with_cap, args, kwargs, options) if _takes_cap(options, found.api) else None,
            with_model=_with_model if _names_model(client, options) else None,
            asking=asking,
        )

    def _find_target(self, url: str, base_url: str) -> _Target | None:
        """What a request to this URL is, of a client with that base URL; None where it costs nothing."""
        parts = urlsplit(url)
        for pattern, endpoint in self._patterns:
            if pattern.search(parts.path):
                server = parts if parts.hostname else urlsplit(base_url)
                deployment = _DEPLOYMENT.search(parts.path) or _DEPLOYMENT.search(urlsplit(base_url).path)
                return _Target(
                    endpoint.api, server.hostname or "", server.netloc, deployment[1] if deployment else None
                )
        return None


def _pattern(path: str) -> re.Pattern[str]:
    segments = (r"[^/]+" if segment == "*" else re.escape(segment) for segment in path.split("/"))
    return re.compile(rf"(?:^|/){'/'.join(segments)}/?$")


def _arguments(options: Any, deployment: str | None, *, stream: bool) -> Mapping[str, Any]:
    """The body's fields, and the files of a form: as the request will carry them."""
    arguments: dict[str, Any] = {
        **_fields(options.json_data),
        **_fields(getattr(options, "extra_json", None)),
    }
    files: Any = getattr(options, "files", None) or ()
    for name, content in files.items() if isinstance(files, dict) else files:
        arguments.setdefault(name, content)
    if stream:
        arguments.setdefault("stream", True)
    if deployment is not None and arguments.get("model") is None:
        arguments["model"] = deployment
    return arguments


def _fields(body: Any) -> Mapping[str, Any]:
    # A body of bytes, or one built by hand that is no object, has no fields.
    return body if isinstance(body, dict) else {}


def _takes_cap(options: Any, api: Api) -> bool:
    return api in _CAPPED and isinstance(options.json_data, dict)


def _names_model(client: Any, options: Any) -> bool:
    """Whether the body decides on the model: where the URL names an Azure deployment, that does."""
    url = f"{getattr(client, 'base_url', '')} {options.url}"
    named = _fields(options.json_data).get("model")
    return isinstance(named, str) and "/deployments/" not in url


def _with_model(
    args: tuple[Any, ...], kwargs: dict[str, Any], model: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    options = copy.copy(args[1] if len(args) > 1 else kwargs["options"])
    options.json_data = {**options.json_data, "model": model}
    if len(args) > 1:
        return (args[0], options, *args[2:]), kwargs
    return args, {**kwargs, "options": options}


def _with_cap(
    args: tuple[Any, ...], kwargs: dict[str, Any], options: Any, cap: int, name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # A copy: the caller's own options, and the body in them, stay as they are.
    capped = copy.copy(options)
    extra = getattr(options, "extra_json", None)
    if isinstance(extra, dict) and name in extra:
        capped.extra_json = {**extra, name: cap}
    else:
        capped.json_data = {**options.json_data, name: cap}
    if len(args) > 1:
        return (args[0], capped, *args[2:]), kwargs
    return args, {**kwargs, "options": capped}
