"""``allowance add USER AMOUNT``: a top-up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from allowance.cli.commands.show import overview
from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_user, open_manager, read_amount, read_moment
from allowance.cli.lookup import labelled_of, of_kind, of_label
from allowance.cli.words import budget_name, moment, to_copy, usd

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Top up a budget: let it spend so much more than its limit, until a time. Without --until
that is the end of its present window; where its window never ends, it is for good."""
EXAMPLES: Final = """
allowance add alice 2
allowance add alice 2.50 --until 7d --reason "demo on Friday"
allowance add alice 10 --label month
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, how much, until when, and why."""
    add_user(parser)
    parser.add_argument("amount", metavar="AMOUNT", help="US dollars, such as 2 or 0.50")
    parser.add_argument("--until", metavar="DATE", help="such as 2026-12-01, 2026-12-01T09:30, 7d or 12h")
    parser.add_argument("--reason", metavar="TEXT", default="", help="stands in the ledger")
    parser.add_argument("--label", metavar="NAME", default="", help="which of several budgets")


def run(args: argparse.Namespace, console: Console) -> int:
    """Top it up."""
    name = budget_name(args.kind, args.user, args.label)
    of = (*of_kind(args.kind), *of_label(args.label))
    if args.amount.strip().startswith("-"):
        raise BadInput(
            f"A top-up adds: {args.amount} cannot be added.\n"
            f"To allow less: {to_copy('set', args.user, options=(*of, '--limit', 'AMOUNT'))}"
        )
    amount = read_amount(args.amount)
    if not amount:
        raise BadInput(
            f"A top-up must be above zero. For example: {to_copy('add', args.user, '2', options=of)}"
        )
    until = None if args.until is None else read_moment(args.until, "--until")
    if until is not None and until <= datetime.now(UTC):
        raise BadInput(f"--until {moment(until)} is over. Name a later time, such as 7d: in seven days.")
    manager = open_manager(args, console)
    if labelled_of(manager, args).limit is None:
        raise BadInput(
            f"{name} has no limit: there is nothing to add to.\n"
            f"To give it one: {to_copy('set', args.user, options=(*of, '--limit', f'{amount:f}'))}"
        )
    status = manager.add_budget(
        args.user, amount, reason=args.reason, until=until, label=args.label, kind=args.kind
    )
    if console.json:
        console.data(status.as_dict())
        return Exit.DONE
    end = until or status.resets_at
    lasts = f"until {moment(end)}" if end else "for good"
    console.line("Added ", console.style(usd(amount), "bold"), f" to {name}, {lasts}.")
    overview(status, console)
    return Exit.DONE
