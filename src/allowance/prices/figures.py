"""Figures of price lists: floats of dollars for one token become exact decimals for a million."""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Final

__all__ = ["Refused", "figure"]

# A float carries 15 digits faithfully; the two after them are noise of binary fractions.
_FIFTEEN_DIGITS: Final = Context(prec=15)
_EXACT: Final = Context(prec=60)
_HIGHEST: Final = 10_000


class Refused(Exception):  # noqa: N818  # why an entry is left out; no run fails by it
    """A figure that is not to be believed, and why."""


def figure(value: object, *, times: int = 1, per: int = 1) -> str:
    """A price as plain decimal digits: a float through its repr, rounded to 15 digits, times ``times / per``.

    Raises:
        Refused: not a number, not finite, negative, or above $10,000.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise Refused(f"not a number: {str(value)[:40]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"not finite: {value}")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        raise Refused(f"not a number: {str(value)[:40]}") from None
    if not number.is_finite() or number < 0:
        raise Refused(f"not a price: {value}")
    with localcontext(_FIFTEEN_DIGITS):
        number = +number
    with localcontext(_EXACT):
        number = (number * times).normalize()
    if per != 1:
        with localcontext(_FIFTEEN_DIGITS):
            number = (number / per).normalize()
    if number > _HIGHEST:
        raise Refused(f"more than ${_HIGHEST:,}: {value}")
    return f"{number:f}"
