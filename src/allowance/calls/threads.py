"""Budgets that follow work into threads (plain ones, executors, pools) and rightly into tasks.

A context variable alone does not reach a thread. These functions are wrapped, for one variable:
``Thread.start`` and ``_thread.start_new_thread`` (the thread runs under the budgets of whoever starts it; of
the latter only what is called by that name), ``ThreadPoolExecutor.submit`` and
the like of ``multiprocessing.pool.ThreadPool`` (a job runs under the budgets of whoever submits it, not of
whoever made the pool: none included; callbacks under those of whoever adds them), and
``anyio.to_thread.run_sync``, which runs in a copy of the caller's context: a block that a FastAPI
dependency opens there is carried back to the request. It is wrapped as allowance is imported: the
first budget may be opened inside it. An asyncio task has the variable, but copied as it stands: a block in
a generator that is suspended just now would leak into it, so ``create_task`` hands on what is in force.

No other process is reached: what runs there opens a budget of its own, in a store that both share.
"""

from __future__ import annotations

import _thread
import concurrent.futures.thread
import functools
import itertools
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import wrapt

from allowance.calls.stack import Frame, frames_for_threads, frames_in_force, replace_stack, whole_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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
    wrapt.wrap_function_wrapper(_thread, "start_new_thread", _start_new)
    wrapt.wrap_function_wrapper(concurrent.futures.ThreadPoolExecutor, "submit", _submit)
    wrapt.wrap_function_wrapper(concurrent.futures.Future, "add_done_callback", _send)
    wrapt.register_post_import_hook(_follow_pools, "multiprocessing.pool")
    wrapt.register_post_import_hook(functools.partial(_follow_tasks, "BaseEventLoop"), "asyncio.base_events")
    wrapt.register_post_import_hook(functools.partial(_follow_tasks, "Loop"), "uvloop")


def _start(start: Callable[..., Any], thread: threading.Thread, args: Any, kwargs: Any) -> Any:
    frames = frames_for_threads()
    if frames and not thread.name.startswith("allowance") and not _is_worker(thread):
        run = functools.partial(_run, frames, thread, vars(thread).get("run"))
        thread.run = run  # type: ignore[method-assign]  # one instance's
    return start(*args, **kwargs)


def _run(frames: tuple[Frame, ...], thread: threading.Thread, own: Callable[[], None] | None) -> None:
    # As the instance was: else it and its frames would keep each other alive.
    if own is None:
        vars(thread).pop("run", None)
    else:
        thread.run = own  # type: ignore[method-assign]  # as above
    replace_stack(frames)
    thread.run()


def _start_new(start: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    frames = frames_for_threads()
    if frames and args and callable(args[0]):
        args = (functools.partial(_job, frames, args[0]), *args[1:])
    return start(*args, **kwargs)


def _is_worker(thread: threading.Thread) -> bool:
    # An executor's worker outlives the job it was made for: each job brings its own budgets.
    target = getattr(thread, "_target", None)
    return target is concurrent.futures.thread._worker


def _submit(submit: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return submit(*args, **kwargs)
    return submit(_job, frames_for_threads(), *args, **kwargs)


def _job(frames: tuple[Frame, ...], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    before = replace_stack(frames)
    try:
        return function(*args, **kwargs)
    finally:
        replace_stack(before)


def _follow_pools(module: ModuleType) -> None:
    for name in ("apply_async", "map", "map_async", "starmap", "starmap_async"):
        wrapt.wrap_function_wrapper(module, f"ThreadPool.{name}", _send)
    for name in ("imap", "imap_unordered"):
        wrapt.wrap_function_wrapper(module, f"ThreadPool.{name}", _send_lazily)


_FUNCTIONS = frozenset({0, 3, 4, "func", "callback", "error_callback", "fn"})
"""Where these methods take functions: those of a pool, and a future's ``add_done_callback``."""


def _send(send: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    frames = frames_for_threads()

    def carried(place: int | str, value: Any) -> Any:
        return value if value is None or place not in _FUNCTIONS else functools.partial(_job, frames, value)

    named = {name: carried(name, value) for name, value in kwargs.items()}
    return send(*map(carried, itertools.count(), args), **named)


def _send_lazily(send: Callable[..., Any], pool: Any, args: Any, kwargs: Any) -> Any:
    # One of the pool's own threads reads the items: what is called for them is the sender's too.
    if len(args) > 1:
        args = (args[0], _items(frames_for_threads(), args[1]), *args[2:])
    elif "iterable" in kwargs:
        kwargs = {**kwargs, "iterable": _items(frames_for_threads(), kwargs["iterable"])}
    return _send(send, pool, args, kwargs)


def _items(frames: tuple[Frame, ...], iterable: Iterable[Any]) -> Iterator[Any]:
    items, end = _job(frames, iter, iterable), object()
    while (item := _job(frames, next, items, end)) is not end:
        yield item


def _follow_tasks(loop: str, module: ModuleType) -> None:
    wrapt.wrap_function_wrapper(module, f"{loop}.create_task", _create_task)


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
