"""What a price says, in words and in numbers: the units that vendors bill, and how they are read."""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Any, Final, TypedDict

from allowance.errors import ConfigurationError
from allowance.money import Money  # noqa: TC001  # get_type_hints of the typed dictionaries resolves it

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PER_MILLION", "PER_UNIT", "RATES", "UNITS_PER_NANO", "MoreRates", "Rates", "read_rates", "scaled"]

PER_MILLION: Final = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "audio_cache_read",
    "image_input",
    "image_output",
)
"""The rates in US dollars per million tokens."""

PER_UNIT: Final = (
    "request",
    "search",
    "search_low",
    "search_high",
    "second",
    "character",
    "page",
    "image",
)
"""The rates in US dollars for one."""

RATES: Final = frozenset(PER_MILLION + PER_UNIT)

UNITS_PER_NANO: Final = 10**21
"""Rates are computed with as integers of 10⁻³⁰ dollars, for one token or one of the other units."""

_MOST_DECIMALS: Final = 20  # so that a quarter more, and eight fifths of that, are whole numbers still
_PLACES_PER_MILLION: Final = 24
_PLACES_PER_UNIT: Final = 30
_HIGHEST: Final = 10_000
_EXACT: Final = Context(prec=60)


class MoreRates(TypedDict, total=False):
    """The rates besides input and output; those of tokens in US dollars per million, others for one.

    What is left out falls back: cached input to the input's rate; a cache write to 1.25 times the
    input's, one for an hour to 1.6 times the other write (twice the input's); reasoning, audio and images
    to the plain rate of their direction; the output of a model that makes pictures or sound alone to
    that; a search of another size to ``search``. The rest is not billed.
    """

    cache_read: Money
    cache_write: Money
    cache_write_1h: Money
    reasoning: Money
    audio_input: Money
    audio_output: Money
    audio_cache_read: Money
    image_input: Money
    image_output: Money
    request: Money
    search: Money
    search_low: Money
    search_high: Money
    second: Money
    character: Money
    page: Money
    image: Money


class Rates(MoreRates, total=False):
    """All rates."""

    input: Money
    output: Money


def read_rates(given: Mapping[str, Any], what: str) -> dict[str, Decimal]:
    """Read rates; ``what`` names the price in an error. None is the same as left out.

    Raises:
        ConfigurationError: for an unknown rate; a bool, NaN, infinity or negative; one above $10,000;
            one of more than 20 decimals.
    """
    unknown = given.keys() - RATES
    if unknown:
        raise ConfigurationError(
            f"{what}: unknown rate {min(unknown, key=str)!r}; the rates are {', '.join(sorted(RATES))}"
        )
    return {name: read_rate(value, f"{what}: {name}") for name, value in given.items() if value is not None}


def read_rate(value: object, what: str) -> Decimal:
    """Read one number of 0 to 10,000; a float through its ``repr``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise _refused(value, what)
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused(value, what)
    try:
        rate = Decimal(repr(float(value)) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        raise _refused(value, what) from None
    if not rate.is_finite() or rate < 0 or rate > _HIGHEST:
        raise _refused(value, what)
    exponent = rate.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_MOST_DECIMALS:
        raise ConfigurationError(f"{what} has more than {_MOST_DECIMALS} decimals: {str(value)[:60]}")
    return rate.copy_abs() if rate else Decimal(0)  # -0 is 0; abs() would round to the user's precision


def scaled(name: str, rate: Decimal) -> int:
    """A rate as an integer of 10⁻³⁰ dollars for one token, request, second, ..."""
    places = _PLACES_PER_MILLION if name in PER_MILLION else _PLACES_PER_UNIT
    with localcontext(_EXACT):
        return int(rate.scaleb(places))


def _refused(value: object, what: str) -> ConfigurationError:
    shown = repr(value)[:60] if isinstance(value, (int, float, str, Decimal)) else type(value).__name__
    return ConfigurationError(
        f"{what} must be a number of US dollars from 0 to {_HIGHEST:,} "
        f"(int, str, Decimal or finite float), not {shown}"
    )
