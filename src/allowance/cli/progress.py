"""A progress bar for what takes longer than a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from allowance.cli.words import cut, span

if TYPE_CHECKING:
    from allowance.cli.output import Console

__all__ = ["Progress"]

_PATIENCE: Final = 1.0
_PAUSE: Final = 0.1


class Progress:
    """Shows how far a task is: ``with console.progress(total, "Importing") as progress: progress(done)``.

    Without a total, neither here nor with a call, it counts.
    """

    def __init__(self, console: Console, total: int | None, what: str, patience: float | None = None) -> None:
        self.total = total
        self.done = 0
        self._console = console
        self._what = what
        self._shown = console.stderr.isatty() and console.moves
        self._began = time.monotonic()
        self._first: int | None = None
        self._next = self._began + (_PATIENCE if patience is None else patience)
        self._drawn = False

    def __call__(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much."""
        if self._first is None:
            self._first, self._began = done, time.monotonic()  # what came before tells nothing of the rest
        self.done = done
        self.total = self.total if total is None else total
        if self._shown and (now := time.monotonic()) >= self._next:
            self._next = now + _PAUSE
            self._draw(now)

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self(self.done + count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._console.stderr.write("\r\x1b[K")
            self._console.stderr.flush()

    def _draw(self, now: float) -> None:
        width = self._console.width
        if self.total:
            part = min(1.0, self.done / self.total)
            left = self._left(now)
            soon = f", {span(left)} left" if left >= 1 else ""
            bar = self._console.bar(part, max(10, width // 3)).text
            text = f"{self._what}  {bar}  {self.done:,} of {self.total:,}{soon}"
        else:
            text = f"{self._what}  {self.done:,}"
        self._drawn = True
        self._console.stderr.write(f"\r{cut(text, width - 1, '')}\x1b[K")
        self._console.stderr.flush()

    def _left(self, now: float) -> float:
        """Seconds that the rest takes, at the pace so far; 0 where that cannot be told."""
        done = self.done - (self._first or 0)
        return (now - self._began) * max(0, (self.total or 0) - self.done) / done if done else 0.0
