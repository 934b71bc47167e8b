"""What the tables of the matrix are made of: SDKs, their endpoints, and a row for each way to call one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from allowance import Price

__all__ = ["ASYNC", "BOTH", "SYNC", "Clients", "Endpoint", "Row", "Sdk"]

BOTH = ("sync", "async")
SYNC = ("sync",)
ASYNC = ("async",)

Clients: TypeAlias = Callable[[str, ExitStack, AsyncExitStack], tuple[Any, Any]]
"""Makes a synchronous and an asynchronous client for the provider at a URL; the stacks close them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to call an endpoint.

    The engine awaits, enters and reads to the end what comes: one row serves both colours.

    Attributes:
        form: how it is called, as the README's table names it.
        call: makes the call, given what the endpoint's ``of`` finds in a client.
        nanos: what it costs, in nano-dollars. By default the provider bills 10 tokens in and 5 out.
        read: what the user does with the reply, or with what a manager is entered as.
        reply: what else the provider answers: settings of `tests.provider.Reply`. ``first`` is its answer
            to the first request, where that is another.
        prices: prices of one's own for a model that the catalogue does not know: without them a budget
            refuses the call (R10).
        requests: how many requests go out.
        colours: ``BOTH`` where the SDK has both.
    """

    form: str
    call: Callable[[Any], Any]
    nanos: int
    read: Callable[[Any], Any] | None = None
    reply: Mapping[str, Any] = field(default_factory=dict)
    first: Mapping[str, Any] | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    requests: int = 1
    colours: tuple[str, ...] = BOTH


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is called, where it is in a client, and the ways to call it."""

    name: str
    of: Callable[[Any], Any]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Sdk:
    """All of one package, by the name of its distribution."""

    name: str
    clients: Clients
    endpoints: tuple[Endpoint, ...]
