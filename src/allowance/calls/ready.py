"""What must be in place before the first budget is in force: metered SDKs, budgets that follow threads.

`calls` knows no SDK. Whoever does says here, once, how to get ready; the first budget does it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["before_first_budget", "prepare"]

_steps: list[Callable[[], None]] = []
_ready = False
_lock = threading.RLock()  # a step may open a budget itself


def before_first_budget(step: Callable[[], None]) -> None:
    """Have ``step`` done once, before the first budget of this process is in force."""
    global _ready
    with _lock:
        _steps.append(step)
        _ready = False


def prepare() -> None:
    """Do what is to be done; costs nothing from the second time on."""
    global _ready
    if _ready:
        return
    with _lock:
        while _steps:
            _steps.pop(0)()
        _ready = True
