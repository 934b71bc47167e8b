"""Listings in pages: ``{"items": [...], "next": a cursor or null}``; the cursor asks for the next one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.errors import ConfigurationError
from allowance.ledger.records import Account, Entry, Hold
from allowance.wire.fields import key_or_none, obj_or_none, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from allowance.wire.json import Json
    from allowance.wire.verbs import Arguments, Verb

__all__ = ["MAX_PAGE", "Page", "dump_page", "load_page", "page_of"]

MAX_PAGE: Final = 500
"""Items of a listing that one answer holds."""


class Page(NamedTuple):
    """How many items are wanted, and of holds the moment and id of the one that they come after."""

    limit: int = MAX_PAGE
    after: tuple[int, str] | None = None


def page_of(verb: Verb, body: Json, arguments: Arguments) -> Page:
    """The page that the body asks for; a cursor that the store itself goes by is put into the arguments.

    ::

        arguments = verb.load_arguments(body)
        page = page_of(verb, body, arguments)
        reply = dump_page(verb, getattr(store, verb.name)(**arguments), page)
    """
    limit = whole(body, "limit", MAX_PAGE)
    if not 1 <= limit <= MAX_PAGE:
        raise ConfigurationError(f"The field 'limit' must be from 1 to {MAX_PAGE}, not {limit}.")
    if verb.name == "accounts":
        arguments["after"] = key_or_none(body, "after")
        return Page(limit)
    if verb.name == "entries":
        arguments["after"] = whole(body, "after", 0)
        return Page(limit)
    after = obj_or_none(body, "after")
    return Page(limit, None if after is None else (whole(after, "reserved_at"), text(after, "hold_id")))


def dump_page(verb: Verb, items: Iterable[Any], page: Page) -> Json:
    """The reply with a page of a listing, which is read no further than the page goes.

    A listing of holds always begins at the oldest: those before the cursor are passed over.
    """
    after = page.after
    if after is not None:
        items = (hold for hold in items if (hold.reserved_at, hold.hold_id) > after)
    found = list(islice(items, page.limit + 1))
    more = len(found) > page.limit
    del found[page.limit :]
    return {**verb.dump_reply(found), "next": _cursor(found[-1]) if more else None}


def load_page(verb: Verb, reply: Json) -> tuple[list[Any], object]:
    """The items of a page, and the cursor of the next; None where this was the last."""
    return verb.load_reply(reply), reply.get("next")


def _cursor(item: Account | Entry | Hold) -> object:
    if isinstance(item, Account):
        return list(item.key)
    if isinstance(item, Entry):
        return item.seq
    return {"reserved_at": item.reserved_at, "hold_id": item.hold_id}
