"""``allowance keys list``: a server's keys, without their tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.commands.keys import ends
from allowance.cli.exits import Exit
from allowance.cli.key_desk import key_desk
from allowance.cli.words import counted, moment
from allowance.ledger.times import to_datetime

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Cell, Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = "List a server's keys: what each may do, where, and until when. Their tokens are kept nowhere."
EXAMPLES: Final = """
allowance keys list
allowance keys list --all
allowance keys list --json
"""
_HEADERS: Final = ("name", "id", "may", "projects", "state", "made")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which."""
    parser.add_argument("--all", action="store_true", help="also those that were revoked or have expired")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print them."""
    with key_desk(args) as ask:
        found = ask("GET", "/v1/keys")["items"]
    now = time.time_ns() // 1000
    over = ("revoked", "expired")
    shown = [key for key in found if args.all or ends(key, now) not in over]
    if console.json:
        console.data(shown)
        return Exit.DONE
    if not console.table(_HEADERS, (_row(key, now) for key in shown), "lillll"):
        console.line("No keys. Make one: allowance keys add NAME --scope spend")
    hidden = len(found) - len(shown)
    if hidden:
        console.line()
        console.aside(
            f"{counted(hidden, 'more')} revoked or expired: --all shows them".replace("mores", "more")
        )
    return Exit.DONE


def _row(key: dict[str, Any], now: int) -> tuple[Cell, ...]:
    scopes = ", ".join(key["scopes"]) + (" (fixed terms)" if key["fixed_terms"] else "")
    return (
        key["name"] + (" (has a budget)" if key["budgeted"] else ""),
        key["id"],
        scopes,
        "all" if key["projects"] is None else ", ".join(key["projects"]),
        ends(key, now),
        moment(to_datetime(key["created_at"]).replace(second=0, microsecond=0)),
    )
