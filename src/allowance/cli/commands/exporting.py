"""``allowance export``: budgets as LiteLLM's ``user_cost.json``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import open_manager
from allowance.cli.words import counted
from allowance.cli.writing import write_whole

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Write the users of a project as LiteLLM's user_cost.json. Amounts are floats there, a budget "
    "without a limit has the limit Infinity, and what LiteLLM does not know is left out: open calls, "
    "and further budgets of one user."
)
EXAMPLES: Final = """
allowance export user_cost.json
allowance export - | jq '.alice.current_cost'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="the file; standard output where it is left out, or -",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Write it."""
    if args.file != "-":
        _refuse_to_replace(args.file)
    users = open_manager(args, console).export_user_cost()
    text = json.dumps(users, indent=4)  # as LiteLLM writes it
    if args.file == "-":
        console.stdout.write(text + "\n")
        return Exit.DONE
    written = write_whole(args.file, text)
    if console.json:
        console.data({"written": str(written), "users": len(users)})
    else:
        console.line(f"Written: {written} ({counted(len(users), 'user')})")
    return Exit.DONE


def _refuse_to_replace(path: str) -> None:
    """A file that is no user_cost.json is somebody's."""
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        return
    try:
        with open(path, "rb") as file:
            held = json.load(file)
    except (OSError, ValueError, RecursionError):
        held = None
    if not _is_user_cost(held):
        raise BadInput(f"{path} is there, and is no user_cost.json: it would be lost. Name another file.")


def _is_user_cost(held: Any) -> bool:
    return isinstance(held, dict) and all(
        isinstance(one, dict) and "total_budget" in one for one in held.values()
    )
