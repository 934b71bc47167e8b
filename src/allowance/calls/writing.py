"""Writes to a store that must not fail the caller: what a store does not take is tried again later."""

from __future__ import annotations

import logging
import signal
import traceback
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from allowance.calls import lifeline
from allowance.errors import HoldConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.ledger.records import Posting, Settlement
    from allowance.stores.base import Store

__all__ = ["settle", "write"]

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("allowance")


def write(store: Store, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Do it now; None where it could not be done. A store that is down gets it later."""
    try:
        return verb(*args, **kwargs)
    except StoreUnavailableError as error:
        log.warning("%s did not take a write; it will be tried again. %s", store.url, error)
        lifeline.retry(store, partial(verb, *args, **kwargs))
    except BaseException as error:
        if isinstance(error, Exception) and not _is_of_a_signal(error):
            # Whatever it is (a store may be the user's own), the reply was paid for.
            log.exception("%s refused to write what a paid call cost.", store.url)
            return None
        # Interrupted (Ctrl-C), so whether it was written is not known: once more changes nothing (R3). But
        # what a memory store does is not undone by halves, so there the hold goes at its term.
        if store.blocking:
            lifeline.retry(store, partial(verb, *args, **kwargs))
        raise
    return None


def _is_of_a_signal(error: Exception) -> bool:
    """Whether a signal's handler raised it (an alarm's): it is the program's own, and goes through (R12)."""
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _code(handler: object) -> CodeType | None:
    if not callable(handler):
        return None  # SIG_DFL, SIG_IGN, or none of Python's
    code = getattr(handler, "__code__", None) or getattr(handler.__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def settle(store: Store, posting: Posting) -> Settlement:
    """Post a cost, under an id of its own where its hold was let go before: what was paid counts (R5).

    That is so after a release by hand, and where a call inside had taken the hold over in this store
    before another store refused it. The id is always the same one, so that a retry does not post twice.
    """
    try:
        return store.settle(posting)
    except HoldConflictError:
        return store.settle(posting._replace(hold_id=f"{posting.hold_id}-paid"))
