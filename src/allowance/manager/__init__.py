"""`BudgetManager`, and the default books: a store, a catalogue, quoting and a project, bound together."""

from importlib import import_module
from typing import TYPE_CHECKING

from allowance.manager.configuring import configure, make_books

if TYPE_CHECKING:
    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.records import (
        BudgetAnswer,
        BudgetStatus,
        Explanation,
        HoldStatus,
        ImportReport,
        ReportRow,
        TopUp,
        WindowSummary,
    )

__all__ = [
    "BudgetAnswer",
    "BudgetManager",
    "BudgetStatus",
    "Explanation",
    "HoldStatus",
    "ImportReport",
    "ReportRow",
    "TopUp",
    "WindowSummary",
    "configure",
    "make_books",
]


def __getattr__(name: str) -> object:
    # Loaded when asked for: budgets in code need the default books alone.
    if name not in __all__:
        raise AttributeError(f"module 'allowance.manager' has no attribute {name!r}")
    room = "budget_manager" if name == "BudgetManager" else "records"
    return getattr(import_module(f"allowance.manager.{room}"), name)
