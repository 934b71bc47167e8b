"""Listings, in pages; and the audit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from allowance.ledger import verbs
from allowance.ledger.records import AccountKey
from allowance.stores.postgres import sql
from allowance.stores.postgres.locks import STRIPES
from allowance.stores.postgres.pool import PATIENCE
from allowance.stores.postgres.tables import PostgresTables
from allowance.stores.rows import read_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.ledger.records import Entry
    from allowance.stores.postgres.engine import Engine
    from allowance.stores.postgres.pool import Connection

__all__ = ["accounts", "audit", "entries", "entries_of", "entries_of_hold"]

_PAGE: Final = 500
_EVER: Final = 2**62


def accounts(engine: Engine, project: str | None, after: AccountKey | None) -> Iterator[tuple[Any, ...]]:
    """The rows of a project's accounts, or of all, in order of their keys."""
    last = after or AccountKey("", "", "")
    if project is not None and last.project != project:
        if last.project > project:
            return
        last = AccountKey("", "", "")
    while True:
        if project is None:
            page = engine.ask(sql.ACCOUNTS_AFTER, (*last, _PAGE))
        else:
            page = engine.ask(sql.ACCOUNTS_OF_PROJECT_AFTER, (project, *last[1:], _PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        last = AccountKey(*page[-1][1:5])


def entries(engine: Engine, since: int | None, until: int | None, after: int) -> Iterator[Entry]:
    """All accounts' entries, as far as nobody writes one before them any more."""
    last = _settled(engine)
    while after < last:
        page = engine.ask(sql.ENTRIES_AFTER, (after, last, *_span(since, until), _PAGE))
        yield from map(read_entry, page)
        if len(page) < _PAGE:
            return
        after = page[-1][0]


def entries_of(
    engine: Engine, key: AccountKey, since: int | None, until: int | None, after: int
) -> Iterator[Entry]:
    """One account's entries. They are numbered under its lock, so none comes before one that is there."""
    for (account,) in engine.ask(sql.ACCOUNT_ID, key):
        found = engine.ask(sql.ENTRY_NUMBERS, (account, *_span(since, until), after))
        numbers = sorted([number for (number,) in found])
        for start in range(0, len(numbers), _PAGE):
            yield from map(read_entry, engine.ask(sql.ENTRIES, (numbers[start : start + _PAGE],)))


def entries_of_hold(
    engine: Engine, hold_id: str, since: int | None, until: int | None, after: int
) -> list[Entry]:
    """What was posted for a hold, also to accounts that were removed since."""
    start, end = _span(since, until)
    for named, at in engine.ask(sql.HOLD_PLACES, (hold_id,)):
        if start <= at < end:
            found = [read_entry(row) for row in engine.ask(sql.ENTRIES_OF_HOLD, (named, at, hold_id))]
            return [entry for entry in found if entry.seq > after]
    return []


def audit(engine: Engine) -> list[str]:
    """What does not add up, in words; see `Store.audit`."""

    def look(connection: Connection) -> list[str]:
        tables = PostgresTables(connection, frozenset(range(STRIPES)), 2**63, lambda *_: None)
        found = [line for account in tables.suspects() for line in verbs.difference(tables, account)]
        return found + tables.misposted()

    return engine.look(look)


def _settled(engine: Engine) -> int:
    """The highest number of an entry such that all up to it are there, or never will be.

    Numbers are drawn before their transaction ends, so a later one may be seen first, and who reads on from
    there would miss the other. Whoever writes has locks of ours until it can be seen.
    """
    ((last,),) = engine.ask(sql.LAST_ENTRY, ())
    writers = set(engine.ask(sql.WRITERS, ()))
    end = time.monotonic() + PATIENCE
    while writers and time.monotonic() < end:
        time.sleep(0.005)
        writers &= set(engine.ask(sql.WRITERS, ()))
    return int(last)


def _span(since: int | None, until: int | None) -> tuple[int, int]:
    return -_EVER if since is None else since, _EVER if until is None else until
