"""``allowance keys add NAME``: a key is made, and its token printed once."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Final

from allowance.cli.commands.keys import show_token
from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import read_limit, read_moment
from allowance.cli.key_desk import key_desk
from allowance.money import to_nanos

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

SCOPES: Final = ("spend", "read", "admin")
ABOUT: Final = """Make a key, and print its token: this once, for only a hash of it is kept. spend is what
programs need; read looks; admin changes budgets and keys. With --project it sees that project alone (several
with commas), else all."""
EXAMPLES: Final = """
allowance keys add app --scope spend
allowance keys add app --scope spend --project billing --limit 100 --duration monthly
allowance keys add dashboard --scope read --expires 30d
allowance keys add ops --scope admin
export ALLOWANCE_API_KEY=$(allowance keys add app --scope spend)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the key may do, and for how long."""
    parser.add_argument("name", metavar="NAME", help="who will use it")
    parser.add_argument(
        "--scope", metavar="SCOPE", action="append", choices=SCOPES, required=True, help=", ".join(SCOPES)
    )
    parser.add_argument("--expires", metavar="TIME", help="until when, such as 30d or 2027-12-31")
    parser.add_argument("--limit", metavar="USD", help="a budget of its own, over all that it pays for")
    parser.add_argument("--duration", metavar="TIME", help="of that budget: daily, weekly, monthly, 7d, ...")
    parser.add_argument(
        "--fixed-terms", action="store_true", help="it may not make budgets or declare their limits"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Make it."""
    limit = None if args.limit is None else read_limit(args.limit)
    if args.limit is not None and limit is None:
        raise BadInput("--limit must be US dollars here: a key without a limit needs no budget.")
    if args.duration is not None and limit is None:
        raise BadInput("--duration is that of the key's own budget: give --limit with it.")
    projects = None if not args.project else [name.strip() for name in args.project.split(",")]
    with key_desk(args, making=True) as ask:
        answer = ask(
            "POST",
            "/v1/keys",
            name=args.name,
            scopes=list(args.scope),
            projects=projects,
            expires_in=None if args.expires is None else seconds_until(args.expires, "--expires"),
            limit=None if limit is None else to_nanos(limit),
            duration=args.duration,
            fixed_terms=args.fixed_terms,
        )
    show_token(answer, "Made the key", console)
    return Exit.DONE


def seconds_until(text: str, what: str) -> int:
    """How long it is until a time, ``30d`` or a date, in whole seconds; of one that is over 0."""
    return max(0, ceil((read_moment(text, what) - datetime.now(UTC)).total_seconds()))
