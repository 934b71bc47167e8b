"""Money: an integer of nano-dollars inside, ``Decimal`` US dollars outside.

One nano-dollar is 10⁻⁹ US dollars. A signed 64-bit integer of them reaches 9.2 billion dollars, so
every store can keep one, and a hundred million calls that are each rounded up lose ten cents at most.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation, localcontext
from enum import Enum
from typing import Final, TypeAlias

from allowance.errors import ConfigurationError

__all__ = [
    "MAX_NANOS",
    "NANOS_PER_USD",
    "UNSET",
    "Money",
    "Unset",
    "format_usd",
    "nanos_up",
    "to_nanos",
    "to_usd",
]

Money: TypeAlias = int | float | str | Decimal
"""What a user may write for an amount of US dollars; a float is read through its ``repr``."""


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "..."


UNSET: Final = Unset.UNSET
"""No amount was written at all. ``limit=None`` is written, and only counts."""

NANOS_PER_USD: Final = 1_000_000_000

MAX_NANOS: Final = 10**18
"""One billion dollars: the largest limit or amount. Sums of a few still fit 64 bits."""

# Sums must not depend on the precision or the traps that the user's own code set for this thread.
_EXACT: Final = Context(prec=60)


def to_nanos(amount: Money, *, what: str = "amount") -> int:
    """Read an amount of US dollars as nano-dollars, rounded up.

    A ``float`` is read through its ``repr``, so ``0.1`` is ten cents exactly. ``what`` names the amount
    in the error's message.

    Raises:
        ConfigurationError: for a bool, NaN, an infinity, a negative, more than a billion dollars, or
            a text that is not a number.
    """
    if type(amount) is int:
        if 0 <= amount <= MAX_NANOS // NANOS_PER_USD:
            return amount * NANOS_PER_USD
        raise _refused(amount, what)
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str, Decimal)):
        raise _refused(amount, what)
    if isinstance(amount, float) and not math.isfinite(amount):
        raise _refused(amount, what)
    try:
        usd = Decimal(repr(float(amount)) if isinstance(amount, float) else amount)
    except (InvalidOperation, ValueError):
        raise _refused(amount, what) from None
    if not usd.is_finite() or usd < 0 or usd > MAX_NANOS // NANOS_PER_USD:
        raise _refused(amount, what)
    return nanos_up(usd)


def nanos_up(usd: Decimal) -> int:
    """Nano-dollars of an exact amount of US dollars, rounded up (towards plus infinity)."""
    with localcontext(_EXACT):
        return math.ceil(usd.scaleb(9))


def to_usd(nanos: int) -> Decimal:
    """US dollars of nano-dollars, exactly: ``to_usd(12_500_000) == Decimal("0.0125")``."""
    with localcontext(_EXACT):
        usd = Decimal(nanos).scaleb(-9)
        return usd.quantize(Decimal(1)) if nanos % NANOS_PER_USD == 0 else usd.normalize()


def format_usd(nanos: int) -> str:
    """``"$0.0125"``: at least two decimals, no more than the nine there are, never an exponent."""
    sign, whole = ("-" if nanos < 0 else ""), abs(nanos)
    dollars, rest = divmod(whole, NANOS_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${dollars:,}.{decimals}"


def _refused(amount: object, what: str) -> ConfigurationError:
    # repr of a hostile object could be anything, of any length: only numbers and short texts are shown.
    shown = repr(amount)[:60] if isinstance(amount, (int, float, str, Decimal)) else type(amount).__name__
    return ConfigurationError(
        f"{what} must be a number of US dollars from 0 to 1,000,000,000 "
        f"(int, str, Decimal or finite float), not {shown}"
    )
