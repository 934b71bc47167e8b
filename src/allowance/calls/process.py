"""The process's own budget: `max_budget` and `current_cost`.

Its account lies in a memory store of its own, so that it counts without touching any file. While there is
no cap, nothing has to be reserved or refused, and a plain sum is enough: it becomes the account's spend
when a cap is set. It counts one process: a forked child begins with the same maximum and nothing spent.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from allowance.calls.stack import Frame
from allowance.calls.views import own_view
from allowance.ledger.records import AccountKey, Declaration, Scope, Terms
from allowance.money import Money, to_nanos, to_usd
from allowance.stores.memory import MemoryStore

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["FRAME", "capped", "count", "current_cost", "raise_maximum", "set_maximum"]

KEY = AccountKey("process", "process", "process")
STORE = MemoryStore(on_fork="empty")
FRAME = Frame()
"""On top of every call's frames; it has an account while there is a cap."""

_lock = threading.Lock()
_uncapped = 0  # nano-dollars that were spent while there was no cap, and stand in no account yet


def set_maximum(amount: Money | None) -> None:
    """Cap what this process may spend from its start, in US dollars; None takes the cap away.

    Raises:
        ConfigurationError: the amount is not one.
    """
    global _uncapped
    limit = None if amount is None else to_nanos(amount, what="max_budget")
    with _lock:
        STORE.define(KEY, Declaration(limit=limit, creates=True))
        if limit is None:
            FRAME.payer = None
            return
        if _uncapped:
            STORE.adjust(KEY, _uncapped, reason="spent before a cap was set")
            _uncapped = 0
        view = own_view(STORE, KEY)
        if (account := STORE.account(KEY)) is not None:
            view.saw(account)
        FRAME.payer = (Scope(KEY, default=Terms(limit)), view)


def raise_maximum(amount: int) -> None:
    """Let the process spend so many nano-dollars more: ``allowance.max_budget`` then says the new sum."""
    with _lock:
        account = STORE.account(KEY)
        if account is None or account.limit is None or FRAME.payer is None:
            return  # there is no cap any more
        limit = account.limit + amount
        FRAME.payer[1].saw(STORE.define(KEY, Declaration(limit=limit, creates=True)))
        FRAME.payer = (Scope(KEY, default=Terms(limit)), FRAME.payer[1])
        vars(sys.modules["allowance"])["max_budget"] = to_usd(limit)


def capped() -> bool:
    """Whether a process cap is in force."""
    return FRAME.payer is not None


def count(nanos: int) -> None:
    """Count what a call cost that began while there was no cap, and so was charged to no process account."""
    global _uncapped
    with _lock:
        if FRAME.payer is None:
            _uncapped += nanos
        else:
            STORE.adjust(KEY, nanos, reason="began before a cap was set")


def current_cost() -> Decimal:
    """What this process has spent so far, in US dollars."""
    with _lock:
        account = STORE.account(KEY)
        return to_usd(_uncapped + (0 if account is None else account.spent))


def _after_fork() -> None:
    # What the parent spent is not the child's.
    global _lock, _uncapped
    _lock, _uncapped = threading.Lock(), 0
    FRAME.cost = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
