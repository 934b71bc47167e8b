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

    def __init__(self, console: Console, total: int | None, what: str) -> None:
        self.total = total
        self.done = 0
        self._console = console
        self._what = what
        self._shown = console.stderr.isatty()
        self._began = time.monotonic()
        self._next = self._began + _PATIENCE
        self._drawn = False

    def __call__(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much."""
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
            left = (now - self._began) * (1 - part) / part if part else 0.0
            bar = self._console.bar(part, max(10, width // 3)).text
            text = f"{self._what}  {bar}  {self.done:,} of {self.total:,}, {span(left)} left"
        else:
            text = f"{self._what}  {self.done:,}"
        self._drawn = True
        self._console.stderr.write(f"\r{cut(text, width - 1, '')}\x1b[K")
        self._console.stderr.flush()
