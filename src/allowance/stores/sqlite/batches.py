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

    def run(self, operation: Operation) -> Any:
        """Have it done, in this thread or in another; its outcome."""
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
            if leading:
                self._hand_over()
            elif not operation.done:
                self._leave(operation)
        return operation.outcome()

    def _lead(self, operation: Operation) -> None:
        with self._mutex:
            others = [self._queue.popleft() for _ in range(min(len(self._queue), MOST - 1))]
        batch = [operation, *others]
        try:
            self._commit(batch)
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
            for other in others:
                other.done = True
                other.wake.release()

    def _hand_over(self) -> None:
        with self._mutex:
            if self._queue:
                head = self._queue.popleft()
                head.promoted = True
                head.wake.release()
            else:
                self._busy = False

    def _leave(self, operation: Operation) -> None:
        """Give up waiting, for this thread was interrupted, and take along no lead that was given to it."""
        with self._mutex:
            if operation in self._queue:
                self._queue.remove(operation)
        if operation.promoted:
            self._hand_over()
