"""``allowance keys``: what may be done with a server's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import Exit
from allowance.cli.words import span, to_copy

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run", "show_token"]

ABOUT: Final = """A server admits who has a key. Keys are made, listed, rotated and revoked where the server's
store is (--store, else ALLOWANCE_STORE, else allowance.db in the current directory), or from afar: name the
server's address in its place, and an admin key in ALLOWANCE_API_KEY."""
EXAMPLES: Final = """
allowance keys add app --scope spend
allowance keys list
allowance keys rotate app --overlap 1h
allowance keys revoke app
ALLOWANCE_API_KEY=alw_... allowance keys list --store https://budgets.example
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing: a verb makes it another command."""


def run(_: argparse.Namespace, console: Console) -> int:
    """Show what there is."""
    from allowance.cli.parser import COMMANDS

    if console.json:
        console.data(sorted(name for name in COMMANDS if name.startswith("keys ")))
        return Exit.DONE
    console.text(" ".join(ABOUT.split()))
    console.line()
    for name, command in COMMANDS.items():
        if name.startswith("keys "):
            console.line("  allowance ", console.style(name.ljust(12), "cyan"), "  ", command.about)
    console.line()
    console.line("For example:")
    for line in EXAMPLES.strip().splitlines():
        console.line("  ", line)
    return Exit.DONE


def show_token(answer: dict[str, Any], did: str, console: Console) -> None:
    """Print a new token alone on standard output, for a script to take, and all else beside it."""
    if console.json:
        console.data(answer)
        return
    key = answer["key"]
    console.note(f"{did} {key['name']} ({key['id']}): {what_it_may(key)}.")
    console.note("Its token is shown this once. Clients have it in ALLOWANCE_API_KEY:")
    console.line(answer["token"])
    console.note(f"To take it back: {to_copy('keys', 'revoke', key['id'])}")


def what_it_may(key: dict[str, Any]) -> str:
    """``"spend in all projects"``."""
    scopes = " and ".join(key["scopes"])
    projects = "all projects" if key["projects"] is None else ", ".join(key["projects"])
    terms = ", on budgets that exist" if key["fixed_terms"] else ""
    return f"{scopes} in {projects}{terms}"


def ends(key: dict[str, Any], now: int) -> str:
    """How a key stands: ``"live"``, ``"for 3 d 4 h"``, ``"expired"``, ``"revoked"``."""
    if key["revoked_at"] is not None:
        return "revoked"
    if key["expires_at"] is None:
        return "live"
    left = (key["expires_at"] - now) / 1e6
    return "expired" if left <= 0 else f"for {span(max(left, 1))}"
