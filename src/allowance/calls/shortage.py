"""What is tried where a budget does not cover a call: the strategies in force, one after the other.

A strategy is a generator of steps, and knows neither sync nor async: each `Step` says how it is done in
either, and two thin edges, `begin` and `abegin`, do them. Every attempt reserves anew, under an id of its
own, and the store decides: what a strategy reckons with may be out of date, and then the attempt is refused.
"""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from allowance.calls.edges import run as run_in_edge
from allowance.errors import BudgetExceededError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from allowance.calls.call import Call
    from allowance.calls.refuser import Refuser
    from allowance.requests import Request

__all__ = ["Form", "Plan", "Shortage", "Site", "Step", "Steps", "Strategy", "abegin", "begin"]


class Form(NamedTuple):
    """One form of a call: what its function is called with, and the request that this makes."""

    request: Request | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Site(Protocol):
    """Where a call is made: a decorated function, or an SDK's own. It knows how to change the call.

    Attributes:
        call: the metered call.
        form: the call as it was made.
    """

    call: Call
    form: Form

    def with_model(self, form: Form, model: str) -> Form | None:
        """The call to another model; None where the model cannot be changed."""
        ...

    def with_cap(self, form: Form, cap: int) -> Form | None:
        """The call with this output cap; None where it takes none, or none so small."""
        ...


class Step(NamedTuple):
    """Something that a strategy wants done. What it gives (awaited, in async calls) is sent back."""

    work: Callable[[], Any]
    awork: Callable[[], Any]


Steps: TypeAlias = "Generator[Step, Any, Form | None]"
"""They end with the form that was reserved for, or with None."""


class Strategy:
    """What is tried where a budget does not cover a call. `downgrade`, `clamp`, `wait` and `ask` make one."""

    __slots__ = ()

    def steps(self, short: Shortage) -> Steps:
        """Try to let the call go."""
        raise NotImplementedError


class Plan(NamedTuple):
    """What ``on_exceeded=`` was given: the strategies in order, and what answers in place of the call."""

    strategies: tuple[Strategy, ...]
    instead: Callable[[BudgetExceededError], Any] | None = None


class Shortage:
    """A call that was refused, and what was tried for it so far.

    Attributes:
        error: the last refusal.
        form: the call as the strategies before left it: `downgrade` changes the model for those after it.
    """

    def __init__(self, site: Site, error: BudgetExceededError, strategies: Sequence[Strategy]) -> None:
        self.site = site
        self.error = error
        self.form = site.form
        self._strategies = strategies
        self._refused: Form = site.form

    def steps(self) -> Steps:
        """The steps of all strategies, until one lets the call go."""
        for strategy in self._strategies:
            form = yield from strategy.steps(self)
            if form is not None:
                return form
        return None

    def attempt(self, form: Form) -> Steps:
        """Reserve for this form of the call. The form that was granted, or None: `error` tells why."""
        outcome = yield Step(partial(self._try, form), partial(self._atry, form))
        if isinstance(outcome, BudgetExceededError):
            self.error, self._refused = outcome, form
            return None
        granted: Form = outcome
        return granted

    def about(self, form: Form) -> Steps:
        """See to it that `error` and `refuser` are about this form, by another attempt where they are not."""
        if self._refused is form:
            return None
        return (yield from self.attempt(form))

    def ask(self, question: Callable[[BudgetExceededError], Any]) -> Generator[Step, Any, Any]:
        """The answer of a function of the user's, which may be a coroutine function in async calls.

        None, and it is not called, where it is at work already: this call is one that it makes itself.
        """
        if any(one is question for one in _asked.get()):
            return None
        return (yield Step(partial(_ask, question, self.error), partial(_aask, question, self.error)))

    def extend(self, amount: int, reason: str) -> Generator[Step, Any, None]:
        """Top up the budget that refused."""
        refuser = self.refuser
        if refuser is not None:
            work = partial(refuser.extend, amount, reason)
            yield Step(work, partial(run_in_edge, work, blocking=refuser.store.blocking))

    def affordable(self) -> int:
        """The largest output cap for which the budget that refused has room; 0 where there is none."""
        charge = self.site.call.charge
        return 0 if charge is None else charge.affordable()

    @property
    def refuser(self) -> Refuser | None:
        """The budget that refused last."""
        charge = self.site.call.charge
        return None if charge is None else charge.refuser

    def _try(self, form: Form) -> Form | BudgetExceededError:
        self.site.call.request = form.request
        try:
            self.site.call.begin()
            return _granted(self.site, form)
        except BudgetExceededError as error:
            return error

    async def _atry(self, form: Form) -> Form | BudgetExceededError:
        self.site.call.request = form.request
        try:
            await self.site.call.abegin()
            return _granted(self.site, form)
        except BudgetExceededError as error:
            return error


def begin(site: Site) -> Form:
    """Reserve for a call; what its function is to be called with.

    Raises:
        BudgetExceededError: the first refusal, where no strategy in force lets the call go. And what
            `Call.begin` raises.
    """
    try:
        site.call.begin()
        return _granted(site, site.form)
    except BudgetExceededError as error:
        steps = Shortage(site, error, _in_force(site.call)).steps()
        answer = None
        while isinstance(step := _next(steps, answer), Step):
            answer = _not_awaitable(step.work())
        if step is None:
            raise
        return step


async def abegin(site: Site) -> Form:
    """`begin`, without blocking the event loop."""
    try:
        await site.call.abegin()
        return _granted(site, site.form)
    except BudgetExceededError as error:
        steps = Shortage(site, error, _in_force(site.call)).steps()
        answer = None
        while isinstance(step := _next(steps, answer), Step):
            answer = step.awork()
            if inspect.isawaitable(answer):
                answer = await answer
        if step is None:
            raise
        return step


def _next(steps: Steps, answer: Any) -> Step | Form | None:
    try:
        return steps.send(answer)
    except StopIteration as over:
        end: Form | None = over.value
        return end


def _granted(site: Site, form: Form) -> Form:
    """The form that was reserved for, with the cap that the budget's own clamp policy set, if it did."""
    charge = site.call.charge
    if charge is None or charge.cap is None:
        return form
    capped = site.with_cap(form, charge.cap)
    if capped is None:
        raise charge.not_cappable()
    return capped


_asked: ContextVar[tuple[Callable[[BudgetExceededError], Any], ...]] = ContextVar(
    "allowance_asked", default=()
)
"""The functions of the user's that are being asked here: what they call must not ask them again, for ever."""


def _ask(question: Callable[[BudgetExceededError], Any], error: BudgetExceededError) -> Any:
    before = _asked.get()
    _asked.set((*before, question))
    try:
        return question(error)
    finally:
        _asked.set(before)


async def _aask(question: Callable[[BudgetExceededError], Any], error: BudgetExceededError) -> Any:
    before = _asked.get()
    _asked.set((*before, question))
    try:
        answer = question(error)
        return await answer if inspect.isawaitable(answer) else answer
    finally:
        _asked.set(before)


def _in_force(call: Call) -> list[Strategy]:
    """The strategies that apply here: the call's own, then those of the budgets around it, innermost first.

    A function that answers in place of a call ends them: where it stands, nothing further out is asked.
    """
    strategies: list[Strategy] = []
    for frame in reversed(call.frames):
        if frame.on_exceeded is not None:
            strategies += frame.on_exceeded.strategies
            if frame.on_exceeded.instead is not None:
                break
    return strategies


def _not_awaitable(answer: Any) -> Any:
    if not inspect.isawaitable(answer):
        return answer
    close = getattr(answer, "close", None)
    if close is not None:
        close()
    raise ConfigurationError(
        "This call is not async, so nothing can be awaited in it: give ask() and wait() plain functions here."
    )
