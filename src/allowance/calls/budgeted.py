"""`@budgeted`: a budget around a function that completes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

import wrapt

from allowance.calls import streams
from allowance.calls.books import default_books
from allowance.calls.call import Call
from allowance.calls.callees import Callee, callee_of
from allowance.calls.ready import prepare
from allowance.calls.shortage import Form, abegin, begin
from allowance.calls.signatures import Parameters
from allowance.calls.stack import enclosing_books
from allowance.calls.strategies import plan
from allowance.calls.terms import UNSET, Given, check_callables, user_name
from allowance.errors import BudgetExceededError, ConfigurationError
from allowance.requests import read

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from allowance.calls.books import Books
    from allowance.calls.events import Hook
    from allowance.calls.overrun import OnOverrun
    from allowance.calls.strategies import OnExceeded
    from allowance.calls.terms import Limit, Words
    from allowance.calls.views import View
    from allowance.ledger.records import Alignment, Scope, Uncapped
    from allowance.requests import Request

__all__ = ["User", "budgeted"]

P = ParamSpec("P")
T = TypeVar("T")

User: TypeAlias = str | int | Callable[..., str | int | None] | None
"""Whose budget: a name, or a function of the call's own arguments; None is the enclosing block's."""

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]


def budgeted(
    user: User = None,
    *,
    limit: Limit = UNSET,
    duration: str | None = None,
    align: Alignment | None = None,
    timezone: str | None = None,
    uncapped: Uncapped | None = None,
    label: str | None = None,
    models: Words | None = None,
    tags: Words = (),
    kind: str = "user",
    project: str | None = None,
    model: str | Callable[..., str] | None = None,
    request: Callable[..., Mapping[str, Any]] | None = None,
    on_exceeded: OnExceeded | None = None,
    on_overrun: OnOverrun = "finish",
    on_event: Hook | None = None,
    warn_at: float | None = None,
    books: Books | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Put a budget around every call of a function: it is sent only if its projected cost fits.

    Works on plain functions, coroutines, generators, async generators, methods, class and static
    methods, partials and callable objects. The function keeps its type and its signature; what it
    returns comes back untouched, streams as the SDK's own. A function whose arguments name no model is
    a *scope*: nothing is held for it, and the metered calls inside are charged to its user.

    Args:
        user: whose budget; an ``int`` counts as its digits. A callable gets exactly the arguments that
            the function gets (of a method ``self`` too). None is the enclosing block's budget; with a
            ``limit`` and no user, the function has a budget of its own, in memory.
        limit: US dollars per window; None only counts. Left out, it is as the store has it.
        duration: when the budget starts anew: ``"daily"``, ``"weekly"``, ``"monthly"``, ``"yearly"``, or
            like ``"30s"``, ``"12h"``, ``"7d"``, ``"1mo"``. Left out or None: as the store has it, else never.
        align: ``"created"``: windows repeat from when the budget was made; ``"calendar"``: from midnight,
            Monday, the first.
        timezone: the IANA zone of calendar windows.
        uncapped: what happens to a call without an output cap whose likely cost does not fit:
            ``"shrink"`` (the default), ``"clamp"``, ``"reserve"`` or ``"refuse"``.
        label: which of the user's budgets, where there are several: so much a day, and
            ``label="month", duration="monthly"`` so much a month. Every call for the user must fit all.
        models: the models that this one is for: names or patterns (``"gpt-4o*"``, ``"openai/*"``), in any
            case. Other calls are not limited by it. Without a label the models are its label.
        tags: words that the ledger's entries bear, for reports; those of budgets around are joined.
        kind: what ``user`` names: ``"user"``, ``"team"``, ...
        project: whose users these are; the configured one where left out.
        model: the model, or a function of the call's arguments that gives it, where they lack it.
        request: a function of the call's arguments that gives what is sent (``model``, ``messages``, ...).
        on_exceeded: what happens where a budget does not cover the call: `downgrade`, `clamp`, `wait`,
            `ask`, or a function that gets the refusal, and whose result is handed back in place of the call,
            awaited where the call is async. Of several, in a list, the first that lets the call go wins. The
            calls inside the function are served likewise, by all but the function that answers in place.
        on_overrun: of a stream that costs more than was held, where the budget does not cover more:
            ``"finish"`` (the default) lets it run, and the overrun is reported; ``"stop"`` closes it, charges
            what was seen, and raises `BudgetExceededError` at the next chunk. Of several budgets, one that
            says ``"stop"`` is enough.
        on_event: gets an `Event` for whatever happens to the budget.
        warn_at: the part of the limit at which a ``threshold`` event is sent, once per window.
        books: what to charge with; a manager passes its own.

    The decorated function raises:
        BudgetExceededError: the call does not fit, and nothing in ``on_exceeded`` helped.
        UnknownUserError: the store has no such budget, and no limit was given here.
        UnknownModelError: no price is known, and a limit is in force.
        ConfigurationError: no budget applies at all, or an argument above cannot be used.
        StoreUnavailableError: the budget cannot be asked.
    """
    check_callables(request=request)
    planned = plan(on_exceeded)
    given = Given(
        limit=limit,
        duration=duration,
        align=align,
        timezone=timezone,
        uncapped=uncapped,
        label=label,
        models=models,
        tags=tags,
        kind=kind,
        project=project,
        on_exceeded=planned,
        on_overrun=on_overrun,
        on_event=on_event,
        warn_at=warn_at,
        books=books,
    )
    if user is None and not given.own and given.label:
        raise ConfigurationError(
            "budgeted() was given label= or models= for nobody's budget: name a user, or a limit for the "
            "function alone."
        )
    rules = _Rules(
        given,
        user=user if user is None or callable(user) else user_name(user),
        model=model,
        request=request,
        instead=None if planned is None else planned.instead,
    )

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if not callable(function) and not isinstance(function, (classmethod, staticmethod)):
            raise ConfigurationError(
                f"budgeted() wraps a function, not {type(function).__name__}: write @budgeted(...) with its "
                "parentheses, or budgeted(...)(function)."
            )
        return cast("Callable[P, T]", Budgeted(function, rules))

    return decorate


class _Rules:
    """What `budgeted` was given: how a call's budget and request are found in its arguments."""

    def __init__(
        self,
        given: Given,
        *,
        user: User,
        model: str | Callable[..., str] | None,
        request: Callable[..., Mapping[str, Any]] | None,
        instead: Callable[[BudgetExceededError], Any] | None,
    ) -> None:
        self.given = given
        self.user = user
        self.model = model
        self.request = request
        self.instead = instead
        self.own = given.own_account("function") if user is None and given.own else None
        self._last: tuple[Books, tuple[Scope | None, View | None]] | None = None

    def call(self, function: _Function, given: Args, args: Args, kwargs: Kwargs) -> Call:
        """The call that these arguments make. ``given`` are the positional ones, ``self`` included."""
        books = self.given.books or (enclosing_books() if self.user is None else None) or default_books()
        scope, view = self.payer(books, given, kwargs)
        frame = self.given.frame(books, scope, view, is_call=True)
        return Call(books, frame, self.read(function, given, args, kwargs))

    def payer(self, books: Books, given: Args, kwargs: Kwargs) -> tuple[Scope | None, View | None]:
        """Step 1: whose account it is; none of its own where the enclosing block pays."""
        if callable(self.user):
            return self._account(books, self.user(*given, **kwargs))
        if self._last is None or self._last[0] is not books:
            self._last = (books, self._account(books, self.user))
        return self._last[1]

    def _account(self, books: Books, user: str | int | None) -> tuple[Scope | None, View | None]:
        if user is None:
            return self.own or (None, None)
        return self.given.account(books, user)

    def read(self, function: _Function, given: Args, args: Args, kwargs: Kwargs) -> Request | None:
        """Step 2: the request in the arguments, with what ``model=`` and ``request=`` add."""
        arguments = function.parameters.arguments(args, kwargs)
        if self.request is not None:
            arguments = {**arguments, **self.request(*given, **kwargs)}
        if self.model is not None and not isinstance(arguments.get("model"), str):
            model = self.model(*given, **kwargs) if callable(self.model) else self.model
            arguments = {**arguments, "model": model}
        elif function.callee.is_scope and self.request is None:
            return None
        return read(arguments, provider=function.callee.provider)


class _Function(NamedTuple):
    """What is known of a decorated function: what it takes, and who answers."""

    parameters: Parameters
    callee: Callee


class _Site:
    """One call of a decorated function, and how it can be changed: the `allowance.calls.shortage.Site`."""

    __slots__ = ("_function", "_owner", "_rules", "call", "form")

    def __init__(
        self, rules: _Rules, function: _Function, owner: tuple[Any, ...], args: Args, kwargs: Kwargs
    ) -> None:
        self._rules = rules
        self._function = function
        self._owner = owner  # a method's ``self``, which the user's own functions get too
        self.call = rules.call(function, (*owner, *args), args, kwargs)
        self.form = Form(self.call.request, args, kwargs)

    def with_model(self, form: Form, model: str) -> Form | None:
        changed = self._function.parameters.with_model(form.args, form.kwargs, model)
        found = None if changed is None else self._form(*changed)
        if found is None or found.request is None or found.request.model != model:
            return None  # the model comes from elsewhere
        return found

    def with_cap(self, form: Form, cap: int) -> Form | None:
        request = form.request
        if request is None or cap < request.min_output:
            return None
        changed = self._function.parameters.capped(form.args, form.kwargs, request, cap)
        found = None if changed is None else self._form(*changed)
        most = None if found is None or found.request is None else found.request.max_output
        return None if most is None or most > cap else found

    def _form(self, args: Args, kwargs: Kwargs) -> Form:
        return Form(
            self._rules.read(self._function, (*self._owner, *args), args, kwargs),
            args,
            kwargs,
        )


class _BoundBudgeted(wrapt.BoundFunctionWrapper[Any, Any]):
    """The same, looked up on an instance or a class."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        method: Any = self.__wrapped__
        return getattr, (method.__self__, method.__name__)


class Budgeted(wrapt.FunctionWrapper[Any, Any]):
    """A function with its budget. It is an instance of the function's own type."""

    __bound_function_wrapper__ = _BoundBudgeted

    def __init__(self, function: Any, rules: _Rules) -> None:
        super().__init__(function, _runner(function)(_Runner(function, rules)))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A function of a module is pickled by its name, as any function is; the module decorates it.
        name = getattr(self.__wrapped__, "__qualname__", "<local>")
        if "<" in name:
            raise TypeError(f"A local function cannot be pickled: {name}")
        return name


class _Runner:
    """Runs a decorated function's calls: one method for each kind of function, one logic in all."""

    def __init__(self, function: Any, rules: _Rules) -> None:
        self.rules = rules
        self._in_class = not hasattr(function, "__self__")
        self._parameters: dict[bool, Parameters] = {}

    def site(self, function: Any, instance: Any, args: Args, kwargs: Kwargs) -> _Site:
        """One call."""
        prepare()
        bound = instance is not None
        parameters = self._parameters.get(bound)
        if parameters is None:
            parameters = self._parameters[bound] = Parameters(function)
        known = _Function(parameters, callee_of(function))
        return _Site(self.rules, known, (instance,) if bound and self._in_class else (), args, kwargs)

    def plain(self, function: Any, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        site = self.site(function, instance, args, kwargs)
        try:
            _, args, kwargs = begin(site)
            return site.call.run(function, args, kwargs)
        except BudgetExceededError as error:
            if self.rules.instead is None:
                raise
            return self.rules.instead(error)

    async def coroutine(self, function: Any, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        site = self.site(function, instance, args, kwargs)
        try:
            _, args, kwargs = await abegin(site)
            return await site.call.arun(function, args, kwargs)
        except BudgetExceededError as error:
            if self.rules.instead is None:
                raise
            instead = self.rules.instead(error)
            return await instead if inspect.isawaitable(instead) else instead

    def generator(self, function: Any, instance: Any, args: Args, kwargs: Kwargs) -> Generator[Any, Any, Any]:
        """Runs from the first ``next`` on, as the function itself does."""
        site = self.site(function, instance, args, kwargs)
        call = site.call
        try:
            _, args, kwargs = begin(site)
            stream = streams.stream(function(*args, **kwargs), call)
            value = next(stream)
        except StopIteration as stop:
            return stop.value
        except BudgetExceededError as error:  # of this call, or of the first one inside a scope
            if self.rules.instead is None:
                raise
            yield from _several(self.rules.instead(error))
            return None
        while True:
            try:
                sent = yield value
            except GeneratorExit:
                stream.close()
                raise
            except BaseException as error:  # noqa: BLE001  # the generator decides what becomes of it
                step = partial(stream.throw, error)
            else:
                step = partial(stream.send, sent)
            try:
                value = step()
            except StopIteration as stop:
                return stop.value

    async def async_generator(
        self, function: Any, instance: Any, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[Any, Any]:
        """Runs from the first ``anext`` on, as the function itself does."""
        site = self.site(function, instance, args, kwargs)
        call = site.call
        try:
            _, args, kwargs = await abegin(site)
            stream = streams.stream(function(*args, **kwargs), call)
            value = await anext(stream)
        except StopAsyncIteration:
            return
        except BudgetExceededError as error:
            if self.rules.instead is None:
                raise
            instead = self.rules.instead(error)
            for other in _several(await instead if inspect.isawaitable(instead) else instead):
                yield other
            return
        while True:
            try:
                sent = yield value
            except GeneratorExit:
                await stream.aclose()
                raise
            except BaseException as error:  # noqa: BLE001  # the generator decides what becomes of it
                step = partial(stream.athrow, error)
            else:
                step = partial(stream.asend, sent)
            try:
                value = await step()
            except StopAsyncIteration:
                return


def _runner(function: Any) -> Callable[[_Runner], Callable[..., Any]]:
    """How this function's calls run, told by the function at the bottom of all wrappers."""
    raw = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    while isinstance(raw, functools.partial):
        raw = raw.func
    raw = inspect.unwrap(raw)
    candidates = (
        [raw] if inspect.isroutine(raw) else [raw, inspect.getattr_static(type(raw), "__call__", None)]
    )
    if any(map(inspect.isasyncgenfunction, candidates)):
        return lambda runner: runner.async_generator
    if any(map(inspect.isgeneratorfunction, candidates)):
        return lambda runner: runner.generator
    if any(map(inspect.iscoroutinefunction, candidates)):
        return lambda runner: runner.coroutine
    return lambda runner: runner.plain


def _several(instead: object) -> Iterable[Any]:
    """What stands in for a stream: each of several values, or the one there is."""
    if isinstance(instead, Iterable) and not isinstance(instead, (str, bytes, Mapping)):
        return instead
    return [instead]
