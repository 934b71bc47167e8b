"""LiteLLM's records, as its hosted manager posts them: read strictly, or refused with the user's name."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey
from allowance.manager.user_records import lasting, user_record
from allowance.money import MAX_NANOS, NANOS_PER_USD, to_nanos

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.ledger.records import Account

__all__ = ["Posted", "project_of", "read_body", "read_users", "record_of"]

_MOST_USD: Final = MAX_NANOS // NANOS_PER_USD
_WORDS: Final[dict[float, str]] = {1: "daily", 7: "weekly"}
_LONGEST: Final = 36_500
_MOST_MODELS: Final = 1_000
_LONGEST_MODEL: Final = 512


class Posted(NamedTuple):
    """What LiteLLM says of one user. ``updated`` is since when it counts the costs, in microseconds."""

    key: AccountKey
    limit: int | None
    days: float | None
    duration: str | None
    updated: int | None
    costs: dict[str | None, int]


def record_of(account: Account, costs: Mapping[str | None, int]) -> dict[str, Any]:
    """A user's record for LiteLLM. No limit is a billion dollars there: it cannot send an infinity back."""
    record = user_record(lasting(account), costs)
    if math.isinf(record["total_budget"]):
        record["total_budget"] = float(_MOST_USD)
    return record


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError('The body must be a JSON object with a "project_name".')
    return value


def project_of(body: dict[str, Any]) -> str:
    """The project that a request names.

    Raises:
        ConfigurationError: it names none.
    """
    project = body.get("project_name")
    if not isinstance(project, str) or not project:
        raise ConfigurationError('"project_name" must be a text that is not empty.')
    return project


def read_users(project: str, users: object) -> list[Posted]:
    """All users of a post, or none.

    Raises:
        ConfigurationError: with the name of the first user whose record cannot be used, and why.
    """
    if not isinstance(users, dict):
        raise ConfigurationError('"user_dict" must be an object of users and their records.')
    return [_read_user(AccountKey(project, "user", name), record) for name, record in users.items()]


def _read_user(key: AccountKey, record: object) -> Posted:
    try:
        if not isinstance(record, dict):
            raise _WrongError("its record is no object")
        days = None if record.get("duration") is None else _number(record, "duration", most=_LONGEST)
        if days == 0:
            raise _WrongError("duration is 0 days")
        limit = _number(record, "total_budget", most=math.inf)
        return Posted(
            key,
            None if limit >= _MOST_USD else _nanos(limit),
            days,
            None if days is None else _duration(days),
            _updated(record),
            _costs(record),
        )
    except _WrongError as error:
        raise ConfigurationError(
            f"The record of user {key.name!r:.140} cannot be used: {error}. Nothing was changed."
        ) from None


class _WrongError(Exception):
    """A figure that is none."""


def _number(record: dict[str, Any], name: str, *, most: float) -> float:
    value = record.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
        return value
    raise _WrongError(f"{name} is {_shown(value)}, not a number from 0 on")


def _shown(value: object) -> str:
    return repr(value)[:40] if isinstance(value, (str, int, float)) else type(value).__name__


def _nanos(usd: float) -> int:
    return to_nanos(f"{float(usd):.15g}")  # the sixteenth digit of a sum of floats is noise


def _duration(days: float) -> str:
    if days in _WORDS:
        return _WORDS[days]
    return f"{round(days)}d" if days == round(days) else f"{max(1, round(days * 86_400))}s"


def _updated(record: dict[str, Any]) -> int | None:
    for name in ("last_updated_at", "created_at"):
        if record.get(name) is not None:
            return round(_number(record, name, most=1e11) * 1e6)
    return None


def _costs(record: dict[str, Any]) -> dict[str | None, int]:
    """Costs by model; None has what ``current_cost`` says above their sum."""
    by_model = record.get("model_cost") or {}
    if not isinstance(by_model, dict):
        raise _WrongError(f"model_cost is {_shown(by_model)}, not an object")
    if len(by_model) > _MOST_MODELS:
        raise _WrongError(f"model_cost has {len(by_model)} models, and may have {_MOST_MODELS}")
    for model in by_model:
        if not _is_kept(model):
            raise _WrongError(f"the name of model {model[:60]!a} is broken Unicode, or too long")
    costs: dict[str | None, int] = {
        model: _nanos(_number(by_model, model, most=_MOST_USD)) for model in by_model
    }
    total = 0 if record.get("current_cost") is None else _number(record, "current_cost", most=_MOST_USD)
    beyond = _nanos(total) - sum(costs.values())
    if beyond > len(costs):  # LiteLLM adds up floats: less than a nano-dollar for each model is noise
        costs[None] = beyond
    return {model: cost for model, cost in costs.items() if cost}


def _is_kept(model: str) -> bool:
    """Whether a store gives the name back as it is: else its cost would be missing at each look."""
    if "\0" in model or len(model) > _LONGEST_MODEL:
        return False
    try:
        model.encode()
    except UnicodeEncodeError:
        return False
    return True
