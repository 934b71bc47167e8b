"""What ``on_exceeded=`` takes beside a function: `downgrade`, `clamp`, `wait` and `ask`."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from allowance.calls.shortage import Plan, Step, Strategy
from allowance.errors import BudgetExceededError, ConfigurationError
from allowance.money import Money, to_nanos

if TYPE_CHECKING:
    from datetime import datetime

    from allowance.calls.refuser import Refuser
    from allowance.calls.shortage import Shortage, Steps
    from allowance.ledger.records import AccountKey
    from allowance.stores.base import Store

__all__ = ["Answer", "OnExceeded", "OnShort", "ask", "clamp", "downgrade", "plan", "wait"]

OnShort: TypeAlias = Strategy | Sequence[Strategy]
"""Strategies, in order; the first that lets the call go wins."""

OnExceeded: TypeAlias = (
    Strategy
    | Callable[[BudgetExceededError], Any]
    | Sequence[Strategy | Callable[[BudgetExceededError], Any]]
)
"""The same, and a function that answers in place of the call; of several it is the last."""

Answer: TypeAlias = Money | bool | None
"""US dollars that are granted; True: as much as the call lacks; False, None and 0: nothing."""

ATTEMPTS: Final = 8
"""How often a strategy tries again where other calls take the room that it reckoned with."""

SHORTEST, LONGEST = 0.05, 2.0
"""Seconds between two looks at a budget where only open calls stand in the way: each twice the one before."""


def downgrade(*models: str) -> Strategy:
    """Where a budget is short, send the call to a cheaper model: the first of these that fits.

    The call's ``model`` argument is replaced; the call is quoted and reserved anew, and charged as what
    ran. It works where the model comes from the call's own arguments (or from ``request=``, by them); where
    ``budgeted(model=...)`` supplies it, or the URL of an Azure deployment fixes it, this does nothing. Nor
    does it go to another vendor's model with a body of Bedrock's ``invoke_model``, or with a LiteLLM call
    that carries its own key or URL. A `clamp` that comes after it in a list shortens the call to the last of
    these models.

    Args:
        models: names as the function or the SDK takes them, tried in this order.

    Raises:
        ConfigurationError: no model was named, or what was is no name.

    The call raises:
        UnknownModelError: one of them has no price, and a limit is in force.
    """
    given: tuple[object, ...] = models
    for model in given:
        if not isinstance(model, str) or not model.strip():
            raise ConfigurationError(f"downgrade() takes the names of models, not {model!r:.60}.")
    if not models:
        raise ConfigurationError('downgrade() needs a model: downgrade("gpt-4o-mini").')
    return _Downgrade(models)


def clamp(min_tokens: int = 1) -> Strategy:
    """Where a budget is short, put the output cap that still fits into the call.

    A larger cap that the call has becomes smaller; one that has none gets one. The reply then says that its
    length ended it (``finish_reason="length"``), as the vendor has it. It does nothing for calls that take no
    cap: embeddings, pictures, and functions without such an argument. No call is capped lower than its vendor
    takes: 16 tokens for OpenAI's Responses API, and more than ``budget_tokens`` where Claude thinks.

    Args:
        min_tokens: how short a reply may become, in tokens; where less fits, the call stays refused. A cap
            that ends a reasoning model's thoughts buys nothing.

    Raises:
        ConfigurationError: it is not a whole number above zero.
    """
    if type(min_tokens) is not int or min_tokens < 1:
        raise ConfigurationError(f"min_tokens must be a whole number above zero, not {min_tokens!r:.40}.")
    return _Clamp(min_tokens)


def wait(
    timeout: float,
    *,
    sleep: Callable[[float], Awaitable[object] | None] | None = None,
    clock: Callable[[], float] = time.time,
) -> Strategy:
    """Where a budget is short, wait until its window turns or open calls have settled, and try again.

    Where only open calls stand in the way (`BudgetExceededError.temporary`), the budget is looked at again
    after 0.05 seconds, then after twice as long each time, up to 2; else nothing happens before its window
    turns. The call is refused at once where waiting cannot help: the window ends after the timeout or never,
    or the limit is below what the call takes. Async calls do not block the event loop; a plain function
    blocks its thread, so in a handler of requests keep it short.

    Args:
        timeout: seconds after which the first refusal is raised after all.
        sleep: pauses for so many seconds, in place of ``time.sleep`` and ``asyncio.sleep``; a coroutine
            function serves async calls. For tests.
        clock: tells seconds since 1970, against which the end of a window is held. For tests.

    Raises:
        ConfigurationError: the timeout is no number of seconds above zero.
    """
    if type(timeout) not in (int, float) or not timeout > 0:
        raise ConfigurationError(f"wait() takes a number of seconds above zero, not {timeout!r:.40}.")
    return _Wait(float(timeout), sleep, clock)


def ask(
    callback: Callable[[BudgetExceededError], Answer | Awaitable[Answer]],
    *,
    reason: str = "granted when a call was refused",
) -> Strategy:
    """Where a budget is short, ask a human or a policy for more; with it, the call goes on.

    What is granted is added to the limit of the budget that refused, as `BudgetManager.add_budget` does: to
    the end of its window, or for good where that never ends; the grant is for the budget and not for this
    one call. To the process's cap it is added too: ``allowance.max_budget`` then says the sum. Where another
    budget refuses next, the callback is asked about that one; about the same one it is asked once. A call
    that the callback makes itself, by budgets that do not cover it, is refused without asking.

    Args:
        callback: gets the refusal, with all its figures. It gives the US dollars to add, True for as much
            as this call lacks, or False, None or 0 for nothing: then the refusal stands. In async calls it
            may be a coroutine function; a plain one that waits for somebody blocks the event loop. What it
            raises goes through to the caller.
        reason: stands in the ledger, beside the grant.

    Raises:
        ConfigurationError: the callback is no function.

    The call raises:
        ConfigurationError: the answer is no amount.
    """
    if not callable(callback):
        raise ConfigurationError(f"ask() takes a function, not {type(callback).__name__}.")
    return _Ask(callback, str(reason))


_MAKERS: Final = (downgrade, clamp, wait, ask)


def plan(given: object, *, block: bool = False) -> Plan | None:
    """What was written as ``on_exceeded=``, checked; None where nothing was.

    Raises:
        ConfigurationError: it is none of what it may be, or something comes after a function.
    """
    if given is None:
        return None
    several = given if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else [given]
    strategies: list[Strategy] = []
    instead: Callable[[BudgetExceededError], Any] | None = None
    for each in several:
        if instead is not None:
            raise ConfigurationError(
                "In on_exceeded= a function answers in place of the call, so nothing after it would ever be "
                "tried: put it last."
            )
        if isinstance(each, Strategy):
            strategies.append(each)
        elif any(each is maker for maker in _MAKERS):
            raise ConfigurationError("on_exceeded= takes what downgrade(), clamp(), wait() and ask() make.")
        elif not callable(each):
            raise ConfigurationError(
                "on_exceeded= takes a function, downgrade(), clamp(), wait(), ask() or several of them, not "
                f"{type(each).__name__}."
            )
        elif block:
            raise ConfigurationError(
                "The on_exceeded= of a block takes downgrade(), clamp(), wait() and ask(): a function could "
                "not stand in for an SDK's reply. Catch BudgetExceededError, or decorate with budgeted()."
            )
        else:
            instead = each
    if not strategies and instead is None:
        raise ConfigurationError("on_exceeded= is empty: leave it out to have the refusal raised.")
    return Plan(tuple(strategies), instead)


@dataclass(frozen=True, slots=True)
class _Downgrade(Strategy):
    models: tuple[str, ...]

    def steps(self, short: Shortage) -> Steps:
        for model in self.models:
            cheaper = short.site.with_model(short.site.form, model)
            if cheaper is None:
                continue
            short.form = cheaper
            granted = yield from short.attempt(cheaper)
            if granted is not None:
                return granted
        return None


@dataclass(frozen=True, slots=True)
class _Clamp(Strategy):
    min_tokens: int

    def steps(self, short: Shortage) -> Steps:
        form = short.form
        granted = yield from short.about(form)
        for _ in range(ATTEMPTS):
            if granted is not None or form.request is None:
                return granted
            cap = short.affordable()
            if form.request.max_output is not None:
                cap = min(cap, form.request.max_output)
            capped = short.site.with_cap(form, cap) if cap >= self.min_tokens else None
            if capped is None:
                return None
            granted = yield from short.attempt(capped)
        return granted


@dataclass(frozen=True, slots=True)
class _Wait(Strategy):
    timeout: float
    sleep: Callable[[float], Awaitable[object] | None] | None
    clock: Callable[[], float]

    def steps(self, short: Shortage) -> Steps:
        left, again = self.timeout, SHORTEST
        ends = self.clock() + left
        granted = yield from short.about(short.site.form)
        while granted is None:
            pause = self._pause(short.refuser, short.error.resets_at, again)
            if pause is None or left <= 0 or (pause > left and not short.error.temporary):
                return None
            pause = min(pause, left)
            yield Step(partial(self.sleep or time.sleep, pause), partial(self.sleep or _asleep, pause))
            # Both, so that a clock that is set meanwhile can only shorten it.
            left = min(left - pause, ends - self.clock())
            again = min(again * 2, LONGEST)
            granted = yield from short.attempt(short.site.form)
        return granted

    def _pause(self, refuser: Refuser | None, resets_at: datetime | None, again: float) -> float | None:
        """Seconds after which it may be otherwise; None where it never will."""
        if refuser is None or (refuser.account.limit or 0) < refuser.least:
            return None
        if resets_at is None:
            return again if refuser.temporary else None
        # A millisecond more: the store's clock must have got there. Where it lags, it is looked at again.
        turns = resets_at.timestamp() - self.clock() + 0.001
        return min(again, max(turns, SHORTEST)) if refuser.temporary else max(turns, again)


@dataclass(frozen=True, slots=True)
class _Ask(Strategy):
    callback: Callable[[BudgetExceededError], Answer | Awaitable[Answer]]
    reason: str

    def steps(self, short: Shortage) -> Steps:
        form = short.site.form
        answers: dict[tuple[Store, AccountKey], Answer] = {}
        granted = yield from short.about(form)
        for _ in range(ATTEMPTS):
            refuser = short.refuser
            if granted is not None or refuser is None:
                return granted
            answer = answers.get(refuser.name)
            if refuser.name not in answers:
                answer = answers[refuser.name] = yield from short.ask(self.callback)
                refuser = short.refuser or refuser
            elif answer is not True:
                return None  # so much was granted, and it was not enough
            if answer is None or answer is False:
                return None
            amount = refuser.missing if answer is True else to_nanos(answer, what="ask()'s answer")
            if amount:
                yield from short.extend(amount, self.reason)
            elif answer is not True:
                return None
            granted = yield from short.attempt(form)
        return granted


def _asleep(seconds: float) -> Awaitable[object]:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio: Any = sys.modules.get("trio")
        if trio is None:
            raise
        slept: Awaitable[object] = trio.sleep(seconds)
        return slept
    return asyncio.sleep(seconds)
