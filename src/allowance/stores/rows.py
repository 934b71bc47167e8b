"""What a row says: records out of what a database gives, and texts for what it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from allowance.errors import StoreCorruptError
from allowance.ledger.holds import HoldRow
from allowance.ledger.records import (
    Account,
    AccountKey,
    Declaration,
    Entry,
    EntryKind,
    Extra,
    HoldState,
    Terms,
)

__all__ = [
    "as_text",
    "dump_declaration",
    "dump_tags",
    "dump_windows",
    "load_declaration",
    "read_account",
    "read_entry",
    "read_hold",
]

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder each time


def as_text(text: str | None) -> str | None:
    """A text that UTF-8 can say: half a surrogate pair, in a model's name, must not cost the entry."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def read_account(row: tuple[Any, ...]) -> Account:
    """The account of a row of `sql.ACCOUNT`.

    Raises:
        StoreCorruptError: something else wrote the row; so do the two below.
    """
    try:
        declared, created_at, start, end, spent, held, version, extras = row[11:]
        return Account(
            AccountKey(*row[1:5]),
            _terms(*row[5:11]),
            None if declared is None else load_declaration(declared),
            created_at,
            start,
            end,
            spent,
            held,
            version,
            () if extras is None else _load_extras(extras),
        )
    except (ValueError, TypeError) as error:
        raise _unreadable("account", "/".join(row[1:5])) from error


def read_hold(row: tuple[Any, ...]) -> HoldRow:
    """The hold of a row of `sql.HOLD`."""
    try:
        return HoldRow(
            hold_id=row[0],
            state=HoldState(row[1]),
            amount=row[2],
            expected=row[3],
            bound=bool(row[4]),
            windows=_load_windows(row[5]),
            model=row[6],
            reserved_at=row[7],
            expires_at=row[8],
            charged=row[9],
            shrunk=bool(row[10]),
            clamped=bool(row[11]),
            replaced=bool(row[12]),
            content=row[13],
            tags=_load_tags(row[14]),
            owner=row[15],
        )
    except (ValueError, TypeError) as error:
        raise _unreadable("hold", row[0]) from error


def read_entry(row: tuple[Any, ...]) -> Entry:
    """The line of the ledger of a row of `sql.ENTRIES`."""
    seq, project, kind, name, label, why, *rest = row
    try:
        rest[8:12] = [bool(rest[8]), bool(rest[9]), rest[10], _load_tags(rest[11])]
        return Entry(seq, AccountKey(project, kind, name, label), EntryKind(why), *rest)
    except (ValueError, TypeError) as error:
        raise _unreadable("entry", str(seq)) from error


@lru_cache(maxsize=1024)
def dump_windows(windows: tuple[tuple[AccountKey, int], ...]) -> str:
    """A hold's windows, as JSON."""
    return _encode([[*key, start] for key, start in windows])


@lru_cache(maxsize=1024)
def _load_windows(text: str) -> tuple[tuple[AccountKey, int], ...]:
    return tuple([(AccountKey(*key), start) for *key, start in json.loads(text)])


@lru_cache(maxsize=1024)
def dump_tags(tags: tuple[str, ...]) -> str | None:
    """Tags as JSON; None for none."""
    return json.dumps(tags) if tags else None


@lru_cache(maxsize=1024)
def _load_tags(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(json.loads(text))


def _load_extras(text: str) -> tuple[Extra, ...]:
    return tuple([Extra(*extra) for extra in json.loads(text)])


@lru_cache(maxsize=1024)
def _terms(*columns: Any) -> Terms:
    limit, duration, align, timezone, uncapped, models = columns
    globs = () if models is None else tuple(json.loads(models))
    return Terms(limit, duration, align, timezone, uncapped, globs)


@lru_cache(maxsize=1024)
def dump_declaration(declared: Declaration) -> str:
    """What code declared, as JSON: the fields in their order."""
    return json.dumps([getattr(declared, name) for name in Declaration.__slots__])


@lru_cache(maxsize=1024)
def load_declaration(text: str) -> Declaration:
    """What `dump_declaration` made a text of."""
    declared = Declaration(*json.loads(text))
    return declared if declared.models is None else replace(declared, models=tuple(declared.models))


def _unreadable(what: str, name: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"The {what} {name:.80} of this ledger cannot be read: something else wrote to it. Nothing was "
        "changed. Restore it from a copy, or move it away to begin anew."
    )
