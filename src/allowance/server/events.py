"""What webhooks are told: found by looking on from where the last look ended, never at all accounts."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.ledger.names import DELETED
from allowance.ledger.records import AccountKey
from allowance.ledger.times import to_datetime
from allowance.money import to_usd
from allowance.server.state import leases
from allowance.server.state.audit import key_lines_after
from allowance.server.state.outbox import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from allowance.ledger.records import Account
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["look"]

PARTS: Final = (80, 100)
"""Percents of a limit at which an event is sent, once in a window."""

_MOST_ENTRIES: Final = 50_000  # of one look: the rest is the next one's
_MOST_OTHERS: Final = 1_000
_OVERLAP: Final = 500  # in PostgreSQL a lower number may become visible after a higher one
_BATCH: Final = 200
_HOUR: Final = 3_600_000_000
_WEEK: Final = 7 * 24 * _HOUR
_MINUTE: Final = 60_000_000


class Found(NamedTuple):
    """Events, and what is to be noted once they are in the outbox: what is found again is known there."""

    events: list[Event]
    done: Callable[[Connection], None]


def look(store: Store, state: State, targets: Sequence[str]) -> int:
    """Put into the outbox what happened since the last look; how many events there were."""
    now = state.now()
    new = 0
    for finder in (_resets, _thresholds, _refusals, _keys):
        found = finder(store, state, now)
        for start in range(0, len(found.events), _BATCH):
            new += state.outbox.put(found.events[start : start + _BATCH], targets)
        with state.database.write() as connection:
            found.done(connection)
    with state.database.write() as connection:
        leases.forget_told(connection, now)
    return new


def _thresholds(store: Store, state: State, _: int) -> Found:
    last = state.mark("entries") or 0
    touched: set[AccountKey] = set()
    for entry in islice(store.entries(after=max(0, last - _OVERLAP)), _MOST_ENTRIES):
        touched.add(entry.key)
        last = max(last, entry.seq)
    accounts = [account for key in sorted(touched) if key.kind != DELETED and (account := store.account(key))]

    def done(connection: Connection) -> None:
        for account in accounts:
            if account.window_end is not None:
                leases.watch(connection, _name(account.key), account.window_end)
        leases.keep_mark(connection, "entries", last)

    return Found([event for account in accounts for event in _passed(account)], done)


def _passed(account: Account) -> Iterator[Event]:
    limit = account.limit
    for part in PARTS:
        if limit and account.spent * 100 >= limit * part:
            name = f"threshold:{part}:{account.window_start}:{_name(account.key)}"
            body = {"type": "threshold", "percent": part, **_figures(account)}
            yield Event(name, body, account.window_end)


def _resets(store: Store, state: State, now: int) -> Found:
    with state.database.read() as connection:
        over = leases.ended(connection, now, _MOST_OTHERS)
    events = []
    for text, ended_at in over:
        account = store.account(AccountKey(*json.loads(text)))
        if account is not None and account.window_start >= ended_at:
            body = {"type": "reset", "ended_at": _iso(ended_at), **_figures(account)}
            events.append(Event(f"reset:{ended_at}:{text}", body, now + 24 * _HOUR))

    def done(connection: Connection) -> None:
        for text, ended_at in over:
            leases.unwatch(connection, text, ended_at)

    return Found(events, done)


def _refusals(_: Store, state: State, now: int) -> Found:
    last = state.mark("refusals") or 0
    events: dict[str, Event] = {}
    for refused in state.refusals(after=max(0, last - _OVERLAP), limit=_MOST_OTHERS + _OVERLAP):
        last = max(last, refused.seq)
        if refused.at < now - _HOUR:
            continue  # it was told, or is no news any more
        key = AccountKey(refused.project, refused.kind, refused.name, refused.label)
        name = f"exceeded:{refused.at // _MINUTE}:{_name(key)}"
        body = {
            "type": "exceeded",
            **_whose(key),
            "model": refused.model,
            "projected": _usd(refused.projected),
            "remaining": _usd(refused.remaining),
            "limit": _usd(refused.limit),
        }
        events.setdefault(name, Event(name, body, refused.at + 3 * _HOUR))
    return Found(list(events.values()), lambda connection: leases.keep_mark(connection, "refusals", last))


def _keys(_: Store, state: State, now: int) -> Found:
    with state.database.read() as connection:
        last = leases.read_mark(connection, "keys") or 0
        lines = key_lines_after(connection, last, _MOST_OTHERS)
    last = lines[-1].seq if lines else last
    events = [
        Event(
            f"key:{line.seq}", {"type": line.action, "key": line.target, "actor": line.actor}, line.at + _WEEK
        )
        for line in lines
        if line.at >= now - 24 * _HOUR
    ]
    return Found(events, lambda connection: leases.keep_mark(connection, "keys", last))


def _name(key: AccountKey) -> str:
    return json.dumps(key, ensure_ascii=False)


def _whose(key: AccountKey) -> dict[str, Any]:
    return {"project": key.project, "kind": key.kind, "user": key.name, "label": key.label}


def _figures(account: Account) -> dict[str, Any]:
    limit, ends = account.limit, account.window_end
    return {
        **_whose(account.key),
        "spent": _usd(account.spent),
        "held": _usd(account.held),
        "limit": None if limit is None else _usd(limit),
        "resets_at": None if ends is None else _iso(ends),
    }


def _usd(nanos: int) -> str:
    return f"{to_usd(nanos):f}"


def _iso(at: int) -> str:
    return to_datetime(at).isoformat().replace("+00:00", "Z")
