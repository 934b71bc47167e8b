"""Every error that allowance raises.

::

    BudgetError
    ├── BudgetExceededError     the call does not fit; it was not sent
    ├── UnknownUserError        (a KeyError too) no such budget, and nobody gave terms for one
    ├── UnknownModelError       no price for this model, and a limit is in force
    ├── ConfigurationError      misuse that the programmer must mend
    └── StoreError
        ├── StoreUnavailableError   the store did not answer; nothing is known about the budget
        ├── StoreCorruptError       what the store holds is not a ledger of ours
        └── HoldConflictError       one id, two different requests

A message says what happened, the figures, and the remedy. None holds the text of a prompt or a reply.
All can be pickled: they come back from worker processes whole.
"""

from __future__ import annotations

from datetime import UTC
from decimal import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

__all__ = [
    "BudgetError",
    "BudgetExceededError",
    "ConfigurationError",
    "HoldConflictError",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "UnknownModelError",
    "UnknownUserError",
]


_EXACT = Context(prec=60)  # whatever precision or traps the user's code set for its thread


class BudgetError(Exception):
    """The root of the tree: ``except BudgetError`` catches all that allowance raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors take keywords, which Exception's own reduce would not pass on.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[BudgetError], args: tuple[Any, ...], state: dict[str, Any]) -> BudgetError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class BudgetExceededError(BudgetError):
    """The call's projected cost does not fit a budget that applies to it. The call was not sent.

    Attributes:
        user: the name of the budget that refused.
        kind: what that name is: ``"user"``, ``"team"``, ``"process"``, ``"block"``, ...
        label: which of that user's budgets; ``""`` is the main one.
        models: the patterns of the models that it counts; empty: every call.
        limit, spent, held: that budget's figures at the moment of refusal, in US dollars.
        projected: what the call was projected to cost at most, in US dollars.
        remaining: ``limit - spent - held``; it is negative where calls cost more than they held.
        resets_at: when that budget's window ends (aware), or None if it never does.
        model: the model that was asked for, or None.
        call_id: the id of the refused call, which stands in no store: refusals are not kept.
        temporary: True where only the holds of open calls stand in the way: the same call may fit
            once they have settled.
        current_cost, max_budget, message: ``spent``, ``limit`` and the text, under LiteLLM's names.
        status_code: 422, with which LiteLLM's Router neither retries the call nor cools a deployment.
    """

    status_code = 422

    def __init__(
        self,
        *,
        user: str,
        kind: str = "user",
        label: str = "",
        models: Sequence[str] = (),
        limit: Decimal,
        spent: Decimal,
        held: Decimal,
        projected: Decimal,
        resets_at: datetime | None = None,
        model: str | None = None,
        call_id: str | None = None,
        temporary: bool = False,
        remedy: str = "",
    ) -> None:
        self.user = user
        self.kind = kind
        self.label = label
        self.models = tuple(models)
        self.limit = limit
        self.spent = spent
        self.held = held
        self.projected = projected
        self.remaining = _EXACT.subtract(_EXACT.subtract(limit, spent), held)
        self.resets_at = resets_at
        self.model = model
        self.call_id = call_id
        self.temporary = temporary
        # Under LiteLLM's names too. They are plain attributes: its Router adds words to the message.
        self.current_cost = spent
        self.max_budget = limit
        self.message = _refusal(self, remedy)
        super().__init__(self.message)


def _refusal(error: BudgetExceededError, remedy: str) -> str:
    owners = {"process": "The process's", "block": "This block's", "function": "This function's"}
    owner = owners.get(error.kind)
    which = f"budget {error.label!r}" if error.label else "budget"
    subject = f"{owner} {which}" if owner else f"The {which} of {error.kind} {error.user!r}"
    if error.models and error.label != ",".join(error.models):
        subject += f" (for {', '.join(error.models)})"
    call = f"a call to {error.model}" if error.model else "this call"
    held = f" and {_usd(error.held)} held by open calls" if error.held else ""
    lines = [
        f"{subject} does not cover {call}: it may cost {_usd(error.projected)}, and of "
        f"{_usd(error.limit)} there are {_usd(error.remaining)} left "
        f"({_usd(error.spent)} spent{held})."
    ]
    if error.temporary:
        lines.append("Only open calls stand in the way: it may fit once they have settled.")
    if error.resets_at is not None:
        lines.append(f"The budget resets at {error.resets_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.")
    if remedy:
        lines.append(remedy)
    return " ".join(lines)


def _usd(amount: Decimal) -> str:
    text = f"{amount.copy_abs():,f}"
    whole, _, decimals = text.partition(".")
    sign = "-" if amount < 0 else ""
    return f"{sign}${whole}.{decimals.rstrip('0').ljust(2, '0')}"


class UnknownUserError(BudgetError, KeyError):
    """No budget of this name exists, and nobody gave terms for a new one.

    Attributes:
        user, kind, project, label: the budget that was asked for; the label ``""`` is the user's main one.
        projects: other projects of the same store that know this user.
    """

    def __init__(
        self,
        *,
        user: str,
        kind: str = "user",
        project: str = "default",
        label: str = "",
        projects: Sequence[str] = (),
    ) -> None:
        self.user = user
        self.kind = kind
        self.project = project
        self.label = label
        self.projects = tuple(projects)
        elsewhere = ""
        if projects:
            names = " and ".join(repr(name) for name in projects[:5])
            elsewhere = f" The store knows this {kind} in {names}: set project= to use that one."
        named = repr(user) if kind == "user" else f"{user!r}, kind={kind!r}"
        named += f", label={label!r}" if label else ""
        which = f"budget {label!r}" if label else "budget"
        super().__init__(
            f"The project {project!r} has no {which} for {kind} {user!r}.{elsewhere} Give it one where "
            f"it is used, for example budget({named}, limit=5); limit=None only counts."
        )

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the message's repr


class UnknownModelError(BudgetError):
    """No price is known for a model, and a limit is in force, so its cost cannot be bounded.

    Attributes:
        model: the name as it was asked for.
        near: the nearest known names, nearest first.
    """

    def __init__(self, *, model: str, near: Sequence[str] = ()) -> None:
        self.model = model
        self.near = tuple(near)
        like = f" The nearest known names: {', '.join(self.near)}." if self.near else ""
        super().__init__(
            f"No price is known for the model {model[:200]!r}.{like} Add one with "
            f'allowance.configure(prices={{{model[:200]!r}: Price(input="2.50", output="10.00")}}) in US '
            'dollars per million tokens, or choose on_unknown_model="free" or a Price.'
        )


class ConfigurationError(BudgetError, ValueError):
    """Something was set or written in a way that cannot work; the message says how to mend it."""


class StoreError(BudgetError):
    """A store could not do what it was asked. The message says whether anything changed."""


class StoreUnavailableError(StoreError):
    """The store did not answer: whether the budget would admit the call is unknown.

    Attributes:
        retry_after: seconds after which a retry is worthwhile, or None where nothing is known.
        unsent: True where the store never heard of the request, so that it cannot have done it.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, unsent: bool = False) -> None:
        self.retry_after = retry_after
        self.unsent = unsent
        super().__init__(message)


class StoreCorruptError(StoreError):
    """What the store holds cannot be read as a ledger. It is never answered by starting from zero."""


class HoldConflictError(StoreError):
    """A hold's id came twice with different content, or was released before it was reserved."""
