"""What a store will never take: told, and put aside, so that it is neither lost nor tried for ever."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Final

from allowance.calls.journal import place
from allowance.calls.journal.frames import framed
from allowance.errors import BudgetError, HoldConflictError

if TYPE_CHECKING:
    from allowance.calls.journal.operations import Operation

__all__ = ["REFUSED", "is_final", "keep_refused"]

log = logging.getLogger("allowance")

REFUSED: Final = "refused"
"""The file's name, in the journal's directory."""

WEEK: Final = 7 * 24 * 3_600_000_000
"""Microseconds for which what a dead process left waits for one that may post it."""


def is_final(error: BaseException, at: int) -> bool:
    """Whether no other process could post a dead one's record of this time either."""
    return isinstance(error, HoldConflictError) or time.time_ns() // 1000 - at > WEEK


def keep_refused(directory: str, url: str, operation: Operation, error: BaseException) -> None:
    """Put it aside, and say so."""
    log.error(
        "%s refuses %s for good: %s It is kept in %s.",
        url,
        operation,
        error,
        os.path.join(directory, REFUSED),
        exc_info=None if isinstance(error, BudgetError) else error,
    )
    try:
        place.make_directory(directory)
        now = time.time_ns() // 1000
        told = {"at": now, "store": url, "error": f"{type(error).__name__}: {error}"[:500]}
        place.append_once(os.path.join(directory, REFUSED), framed({**told, **operation.dump()}))
    except (OSError, BudgetError) as failure:
        log.error("It could not be kept there: %s", failure)
