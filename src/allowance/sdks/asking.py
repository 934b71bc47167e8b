"""Asking a stream of OpenAI's for its usage, where the user did not: exact costs instead of counted ones.

The API then sends one chunk more, which has the usage and nothing else; `allowance.calls.streams` keeps it
from the user. Servers that speak the same API may refuse the field: then the request is sent once more as
the user wrote it, and this server and model are not asked again in this process.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIELD", "Arguments", "Asking", "asking_for", "asks_nothing", "refuses"]

FIELD: Final = "stream_options"

_UNASKED: Final = frozenset({"groq", "mistral", "perplexity", "cohere"})
"""Providers that refuse the field (Mistral, also behind Azure), or send the usage without it."""

_MOST: Final = 1_000

Target = tuple[str, str]
"""A server, as host and port, and a model: gateways serve some models that refuse and others that do not."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a function is called with."""

_takes: dict[Target, bool] = {}
"""What was learned: whether they take the field. A plain dict: reading and writing one key is atomic."""


class Asking:
    """Sends one stream's request with ``include_usage``.

    ``put`` puts it into the arguments, of which it makes new ones. ``known`` says that this server takes it.

    Attributes:
        asked: whether the reply that came was asked for its usage, so that the extra chunk is ours.
    """

    __slots__ = ("_function", "_known", "_put", "_target", "asked")

    def __init__(
        self,
        function: Callable[..., Any],
        put: Callable[[tuple[Any, ...], dict[str, Any]], Arguments],
        target: Target,
        *,
        known: bool,
    ) -> None:
        self._function = function
        self._put = put
        self._target = target
        self._known = known
        self.asked = True

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the SDK's function; once more as the user wrote it, where the server refuses the field."""
        asked, asked_by_name = self._put(args, kwargs)
        try:
            reply = self._function(*asked, **asked_by_name)
        except Exception as error:
            if not self._refused(error):
                raise
        else:
            _learn(self._target, takes=True)
            return reply
        self.asked = False
        reply = self._function(*args, **kwargs)
        _learn(self._target, takes=False)
        return reply

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        """`run`, for a coroutine function."""
        asked, asked_by_name = self._put(args, kwargs)
        try:
            reply = await self._function(*asked, **asked_by_name)
        except Exception as error:
            if not self._refused(error):
                raise
        else:
            _learn(self._target, takes=True)
            return reply
        self.asked = False
        reply = await self._function(*args, **kwargs)
        _learn(self._target, takes=False)
        return reply

    def _refused(self, error: Exception) -> bool:
        """Whether the field may be why: the error names it, or nobody knows yet that this server takes it."""
        if getattr(error, "status_code", None) not in (400, 422):
            return False
        said = f"{error} {getattr(error, 'body', '')}"
        return FIELD in said or "include_usage" in said or not (self._known or _takes.get(self._target))


def asks_nothing(arguments: Mapping[str, Any]) -> bool:
    """Whether it is left open whether the usage is wanted: the user neither asked for it nor said no."""
    given = arguments.get(FIELD)
    return given is None or (isinstance(given, Mapping) and "include_usage" not in given)


def refuses(target: Target) -> bool:
    """Whether this server is known to refuse the field for this model."""
    return _takes.get(target) is False


def asking_for(
    function: Callable[..., Any], options: Any, arguments: Mapping[str, Any], host: str, provider: str | None
) -> Asking | None:
    """What sends this request of the SDK's with the question in it; None where it is not asked.

    It is not where the user asked, or said no; where raw lines are handed out, which we do not filter; and
    where the server is known to refuse it, or to send the usage anyway.
    """
    if provider in _UNASKED or not asks_nothing(arguments):
        return None
    if not isinstance(options.json_data, dict) or options.json_data.get("stream") is not True:
        return None
    headers = getattr(options, "headers", None)
    if isinstance(headers, Mapping) and any(name.lower() == "x-stainless-raw-response" for name in headers):
        return None
    target = (host, str(arguments.get("model")))
    return None if refuses(target) else Asking(function, _put, target, known=provider == "openai")


def _put(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    if len(args) > 1:
        return (args[0], _asking_options(args[1]), *args[2:]), kwargs
    return args, {**kwargs, "options": _asking_options(kwargs["options"])}


def _asking_options(options: Any) -> Any:
    # A copy: the caller's own options, and the body in them, stay as they are.
    asking = copy.copy(options)
    extra = getattr(options, "extra_json", None)
    if isinstance(extra, dict) and isinstance(extra.get(FIELD), Mapping):
        asking.extra_json = {**extra, FIELD: {**extra[FIELD], "include_usage": True}}
    else:
        given = options.json_data.get(FIELD)
        asking.json_data = {**options.json_data, FIELD: {**(given or {}), "include_usage": True}}
    return asking


def _learn(target: Target, *, takes: bool) -> None:
    if _takes.get(target) is not takes:
        if len(_takes) >= _MOST:
            _takes.clear()
        _takes[target] = takes
