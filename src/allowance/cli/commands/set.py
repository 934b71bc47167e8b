"""``allowance set USER``: an operator makes a budget, or changes its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from allowance.cli.commands.show import overview
from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_user, open_manager, project_of, read_limit
from allowance.cli.lookup import of_kind, of_label
from allowance.cli.words import budget_name, to_copy, usd
from allowance.errors import ConfigurationError, UnknownUserError
from allowance.ledger.names import account_key
from allowance.ledger.records import Alignment, Uncapped
from allowance.ledger.windows import parse_duration, parse_zone

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console
    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.records import BudgetStatus

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Make a budget, or change one. Only what is given changes, and what was spent stays spent.
Code that goes on declaring its old limit does not undo it."""
EXAMPLES: Final = """
allowance set alice --limit 5 --duration monthly
allowance set alice --limit 20
allowance set alice --limit 100 --duration monthly --label month
allowance set alice --limit 1 --duration daily --models 'gpt-4o*'
allowance set alice --limit none
allowance set red --kind team --limit 50 --duration weekly --align calendar
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The terms."""
    add_user(parser)
    parser.add_argument("--limit", metavar="USD", help="US dollars per window, or none: it only counts")
    parser.add_argument(
        "--duration", metavar="TIME", help="daily, weekly, monthly, yearly, 12h, 7d, 2w, 1mo, or forever"
    )
    parser.add_argument(
        "--align",
        metavar="WHERE",
        choices=get_args(Alignment),
        help="created: windows repeat from when it was made; calendar: midnight, Monday, the first",
    )
    parser.add_argument("--timezone", metavar="ZONE", help="whose midnight, such as Europe/Berlin")
    parser.add_argument(
        "--uncapped",
        metavar="POLICY",
        choices=get_args(Uncapped),
        help="what a call without an output cap does that does not fit: shrink, clamp, reserve, refuse",
    )
    parser.add_argument("--models", metavar="GLOBS", help="only calls to these models, such as 'gpt-4o*,o3*'")
    parser.add_argument("--label", metavar="NAME", default="", help="a further budget beside the main one")


def run(args: argparse.Namespace, console: Console) -> int:
    """Make or change it."""
    terms = _terms(args)
    if not terms:
        example = to_copy(
            "set", args.user, options=(*of_kind(args.kind), "--limit", "5", "--duration", "monthly")
        )
        raise BadInput(f"Say what to set, such as: {example}")
    _check(args)
    manager = open_manager(args, console, making="limit" in terms)
    before = {status.label: status for status in _family(manager, args)}
    try:
        status = manager.set_budget(args.user, **terms, label=args.label, kind=args.kind)
    except UnknownUserError:
        label = f" with the label {args.label!r}" if args.label else ""
        example = to_copy(
            "set", args.user, options=(*of_kind(args.kind), "--limit", "5", *of_label(args.label))
        )
        raise BadInput(
            f"There is no budget of {args.kind} {args.user!r}{label} yet, and a new one needs a limit.\n"
            f"For example: {example}"
        ) from None
    if console.json:
        console.data(status.as_dict())
        return Exit.DONE
    old = before.get(status.label)
    done = "Made" if old is None else "Changed" if _terms_of(old) != _terms_of(status) else "Unchanged:"
    console.line(
        f"{done} ",
        console.style(budget_name(status.kind, status.user, status.label), "bold"),
        f" in project {status.project}.",
    )
    overview(status, console)
    if status.remaining is not None and status.remaining < 0:
        console.note(
            f"{usd(status.spent)} were spent already, which is more than the limit: calls are refused."
        )
    return Exit.DONE


def _terms(args: argparse.Namespace) -> dict[str, Any]:
    names = ("duration", "align", "timezone", "uncapped")
    terms = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.limit is not None:
        terms["limit"] = read_limit(args.limit)
    if args.models is not None:
        terms["models"] = tuple(glob.strip() for glob in args.models.split(",") if glob.strip())
        if not terms["models"]:
            raise BadInput("--models needs a model's name or a pattern, such as 'gpt-4o*'.")
    return terms


def _check(args: argparse.Namespace) -> None:
    """Say what is wrong before a file is made.

    Raises:
        BadInput, ConfigurationError: a name, a duration or a time zone that is none.
    """
    account_key(project_of(args), args.kind, args.user)
    parse_zone(args.timezone or "UTC")
    try:
        parse_duration(args.duration)
    except ConfigurationError:
        raise BadInput(
            f"--duration cannot be {args.duration[:40]!r}. Use daily, weekly, monthly, yearly, forever, or a "
            "number with a unit: 30s, 5m, 12h, 7d, 2w, 1mo, 1y."
        ) from None


def _family(manager: BudgetManager, args: argparse.Namespace) -> tuple[BudgetStatus, ...]:
    try:
        return manager.status(args.user, kind=args.kind)
    except UnknownUserError:
        return ()


def _terms_of(status: BudgetStatus) -> tuple[object, ...]:
    return (
        status.base_limit,
        status.duration,
        status.align,
        status.timezone,
        status.uncapped,
        status.models,
    )
