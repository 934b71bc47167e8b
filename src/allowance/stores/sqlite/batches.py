"""Many threads, one transaction: whoever comes first commits for all who came meanwhile.

Each commit waits for the disk, so threads that take turns wait for each other's disk. Here the first
thread leads: it commits its own operation together with all that queued up, then hands the lead to the
head of the queue and wakes those it served. Nobody polls, and there is no thread in the background.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Batches", "Operation"]

MOST: Final = 256
"""Operations in one transaction."""


class Operation:
    """What one thread wants done, and what came of it."""

    __slots__ = ("action", "done", "error", "promoted", "result", "wake")

    def __init__(self, action: Callable[..., Any]) -> None:
        self.action = action
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.promoted = False
        self.wake = threading.Lock()
        self.wake.acquire()

    def outcome(self) -> Any:
        """What it returned; or what it raised, raised here."""
        error, self.error = self.error, None
        if error is None:
            return self.result
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: they would keep each other alive


class Batches:
    """The queue before one resource. ``commit`` does a batch: it gives each operation its outcome."""

    def __init__(self, commit: Callable[[Sequence[Operation]], None]) -> None:
        self._commit = commit
        self._mutex = threading.Lock()
        self._queue: deque[Operation] = deque()
        self._busy = False
        self._inside: set[int] = set()  # the threads that are in `run`

    def run(self, operation: Operation) -> Any:
        """Have it done, in this thread or in another; its outcome.

        Raises:
            StoreUnavailableError: this thread is in here already, interrupted by a signal's handler or by a
                finalizer that asks in its turn: each would wait for the other.
        """
        thread = threading.get_ident()
        if thread in self._inside:
            raise StoreUnavailableError(
                "A signal's handler or a finalizer asked the store while this same thread was using it, and "
                "would have waited for ever. Nothing was changed; ask from another thread, or afterwards."
            )
        try:
            self._inside.add(thread)
            return self._run(operation)
        finally:
            self._inside.discard(thread)

    def _run(self, operation: Operation) -> Any:
        # A Ctrl-C comes where a call returns or a function begins. What follows ``del self._queue[0]``
        # calls nothing until it is safe, and is written out here: else others would wait for ever.
        leading = False
        try:
            with self._mutex:
                if self._busy:
                    self._queue.append(operation)
                else:
                    self._busy = leading = True
            if not leading:
                operation.wake.acquire()
                leading = operation.promoted
            if leading:
                self._lead(operation)
        finally:
            if not leading and not operation.done:  # interrupted while it waited: it may have the lead now
                with self._mutex:
                    if operation in self._queue:
                        self._queue.remove(operation)
                leading = operation.promoted
            if leading:
                with self._mutex:
                    if self._queue:
                        head = self._queue[0]
                        del self._queue[0]
                        head.promoted = True
                        head.wake.release()
                    else:
                        self._busy = False
        return operation.outcome()

    def _lead(self, operation: Operation) -> None:
        others: list[Operation] = []
        try:
            with self._mutex:
                while self._queue and len(others) < MOST - 1:
                    other = self._queue[0]
                    del self._queue[0]
                    others += [other]
            self._commit([operation, *others])
        except BaseException:
            # Interrupted in the midst: whether it was committed is not known.
            for other in others:
                other.error = StoreUnavailableError(
                    "The thread that was writing for this one was interrupted. Whether anything changed is "
                    "not known: asking again with the same id is safe.",
                    retry_after=0.0,
                )
            raise
        finally:
            _wake(others)


def _wake(others: list[Operation]) -> None:
    """Wake all of them, whatever comes between."""
    try:
        while others:
            other = others[-1]
            del others[-1]
            other.done = True
            other.wake.release()
    finally:
        if others:
            _wake(others)
