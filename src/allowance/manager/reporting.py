"""What was spent: a budget's windows, and sums by user, model, day or tag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError
from allowance.ledger.names import DELETED
from allowance.ledger.records import EntryKind
from allowance.ledger.times import to_datetime
from allowance.ledger.windows import parse_zone, window_at
from allowance.manager.records import ReportRow, WindowSummary
from allowance.manager.sums import Sum
from allowance.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from allowance.ledger.records import Account, AccountKey, Entry
    from allowance.manager.records import ReportBy

__all__ = ["report_of", "windows_of"]

TELL_EVERY: Final = 10_000
"""Lines between two calls of ``progress``."""


def windows_of(account: Account, entries: Iterable[Entry]) -> list[WindowSummary]:
    """The windows in which something was posted, and the present one; oldest first.

    The account must have been looked at after the entries: none of them is of a later window then. What was
    made inside the present window counts there, also where it was posted to another one, under terms that
    have changed since (R9).
    """
    start = account.window_start
    sums: dict[int, Sum] = {}
    present = Sum()
    for entry in entries:
        (present if entry.at >= start else sums.setdefault(entry.window_start, Sum())).add(entry)
    closed = [_window(first, _end(account, first), total) for first, total in sorted(sums.items())]
    return [*closed, _window(start, account.window_end, present, current=True)]


def _end(account: Account, start: int) -> int | None:
    """Where a closed window ended; under terms that have changed since it cannot be told."""
    try:
        first, end = window_at(account.terms, account.created_at, start)
    except ConfigurationError:
        return None
    return end if first == start else None


def _window(start: int, end: int | None, total: Sum, *, current: bool = False) -> WindowSummary:
    return WindowSummary(
        start=to_datetime(start),
        end=None if end is None else to_datetime(end),
        current=current,
        spent=to_usd(total.spent),
        adjusted=to_usd(total.adjusted),
        by_model={model: to_usd(amount) for model, amount in sorted(total.by_model.items()) if amount},
        calls=total.calls,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        unconfirmed=to_usd(total.unconfirmed),
    )


def report_of(
    entries: Iterable[Entry],
    by: ReportBy,
    *,
    project: str,
    kind: str,
    timezone: str,
    progress: Callable[[int], object] | None,
) -> list[ReportRow]:
    """Sums of what calls have cost, by ``by``; see `BudgetManager.report`."""
    names = _namer(by, timezone)
    belongs = _belongs(project, kind)
    sums: dict[str, Sum] = {}
    number = 0
    for number, entry in enumerate(entries, 1):
        if progress is not None and number % TELL_EVERY == 0:
            progress(number)
        if entry.kind is not EntryKind.ADJUSTMENT and belongs(entry.key):
            for name in names(entry):
                sums.setdefault(name, Sum()).add(entry)
    if progress is not None:
        progress(number)
    rows = [
        ReportRow(
            name=name,
            spent=to_usd(total.spent),
            calls=total.calls,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            unconfirmed=to_usd(total.unconfirmed),
        )
        for name, total in sorted(sums.items())
    ]
    return rows if by == "day" else sorted(rows, key=lambda row: -row.spent)


def _namer(by: ReportBy, timezone: str) -> Callable[[Entry], Iterable[str]]:
    zone = parse_zone(timezone)
    if by == "user":
        return lambda entry: (entry.key.name,)
    if by == "model":
        return lambda entry: (entry.model or "",)
    if by == "day":
        return lambda entry: (f"{to_datetime(entry.at).astimezone(zone):%Y-%m-%d}",)
    if by == "tag":
        return lambda entry: dict.fromkeys(entry.tags) or ("",)
    raise ConfigurationError(f"A report is by 'user', 'model', 'day' or 'tag', not {by!r:.60}.")


def _belongs(project: str, kind: str) -> Callable[[AccountKey], bool]:
    """Whether an account is a main one of this kind, or was one before it was removed."""
    removed = re.compile(rf"{re.escape(kind)} \d{{4}}-\d\d-\d\dT[\d:.]+Z( \d+)?")

    def belongs(key: AccountKey) -> bool:
        if key.project != project:
            return False
        if key.kind == DELETED:
            return removed.fullmatch(key.label) is not None
        return key.kind == kind and not key.label

    return belongs
