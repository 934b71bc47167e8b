"""A user's record as LiteLLM writes it: in ``user_cost.json``, and in what its methods return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from allowance.ledger.windows import parse_duration
from allowance.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.ledger.records import Account

__all__ = ["days_of", "user_record"]

_DAY: Final = 86_400_000_000
_DAYS_A_MONTH: Final = 28  # LiteLLM's constants
_DAYS_A_YEAR: Final = 365


def user_record(account: Account, costs: Mapping[str | None, int]) -> dict[str, Any]:
    """The record of a budget; what was spent is in it only once something was."""
    limit = account.limit
    record: dict[str, Any] = {"total_budget": None if limit is None else float(to_usd(limit))}
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


def days_of(duration: str | None) -> int | float | None:
    """A duration in LiteLLM's days, where a month has 28 and a year 365; None for a budget for good."""
    period = parse_duration(duration)
    if period is None:
        return None
    years, months = divmod(period.months, 12)
    whole = period.days + years * _DAYS_A_YEAR + months * _DAYS_A_MONTH
    return whole + period.micros / _DAY if period.micros else whole
