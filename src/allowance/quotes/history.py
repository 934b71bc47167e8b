"""How long a model's replies usually are: what stands for the output of a call without a cap."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from typing import Final
from weakref import WeakSet

__all__ = ["OutputHistory"]

START: Final = 4_096
"""Tokens assumed of a model of which fewer than twenty replies were seen: a long answer, or a short
one after some thinking. Where one of those few was longer, its length is assumed."""

_ENOUGH: Final = 20  # below it, the 95th percentile is no more than the largest value
_KEPT: Final = 256  # replies per model: recent enough to follow a change, enough for a 95th percentile
_MODELS: Final = 1_024  # models kept; the one that was not seen for longest goes first
_REFRESH: Final = 16  # replies between two evaluations of the percentile


class OutputHistory:
    """The 95th percentile of the last 256 replies of each model. Safe from any thread; bounded in memory."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, _Lengths] = OrderedDict()
        self._lock = threading.Lock()
        _all.add(self)

    def observe(self, model: str, output_tokens: int) -> None:
        """Note the output tokens of one reply, reasoning included."""
        with self._lock:
            lengths = self._models.get(model)
            if lengths is None:
                lengths = self._models[model] = _Lengths()
                if len(self._models) > _MODELS:
                    self._models.popitem(last=False)
            else:
                self._models.move_to_end(model)
            lengths.add(max(0, output_tokens))

    def likely(self, model: str) -> int:
        """The tokens that a reply of this model will hardly exceed."""
        lengths = self._models.get(model)
        return START if lengths is None else lengths.likely


class _Lengths:
    __slots__ = ("_new", "_seen", "likely")

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=_KEPT)
        self._new = 0
        self.likely = START

    def add(self, tokens: int) -> None:
        self._seen.append(tokens)
        self._new += 1
        if len(self._seen) < _ENOUGH:
            self.likely = max(self.likely, tokens)
        elif len(self._seen) == _ENOUGH or self._new >= _REFRESH:
            ranked = sorted(self._seen)
            self.likely = ranked[-(-len(ranked) * 95 // 100) - 1]
            self._new = 0


_all: WeakSet[OutputHistory] = WeakSet()


def _after_fork() -> None:
    for history in list(_all):
        history._lock = threading.Lock()  # noqa: SLF001  # a thread that is not in the child may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
