"""``allowance show USER``: all about one user."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.commands.budgets import part_of
from allowance.cli.exits import Exit
from allowance.cli.inputs import add_user, open_manager
from allowance.cli.lookup import family_of
from allowance.cli.words import budget_name, moment, span, to_copy, until, usd
from allowance.ledger.names import account_key
from allowance.ledger.times import to_datetime
from allowance.manager.reporting import windows_of
from allowance.money import format_usd, to_usd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from decimal import Decimal

    from allowance.cli.output import Cell, Console
    from allowance.ledger.records import AccountKey, Entry
    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.records import BudgetStatus, HoldStatus, WindowSummary

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "holds_table", "overview", "run"]

ABOUT: Final = """Show all about one user: the terms, what was spent on which models, what open calls hold,
what was charged without word of its call, the latest lines of the ledger, and earlier windows."""
EXAMPLES: Final = """
allowance show alice
allowance show red --kind team
allowance show alice --json
"""

_FEW: Final = 5
_REACHES: Final = (
    *(timedelta(seconds=60 * 12**power) for power in range(5)),
    None,
)  # a minute to half a month
_WINDOWS: Final = (8, 64, 512, 4096)
_STARTS: Final = {
    "daily": "at midnight",
    "weekly": "on Mondays",
    "monthly": "on the first",
    "yearly": "on 1 January",
}
_UNCAPPED: Final = {
    "shrink": "shrink: calls without an output cap hold what is left",
    "clamp": "clamp: calls without an output cap are capped to what is left",
    "reserve": "reserve: calls without an output cap hold the longest reply",
    "refuse": "refuse: calls without an output cap must fit by their likely cost",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom."""
    add_user(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print it."""
    manager = open_manager(args, console)
    family = family_of(manager, args)
    holds = manager.holds(args.user, kind=args.kind)
    costs = {status.label: _costs(manager, status) for status in family}
    lines = {status.label: _latest(manager, status) for status in (family if console.json else family[:1])}
    windows = {status.label: _windows(manager, status, whole=console.json) for status in family}
    if console.json:
        console.data(
            {
                "budgets": [
                    {
                        **status.as_dict(),
                        "model_costs": _plain(costs[status.label]),
                        "entries": [_entry_as_dict(entry) for entry in lines[status.label]],
                        "windows": [window.as_dict() for window in windows[status.label]],
                    }
                    for status in family
                ],
                "holds": [hold.as_dict() for hold in holds],
            }
        )
        return Exit.DONE
    for place, status in enumerate(family):
        if place:
            console.line()
        console.line(console.style(budget_name(status.kind, status.user, status.label), "bold"))
        overview(status, console)
        _show_costs(costs[status.label], console)
        _show_windows(windows[status.label], console)
    _show_holds(holds, console)
    _show_latest(lines[family[0].label], console)
    return Exit.DONE


def overview(status: BudgetStatus, console: Console) -> None:
    """A budget's terms and figures, a line for each."""
    console.fields(_figures(status, console))


def _figures(status: BudgetStatus, console: Console) -> Iterable[tuple[str, Cell]]:
    per = f" {status.duration}" if status.duration else " for good"
    yield "limit", usd(status.base_limit, none="none: it only counts,") + per
    for top_up in status.top_ups:
        yield (
            "top-up",
            f"{usd(top_up.amount)} {f'until {moment(top_up.until)}' if top_up.until else 'for good'}",
        )
    if status.models:
        yield "models", ", ".join(status.models)
    yield "spent", usd(status.spent)
    if status.held:
        yield "held", f"{usd(status.held)} by open calls"
    if status.remaining is not None:
        yield "left", console.style(usd(status.remaining), *(["red"] if status.remaining <= 0 else []))
    if status.limit is not None:
        spent, held = part_of(status.spent, status.limit), part_of(status.held, status.limit)
        bar = console.bar(spent, min(40, console.width // 3), held=held)
        yield "used", console.style(f"{bar.text} {min(spent + held, 99.99):.0%}", *bar.styles)
    if status.resets_at:
        yield "window", f"since {moment(status.window_start)}"
        yield "resets", f"{moment(status.resets_at)}, in {until(status.resets_at)}"
        if status.align == "calendar":
            start = _STARTS.get(status.duration or "", "on the calendar")
            yield "begins", f"{start}, in {status.timezone}"
    if status.limit is not None:
        yield "uncapped", _UNCAPPED[status.uncapped]
    yield "made", moment(status.created_at)


def holds_table(holds: Iterable[HoldStatus], console: Console) -> None:
    """Open and expired holds, with what `release` needs."""
    now = datetime.now(UTC)
    console.table(
        ("  id", "amount", "age", "model", "owner"),
        [
            (
                f"  {hold.call_id}",
                usd(hold.charged if hold.unconfirmed else hold.amount),
                span(now - hold.reserved_at),
                hold.model or "-",
                hold.owner or "-",
            )
            for hold in holds
        ],
        "i.rll",
    )


def _show_holds(holds: Iterable[HoldStatus], console: Console) -> None:
    open_holds = [hold for hold in holds if not hold.unconfirmed]
    expired = [hold for hold in holds if hold.unconfirmed]
    if open_holds:
        console.title("Open calls")
        holds_table(open_holds, console)
    if expired:
        console.title("Charged without word of the call (unconfirmed)")
        holds_table(expired, console)
        console.line("  To give one back: ", console.style(to_copy("release", "ID"), "cyan"))


def _key(status: BudgetStatus) -> AccountKey:
    return account_key(status.project, status.kind, status.user, status.label)


def _costs(manager: BudgetManager, status: BudgetStatus) -> dict[str | None, Decimal]:
    costs = manager.store.model_costs(_key(status))
    dearest_first = sorted(costs.items(), key=lambda item: -item[1])
    return {model: to_usd(cost) for model, cost in dearest_first}


def _plain(costs: dict[str | None, Decimal]) -> dict[str, str]:
    return {model or "": f"{cost:f}" for model, cost in costs.items()}


def _show_costs(costs: dict[str | None, Decimal], console: Console) -> None:
    if costs:
        console.title("  Models in this window")
        rows = [(f"  {model or '(no model)'}", usd(cost)) for model, cost in costs.items()]
        console.table(("  model", "spent"), rows, "l.")


def _show_windows(windows: Iterable[WindowSummary], console: Console) -> None:
    closed = [window for window in windows if not window.current][-_FEW:]
    if closed:
        console.title("  Windows before")
        rows = [(f"  {moment(window.start)}", usd(window.spent), f"{window.calls:,}") for window in closed]
        console.table(("  since", "spent", "calls"), rows, "l.r")


def _windows(manager: BudgetManager, status: BudgetStatus, *, whole: bool) -> list[WindowSummary]:
    """The windows, or the latest closed ones: neither the present one nor a long past is read for them."""
    whose: dict[str, Any] = {"kind": status.kind, "label": status.label}
    if whole:
        return manager.history(status.user, **whose)
    if status.resets_at is None or status.window_start <= status.created_at:
        return []  # the present window is all there is
    length = status.resets_at - status.window_start
    windows: list[WindowSummary] = []
    for reach in _WINDOWS:
        begin = status.window_start - reach * length
        since = begin if begin > status.created_at else None
        entries = list(manager.entries(status.user, since=since, until=status.window_start, **whose))
        account = manager.store.account(_key(status))  # after the entries: none is of a later window then
        found = [] if account is None else windows_of(account, entries)
        windows = [one for one in found if not one.current and (since is None or one.start >= since)]
        if len(windows) >= _FEW or since is None:
            break
    return windows


def _latest(manager: BudgetManager, status: BudgetStatus) -> list[Entry]:
    """The latest lines: a long ledger is not read from its beginning.

    A reset stands at the start of its window, however late it was made.
    """
    now = datetime.now(UTC)
    whose: dict[str, Any] = {"kind": status.kind, "label": status.label}
    start = status.window_start
    resets = manager.entries(status.user, since=start, until=start + timedelta(microseconds=1), **whose)
    lines = {entry.seq: entry for entry in deque(resets, maxlen=_FEW)}
    for reach in _REACHES:
        since = None if reach is None else now - reach
        latest = deque(manager.entries(status.user, since=since, **whose), maxlen=_FEW)
        if len(latest) == _FEW or reach is None:
            lines |= {entry.seq: entry for entry in latest}
            break
    return [lines[seq] for seq in sorted(lines)][-_FEW:]


def _show_latest(entries: Iterable[Entry], console: Console) -> None:
    rows = [
        (
            f"  {moment(to_datetime(entry.posted_at))}",
            format_usd(entry.amount),
            str(entry.kind),
            entry.model or "-",
            ", ".join(filter(None, [entry.reason, "unconfirmed" if entry.unconfirmed else "", *entry.tags])),
        )
        for entry in islice(entries, _FEW)
    ]
    if rows:
        console.title("Latest lines of the ledger")
        console.table(("  when", "amount", "kind", "model", "note"), rows, "i.lll")


def _entry_as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "kind": str(entry.kind),
        "amount": f"{to_usd(entry.amount):f}",
        "at": to_datetime(entry.at).isoformat(),
        "posted_at": to_datetime(entry.posted_at).isoformat(),
        "call_id": entry.hold_id,
        "model": entry.model,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "unconfirmed": entry.unconfirmed,
        "counted": entry.counted,
        "reason": entry.reason,
        "tags": list(entry.tags),
    }
