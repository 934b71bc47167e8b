"""``allowance audit``: every figure recomputed from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.cli.exits import Exit
from allowance.cli.inputs import open_manager
from allowance.cli.words import counted

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Recompute what every budget of the store has spent and holds, from its ledger and its open calls. "
    "Other processes wait meanwhile. Exits 1 if anything differs."
)
EXAMPLES: Final = """
allowance audit
allowance audit --json
allowance audit || mail -s "budgets differ" you@example.com
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what all commands take."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Count, compare, tell."""
    manager = open_manager(args, console)
    count = sum(1 for _ in manager.store.accounts())
    differences = manager.audit()
    if console.json:
        console.data({"store": manager.store.url, "budgets": count, "differences": differences})
        return Exit.NO if differences else Exit.DONE
    for difference in differences:
        console.text(difference, indent="  ", then="    ")
    if differences:
        console.line(
            console.style(counted(len(differences), "difference"), "red"),
            f" in {counted(count, 'budget')} of the store.",
        )
        console.text(
            "Nothing was changed. Keep a copy of the store as it is: it was damaged, another program wrote "
            "to it, or this is a defect of allowance's, which you can help to mend by reporting it."
        )
        return Exit.NO
    console.line(
        console.style("It balances", "green"),
        f": {counted(count, 'budget')} of the store recomputed, and all agree.",
    )
    return Exit.DONE
