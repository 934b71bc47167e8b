"""Whose budget and on what terms, as users write them, checked and brought into the ledger's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias
from uuid import uuid4

from allowance.calls.overrun import OnOverrun, check_on_overrun
from allowance.calls.stack import Frame
from allowance.calls.views import own_view, view_of
from allowance.errors import ConfigurationError
from allowance.ledger.accounts import check_terms
from allowance.ledger.names import MAX_NAME, account_key, clean
from allowance.ledger.records import AccountKey, Alignment, Declaration, Scope, Terms, Uncapped
from allowance.money import UNSET, Money, Unset, to_nanos
from allowance.stores.memory import MemoryStore

if TYPE_CHECKING:
    from allowance.calls.books import Books
    from allowance.calls.events import Hook
    from allowance.calls.shortage import Plan
    from allowance.calls.views import View

__all__ = [
    "UNSET",
    "Given",
    "Limit",
    "Words",
    "check_callables",
    "declaration",
    "label_for",
    "patterns",
    "user_name",
]

Limit: TypeAlias = Money | Literal[Unset.UNSET] | None

Words: TypeAlias = str | Iterable[str]
"""One word, or several."""


class Given:
    """What `budget` and `budgeted` were given alike, checked: see `budgeted` for what each of it means.

    Raises:
        ConfigurationError: one of them cannot be.
    """

    __slots__ = (
        "books",
        "declared",
        "hooks",
        "kind",
        "label",
        "on_exceeded",
        "on_overrun",
        "project",
        "tags",
        "warn_at",
    )

    def __init__(
        self,
        *,
        limit: Limit,
        duration: str | None,
        align: Alignment | None,
        timezone: str | None,
        uncapped: Uncapped | None,
        label: str | None,
        models: Words | None,
        tags: Words,
        kind: str,
        project: str | None,
        on_exceeded: Plan | None,
        on_overrun: OnOverrun,
        on_event: Hook | None,
        warn_at: float | None,
        books: Books | None,
    ) -> None:
        check_callables(on_event=on_event)
        _check_warn_at(warn_at)
        check_on_overrun(on_overrun)
        named = patterns(models)
        self.declared = declaration(limit, duration, align, timezone, uncapped, named)
        self.label = label_for(label, named)
        self.tags = _tags(tags)
        self.kind = kind
        self.project = project
        self.on_overrun = on_overrun
        self.on_exceeded = on_exceeded
        self.hooks = () if on_event is None else (on_event,)
        self.warn_at = warn_at
        self.books = books

    @property
    def own(self) -> bool:
        """Whether they make a budget without a user: they name a limit."""
        return self.declared is not None and self.declared.creates

    def own_account(self, kind: str) -> tuple[Scope, View]:
        """A budget that belongs to no user: to one block or one function, in memory, while it lives."""
        key = AccountKey("", kind, uuid4().hex, self.label)
        return Scope(key, self.declared), own_view(MemoryStore(), key)

    def account(self, books: Books, user: str | int) -> tuple[Scope, View]:
        """The budget of a user.

        Raises:
            ConfigurationError: no user can be called so.
        """
        project = books.project if self.project is None else self.project
        key = account_key(project, self.kind, user_name(user), self.label)
        return Scope(key, self.declared, books.default_terms), view_of(books.store, key)

    def frame(self, books: Books, scope: Scope | None, view: View | None, *, is_call: bool = False) -> Frame:
        """A frame in which this account pays."""
        return Frame(
            books,
            scope,
            view,
            hooks=self.hooks,
            warn_at=self.warn_at,
            tags=self.tags,
            on_overrun=self.on_overrun,
            on_exceeded=self.on_exceeded,
            is_call=is_call,
        )


def declaration(
    limit: Limit = UNSET,
    duration: str | None = None,
    align: Alignment | None = None,
    timezone: str | None = None,
    uncapped: Uncapped | None = None,
    models: tuple[str, ...] | None = None,
) -> Declaration | None:
    """The terms that were written, or None where none were.

    Raises:
        ConfigurationError: a term is not one: the message lists what is.
    """
    nanos = None if limit is UNSET or limit is None else to_nanos(limit, what="limit")
    if limit is UNSET and all(term is None for term in (duration, align, timezone, uncapped, models)):
        return None
    check_terms(
        Terms(nanos, duration, align or "created", timezone or "UTC", uncapped or "shrink", models or ())
    )
    return Declaration(nanos, duration, align, timezone, uncapped, limit is not UNSET, models)


def patterns(models: Words | None) -> tuple[str, ...] | None:
    """The patterns of ``models=``, each once; those of a set in the order of the alphabet.

    Raises:
        ConfigurationError: for what is no text, and for none at all. `declaration` checks the rest.
    """
    if models is None:
        return None
    named = _words(models, "models", 'a name or pattern, such as "gpt-4o*", or several')
    if not named:
        raise ConfigurationError("models= is empty: leave it out for a budget that counts every call.")
    return named


def label_for(label: str | None, models: tuple[str, ...] | None) -> str:
    """The label of a budget: the one given, else its models joined by commas; ``""`` for the main one.

    Raises:
        ConfigurationError: no label can be so.
    """
    if label is not None and label != "":
        return clean(label, "label")
    if not models:
        return ""
    joined = ",".join(models)
    if len(joined) > MAX_NAME:
        raise ConfigurationError(
            f"A budget without label= is labelled by its models, and these make {len(joined)} characters "
            f'where one may have {MAX_NAME}: give it a label of its own, such as label="cheap".'
        )
    return clean(joined, "label")


def _tags(tags: Words) -> tuple[str, ...]:
    words = _words(tags, "tags", 'a word, such as "search", or several')
    return tuple(dict.fromkeys([clean(tag, "tag") for tag in words]))


def _words(given: object, what: str, wanted: str) -> tuple[str, ...]:
    """One word or several, each once."""
    if isinstance(given, str):
        return (given,)
    words = list(given) if isinstance(given, Iterable) and not isinstance(given, bytes) else [given]
    texts = [word for word in words if isinstance(word, str)]
    if len(texts) < len(words):
        raise ConfigurationError(f"{what}= takes {wanted}, not {given!r:.60}.")
    # A set has no order, and would make another label in each process.
    return tuple(dict.fromkeys(sorted(texts) if isinstance(given, (set, frozenset)) else texts))


def user_name(user: object) -> str:
    """A user's name as text; an ``int`` becomes its digits.

    Raises:
        ConfigurationError: for anything else, a bool included.
    """
    if isinstance(user, str):
        return user
    if isinstance(user, int) and not isinstance(user, bool):
        return str(user)
    raise ConfigurationError(
        f"A user must be a str or an int, not {type(user).__name__}: pass str(...) of it, or its id."
    )


def _check_warn_at(part: float | None) -> None:
    """Refuse a threshold that is no part of a limit.

    Raises:
        ConfigurationError: for anything but None and a number above 0, up to 1.
    """
    if part is None or (type(part) in (int, float) and 0 < part <= 1):
        return
    raise ConfigurationError(
        f"warn_at must be a part of the limit above 0, up to 1, such as 0.8, not {part!r:.40}."
    )


def check_callables(**given: object) -> None:
    """Refuse what cannot be called where a function is wanted; None was not given.

    Raises:
        ConfigurationError: names the argument.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise ConfigurationError(f"{name}= takes a function, not {type(value).__name__}.")
