"""The meter that patched functions go through: none before `instrument` and after `uninstrument`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allowance.calls.sdk_call import Meter

__all__ = ["active_meter", "set_meter"]

_meter: Meter | None = None


def set_meter(meter: Meter | None) -> None:
    """Send the calls of all patched functions through this meter, or through none."""
    global _meter
    _meter = meter


def active_meter() -> Meter | None:
    """The meter, where a budget is in force; else None."""
    meter = _meter
    return meter if meter is not None and meter.active() else None
