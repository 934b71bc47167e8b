"""How commands end: exit codes that scripts can use, and errors in one to three lines."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from allowance.cli.words import option, to_copy
from allowance.errors import BudgetError, StoreError, UnknownModelError, UnknownUserError

__all__ = ["BadInput", "Exit", "Told", "explained"]


class Exit(IntEnum):
    """What an exit code says."""

    DONE = 0
    NO = 1  # the answer is no: something stands in the way, or was found
    BAD_INPUT = 2
    STORE = 3  # the store cannot be reached, or is damaged
    INTERRUPTED = 130


class BadInput(Exception):  # noqa: N818  # it is shown, not caught by name
    """What was typed cannot be done; the message says what to type in its place."""


class Told(NamedTuple):
    """An error for people: the lines to show, and the exit code."""

    message: str
    code: Exit


def explained(error: Exception) -> Told | None:
    """The words and the exit code for an error; None for one that only a defect raises."""
    if isinstance(error, UnknownUserError):
        return Told(_unknown_user(error), Exit.BAD_INPUT)
    if isinstance(error, UnknownModelError):
        return Told(_unknown_model(error), Exit.BAD_INPUT)
    if isinstance(error, StoreError):
        return Told(str(error), Exit.STORE)
    if isinstance(error, (BadInput, BudgetError)):
        return Told(str(error), Exit.BAD_INPUT)
    if isinstance(error, OSError) and error.strerror:
        where = f" {error.filename}" if error.filename else ""
        return Told(f"Cannot read or write{where}: {error.strerror}.", Exit.BAD_INPUT)
    return None


def _unknown_user(error: UnknownUserError) -> str:
    who = f"{error.kind} {error.user!r}"
    lines = [f"No budget of {who} in project {error.project!r}."]
    if error.projects:
        names = ", ".join(f"--project {name}" for name in error.projects[:5])
        lines.append(f"There is one with {names}.")
    kind = () if error.kind == "user" else option("kind", error.kind)
    lines.append(f"Make one: {to_copy('set', error.user, options=(*kind, '--limit', '5'))}")
    return "\n".join(lines)


def _unknown_model(error: UnknownModelError) -> str:
    lines = [f"No price is known for the model {error.model[:200]!r}."]
    if error.near:
        lines.append(f"The nearest known names: {', '.join(error.near)}.")
    lines.append("To add prices of your own, name a JSON file of them in ALLOWANCE_PRICES.")
    return "\n".join(lines)
