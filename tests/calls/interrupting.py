"""Coroutines that are interrupted at one of their suspensions, told by its number."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from allowance.calls import edges, lifeline
from allowance.ledger.records import HoldState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator

    from allowance.stores.base import Store

PATIENCE = 30
"""Seconds after which a test gives up: a guard, not a measure."""


class Interrupted:
    """Awaits a coroutine, and interrupts it at its suspension number ``at``.

    ``how``: ``"cancelled"`` while it waits, ``"late"``: cancelled when what it waited for has come, or
    ``"closed"``: its coroutine is closed where it stands.

    Attributes:
        reached: whether there were so many suspensions.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, how: str) -> None:
        self.coroutine = coroutine
        self.at = at
        self.how = how
        self.reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self.coroutine.send, None)
        for number in itertools.count():
            try:
                waited = step()
            except StopIteration as stop:
                return stop.value
            here = number == self.at
            self.reached = self.reached or here
            if here and self.how == "closed":
                self.coroutine.close()
                raise asyncio.CancelledError("closed")
            if here and self.how == "cancelled":
                task = asyncio.current_task()
                assert task is not None
                task.cancel("by the test")
            try:
                yield waited
            except BaseException as error:  # it is the coroutine's
                step = partial(self.coroutine.throw, error)
            else:
                if here and self.how == "late":
                    step = partial(self.coroutine.throw, asyncio.CancelledError("by the test"))
                else:
                    step = partial(self.coroutine.send, None)


async def interrupted(coroutine: Coroutine[Any, Any, Any], at: int, how: str) -> tuple[bool, Any]:
    """Whether it came so far, and what came of it: an exception (a cancellation as its class), or None."""
    drive = Interrupted(coroutine, at, how)

    async def main() -> Any:
        return await drive

    task = asyncio.create_task(main())
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    assert done, "it hangs"
    if task.cancelled():
        return drive.reached, asyncio.CancelledError
    return drive.reached, task.exception()


@contextmanager
def one_worker() -> Iterator[None]:
    """Have one thread do what async calls ask of a file, so that `settled` can wait for it."""
    before, edges._pool = edges._pool, ThreadPoolExecutor(1, thread_name_prefix="allowance")
    yield
    edges._pool.shutdown()
    edges._pool = before


async def settled(store: Store) -> None:
    """Wait until what was interrupted is ended, in `one_worker` and elsewhere: nothing is held then."""
    for _ in range(PATIENCE * 500):
        await asyncio.wrap_future(edges._executor().submit(lifeline.drain))
        if not [hold for hold in store.holds() if hold.state is HoldState.HELD]:
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"left: {list(store.holds())}")
