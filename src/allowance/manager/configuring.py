"""The books that calls are charged with, made from settings: the default ones, and a manager's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from allowance.calls.books import Books, Policy, set_default_books
from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.ledger.accounts import check_terms
from allowance.ledger.names import account_key
from allowance.ledger.records import Terms
from allowance.money import UNSET, to_nanos
from allowance.prices.catalogue import Catalogue
from allowance.prices.data import load_data
from allowance.prices.price import Price
from allowance.quotes.quoting import Quoting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from allowance.calls.events import Hook
    from allowance.config import Settings
    from allowance.quotes.quoting import Counter
    from allowance.stores.base import Store

__all__ = ["configure", "configured", "make_books", "open_now_or_later", "shared_store"]

log = logging.getLogger("allowance")

_given: dict[str, Any] = {}
_SHIPPED = Catalogue()
_store: tuple[object, Store] | None = None  # what was asked for, and what it opened
_quoting: tuple[object, Quoting] | None = None  # the counter, and what has learned with it


def configure(**settings: Any) -> None:
    """Set what budgets use from here on: `allowance.config.Settings` lists the settings.

    Settings that are not named stay as they were. Open blocks and calls stay with what they began with.
    Without it, the ``ALLOWANCE_*`` variables decide, then the defaults.

    Raises:
        ConfigurationError: an unknown setting, or a value that cannot be; nothing is changed then.
    """
    from allowance.config import read_settings

    merged = {**_given, **settings}
    make_books(read_settings(merged))
    _given.update(settings)
    set_default_books(_default_books)


def _default_books() -> Books:
    return make_books(configured())


def configured(*, caller: str = "configure", **settings: Any) -> Settings:
    """The settings as they are now, with these in place of them.

    Raises:
        ConfigurationError: an unknown setting, or a value that cannot be.
    """
    from allowance.config import read_settings

    return read_settings({**_given, **settings}, caller=caller)


def make_books(settings: Settings, open_store: Callable[[], Store] | None = None) -> Books:
    """Books by these settings. The store is opened when it is first needed, by default the shared one."""
    account_key(settings.project, "user", "any")  # refuses a project that no budget could have
    return Books(
        open_store=open_store or (lambda: shared_store(settings)),
        catalogue=_catalogue(settings),
        quoting=_learned(_callable(settings.counter, "counter")),
        project=settings.project,
        policy=Policy(
            on_unknown_model=_unknown_model(settings.on_unknown_model),
            on_error=settings.on_error,
            on_store_error=settings.on_store_error,
            stream_usage=settings.stream_usage,
            warn_at=settings.warn_at,
            on_event=_hooks(settings.on_event),
            ttl=round(settings.hold_minutes * 60_000_000),
            journal_bytes=round(settings.journal_megabytes * 1_000_000),
        ),
        default_terms=_default_terms(settings),
    )


def shared_store(settings: Settings) -> Store:
    """The store of these settings: the one that is open already, where they are still the same."""
    global _store
    from allowance.stores.open import default_url

    asked = default_url() if settings.store is None else settings.store
    known = (asked, settings.api_key, settings.allow_insecure)
    if _store is None or _store[0] != known:
        _store = (known, open_now_or_later(asked, settings))
    return _store[1]


def open_now_or_later(asked: str | Store, settings: Settings) -> Store:
    """The store, or where it cannot be reached one that each verb tries to open again."""
    from allowance.manager.hosted import hosted_store
    from allowance.stores.late import LateStore
    from allowance.stores.open import is_hosted, open_store

    try:
        if isinstance(asked, str) and is_hosted(asked):
            return hosted_store(asked, settings, given_key=settings.api_key)
        store = open_store(asked)
    except StoreUnavailableError as error:
        # Whether that stops a call is for its budgets to say: one that only counts goes on (R9, R14).
        log.warning("Budgets cannot be reached yet; each call tries again. %s", error)
        store = cast("Store", LateStore(str(asked), lambda: open_store(asked)))  # it passes verbs on by name
    log.info("Budgets are kept in %s.", store.url)
    return store


def _learned(counter: Counter | None) -> Quoting:
    global _quoting
    if _quoting is None or _quoting[0] is not counter:
        _quoting = (counter, Quoting(counter=counter))
    return _quoting[1]


def _catalogue(settings: Settings) -> Catalogue:
    path = settings.catalogue
    if path is None:
        catalogue = _SHIPPED
    else:
        data = load_data(Path(path))  # read now: a file that cannot be must fail here, not at a call
        catalogue = Catalogue(lambda: data)
    return catalogue if settings.prices is None else catalogue.with_overrides(settings.prices)


def _default_terms(settings: Settings) -> Terms | None:
    if settings.default_limit is UNSET:
        if settings.default_duration is not None:
            raise ConfigurationError("default_duration needs a default_limit; with None it only counts.")
        return None
    limit = settings.default_limit
    terms = Terms(
        limit=None if limit is None else to_nanos(limit, what="default_limit"),
        duration=settings.default_duration,
        uncapped=settings.default_uncapped,
    )
    check_terms(terms)
    return terms


def _unknown_model(choice: object) -> Any:
    if choice in ("raise", "free") or isinstance(choice, Price):
        return choice
    raise ConfigurationError('on_unknown_model must be "raise", "free" or a Price.')


def _hooks(hooks: Hook | Iterable[Hook]) -> tuple[Callable[..., object], ...]:
    several: tuple[Any, ...] = tuple(hooks) if isinstance(hooks, (list, tuple)) else (hooks,)
    if not all(map(callable, several)):
        raise ConfigurationError("on_event must be a function of one event, or a list of them.")
    return several


def _callable(given: Counter | None, what: str) -> Counter | None:
    if given is not None and not callable(given):
        raise ConfigurationError(f"{what} must be a function, not {type(given).__name__}.")
    return given


set_default_books(_default_books)
