"""The async edge: what is written once, without colour, is run here without blocking the event loop."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from allowance.calls import lifeline

if TYPE_CHECKING:
    import asyncio
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["run"]

T = TypeVar("T")

WORKERS = 32
"""Threads for stores that do I/O. They mostly wait, and the file store commits what waits together."""

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


async def run(work: Callable[[], T], *, blocking: bool, undo: Callable[[], object] | None = None) -> T:
    """Run ``work``: here where it does no I/O, else in a worker thread.

    Whatever interrupts the waiting (a cancellation, or that the coroutine is closed) does not stop work
    that has begun. Where ``undo`` is given, it is run after the work then, because nobody will see its
    result.
    """
    if not blocking:
        return work()
    import asyncio

    try:
        loop = asyncio.get_running_loop()
        future = _executor().submit(work)
    except RuntimeError:
        return work()  # no asyncio loop runs here (trio), or the interpreter is shutting down
    waiter = loop.create_future()
    future.add_done_callback(partial(_wake, loop, waiter))
    try:
        await waiter
    except GeneratorExit:
        if undo is not None:  # this may be a finalizer, which must not wait (R13)
            lifeline.later(partial(_undo, future, undo))
        raise
    except BaseException:
        if undo is not None:
            future.add_done_callback(lambda _: undo())
        raise
    try:
        return future.result()
    finally:
        del future  # what it raised holds this frame: they would keep each other alive


def _wake(loop: AbstractEventLoop, waiter: asyncio.Future[None], _: object) -> None:
    with suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(_done, waiter)


def _done(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _undo(future: Future[Any], undo: Callable[[], object]) -> None:
    future.exception()  # waits until the work is done
    undo()


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
