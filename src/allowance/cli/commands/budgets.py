"""``allowance budgets``: a line for each budget."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_kind, open_manager
from allowance.cli.words import about_usd, budget_name, to_copy, until

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from allowance.cli.output import Cell, Console
    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.records import BudgetStatus

__all__ = ["ABOUT", "ALIGN", "EXAMPLES", "HEADERS", "add_arguments", "bar_width", "part_of", "row", "run"]

ABOUT: Final = "Show all budgets: what each may spend, has spent, and holds for open calls."
EXAMPLES: Final = """
allowance budgets
allowance budgets --sort spent --over 80%
allowance budgets --kind team --json
"""

HEADERS: Final = ("budget", "limit", "spent", "held", "used", "resets in")
ALIGN: Final = "l...br"

_SORTS: Final = ("name", "spent", "remaining")
_INFINITY: Final = Decimal("Infinity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which budgets, and in what order."""
    add_kind(parser)
    parser.add_argument("--sort", metavar="BY", choices=_SORTS, default="name", help=f"{', '.join(_SORTS)}")
    parser.add_argument("--over", metavar="PART", help="only those past a part of their limit, such as 80%%")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print them."""
    over = None if args.over is None else _read_part(args.over)
    manager = open_manager(args, console)
    shown = _sorted(_chosen(manager.statuses(kind=args.kind), over), args.sort)
    if console.json:
        console.stream(status.as_dict() for status in shown)
        return Exit.DONE
    bar = bar_width(console)
    count = console.table(HEADERS, (row(status, console, bar) for status in shown), ALIGN)
    if not count:
        _say_none(manager, args, console)
        return Exit.DONE
    console.line()
    noun = "budget" if count == 1 else "budgets"
    console.aside(f"{count:,} {noun} of project {manager.project_name} in {manager.store.url}")
    return Exit.DONE


def bar_width(console: Console) -> int:
    """How long bars are on this terminal."""
    return 20 if console.width >= 100 else 10


def row(status: BudgetStatus, console: Console, bar: int, *, changed: bool = False) -> tuple[Cell, ...]:
    """A budget's line in a table; bold where it has just changed."""
    weight = ("bold",) if changed else ()
    return (
        console.style(budget_name(status.kind, status.user, status.label), *weight),
        about_usd(status.limit),
        console.style(about_usd(status.spent), *weight),
        about_usd(status.held) if status.held else "-",
        _used(status, console, bar),
        until(status.resets_at),
    )


def _used(status: BudgetStatus, console: Console, width: int) -> Cell:
    if status.limit is None:
        return ""
    part, held = part_of(status.spent, status.limit), part_of(status.held, status.limit)
    bar = console.bar(part, width, held=held)
    percent = f"{min(part + held, 99.99):.0%}"
    return console.style(f"{bar.text} {percent:>4}", *bar.styles)


def part_of(amount: Decimal, limit: Decimal) -> float:
    """Which part of a limit an amount is; of a limit of zero anything is all."""
    return float(amount / limit) if limit else float(amount > 0)


def _chosen(statuses: Iterable[BudgetStatus], over: float | None) -> Iterator[BudgetStatus]:
    for status in statuses:
        if over is None or (
            status.limit is not None and part_of(status.spent + status.held, status.limit) > over
        ):
            yield status


def _sorted(statuses: Iterator[BudgetStatus], by: str) -> Iterable[BudgetStatus]:
    if by == "spent":
        return sorted(statuses, key=lambda status: status.spent, reverse=True)
    if by == "remaining":
        return sorted(
            statuses, key=lambda status: _INFINITY if status.remaining is None else status.remaining
        )
    return statuses  # the store's own order, as they come


def _read_part(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d*)?|\.\d+)\s*(%?)", text.strip(), re.ASCII)
    if match is None:
        raise BadInput(f"--over must be a part of the limit such as 80% or 0.8, not {text[:40]!r}.")
    part = float(match[1])
    return part / 100 if match[2] or part > 1 else part


def _say_none(manager: BudgetManager, args: argparse.Namespace, console: Console) -> None:
    of_kind = f" of kind {args.kind!r}" if args.kind else ""
    what = f"{of_kind} past {args.over}" if args.over else of_kind
    console.line(f"No budgets{what} in project {manager.project_name!r}.")
    if args.over or args.kind:
        return
    others = {account.key.project for account in islice(manager.store.accounts(), 1000)}
    if others:
        names = ", ".join(f"--project {name}" for name in sorted(others)[:5])
        console.line(f"This store has budgets of other projects: {names}")
    make = to_copy("set", "alice", options=("--limit", "5", "--duration", "monthly"))
    console.line(f"Make one: {make}")
    console.aside(f"The store: {manager.store.url}")
