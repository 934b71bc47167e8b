"""``allowance release ID``: a hold is let go, or what it was charged is given back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import open_manager
from allowance.cli.words import budget_name, span, to_copy, usd
from allowance.ledger.records import EntryKind
from allowance.money import format_usd

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console
    from allowance.manager.budget_manager import BudgetManager

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Let a hold go whose call was not made, or cost nothing. One that was charged at its term,
because nobody told what its call cost, gives that charge back. `allowance show USER` lists the ids."""
EXAMPLES: Final = """
allowance release 5a0b74c1b8a2f9d3000000000007
allowance release 5a0b74c1b8a2f9d3000000000007 --reason "never sent"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which hold."""
    parser.add_argument("id", metavar="ID", help="the id of the call")
    parser.add_argument("--reason", metavar="TEXT", default="", help="stands in the ledger")


def run(args: argparse.Namespace, console: Console) -> int:
    """Release it, and say what that changed."""
    manager = open_manager(args, console)
    call_id = args.id.strip()
    # First a look: the store remembers an id that is released before it is known, and refuses its call.
    hold = next((hold for hold in manager.holds() if hold.call_id == call_id), None)
    if hold is None:
        return _not_held(manager, call_id, console)
    released = manager.release(call_id, reason=args.reason) or hold
    if console.json:
        console.data(released.as_dict())
        return Exit.DONE
    whose = ", ".join(budget_name(*named) for named in hold.budgets)
    model = f" to {hold.model}" if hold.model else ""
    age = span(datetime.now(UTC) - hold.reserved_at)
    if hold.unconfirmed:
        console.text(
            f"Gave back {usd(hold.charged)}, which a call{model} by {whose} was charged at its term."
        )
        return Exit.DONE
    console.text(f"Released {usd(hold.amount)}, which a call{model} by {whose} held for {age}.")
    owner = f" in {hold.owner}" if hold.owner else ""
    console.note(f"If that call still runs{owner}, what it costs is charged when it ends.")
    return Exit.DONE


def _not_held(manager: BudgetManager, call_id: str, console: Console) -> int:
    elsewhere = next((hold for hold in manager.store.holds() if hold.hold_id == call_id), None)
    if elsewhere is not None:
        projects = sorted({key.project for key, _ in elsewhere.windows})
        raise BadInput(f"That call is of another project: add --project {' or --project '.join(projects)}")
    entries = list(manager.store.entries(hold_id=call_id))
    if not entries:
        raise BadInput(
            f"No call of the id {call_id[:60]!r} is known.\n"
            f"For open calls and their ids: {to_copy('show', 'USER')}"
        )
    first = entries[0].key
    cost = format_usd(sum(entry.amount for entry in entries if entry.key == first))
    if console.json:
        console.data({"call_id": call_id, "state": "ended", "released": False})
    elif any(entry.kind is EntryKind.CORRECTION for entry in entries) and cost == "$0.00":
        console.line("Nothing to release: that call was released before, and costs nothing.")
    else:
        console.line(f"Nothing to release: that call has ended, and cost {cost}.")
    return Exit.NO
