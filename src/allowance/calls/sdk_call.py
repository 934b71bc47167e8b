"""`Meter`: what the patched SDKs hand their calls to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Context

    from allowance.requests.request import Api

__all__ = ["Asking", "Meter", "SdkCall"]


class Asking(Protocol):
    """Sends a stream's request with the question for its usage in it, which the user did not put there.

    ``asked`` says whether the reply that came was asked: a server may refuse, and is asked no more then.
    """

    @property
    def asked(self) -> bool: ...

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the SDK's function."""

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        """`run` for a function that is a coroutine function."""


@dataclass(frozen=True, slots=True)
class SdkCall:
    """One call that an SDK is about to make.

    Attributes:
        sdk: the name of its distribution (``"openai"``, ``"google-genai"``, ...).
        function: the unpatched function, bound.
        args, kwargs: what it is to be called with.
        arguments: the model, messages, cap, ... by name, as ``requests.read`` takes them.
        api: the family of arguments, where the SDK tells.
        provider: in the catalogue's words, where the SDK or the URL tells; else None.
        with_cap: args and kwargs with an output cap put in, given the cap in tokens and the argument's
            name; None where the call cannot take one.
        with_model: args and kwargs with another model put in, given all three, or None where this call
            cannot go to that model; None itself where it stands in ``kwargs`` as ``model``, or cannot be
            changed.
        asking: stands in for ``function`` and asks for the usage of a stream; None where it comes anyway,
            or was asked for.
        others: the arguments of what the SDK may send by itself in this call's place, where that fails.
    """

    sdk: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arguments: Mapping[str, Any]
    api: Api | None = None
    provider: str | None = None
    with_cap: Callable[[int, str], tuple[tuple[Any, ...], dict[str, Any]]] | None = None
    with_model: (
        Callable[[tuple[Any, ...], dict[str, Any], str], tuple[tuple[Any, ...], dict[str, Any]] | None] | None
    ) = None
    asking: Asking | None = None
    others: tuple[Mapping[str, Any], ...] = ()


class Meter(Protocol):
    """Runs the calls of patched SDKs under the budgets that are in force."""

    def active(self) -> bool:
        """Whether any budget is in force here, and no outer SDK's call is metered already.

        It is asked before every call of an SDK: it must cost less than 2 µs.
        """
        ...

    def carried(self) -> Context:
        """A copy of this context in which the budgets in force here stay so, after their blocks too.

        It is for a stream that is begun here, and sends its request when it is first read.
        """
        ...

    def call(self, call: SdkCall) -> Any:
        """Run the call and hand back its reply; a stream comes back as a proxy that follows it."""

    async def acall(self, call: SdkCall) -> Any:
        """`call` for a function that is a coroutine function."""
