"""Budgets as files: CSV for spreadsheets, JSON for programs. They are sent while they are read."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Final

from starlette.responses import Response, StreamingResponse

from allowance.money import to_usd
from allowance.server.page.listing import matcher, seen
from allowance.server.page.words import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.ledger.records import Account
    from allowance.server.page.site import Visit
    from allowance.stores.base import Store

__all__ = ["budgets_as_csv", "budgets_as_json", "guarded_cell"]

_ROWS_AT_ONCE: Final = 500
_COLUMNS: Final = (
    *("project", "kind", "name", "label", "limit_usd", "spent_usd", "held_usd", "remaining_usd"),
    *("duration", "models", "window_start", "resets_at", "created_at"),
)
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def budgets_as_csv(store: Store, visit: Visit, project: str, search: str) -> Response:
    """One line for each budget. A name that a spreadsheet would take for a formula gets a ``'`` before it."""
    accounts = _found(store, visit, project, search)
    return _file(_csv(accounts), "text/csv; charset=utf-8", "budgets.csv")


def budgets_as_json(store: Store, visit: Visit, project: str, search: str) -> Response:
    """The same as a list of objects; names as they are, amounts as texts, so that no digit is lost."""
    accounts = _found(store, visit, project, search)
    return _file(_json(accounts), "application/json", "budgets.json")


def guarded_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULAS) else text


def _found(store: Store, visit: Visit, project: str, search: str) -> Iterator[Account]:
    matches = matcher(search)
    return (account for account in seen(store, visit, project) if matches(account))


def _row(account: Account) -> dict[str, str | None]:
    key, terms, end = account.key, account.terms, account.window_end
    return {
        "project": key.project,
        "kind": key.kind,
        "name": key.name,
        "label": key.label,
        "limit_usd": _usd(account.limit),
        "spent_usd": _usd(account.spent),
        "held_usd": _usd(account.held),
        "remaining_usd": _usd(account.remaining),
        "duration": terms.duration,
        "models": ",".join(terms.models),
        "window_start": iso(account.window_start),
        "resets_at": None if end is None else iso(end),
        "created_at": iso(account.created_at),
    }


def _usd(nanos: int | None) -> str | None:
    return None if nanos is None else f"{to_usd(nanos):f}"


def _csv(accounts: Iterator[Account]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    texts = ("project", "kind", "name", "label", "models", "duration")
    for number, account in enumerate(accounts, 1):
        row = _row(account)
        writer.writerow({**row, **{name: guarded_cell(row[name] or "") for name in texts}})
        if number % _ROWS_AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _json(accounts: Iterator[Account]) -> Iterator[str]:
    rows: list[str] = []
    lead = "[\n"
    for account in accounts:
        rows.append(lead + json.dumps(_row(account)))
        lead = ",\n"
        if len(rows) == _ROWS_AT_ONCE:
            yield "".join(rows)
            rows.clear()
    yield "".join(rows) + ("[]\n" if lead == "[\n" else "\n]\n")


def _file(parts: Iterator[str], media_type: str, name: str) -> Response:
    return StreamingResponse(
        parts, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'}
    )
