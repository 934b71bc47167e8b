"""Budgets that follow work into threads (plain ones, executors, the pools of anyio) and rightly into tasks.

A context variable alone does not reach a thread. These functions are wrapped, for one variable:
``Thread.start`` (the thread runs under the budgets of whoever starts it), ``ThreadPoolExecutor.submit``
(a job runs under the budgets of whoever submits it, not of whoever made the pool: none included), and
``anyio.to_thread.run_sync``, which runs in a copy of the caller's context: a block that a FastAPI
dependency opens there is carried back to the request. It is wrapped as allowance is imported: the
first budget may be opened inside it. An asyncio task has the variable, but copied as it stands: a block in
a generator that is suspended just now would leak into it, so ``create_task`` hands on what is in force.
"""

from __future__ import annotations

import concurrent.futures.thread
import functools
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import wrapt

from allowance.calls.stack import Frame, frames_in_force, replace_stack, whole_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["carry_back", "carry_budgets"]

_lock = threading.Lock()
_done = False


def carry_budgets() -> None:
    """Wrap them, once. Threads and jobs that begin without a budget are left as they are."""
    global _done
    with _lock:
        if _done:
            return
        _done = True
    wrapt.wrap_function_wrapper(threading.Thread, "start", _start)
    wrapt.wrap_function_wrapper(concurrent.futures.ThreadPoolExecutor, "submit", _submit)
    wrapt.register_post_import_hook(_follow_tasks, "asyncio.base_events")


def _start(start: Callable[..., Any], thread: threading.Thread, args: Any, kwargs: Any) -> Any:
    frames = frames_in_force()
    if frames and not thread.name.startswith("allowance") and not _is_worker(thread):
        thread.run = functools.partial(_run, frames, thread.run)  # type: ignore[method-assign]  # one instance's
    return start(*args, **kwargs)


def _run(frames: tuple[Frame, ...], run: Callable[[], None]) -> None:
    replace_stack(frames)
    run()


def _is_worker(thread: threading.Thread) -> bool:
    # A pool's worker outlives the job it was made for: each job brings its own budgets.
    target = getattr(thread, "_target", None)
    return target is concurrent.futures.thread._worker


def _submit(submit: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return submit(*args, **kwargs)
    return submit(_job, frames_in_force(), *args, **kwargs)


def _job(frames: tuple[Frame, ...], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    before = replace_stack(frames)
    try:
        return function(*args, **kwargs)
    finally:
        replace_stack(before)


def _follow_tasks(module: ModuleType) -> None:
    wrapt.wrap_function_wrapper(module, "BaseEventLoop.create_task", _create_task)


def _create_task(create_task: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    frames = frames_in_force()
    if frames is not whole_stack() and kwargs.get("context") is None:
        context = copy_context()
        context.run(replace_stack, frames)
        kwargs = {**kwargs, "context": context}
    return create_task(*args, **kwargs)


def carry_back(module: ModuleType) -> None:
    """Wrap ``anyio.to_thread``'s ``run_sync``; wrapt calls this when that module is imported."""
    wrapt.wrap_function_wrapper(module, "run_sync", _run_sync)


async def _run_sync(run_sync: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return await run_sync(*args, **kwargs)
    function, *rest = args
    left: list[tuple[Frame, ...]] = []

    def job(*job_args: Any) -> Any:
        before = whole_stack()
        try:
            return function(*job_args)
        finally:
            if (after := whole_stack()) is not before:
                left.append(after)

    try:
        return await run_sync(job, *rest, **kwargs)
    finally:
        if left:
            replace_stack(left[0])
