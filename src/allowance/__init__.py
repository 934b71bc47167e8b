"""A budget around any call to a language model, where the call is made.

::

    import allowance
    from allowance import BudgetExceededError, budget, budgeted

    allowance.max_budget = 10                                # US dollars, for the whole process

    @budgeted(user="alice", limit=5, duration="monthly")     # decorate a completion function
    def ask(messages, model="gpt-4o-mini"): ...

    with budget("alice") as b:                               # or wrap a block, SDK calls and all
        client.chat.completions.create(model="gpt-4o", messages=messages)
"""

from __future__ import annotations

import os as _os
import sys as _sys
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING
from typing import Any as _Any

from allowance import sdks as _sdks
from allowance.calls import process as _process
from allowance.calls import ready as _ready
from allowance.calls.ask import cost_of, quote, usage_of
from allowance.calls.block import Block, budget
from allowance.calls.budgeted import budgeted
from allowance.calls.events import Event
from allowance.calls.metering import SdkMeter as _SdkMeter
from allowance.calls.threads import carry_budgets as _carry_budgets
from allowance.errors import (
    BudgetError,
    BudgetExceededError,
    ConfigurationError,
    HoldConflictError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    UnknownModelError,
    UnknownUserError,
)
from allowance.manager import configure
from allowance.prices.price import Price
from allowance.quotes.quote import Quote
from allowance.replies.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal

    from allowance.money import Money

__version__ = "0.1.0"

__all__ = [
    "Block",
    "BudgetError",
    "BudgetExceededError",
    "ConfigurationError",
    "Event",
    "HoldConflictError",
    "Price",
    "Quote",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "UnknownModelError",
    "UnknownUserError",
    "Usage",
    "budget",
    "budgeted",
    "configure",
    "cost_of",
    "quote",
    "usage_of",
]

max_budget: Money | None = None
"""What this process may spend, in US dollars. None is no cap, 0 refuses what costs. Set it on the module."""

if TYPE_CHECKING:
    current_cost: Decimal
    """What this process has spent so far, in US dollars."""


def __getattr__(name: str) -> _Any:
    if name in ("current_cost", "_current_cost"):
        return _process.current_cost()
    raise AttributeError(f"module 'allowance' has no attribute {name!r}")


class _Module(_ModuleType):
    """Checks what is set on the module: a misspelt ``max_budget`` must not be a budget that is not there."""

    def __setattr__(self, name: str, value: _Any) -> None:
        if name == "max_budget":
            _process.set_maximum(value)
            if value is not None:
                _ready.prepare()
        elif name in ("current_cost", "_current_cost"):
            raise ConfigurationError(f"{name} is counted, not set. To begin again at zero, begin a process.")
        elif not name.startswith("_") and not hasattr(self, name) and not isinstance(value, _ModuleType):
            raise ConfigurationError(
                f"allowance has nothing named {name!r} to set. Did you mean allowance.max_budget?"
            )
        super().__setattr__(name, value)


def _meter_sdks() -> None:
    if _os.environ.get("ALLOWANCE_INSTRUMENT", "1") != "0":
        _sdks.instrument(_SdkMeter())


_ready.before_first_budget(_meter_sdks)
_ready.before_first_budget(_carry_budgets)
_sys.modules[__name__].__class__ = _Module

if _os.environ.get("ALLOWANCE_MAX_BUDGET"):
    setattr(_sys.modules[__name__], "max_budget", _os.environ["ALLOWANCE_MAX_BUDGET"])  # noqa: B010  # through the check
