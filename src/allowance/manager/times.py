"""Times as people write and read them, and as the ledger keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TypeAlias

from allowance.errors import ConfigurationError
from allowance.ledger.times import micros_of
from allowance.ledger.windows import LAST

__all__ = ["Moment", "to_micros"]

Moment: TypeAlias = datetime | str | float | int
"""A datetime, a text in ISO 8601, or seconds since 1970; what names no time zone is in UTC."""


def to_micros(moment: Moment, *, what: str, zone: tzinfo = UTC) -> int:
    """Microseconds since 1970, as the ledger has times. ``what`` names the time in the error's message.

    What names no zone is taken to be in ``zone``.

    Raises:
        ConfigurationError: for what is no time, or one that is not between the years 1970 and 9999.
    """
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        if not 0 <= moment * 1_000_000 < LAST:
            raise _refused(moment, what)
        return round(moment * 1_000_000)
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            raise _refused(moment, what) from None
    if not isinstance(moment, datetime):
        raise _refused(moment, what)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    micros = micros_of(moment)
    if not 0 <= micros < LAST:
        raise _refused(moment, what)
    return micros


def _refused(moment: object, what: str) -> ConfigurationError:
    shown = repr(moment)[:60] if isinstance(moment, (str, int, float, datetime)) else type(moment).__name__
    return ConfigurationError(
        f"{what} must be a time between the years 1970 and 9999, such as '2026-12-31', "
        f"'2026-12-31T18:00:00+01:00', a datetime, or seconds since 1970; not {shown}."
    )
