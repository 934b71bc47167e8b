"""``allowance keys rotate NAME``: a new token for a key; the old one works on for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.cli.commands.keys import show_token
from allowance.cli.commands.keys_add import seconds_until
from allowance.cli.exits import Exit
from allowance.cli.key_desk import key_desk

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Make a new token for a key, with the same name, scopes, projects and budget. The old token
works for an hour, or as long as --overlap says, so that clients can be changed one after the other."""
EXAMPLES: Final = """
allowance keys rotate app
allowance keys rotate app --overlap 7d
allowance keys rotate app --overlap 0s
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, and how long the old one works."""
    parser.add_argument("name", metavar="NAME", help="the key's name")
    parser.add_argument(
        "--overlap", metavar="TIME", default="1h", help="how long the old token works: 0s to 30d"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Rotate it."""
    seconds = seconds_until(args.overlap, "--overlap")
    with key_desk(args) as ask:
        answer = ask("POST", "/v1/keys/rotate", name=args.name, overlap_seconds=seconds)
    show_token(answer, "A new token for", console)
    if not console.json:
        until = f"works for {args.overlap} more, or as long as it would have" if seconds else "works no more"
        console.note(f"The old token {until}.")
    return Exit.DONE
