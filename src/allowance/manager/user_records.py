"""A user's record as LiteLLM writes it: in ``user_cost.json``, and in what its methods return."""

from __future__ import annotations

import math
import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.errors import ConfigurationError
from allowance.ledger.windows import parse_duration
from allowance.money import to_nanos, to_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.ledger.records import Account, AccountKey

__all__ = ["Taken", "UnusableError", "days_of", "lasting", "take", "user_record"]

_DAY: Final = 86_400_000_000
_DAYS_A_MONTH: Final = 28  # LiteLLM's constants
_DAYS_A_YEAR: Final = 365
_WORDS: Final[dict[float, str]] = {1: "daily", 7: "weekly", _DAYS_A_MONTH: "monthly", _DAYS_A_YEAR: "yearly"}


def user_record(account: Account, costs: Mapping[str | None, int]) -> dict[str, Any]:
    """The record of a budget; what was spent is in it only once something was.

    A budget without a limit has infinity for one, so that ``cost <= total_budget`` holds.
    """
    limit = account.limit
    record: dict[str, Any] = {"total_budget": math.inf if limit is None else float(to_usd(limit))}
    days = days_of(account.terms.duration)
    if days is not None:
        record["duration"] = days
        record["created_at"] = account.created_at / 1_000_000
        record["last_updated_at"] = account.window_start / 1_000_000
    if account.spent or costs:
        record["current_cost"] = float(to_usd(account.spent))
        record["model_cost"] = {
            model: float(to_usd(cost)) for model, cost in costs.items() if model is not None
        }
    return record


def lasting(account: Account) -> Account:
    """The account with no top-ups but those that last for good."""
    return account._replace(extras=tuple(extra for extra in account.extras if extra.until is None))


def days_of(duration: str | None) -> int | float | None:
    """A duration in LiteLLM's days, where a month has 28 and a year 365; None for a budget for good."""
    period = parse_duration(duration)
    if period is None:
        return None
    years, months = divmod(period.months, 12)
    whole = period.days + years * _DAYS_A_YEAR + months * _DAYS_A_MONTH
    return whole + period.micros / _DAY if period.micros else whole


class UnusableError(Exception):
    """A record, or a figure of it, that cannot be taken over; its text says why."""


class Taken(NamedTuple):
    """What a record says, in the ledger's form.

    ``anchor`` is when its window began, in microseconds; None for a budget for good. ``costs`` are
    nano-dollars by model; None has what belongs to no model. ``problems`` say what was left out.
    """

    key: AccountKey
    limit: int | None
    duration: str | None
    anchor: int | None
    costs: dict[str | None, int]
    problems: tuple[str, ...]


def take(key: AccountKey, record: object) -> Taken:
    """Read one record.

    Without a usable budget or duration the user cannot be taken: a guess would be a limit that nobody set.
    A time or a cost that is unusable is left out, and said.

    Raises:
        UnusableError: it has no usable ``total_budget`` or ``duration``.
    """
    if not isinstance(record, dict):
        raise UnusableError("its record is no object; not taken")
    problems: list[str] = []
    limit = _limit(record.get("total_budget"))
    duration = _duration(record.get("duration"))
    anchor = None if duration is None else _anchor(record, problems)
    return Taken(key, limit, duration, anchor, _costs(record, problems), tuple(problems))


def _limit(value: object) -> int | None:
    number = _number(value)
    if number is not None and number == math.inf:
        return None
    if number is None or number < 0:
        raise UnusableError(f"total_budget is {_shown(value)}, no number of US dollars; not taken")
    try:
        return _nanos(number)
    except ConfigurationError:
        raise UnusableError(f"total_budget is {_shown(value)}, more than can be kept; not taken") from None


def _duration(value: object) -> str | None:
    if value is None:
        return None
    days = _number(value)
    if days is not None and 0 < days < math.inf:
        if days in _WORDS:
            return _WORDS[days]
        if days == round(days) and days <= 365_000:
            return f"{round(days)}d"
        seconds = round(days * 86_400)
        if 0 < seconds <= 365_000 * 86_400:
            return f"{seconds}s"
    raise UnusableError(f"duration is {_shown(value)}, no number of days; not taken")


def _anchor(record: dict[str, Any], problems: list[str]) -> int | None:
    now = time.time()
    for name in ("last_updated_at", "created_at"):
        seconds = _number(record.get(name))
        if seconds is not None and 0 <= seconds <= now:
            return round(seconds * 1_000_000)
    problems.append("it has no usable last_updated_at; its windows begin now")
    return None


def _costs(record: dict[str, Any], problems: list[str]) -> dict[str | None, int]:
    costs: dict[str | None, int] = {}
    by_model = record.get("model_cost") or {}
    if not isinstance(by_model, dict):
        problems.append(f"model_cost is {_shown(by_model)}, no object; left out")
        by_model = {}
    for model, value in by_model.items():
        cost = _cost(value, f"the cost of {model[:80]!r}", problems)
        if cost:
            costs[model] = cost
    total = _cost(record.get("current_cost") or 0, "current_cost", problems)
    # LiteLLM adds up floats: less than a nano-dollar for each model is no difference.
    difference = 0 if total is None else total - sum(costs.values())
    if difference > len(costs):
        costs[None] = difference
    elif difference < -len(costs):
        problems.append("current_cost is less than its models' costs; these were taken")
    return costs


def _cost(value: object, what: str, problems: list[str]) -> int | None:
    number = _number(value)
    if number is None or not 0 <= number < math.inf:
        problems.append(f"{what} is {_shown(value)}, no number of US dollars; left out")
        return None
    try:
        return _nanos(number)
    except ConfigurationError:
        problems.append(f"{what} is {_shown(value)}, more than can be kept; left out")
        return None


def _number(value: object) -> float | None:
    """A number, or a text that is one, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(Decimal(value.strip())) if isinstance(value, str) else float(value)
    except (InvalidOperation, OverflowError, ValueError):
        return None
    return None if math.isnan(number) else number


def _nanos(number: float) -> int:
    return to_nanos(f"{number:.15g}")  # the sixteenth digit of a sum of floats is noise


def _shown(value: object) -> str:
    return repr(value)[:40] if isinstance(value, (str, int, float, bool)) else type(value).__name__
