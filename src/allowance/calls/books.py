"""`Books`: what a call is charged with. A manager makes one; `configure()` makes the default one."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias
from weakref import WeakSet

from allowance.calls.ready import prepare
from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.calls.events import Hook
    from allowance.ledger.records import Terms
    from allowance.prices.catalogue import Catalogue
    from allowance.prices.price import Price
    from allowance.quotes.quoting import Quoting
    from allowance.stores.base import Store

__all__ = ["Books", "OnError", "OnUnknownModel", "Policy", "default_books", "set_default_books"]

OnUnknownModel: TypeAlias = "Literal['raise', 'free'] | Price"
OnError: TypeAlias = Literal["charge", "release"]
OnStoreError: TypeAlias = Literal["closed", "open"]
StreamUsage: TypeAlias = Literal["auto", "off"]

MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do where the rules leave a choice.

    Attributes:
        on_unknown_model: of a model without a price, where a limit is in force (R10).
        on_error: of a call that failed without telling whether it was billed (R12).
        on_store_error: of a call whose budget cannot be asked (R14).
        warn_at: the part of a limit at which a ``threshold`` event is sent, once per window.
        on_event: hooks that get every `Event`.
        stream_usage: whether streams of OpenAI's API are asked for their usage where the user does not ask.
        ttl: how long a hold lives unless it is renewed, in microseconds (R6).
        journal_bytes: how much is kept for a remote store that is down, before calls are refused (R14).
    """

    on_unknown_model: OnUnknownModel = "raise"
    on_error: OnError = "charge"
    on_store_error: OnStoreError = "closed"
    warn_at: float = 0.8
    on_event: tuple[Hook, ...] = ()
    stream_usage: StreamUsage = "auto"
    ttl: int = 15 * MINUTE
    journal_bytes: int = 64_000_000


class Books:
    """A store, a catalogue, quoting and a project, and the policy for what is left open.

    The store is opened when it is first needed: a block with a budget of its own never opens the file.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Store],
        catalogue: Catalogue,
        quoting: Quoting,
        project: str = "default",
        policy: Policy | None = None,
        default_terms: Terms | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.quoting = quoting
        self.project = project
        self.policy = policy or Policy()
        self.default_terms = default_terms
        self._open_store = open_store
        self._store: Store | None = None
        self._lock = threading.Lock()
        _all.add(self)

    @property
    def store(self) -> Store:
        """The store of the named budgets."""
        store = self._store
        if store is None:
            with self._lock:
                store = self._store
                if store is None:
                    store = self._store = self._open_store()
        return store


_all: WeakSet[Books] = WeakSet()
_make_default: Callable[[], Books] | None = None
_default: Books | None = None
_default_lock = threading.Lock()


def set_default_books(make: Callable[[], Books]) -> None:
    """Say how the default books are made; they are, when a call first needs them."""
    global _make_default, _default
    with _default_lock:
        _make_default, _default = make, None


def default_books() -> Books:
    """The books of every budget that was not made by a manager of its own."""
    global _default
    books = _default
    if books is None:
        prepare()  # whoever makes the default books says so there
        with _default_lock:
            books = _default
            if books is None:
                if _make_default is None:
                    raise ConfigurationError(
                        "No books are configured: import allowance, and call configure()."
                    )
                books = _default = _make_default()
    return books


def _after_fork() -> None:
    global _default_lock
    _default_lock = threading.Lock()  # a thread that is not in the child may have held it
    for books in list(_all):
        books._lock = threading.Lock()  # noqa: SLF001  # as above


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
