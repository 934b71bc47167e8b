"""The pictures, as numbers: the templates draw them, so that nothing but numbers gets into a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.server.page.spend import Day, ModelSum

__all__ = ["DayBars", "ModelBar", "day_bars", "model_bars"]

_MODELS: Final = 10
_STEPS: Final = (1, 2, 2.5, 5, 10)


class DayBar(NamedTuple):
    """One day's bar, in percents of the picture's width and height."""

    day: Day
    x: float
    y: float
    width: float
    height: float


class DayBars(NamedTuple):
    """A bar for each day. ``top`` is the amount at the picture's upper edge, a round one."""

    bars: list[DayBar]
    top: int
    dearest: Day | None


class ModelBar(NamedTuple):
    """A model's part; ``percent`` of all that was spent, ``width`` of the dearest's length."""

    name: str
    amount: int
    calls: int
    percent: float
    width: float
    rest: int


def day_bars(days: Sequence[Day]) -> DayBars:
    """The bars of some days, side by side."""
    most = max((day.amount for day in days), default=0)
    top = round_up(most)
    slot = 100 / max(1, len(days))
    bars = []
    for place, day in enumerate(days):
        height = 100 * max(0, day.amount) / top if top else 0.0
        height = max(height, 0.8) if day.amount > 0 else 0.0  # a cent beside a thousand dollars is seen
        width = slot * 0.72
        bars.append(
            DayBar(
                day,
                *(round(place * slot + (slot - width) / 2, 3), round(100 - height, 3)),
                *(round(width, 3), round(height, 3)),
            )
        )
    dearest = max(days, key=lambda day: day.amount) if most > 0 else None
    return DayBars(bars, top, dearest)


def model_bars(models: Sequence[ModelSum]) -> list[ModelBar]:
    """The dearest models, and the rest of them together; ``rest`` is how many that are."""
    total = sum(max(0, model.amount) for model in models)
    shown = [(model.name, model.amount, model.calls, 0) for model in models[:_MODELS] if model.amount > 0]
    others = models[len(shown) :]
    if sum(model.amount for model in others) > 0:
        amount, calls = sum(one.amount for one in others), sum(one.calls for one in others)
        shown.append(("", amount, calls, len(others)))
    longest = max((amount for _, amount, _, _ in shown), default=0)
    return [
        ModelBar(name, amount, calls, round(100 * amount / total, 1), round(100 * amount / longest, 2), rest)
        for name, amount, calls, rest in shown
    ]


def round_up(amount: int) -> int:
    """The least of 1, 2, 2.5, 5, 10 times a power of ten that is no less: what an axis ends with."""
    if amount <= 0:
        return 0
    power: int = 10 ** (len(str(amount)) - 1)
    return next(round(step * power) for step in _STEPS if step * power >= amount)
