"""`Event`: one frozen record of what happened to a budget, for hooks, logs and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from allowance.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from allowance.ledger.records import Account

__all__ = ["Event", "EventKind", "Hook", "send"]

EventKind: TypeAlias = Literal[
    "reserved", "settled", "denied", "overrun", "released", "expired", "threshold", "failed"
]

log = logging.getLogger("allowance")


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one budget. A call over three budgets sends three.

    Attributes:
        kind: ``reserved``, ``settled``, ``released``; ``denied`` (the call was not sent); ``overrun`` (it
            cost more than was held); ``expired`` (a dead owner's hold was charged); ``threshold`` (the
            spend passed `warn_at` of the limit, once per window); ``failed`` (a cost could not be written
            yet; it is kept and tried again).
        user, account_kind, project: whose budget.
        label: which of that user's; ``""`` is the main one.
        call_id: of the call, or of the hold.
        model: as the call asked for it.
        amount: US dollars: what was held, refused, charged, or the overrun.
        limit, spent, held: the budget's figures after it, in US dollars; ``limit`` has its top-ups in it,
            and is None where there is none.
        unconfirmed: the cost could not be measured.
        reason: why, in words, where there is something to say.
        at: when, by this process's clock (aware).
    """

    kind: EventKind
    user: str
    account_kind: str
    project: str
    call_id: str
    amount: Decimal
    limit: Decimal | None
    spent: Decimal
    held: Decimal
    model: str | None = None
    unconfirmed: bool = False
    reason: str = ""
    label: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


Hook: TypeAlias = Callable[[Event], object]
"""A hook's result is ignored, and what it raises is logged: it cannot stop a call that was paid for."""


def send(
    hooks: Iterable[Hook],
    kind: EventKind,
    accounts: Iterable[Account],
    *,
    call_id: str,
    amount: int,
    model: str | None = None,
    unconfirmed: bool = False,
    reason: str = "",
) -> None:
    """Tell each hook what happened to each account. ``amount`` is in nano-dollars."""
    for account in accounts:
        limit = account.limit
        event = Event(
            kind=kind,
            user=account.key.name,
            account_kind=account.key.kind,
            project=account.key.project,
            call_id=call_id,
            amount=to_usd(amount),
            limit=None if limit is None else to_usd(limit),
            spent=to_usd(account.spent),
            held=to_usd(account.held),
            model=model,
            unconfirmed=unconfirmed,
            reason=reason,
            label=account.key.label,
        )
        for hook in hooks:
            try:
                hook(event)
            except Exception:
                log.exception("An on_event hook failed on a %r event; the call goes on.", kind)
