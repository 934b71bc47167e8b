"""``allowance delete USER``: a budget is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.cli.exits import Exit
from allowance.cli.inputs import add_user, confirm, open_manager
from allowance.cli.lookup import family_of, labelled_of
from allowance.cli.words import budget_name, usd

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Take a user away with all budgets, or the one budget of a label. What was spent stays in
the ledger and in reports; the name is free again."""
EXAMPLES: Final = """
allowance delete alice
allowance delete alice --label month --yes
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose."""
    add_user(parser)
    parser.add_argument("--label", metavar="NAME", help="only the budget of this label")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace, console: Console) -> int:
    """Delete, once it is confirmed."""
    manager = open_manager(args, console)
    going = (labelled_of(manager, args),) if args.label else family_of(manager, args)
    told = ", ".join(
        f"{budget_name(status.kind, status.user, status.label)} ({usd(status.spent)} spent)"
        for status in going
    )
    if not confirm(args, console, f"delete {told}"):
        console.line("Nothing was changed.")
        return Exit.NO
    gone = manager.delete_user(args.user, kind=args.kind, label=args.label)
    if console.json:
        console.data([status.as_dict() for status in gone])
        return Exit.DONE
    console.line(f"Deleted {told}. Its ledger is kept.")
    return Exit.DONE
