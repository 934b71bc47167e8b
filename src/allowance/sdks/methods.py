"""SDKs whose public methods take keywords and hand back typed replies: metered there, method by method."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from allowance.calls.sdk_call import SdkCall
from allowance.sdks.points import AttributePoint, Read, metered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests.request import Api
    from allowance.sdks.points import Point

__all__ = ["Method", "keyword_reader", "method_points"]

_CAPPED = frozenset({"chat", "completions"})


class Method(NamedTuple):
    """A method that costs: where it is, its family of arguments, and how its keywords become those.

    ``essential`` is as `Point` has it; ``stream`` says that its reply is a stream.
    """

    module: str
    name: str
    api: Api
    arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    essential: bool = True
    stream: bool = False


def method_points(
    sdk: str, methods: list[Method], provider: Callable[[Any], str | None]
) -> tuple[Point, ...]:
    """The points of such an SDK. ``provider`` tells it by the instance."""
    return tuple(
        AttributePoint(
            method.module,
            method.name,
            partial(metered, read=keyword_reader(sdk, method, provider)),
            essential=method.essential,
        )
        for method in methods
    )


def keyword_reader(sdk: str, method: Method, provider: Callable[[Any], str | None]) -> Read:
    """Reads the calls of one method."""

    def read(
        function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> SdkCall:
        return SdkCall(
            sdk=sdk,
            function=function,
            args=args,
            kwargs=kwargs,
            arguments={**method.arguments(kwargs), "stream": method.stream},
            api=method.api,
            provider=provider(instance),
            with_cap=partial(_with_cap, args, kwargs) if method.api in _CAPPED else None,
        )

    return read


def _with_cap(
    args: tuple[Any, ...], kwargs: dict[str, Any], cap: int, _name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, {**kwargs, "max_tokens": cap}
