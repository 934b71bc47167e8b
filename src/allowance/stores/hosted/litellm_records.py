"""A user's record as LiteLLM's clients keep it, and what it says in the ledger's words.

``{"total_budget": 10, "duration": 28, "created_at": s, "last_updated_at": s, "current_cost": 0.5,
"model_cost": {"gpt-4": 0.5}}``: US dollars as floats, the duration in days, times in seconds. A month has 28
days there and a year 365. ``last_updated_at`` is when the cost was last set to zero.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.errors import ConfigurationError, StoreCorruptError
from allowance.ledger.records import Declaration, Terms
from allowance.ledger.windows import parse_duration
from allowance.money import MAX_NANOS, to_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.ledger.records import Account
    from allowance.wire.json import Json

__all__ = ["Costs", "Standing", "kept_declaration", "kept_terms", "standing_of", "written"]

Costs = dict[str | None, int]

_DAY: Final = 86_400_000_000
_DAYS_A_MONTH: Final = 28
_DAYS_A_YEAR: Final = 365
_NANO: Final = Decimal("1e-9")


class Standing(NamedTuple):
    """What a record says as of now: a window that is over has been left behind, and its cost with it.

    ``early`` is when it says that the window began, where that is later than now.
    """

    limit: int
    duration: str | None
    start: int | None
    cost: int
    models: Costs
    early: int | None = None


def standing_of(user: str, record: Json, now: int) -> Standing:
    """Read a record.

    Raises:
        StoreCorruptError: it has no usable budget, or a cost or a time that is none.
    """
    try:
        days = record.get("duration")
        cost = _nanos(record.get("current_cost") or 0)
        models: Costs = {model: _nanos(amount) for model, amount in _models(record).items() if _nanos(amount)}
        models[None] = cost - sum(models.values())
        limit = _nanos(record.get("total_budget"))
        if days is None:
            return Standing(limit, None, None, cost, models)
        length = int(_number(days) * _DAY)
        begun = record.get("last_updated_at", record.get("created_at"))
        start = round(_number(begun) * 1_000_000)
        if length <= 0 or start < 0 or length % _DAY:
            raise ValueError
    except (TypeError, ValueError, InvalidOperation):
        raise StoreCorruptError(
            f"The record of user {user[:60]!r} on the server cannot be read: {str(record)[:200]}. A record "
            "needs a total_budget, and if it has a duration in days, a last_updated_at in seconds. It was "
            "left as it is."
        ) from None
    if start > now:
        return Standing(limit, f"{length // _DAY}d", now, cost, models, start)
    turns = (now - start) // length
    if turns:
        start, cost, models = start + turns * length, 0, {}
    return Standing(limit, f"{length // _DAY}d", start, cost, models)


def written(record: Json | None, account: Account, standing: Standing | None, change: Costs) -> Json:
    """The record with the account's terms and with our part of the costs on top of what stood there."""
    begun_anew = standing is not None and standing.start not in (None, account.window_start)
    cost, models = (0, {}) if standing is None or begun_anew else (standing.cost, dict(standing.models))
    for model, amount in change.items():
        models[model] = models.get(model, 0) + amount
    new: Json = dict(record or {})
    new["total_budget"] = _usd(account.limit or 0)
    days = _days(account.terms.duration)
    if days is None:
        new.pop("duration", None)
    else:
        new["duration"] = days
        new.setdefault("created_at", account.created_at / 1_000_000)
        new["last_updated_at"] = account.window_start / 1_000_000
    new["current_cost"] = _usd(max(0, cost + sum(change.values())))
    new["model_cost"] = {
        model: _usd(amount) for model, amount in models.items() if model is not None and amount > 0
    }
    return new


def kept_declaration(terms: Declaration) -> Declaration:
    """The same terms as far as the protocol has words for them.

    Raises:
        ConfigurationError: it has none for these.
    """
    _check(terms.align, terms.models, lifted=terms.creates and terms.limit is None)
    if terms.duration is None:
        return Declaration(
            terms.limit, uncapped=terms.uncapped, creates=terms.creates, created_at=terms.created_at
        )
    days = _days(terms.duration)
    return Declaration(
        terms.limit,
        "forever" if days is None else f"{days}d",
        uncapped=terms.uncapped,
        creates=terms.creates,
        created_at=terms.created_at,
    )


def kept_terms(terms: Terms) -> Terms:
    """See `kept_declaration`."""
    _check(terms.align, terms.models, lifted=terms.limit is None)
    days = _days(terms.duration)
    return Terms(terms.limit, None if days is None else f"{days}d", uncapped=terms.uncapped)


def _check(align: str | None, models: tuple[str, ...] | None, *, lifted: bool) -> None:
    what = (
        "windows by the calendar"
        if align == "calendar"
        else "budgets for some models"
        if models
        else "budgets without a limit"
        if lifted
        else ""
    )
    if what:
        raise ConfigurationError(
            f"This server has only LiteLLM's /get_budget and /set_budget, which know no {what}. Run "
            "`allowance serve` in its place, which takes LiteLLM's clients too."
        )


def _days(duration: str | None) -> int | None:
    period = parse_duration(duration)
    if period is None:
        return None
    years, months = divmod(period.months, 12)
    days, rest = divmod(period.micros, _DAY)
    if rest:
        raise ConfigurationError(
            "This server has only LiteLLM's /get_budget and /set_budget, which count durations in whole "
            f"days, and {duration!r} is none. Run `allowance serve` in its place."
        )
    return period.days + days + years * _DAYS_A_YEAR + months * _DAYS_A_MONTH


def _models(record: Json) -> Mapping[str, object]:
    models = record.get("model_cost") or {}
    if not isinstance(models, dict):
        raise TypeError
    return models


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return Decimal(repr(value))


def _nanos(value: object) -> int:
    """Nano-dollars of a float, to the nearest: what lies beyond them is noise of its sums."""
    nanos = int(_number(value).quantize(_NANO, ROUND_HALF_EVEN).scaleb(9))
    if not 0 <= nanos <= MAX_NANOS:
        raise ValueError
    return nanos


def _usd(nanos: int) -> float | int:
    usd = to_usd(nanos)
    return int(usd) if usd == usd.to_integral_value() else float(usd)
