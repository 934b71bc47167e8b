"""``allowance reset USER``: what was spent is brought back to zero."""

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

ABOUT: Final = """Bring what was spent back to zero, on all budgets of a user, or on the one of a label. The
ledger keeps its lines and gets another one; what open calls hold stays held."""
EXAMPLES: Final = """
allowance reset alice
allowance reset alice --label month --yes
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose."""
    add_user(parser)
    parser.add_argument("--label", metavar="NAME", help="only the budget of this label")
    parser.add_argument("--reason", metavar="TEXT", default="reset by hand", help="stands in the ledger")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace, console: Console) -> int:
    """Reset, once it is confirmed."""
    manager = open_manager(args, console)
    before = family_of(manager, args) if args.label is None else (labelled_of(manager, args),)
    told = ", ".join(
        f"{budget_name(status.kind, status.user, status.label)} ({usd(status.spent)} spent)"
        for status in before
    )
    if not confirm(args, console, f"reset {told}"):
        console.line("Nothing was changed.")
        return Exit.NO
    manager.reset_cost(args.user, kind=args.kind, label=args.label, reason=args.reason)
    after = manager.status(args.user, kind=args.kind)
    if console.json:
        console.data([status.as_dict() for status in after])
        return Exit.DONE
    console.line(f"Reset {told}.")
    return Exit.DONE
