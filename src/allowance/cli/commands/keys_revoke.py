"""``allowance keys revoke NAME``: a key is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.cli.exits import Exit
from allowance.cli.key_desk import key_desk

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Take a key away for good, by its name or its id: every server refuses it within a second. By
its name all its tokens go, also one that was rotated out and still works; by an id that one alone."""
EXAMPLES: Final = """
allowance keys revoke app
allowance keys revoke 3f9c01d2a4b5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which."""
    parser.add_argument("name", metavar="NAME", help="the key's name, or its id")


def run(args: argparse.Namespace, console: Console) -> int:
    """Revoke it."""
    with key_desk(args) as ask:
        gone = ask("POST", "/v1/keys/revoke", name=args.name)["items"]
    if console.json:
        console.data(gone)
        return Exit.DONE
    for key in gone:
        console.line("Revoked ", console.style(key["name"], "bold"), f" ({key['id']}).")
    return Exit.DONE
