"""An explanation in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.money import format_usd, nanos_up

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from allowance.manager.records import BudgetAnswer, Explanation

__all__ = ["reason"]


def reason(found: Explanation, unknown: str, *, clamped: bool) -> str:
    """Why the call fits or not, with the figures, and what can be done.

    ``unknown`` is what to say of a model without a price; ``clamped`` says that the call would be capped.
    """
    if found.fits:
        return _fits(found, unknown, clamped=clamped)
    if unknown:
        return unknown
    lines = [_refuses(answer, found) for answer in found.budgets if not answer.fits]
    if found.temporary:
        held = len(found.holds)
        calls = "1 open call stands" if held == 1 else f"{held} open calls stand"
        lines.append(f"Only {calls} in the way: it may fit once settled.")
    if found.fits_at is not None:
        lines.append(f"If nothing else is spent, it fits at {_time(found.fits_at)} at the latest.")
    elif not found.temporary:
        shorter = "a lower output cap, " if found.model else ""
        lines.append(f"Waiting does not help: {shorter}a higher limit or a top-up does.")
    return " ".join(lines)


def _fits(found: Explanation, unknown: str, *, clamped: bool) -> str:
    left = [answer.budget.remaining for answer in found.budgets if answer.applies]
    least = min([remaining for remaining in left if remaining is not None], default=None)
    room = "nothing is limited" if least is None else f"{_usd(least)} is left"
    if found.model is None:
        return f"Nothing stands in the way: {room}."
    if unknown:
        return f"A call to {found.model} is sent: no price is known for it, and no limit is in force."
    lines = [f"A call to {found.model} fits: it would hold {_usd(found.needs)}, and {room}."]
    if clamped:
        lines.append("Its output would be capped to that.")
    elif found.needs < found.wants:
        lines.append(f"It may cost {_usd(found.wants)}: give it an output cap.")
    return " ".join(lines)


def _refuses(answer: BudgetAnswer, found: Explanation) -> str:
    budget = answer.budget
    name = f"The budget {budget.label!r}" if budget.label else "The main budget"
    whose = f"{name} of {budget.kind} {budget.user!r}"
    if not budget.limit:
        return f"{whose} has a limit of $0.00: it refuses all that costs."
    held = f" and {_usd(budget.held)} held by open calls" if budget.held else ""
    left = budget.limit if budget.remaining is None else budget.remaining
    has = f"{whose} has {_usd(left)} left of {_usd(budget.limit)} ({_usd(budget.spent)} spent{held})"
    return f"{has}, and a call to {found.model} needs {_usd(answer.needs)}." if found.model else f"{has}."


def _usd(amount: Decimal) -> str:
    return format_usd(nanos_up(amount))


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
