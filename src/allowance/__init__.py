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
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING
from typing import Any as _Any

import wrapt as _wrapt

from allowance.calls import ready as _ready

if TYPE_CHECKING:
    from decimal import Decimal

    from allowance.calls.ask import cost_of, quote, usage_of
    from allowance.calls.block import Block, budget
    from allowance.calls.budgeted import budgeted
    from allowance.calls.events import Event
    from allowance.calls.strategies import ask, clamp, downgrade, wait
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
    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.configuring import configure
    from allowance.manager.records import (
        BudgetStatus,
        Explanation,
        HoldStatus,
        ImportReport,
        ReportRow,
        WindowSummary,
    )
    from allowance.money import Money
    from allowance.prices.price import Price
    from allowance.quotes.quote import Quote
    from allowance.replies.usage import Usage
    from allowance.sdks import instrument, uninstrument

__version__ = "0.1.0"

__all__ = [
    "Block",
    "BudgetError",
    "BudgetExceededError",
    "BudgetManager",
    "BudgetStatus",
    "ConfigurationError",
    "Event",
    "Explanation",
    "HoldConflictError",
    "HoldStatus",
    "ImportReport",
    "Price",
    "Quote",
    "ReportRow",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "UnknownModelError",
    "UnknownUserError",
    "Usage",
    "WindowSummary",
    "ask",
    "budget",
    "budgeted",
    "clamp",
    "configure",
    "cost_of",
    "downgrade",
    "instrument",
    "quote",
    "uninstrument",
    "usage_of",
    "wait",
]

# Loaded when first asked for: importing allowance costs a program that may never make a call next to nothing.
_HOMES = {
    "Block": "calls.block",
    "BudgetManager": "manager.budget_manager",
    "BudgetStatus": "manager.records",
    "Event": "calls.events",
    "Explanation": "manager.records",
    "HoldStatus": "manager.records",
    "ImportReport": "manager.records",
    "Price": "prices.price",
    "Quote": "quotes.quote",
    "ReportRow": "manager.records",
    "Usage": "replies.usage",
    "WindowSummary": "manager.records",
    "ask": "calls.strategies",
    "budget": "calls.block",
    "budgeted": "calls.budgeted",
    "clamp": "calls.strategies",
    "configure": "manager.configuring",
    "cost_of": "calls.ask",
    "downgrade": "calls.strategies",
    "instrument": "sdks",
    "quote": "calls.ask",
    "uninstrument": "sdks",
    "usage_of": "calls.ask",
    "wait": "calls.strategies",
}

max_budget: Money | None = None
"""What this process may spend, in US dollars. None is no cap, 0 refuses what costs. Set it on the module."""

if TYPE_CHECKING:
    current_cost: Decimal
    """What this process has spent so far, in US dollars."""


def __getattr__(name: str) -> _Any:
    if name in ("current_cost", "_current_cost"):
        return _import_module("allowance.calls.process").current_cost()
    home = _HOMES.get(name, "errors" if name in __all__ else None)
    if home is None:
        raise AttributeError(f"module 'allowance' has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(f"allowance.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "current_cost"})


class _Module(_ModuleType):
    """Checks what is set on the module: a misspelt ``max_budget`` must not be a budget that is not there."""

    def __setattr__(self, name: str, value: _Any) -> None:
        if name == "max_budget":
            _import_module("allowance.calls.process").set_maximum(value)
            if value is not None:
                _ready.prepare()
        elif name in ("current_cost", "_current_cost"):
            raise _misuse(f"{name} is counted, not set. To begin again at zero, begin a process.")
        elif not name.startswith("_") and not isinstance(value, _ModuleType) and not hasattr(self, name):
            raise _misuse(f"allowance has nothing named {name!r} to set. Did you mean allowance.max_budget?")
        super().__setattr__(name, value)


def _misuse(message: str) -> Exception:
    error: Exception = _import_module("allowance.errors").ConfigurationError(message)
    return error


def _make_ready() -> None:
    """What the first budget needs: the default books, metered SDKs, budgets that follow threads."""
    _import_module("allowance.manager")
    _import_module("allowance.calls.threads").carry_budgets()
    _import_module("allowance.sdks").instrument()


_ready.before_first_budget(_make_ready)
_wrapt.register_post_import_hook("allowance.calls.threads:carry_back", "anyio.to_thread")
_sys.modules[__name__].__class__ = _Module


def _is_command_line() -> bool:
    """Whether this process is ``allowance ...``, which makes no call that a cap could stop."""
    program = _sys.argv[0] if _sys.argv else ""
    if program == "-m":  # python -m: so it is called until the module is found, other packages' too
        words = _sys.orig_argv
        return words[words.index("-m") + 1 :][:1] in (["allowance"], ["allowance.cli"])
    return _os.path.basename(program) in ("allowance", "allowance.exe")


# What is wrong with the cap, the command line's doctor says.
if _os.environ.get("ALLOWANCE_MAX_BUDGET") and not _is_command_line():
    setattr(_sys.modules[__name__], "max_budget", _os.environ["ALLOWANCE_MAX_BUDGET"])  # noqa: B010  # checked
