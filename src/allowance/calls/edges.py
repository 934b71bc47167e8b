"""The async edge: what is written once, without colour, is run here without blocking the event loop."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["run"]

T = TypeVar("T")

WORKERS = 32
"""Threads for stores that do I/O. They mostly wait, and the file store commits what waits together."""

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


async def run(work: Callable[[], T], *, blocking: bool, undo: Callable[[], object] | None = None) -> T:
    """Run ``work``: here where it does no I/O, else in a worker thread.

    A cancellation does not stop work that has begun. Where ``undo`` is given, it is run after the work
    then, because nobody will see its result.
    """
    if not blocking:
        return work()
    import asyncio

    try:
        loop = asyncio.get_running_loop()
        future = _executor().submit(work)
    except RuntimeError:
        return work()  # no asyncio loop runs here (trio), or the interpreter is shutting down
    waiter = asyncio.wrap_future(future, loop=loop)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        if undo is not None:
            future.add_done_callback(lambda _: undo())
        raise


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        with _lock:
            if _pool is None:
                from concurrent.futures import ThreadPoolExecutor

                _pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="allowance")
    return _pool


def _after_fork() -> None:
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
