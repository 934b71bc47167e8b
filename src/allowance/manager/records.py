"""What a manager tells: budgets, holds, windows, reports, answers. Frozen, in Decimals and aware times."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.ledger.records import Alignment, Uncapped

__all__ = [
    "BudgetAnswer",
    "BudgetStatus",
    "Explanation",
    "HoldStatus",
    "ImportReport",
    "ReportBy",
    "ReportRow",
    "TopUp",
    "WindowSummary",
]

ReportBy: TypeAlias = Literal["user", "model", "day", "tag"]
"""What `BudgetManager.report` sums up by."""


class _Record:
    """A record that can be printed as JSON."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Its fields, ready for JSON: amounts as exact decimal texts, times in ISO 8601 with an offset."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]  # those that inherit are dataclasses


def _plain(value: Any) -> Any:
    if isinstance(value, _Record):
        return value.as_dict()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class TopUp(_Record):
    """So much more than the limit, until a time; None is for good."""

    amount: Decimal
    until: datetime | None


@dataclass(frozen=True, slots=True)
class BudgetStatus(_Record):
    """One budget as it stands. Amounts are US dollars, times aware and in UTC.

    Attributes:
        project, kind, user, label: whose it is; the main budget of a user has the label ``""``.
        models: the globs of the models that it counts; empty: every call.
        limit: what may be spent in this window, top-ups included; None only counts.
        base_limit: the limit without top-ups.
        extra: the sum of the top-ups in force, which ``top_ups`` lists.
        spent, held: what calls have cost in this window, and what open calls hold.
        remaining: ``limit - spent - held``: negative after an overrun, None where nothing is limited.
        duration: how long a window lasts; None: one for good.
        align, timezone, uncapped: the further terms, see `budgeted`.
        created_at: when it was made, or where its windows repeat from.
        window_start, resets_at: this window's start, and its end (None: it never ends).
    """

    project: str
    kind: str
    user: str
    label: str
    models: tuple[str, ...]
    limit: Decimal | None
    base_limit: Decimal | None
    extra: Decimal
    top_ups: tuple[TopUp, ...]
    spent: Decimal
    held: Decimal
    remaining: Decimal | None
    duration: str | None
    align: Alignment
    timezone: str
    uncapped: Uncapped
    created_at: datetime
    window_start: datetime
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class HoldStatus(_Record):
    """What is set aside for one call, or was charged at its term because nobody told what it cost.

    Attributes:
        call_id: what ``release`` takes.
        state: ``"held"``, ``"expired"`` (charged, unconfirmed), ``"settled"`` or ``"released"``.
        kind, user, project: whose main budget it lies on; where it lies on several, the first by name.
        budgets: all budgets that it lies on, as (kind, user, label).
        model, tags, owner: of the call; the owner is the process that makes it, as ``host:pid``.
        amount: US dollars held; ``bound`` says that the call cannot cost more.
        expected: what the call will likely cost.
        charged: what has been posted for it so far.
        unconfirmed: True where it was charged without word of its call.
        reserved_at, expires_at: when it was made, and when it ends unless its owner renews it.
    """

    call_id: str
    state: str
    project: str
    kind: str
    user: str
    budgets: tuple[tuple[str, str, str], ...]
    model: str | None
    tags: tuple[str, ...]
    owner: str
    amount: Decimal
    bound: bool
    expected: Decimal
    charged: Decimal
    unconfirmed: bool
    reserved_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class WindowSummary(_Record):
    """What was spent in one window of a budget.

    Attributes:
        start, end: the window, half-open; ``end`` is None where it never ends.
        current: True for the present window.
        spent: the sum of all lines; ``adjusted`` is the part of it that was entered by hand.
        by_model: US dollars by model; what belongs to no model is under ``""``.
        calls: how many calls were charged. Where a store has summed up old lines, those no longer count.
        input_tokens, output_tokens: of these calls, as far as it is known.
        unconfirmed: the part of ``spent`` whose truth nobody could tell.
    """

    start: datetime
    end: datetime | None
    current: bool
    spent: Decimal
    adjusted: Decimal
    by_model: Mapping[str, Decimal]
    calls: int
    input_tokens: int
    output_tokens: int
    unconfirmed: Decimal


@dataclass(frozen=True, slots=True)
class ReportRow(_Record):
    """One line of a report: a user, a model, a day or a tag, and what was spent there.

    Attributes:
        name: the user's name, the model's, the day as ``2026-07-01``, or the tag; ``""`` stands for
            what has none.
        spent: US dollars; ``unconfirmed`` is the part of it whose truth nobody could tell.
        calls, input_tokens, output_tokens: how many, as far as the store still knows.
    """

    name: str
    spent: Decimal
    calls: int
    input_tokens: int
    output_tokens: int
    unconfirmed: Decimal


@dataclass(frozen=True, slots=True)
class BudgetAnswer(_Record):
    """One budget's answer to a call.

    Attributes:
        budget: the budget as it stands.
        applies: False where the budget is for other models; such a one never refuses.
        needs: what the call must have left at least; where it fits, what it would hold.
        fits: whether that is left.
        temporary: it does not fit now, and would if no calls were open.
        fits_at: when it will fit, if nothing else is spent: when the window turns, or (``temporary``) when
            the terms of the open holds are over, unless they are renewed or used up. None where it fits
            now, and where waiting does not help.
    """

    budget: BudgetStatus
    applies: bool
    needs: Decimal
    fits: bool
    temporary: bool
    fits_at: datetime | None


@dataclass(frozen=True, slots=True)
class Explanation(_Record):
    """Whether a call would be sent now, and if not, what stands in the way and when it goes.

    Attributes:
        user, kind, model: who asks, for what; without a model the question is whether anything is left.
        fits: what a reserve would decide now.
        reason: the answer in words, with the figures.
        price_known: False where no price is known for the model: refused where a limit is in force.
        needs: US dollars that must be left at least; where it fits, what the call would hold.
        wants: what it would hold if there was enough.
        temporary: only open holds stand in the way.
        fits_at: when all budgets will admit it, see `BudgetAnswer`; None where it fits now, and where waiting
            does not help.
        budgets: each budget's own answer.
        holds: the open holds that lie on them, oldest first.
    """

    user: str
    kind: str
    model: str | None
    fits: bool
    reason: str
    price_known: bool
    needs: Decimal
    wants: Decimal
    temporary: bool
    fits_at: datetime | None
    budgets: tuple[BudgetAnswer, ...]
    holds: tuple[HoldStatus, ...]


@dataclass(frozen=True, slots=True)
class ImportReport(_Record):
    """What importing a ``user_cost.json`` did.

    Attributes:
        path: the file.
        users: how many users it has.
        created: how many of them were new here; ``unchanged`` had nothing that was not here already.
        posted: US dollars of spend that were posted now.
        problems: what was not taken, one line each, with the user's name.
    """

    path: str
    users: int
    created: int
    unchanged: int
    posted: Decimal
    problems: tuple[str, ...]
