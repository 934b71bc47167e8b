"""Several threads at one pile of work: a store that is far away answers many at once, each after a while."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["together"]


def together(step: Callable[[], bool], helpers: int) -> None:
    """Take steps until one says that there is no more: here, and in so many threads besides.

    Where no thread can be started any more, at the interpreter's end, this one does it all.
    """

    def work() -> None:
        while step():
            pass

    threads = []
    with suppress(RuntimeError):
        for _ in range(helpers):
            thread = threading.Thread(target=work, name="allowance-journal", daemon=True)
            thread.start()
            threads.append(thread)
    work()
    for thread in threads:
        thread.join()
