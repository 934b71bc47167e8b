"""Reading the fields of replies, whatever holds them: SDK objects, dicts, mocks, hostile objects.

A reply may be anything that a user's function returns. Fields that are absent, of the wrong type, or
whose reading raises, count as missing: a reply that was paid for never fails for how it looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Protocol, TypeAlias

__all__ = [
    "EMPTY",
    "EXACT",
    "View",
    "amount",
    "as_dict",
    "count",
    "is_http",
    "items",
    "seconds",
    "text",
    "tier",
    "view",
]

EXACT = Context(prec=60)
"""Arithmetic on reported costs, whatever precision the user's own code set for its thread."""

_PLAIN = (str, bytes, bytearray, int, float, complex, type(None), list, tuple, set, frozenset)
_MOST_TOKENS = 10**12  # more than any bill: a larger figure is a mistake or an attack


class _Fields(Protocol):
    def get(self, name: str, /) -> Any: ...
    def __contains__(self, name: object, /) -> bool: ...


View: TypeAlias = _Fields | dict[str, Any]
"""Something with ``get`` and ``in`` for a reply's fields."""

EMPTY: dict[str, Any] = {}


class _Attributes:
    """The attributes of an object that is neither a mapping nor pydantic's."""

    __slots__ = ("_target",)

    def __init__(self, target: object) -> None:
        self._target = target

    def get(self, name: str, /) -> Any:
        try:
            return getattr(self._target, name, None)
        except Exception:  # noqa: BLE001  # a property may raise anything; the field counts as missing
            return None

    def __contains__(self, name: object, /) -> bool:
        return self.get(str(name)) is not None


class _Items:
    """The items of a mapping that is not a plain dict."""

    __slots__ = ("_target",)

    def __init__(self, target: Mapping[str, Any]) -> None:
        self._target = target

    def get(self, name: str, /) -> Any:
        try:
            return self._target.get(name)
        except Exception:  # noqa: BLE001  # a mapping of the user's may raise anything; see above
            return None

    def __contains__(self, name: object, /) -> bool:
        return self.get(str(name)) is not None


def view(target: object) -> View:
    """The fields of any object; of numbers, texts, lists and None there are none."""
    kind = type(target)
    if kind is dict:
        return target  # type: ignore[return-value]  # the line above says so, to people
    if hasattr(kind, "__pydantic_fields__"):
        fields: dict[str, Any] = target.__dict__
        extra = getattr(target, "__pydantic_extra__", None)
        return {**extra, **fields} if extra else fields
    if isinstance(target, _PLAIN):
        return EMPTY
    if isinstance(target, Mapping):
        return _Items(target)
    return _Attributes(target)


def is_http(fields: View) -> bool:
    """Whether these are the fields of an HTTP response: reading some of them would consume its body."""
    return not isinstance(fields, dict) and type(fields.get("status_code")) is int


def as_dict(target: object) -> dict[str, Any]:
    """A copy of an object's own fields, or an empty dict where they cannot be listed."""
    fields = view(target)
    if isinstance(fields, dict):
        return dict(fields)
    try:
        return dict(target) if isinstance(target, Mapping) else dict(vars(target))
    except Exception:  # noqa: BLE001  # slots, or a mapping that raises: no fields can be listed
        return {}


def count(value: object) -> int | None:
    """A number of tokens or things; None for what is no such number.

    Floats are rounded up, texts of digits are read; bools, negatives, NaN and infinities are refused.
    """
    if type(value) is int:
        return value if 0 <= value <= _MOST_TOKENS else None
    if value is None:
        return None
    if isinstance(value, str):
        return count(int(value)) if value.isascii() and value.isdigit() and len(value) <= 13 else None
    if isinstance(value, (float, Decimal)) and math.isfinite(value):
        return count(math.ceil(value))
    return None


def seconds(value: object) -> float:
    """A duration in seconds; 0 for what is none."""
    if type(value) is float and math.isfinite(value):
        return value if 0 <= value <= _MOST_TOKENS else 0
    return count(value) or 0


def amount(value: object) -> Decimal | None:
    """A positive amount of money, exactly as it was written; None for zero and for what is none.

    Zero is what gateways report for costs that they do not know, so it is not taken as a price.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        money = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        return None
    return money if money.is_finite() and 0 < money <= _MOST_TOKENS else None


def text(value: object) -> str | None:
    """A non-empty text, or None."""
    return value if isinstance(value, str) and value else None


def items(value: object) -> list[Any] | tuple[Any, ...]:
    """A list's or tuple's elements; of anything else none."""
    return value if isinstance(value, (list, tuple)) else ()


_TIERS = {
    "auto": None,
    "default": "standard",
    "on_demand": "standard",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "on_demand_offpeak": "offpeak",
    "traffic_type_unspecified": None,
}


def tier(value: object) -> str | None:
    """A service tier in one vocabulary: ``"standard"``, ``"flex"``, ``"priority"``, ``"batch"``, ..."""
    name = None if value is None else text(getattr(value, "value", value))
    if name is None:
        return None
    name = name.lower()
    return _TIERS.get(name, name)
