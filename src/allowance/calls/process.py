"""The process's own budget: `max_budget` and `current_cost`.

Its account lies in a memory store of its own, so that it counts without touching any file. It counts one
process: a forked child begins with the same maximum and nothing spent.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING

from allowance.calls.stack import Frame
from allowance.calls.views import View
from allowance.ledger.records import AccountKey, Declaration, Scope, Terms
from allowance.money import Money, to_nanos, to_usd
from allowance.stores.memory import MemoryStore

if TYPE_CHECKING:
    from allowance.ledger.records import Account

__all__ = ["FRAME", "capped", "current_cost", "set_maximum"]

KEY = AccountKey("", "process", "process")
STORE = MemoryStore(on_fork="empty")
FRAME = Frame(scope=Scope(KEY, default=Terms(limit=None)), view=View(STORE, KEY))
FRAME.counts_only = True


def _after_fork() -> None:
    # What the parent saw of its own spend is not the child's.
    FRAME.view = View(STORE, KEY)
    FRAME.cost = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def set_maximum(amount: Money | None) -> None:
    """Cap what this process may spend from its start, in US dollars; None takes the cap away.

    Raises:
        ConfigurationError: the amount is not one.
    """
    limit = None if amount is None else to_nanos(amount, what="max_budget")
    STORE.define(KEY, Declaration(limit=limit, creates=True))
    FRAME.scope = Scope(KEY, default=Terms(limit=limit))
    if FRAME.view is not None and (account := STORE.account(KEY)) is not None:
        FRAME.view.saw(account)
    FRAME.counts_only = limit is None


def capped() -> bool:
    """Whether a process cap is in force."""
    return not FRAME.counts_only


def current_cost() -> Decimal:
    """What this process has spent so far, in US dollars."""
    account: Account | None = STORE.account(KEY)
    return Decimal(0) if account is None else to_usd(account.spent)
