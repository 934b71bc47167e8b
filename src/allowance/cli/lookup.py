"""Finding whose budget is meant, and naming what is near where it is not found."""

from __future__ import annotations

import shlex
from itertools import islice
from typing import TYPE_CHECKING, Final

from allowance.cli.exits import BadInput
from allowance.cli.words import budget_name, option, to_copy
from allowance.errors import UnknownUserError

if TYPE_CHECKING:
    import argparse

    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.records import BudgetStatus

__all__ = ["family_of", "labelled_of", "of_kind", "of_label"]

_MOST_LOOKED_AT: Final = 10_000


def family_of(manager: BudgetManager, args: argparse.Namespace) -> tuple[BudgetStatus, ...]:
    """All budgets of the user that was named, the main one first.

    Raises:
        BadInput: there is none; names those that are near.
    """
    try:
        return manager.status(args.user, kind=args.kind)
    except UnknownUserError as error:
        raise BadInput(_stranger(manager, args, error)) from None


def labelled_of(manager: BudgetManager, args: argparse.Namespace) -> BudgetStatus:
    """The budget of the user and the label that were named.

    Raises:
        BadInput: there is none; names those that the user has.
    """
    family = family_of(manager, args)
    for status in family:
        if status.label == (args.label or ""):
            return status
    labels = ", ".join(repr(status.label) for status in family if status.label)
    name = budget_name(args.kind, args.user)
    had = f"It has {labels}." if labels else f"It has none: leave --label out for the budget of {name}."
    raise BadInput(f"{name} has no budget with the label {args.label!r}. {had}")


def of_kind(kind: str) -> tuple[str, ...]:
    """``--kind team`` for a command to copy; nothing for users."""
    return () if kind == "user" else option("kind", kind)


def of_label(label: str | None) -> tuple[str, ...]:
    """``--label month`` for a command to copy; nothing for the main budget."""
    return option("label", label)


def _stranger(manager: BudgetManager, args: argparse.Namespace, error: UnknownUserError) -> str:
    user, kind = args.user, args.kind
    lines = [f"There is no budget of {kind} {user!r} in project {manager.project_name!r}."]
    if error.projects:
        lines.append(
            f"There is one in another project: --project {' or --project '.join(error.projects[:5])}"
        )
    near, kinds = _near(manager, user, kind)
    if kinds:
        lines.append(f"There is one of another kind: --kind {' or --kind '.join(kinds)}")
    elif near:
        lines.append(f"Did you mean {' or '.join(map(shlex.quote, near))}?")
    if len(lines) == 1:
        lines.append(f"See all: {to_copy('budgets')}")
    lines.append(f"Make one: {to_copy('set', user, options=(*of_kind(kind), '--limit', '5'))}")
    return "\n".join(lines)


def _near(manager: BudgetManager, user: str, kind: str) -> tuple[list[str], list[str]]:
    """The names like this one, and the kinds that this name has; of a large store only its beginning."""
    from difflib import get_close_matches

    looked_at = list(islice(manager.statuses(), _MOST_LOOKED_AT))
    names = {status.user for status in looked_at if status.kind == kind}
    kinds = sorted({status.kind for status in looked_at if status.user == user})
    return get_close_matches(user, names, n=3, cutoff=0.7), kinds
