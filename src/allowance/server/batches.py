"""Many requests, one transaction: reserves and settles that wait are taken to the store together.

What comes while the event loop is at work goes at once, in one batch; while all threads are busy, what
comes waits for the first that returns. So a lone request waits for nobody, and a crowd shares commits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from allowance.errors import BudgetError, StoreUnavailableError
from allowance.ledger.records import Ask, Denial, Grant, Posting, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from allowance.stores.base import Store

__all__ = ["Batcher"]

Outcome: TypeAlias = Grant | Denial | Settlement


class _Waiting(NamedTuple):
    operation: Ask | Posting
    deadline: float | None
    future: asyncio.Future[Outcome]


class Batcher:
    """Takes reserves and settles to a store, from one event loop.

    Args:
        store: with ``many`` (see `allowance.stores.base.Batching`) it gets whole batches; without,
            each operation has a thread, and the store itself may commit together what waits together.
        threads: how many batches may be with the store at once.
        most: operations in one batch.
        queue: operations that may wait in all.
        watch: told the size of each batch that leaves.
    """

    def __init__(
        self,
        store: Store,
        *,
        threads: int = 3,
        most: int = 256,
        queue: int = 10_000,
        watch: Callable[[int], object] = int,
    ) -> None:
        many = getattr(store, "many", None)
        self._many: Callable[[Sequence[Ask | Posting]], list[Outcome | BudgetError]] = many or self._one
        self._store = store
        self._most = most if many else 1
        self._queue = queue
        self._watch = watch
        self._waiting: deque[_Waiting] = deque()
        self._free = threads if many else max(threads, 16)
        self._woken = False
        self._pool = ThreadPoolExecutor(self._free, thread_name_prefix="allowance-batch")

    async def reserve(self, ask: Ask, deadline: float | None = None) -> Grant | Denial:
        """See `Store.reserve`; it is not done where ``deadline``, a moment of `time.monotonic`, is over.

        Raises:
            StoreUnavailableError: too many are waiting already, or the deadline is over.
        """
        return cast("Grant | Denial", await self._submit(ask, deadline))

    async def settle(self, posting: Posting) -> Settlement:
        """See `Store.settle`.

        Raises:
            StoreUnavailableError: too many are waiting already.
        """
        return cast("Settlement", await self._submit(posting, None))

    def _submit(self, operation: Ask | Posting, deadline: float | None) -> asyncio.Future[Outcome]:
        if len(self._waiting) >= self._queue:
            raise StoreUnavailableError(
                f"The server is busy: {self._queue} requests wait for its store. Nothing was changed.",
                retry_after=1.0,
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append(_Waiting(operation, deadline, future))
        if self._free and not self._woken:
            self._woken = True
            loop.call_soon(self._send, loop)  # after what else is ready in this turn of the loop
        return future

    def close(self) -> None:
        """Wait for what is under way. Nothing may be submitted any more."""
        self._pool.shutdown(wait=True)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        self._woken = False
        while self._waiting and self._free:
            batch = self._taken()
            if batch:
                self._free -= 1
                self._watch(len(batch))
                self._pool.submit(self._work, loop, batch)

    def _taken(self) -> list[_Waiting]:
        """The next batch, without those whose callers have given up."""
        now = time.monotonic()
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._most:
            one = self._waiting.popleft()
            if one.future.done():
                if isinstance(one.operation, Ask):
                    continue  # cancelled, and nobody waits for it: nothing was held
            elif one.deadline is not None and one.deadline <= now:
                one.future.set_exception(late())
                continue
            batch.append(one)
        return batch

    def _work(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        """In a thread: one batch, and its outcomes back to the loop."""
        outcomes: list[Outcome | BudgetError] | BaseException
        try:
            outcomes = self._many([one.operation for one in batch])
        except BaseException as error:  # noqa: BLE001  # whatever it was, whoever waits must be told
            outcomes = error
        loop.call_soon_threadsafe(self._told, loop, batch, outcomes)

    def _told(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        outcomes: list[Outcome | BudgetError] | BaseException,
    ) -> None:
        self._free += 1
        for number, (_, _, future) in enumerate(batch):
            outcome = outcomes if isinstance(outcomes, BaseException) else outcomes[number]
            if future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if self._waiting:
            self._send(loop)

    def _one(self, operations: Sequence[Ask | Posting]) -> list[Outcome | BudgetError]:
        operation = operations[0]
        try:
            if isinstance(operation, Ask):
                return [self._store.reserve(operation)]
            return [self._store.settle(operation)]
        except BudgetError as error:
            return [error]


def late() -> StoreUnavailableError:
    """The error of a reserve whose deadline is over."""
    return StoreUnavailableError(
        "The reserve's deadline was over before its turn came. Nothing was changed.", retry_after=0.5
    )
