"""Step 1, who: the stack of budgets that are in force where the code runs.

The stack is one context variable holding a tuple of frames, so asyncio tasks, ``to_thread`` and (with
`allowance.calls.threads`) plain threads and executors carry it along. Two things a context variable
alone gets wrong are decided here, frame by frame, when the stack is read:

- A block inside a *generator* sets the variable in whoever calls ``next``. Such a frame is in force only
  while its generator runs, or in tasks and threads that were begun there. Generators that serve as
  context managers (``contextlib``, a FastAPI dependency, a pytest fixture) are the exception: there the
  code around the ``yield`` is what the block is for.
- A block may be left in another context than it was entered in (an async generator that the loop
  finalizes). A frame that was left is never in force at home, even where it could not be removed; in
  tasks and threads that were begun inside it stays in force.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextvars import Context, ContextVar, copy_context
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, CO_ITERABLE_COROUTINE
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from allowance.calls.books import Books
    from allowance.calls.charge import Charge
    from allowance.calls.events import Hook
    from allowance.calls.shortage import Plan
    from allowance.calls.views import View
    from allowance.ledger.records import Scope

__all__ = [
    "Frame",
    "carried_context",
    "enclosing_books",
    "enter",
    "frames_for_threads",
    "frames_in_force",
    "owning_generator",
    "push",
    "remove",
    "replace_stack",
    "suspend",
    "whole_stack",
]


class Frame:
    """One entry of one budget, one run of a decorated function, or one call inside an SDK.

    Attributes:
        books: what a call made under it is charged with.
        payer: the account that pays, as its terms and its view: one tuple, for `max_budget` may change
            it while calls read it. None where the frame adds none of its own.
        is_call: True for a run of a decorated function.
        charge: the open hold of a decorated call, which a metered call inside takes over; by a weak
            reference, so that a call that nobody holds on to any more is collected at once.
        open_inner, charged_inner: how many metered calls inside are under way, and how many were charged:
            where there are any, they are the truth.
        layer: True inside an SDK that is metered itself: SDKs beneath it pass through.
        cost: nano-dollars charged through this frame.
        hooks: its own ``on_event`` hooks.
        tags: words that the entries of its calls bear.
        on_overrun: ``"stop"`` where a stream that this budget does not cover any more is to be stopped.
        on_exceeded: what is tried for its calls where a budget is short; None: nothing.
        reading: True for a layer whose reply is read as a stream.
    """

    __slots__ = (
        "__weakref__",
        "books",
        "charge",
        "charged_inner",
        "closed",
        "cost",
        "generator",
        "home",
        "hooks",
        "is_call",
        "layer",
        "on_exceeded",
        "on_overrun",
        "open_inner",
        "payer",
        "reading",
        "tags",
        "warn_at",
    )

    def __init__(
        self,
        books: Books | None = None,
        scope: Scope | None = None,
        view: View | None = None,
        *,
        hooks: tuple[Hook, ...] = (),
        warn_at: float | None = None,
        tags: tuple[str, ...] = (),
        on_exceeded: Plan | None = None,
        on_overrun: str | None = None,
        is_call: bool = False,
        layer: bool = False,
    ) -> None:
        self.books = books
        self.is_call = is_call
        self.payer = None if scope is None or view is None else (scope, view)
        self.hooks = hooks
        self.warn_at = warn_at
        self.tags = tags
        self.on_exceeded = on_exceeded
        self.layer = layer
        self.on_overrun = on_overrun
        self.reading = False
        self.charge: weakref.ref[Charge] | None = None
        self.open_inner = 0
        self.charged_inner = 0
        self.cost = 0
        self.closed = False
        self.generator: FrameType | None = None
        self.home: object = None

    def add_cost(self, nanos: int) -> None:
        """Count what a call charged through this frame; corrections may be negative."""
        with _counting:
            self.cost += nanos

    def over(self) -> None:
        """Note that this SDK's call has come to its end, though what it began may go on.

        LiteLLM runs users' callbacks in tasks that a stream's last step begins: a call that is made there
        is one of its own, and takes over no hold.
        """
        if self.layer:
            self.layer = False
            self.charge = None

    def inner_began(self) -> None:
        """Note that a metered call inside this frame was admitted."""
        with _counting:
            self.open_inner += 1

    def inner_ended(self, *, charged: bool) -> None:
        """Note that it is over, and whether it was charged: one that was let go settles nothing (R12)."""
        with _counting:
            self.open_inner -= 1
            self.charged_inner += charged


_stack: ContextVar[tuple[Frame, ...]] = ContextVar("allowance_stack", default=())
_thread = threading.local()
_counting = threading.Lock()
_elsewhere: ContextVar[object] = ContextVar("allowance_elsewhere", default=None)
"""Set in a context that carries budgets on after their blocks: no frame is at home there."""

_in_generators: dict[Frame, None] = {}
"""Open frames that belong to a generator: whoever calls ``next`` need not have them in its context."""


def enter(frame: Frame, generator: FrameType | None) -> None:
    """Put a block's frame in force until it is removed; ``generator`` is the one whose body it stands in."""
    frame.home = _here()
    frame.generator = generator
    if generator is not None:
        _in_generators[frame] = None
    push(frame)


def push(frame: Frame) -> None:
    """Put a frame in force from here on, until it is suspended: for a call, while its code runs."""
    _stack.set((*_stack.get(), frame))


def remove(frame: Frame) -> None:
    """Take one frame off, by identity: the frames of others stay, whatever the order of leaving."""
    frame.closed = True
    if frame.generator is not None:
        frame.generator = None
        _in_generators.pop(frame, None)
    suspend(frame)


def suspend(frame: Frame) -> None:
    """Take a frame off this context's stack without ending it."""
    frames = _stack.get()
    if frames and frames[-1] is frame:
        _stack.set(frames[:-1])
    elif frame in frames:
        _stack.set(tuple(other for other in frames if other is not frame))


def whole_stack() -> tuple[Frame, ...]:
    """All frames that this context holds, in force here or not: what `replace_stack` puts back."""
    return _stack.get()


def replace_stack(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Set the whole stack, as a worker that begins someone's work does; returns the one before."""
    before = _stack.get()
    _stack.set(frames)
    return before


def carried_context() -> Context:
    """A copy of this context for work that is begun here and done later, by the same task or thread.

    What is in force here stays in force there, even after its block was left: as in a task begun here.
    """
    context = copy_context()
    context.run(_begin_elsewhere, frames_in_force())
    return context


def _begin_elsewhere(frames: tuple[Frame, ...]) -> None:
    _stack.set(frames)
    _elsewhere.set(object())


def frames_in_force() -> tuple[Frame, ...]:
    """The frames that apply to a call made here and now, outermost first."""
    frames = _stack.get()
    if _in_generators:
        frames = (*_entered_elsewhere(frames), *frames)
    for frame in frames:
        if frame.closed or frame.generator is not None:
            return tuple(frame for frame in frames if _in_force(frame))
    return frames


def frames_for_threads() -> tuple[Frame, ...]:
    """The frames that apply to work which is begun here and done in another thread.

    A stream's request is out when it is read: what LiteLLM gives to threads then are the user's callbacks,
    whose calls are calls of their own.
    """
    frames = frames_in_force()
    return frames[:-1] if frames and frames[-1].reading else frames


def _entered_elsewhere(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Frames of running generators that were entered in another task: ``wait_for(anext(...))`` makes one."""
    return tuple(
        frame
        for frame in list(_in_generators)
        if frame not in frames and frame.generator is not None and _is_running(frame.generator)
    )


def enclosing_books() -> Books | None:
    """The books of the innermost budget: its manager's prices are the ones that its user chose."""
    for frame in reversed(frames_in_force()):
        if frame.books is not None:
            return frame.books
    return None


def _in_force(frame: Frame) -> bool:
    if not frame.closed and frame.generator is None:
        return True
    if not _at_home(frame):
        return True  # carried into a task or a thread that was begun while it was in force
    return not frame.closed and _is_running(frame.generator)


def _is_running(generator: FrameType | None) -> bool:
    caller: FrameType | None = sys._getframe(1)
    while caller is not None:
        if caller is generator:
            return True
        caller = caller.f_back
    return False


def _at_home(frame: Frame) -> bool:
    home = frame.home
    return (home() if isinstance(home, weakref.ref) else home) is _here(referred=False)


def _here(*, referred: bool = True) -> Any:
    """What runs this code: the asyncio task, else the thread (by a token: idents are used again)."""
    elsewhere = _elsewhere.get()
    if elsewhere is not None:
        return elsewhere
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        loop = asyncio._get_running_loop()
        task = None if loop is None else asyncio.current_task(loop)
        if task is not None:
            return weakref.ref(task) if referred else task
    try:
        return _thread.token
    except AttributeError:
        _thread.token = object()
        return _thread.token


# Who drives a generator as a context manager: its block is meant for the code around the yield.
_MANAGERS = frozenset({"contextlib", "_pytest.fixtures", "pytest_asyncio.plugin", "anyio.pytest_plugin"})


def owning_generator(caller: FrameType | None) -> FrameType | None:
    """The generator in whose body a block was opened by ``caller``, or None where there is none."""
    while caller is not None:
        if caller.f_globals.get("__name__") == "contextlib":  # ExitStack.enter_context(budget(...))
            caller = caller.f_back
            continue
        flags = caller.f_code.co_flags
        if not flags & (CO_GENERATOR | CO_ASYNC_GENERATOR) or flags & CO_ITERABLE_COROUTINE:
            return None
        driver = caller.f_back
        if driver is None or driver.f_globals.get("__name__") not in _MANAGERS:
            return caller
        if driver.f_globals.get("__name__") != "contextlib":
            return None
        caller = driver
    return None


def _after_fork() -> None:
    global _counting
    _counting = threading.Lock()  # a thread that is not in the child may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
