"""Connections to one server, kept open between calls and shared by this process's threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from allowance.stores.hosted.links import Link, LinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.hosted.address import Address
    from allowance.stores.hosted.deadline import Deadline

__all__ = ["Pool"]

MOST: Final = 32
"""Connections that are open at once. Threads beyond them wait in line, as long as their deadline lets."""


class Pool:
    """Hands a connection to one thread at a time, in the order in which they came.

    A forked child begins with none: those of its parent's are closed there, and the parent goes on with
    them.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._open: WeakSet[Link] = WeakSet()
        self._idle: list[Link] = []
        self._places = _Places(MOST)

    @contextmanager
    def link(self, deadline: Deadline, *, fresh: bool) -> Iterator[Link]:
        """A connection for one exchange; a ``fresh`` one was never used before.

        Raises:
            LinkError: none could be had before the deadline.
        """
        if self._pid != os.getpid():
            self.leave()
        places = self._places
        if not places.take(deadline.left()):
            raise LinkError(f"all {MOST} connections are in use", sent=False, crowded=True)
        link: Link | None = None
        whole = False
        try:
            link = (None if fresh else self._kept()) or self._made(deadline)
            yield link
            whole = link.reusable
        finally:
            if link is not None:
                if whole and places is self._places:
                    self._idle.append(link)
                else:
                    link.close()
            places.give()

    def _kept(self) -> Link | None:
        while True:
            try:
                link = self._idle.pop()  # the one used last, which the server is the least tired of
            except IndexError:
                return None
            if link.is_quiet():
                return link
            link.close()

    def _made(self, deadline: Deadline) -> Link:
        link = Link(self._address, deadline)
        self._open.add(link)
        return link

    def close(self) -> None:
        """Close what is not in use; the rest is closed by those who use it."""
        idle, self._places, self._idle = self._idle, _Places(MOST), []
        for link in idle:
            link.close()

    def leave(self) -> None:
        """In a forked child: close all that is the parent's, be it in use there, and begin anew."""
        inherited = list(self._open)
        self._begin()
        for link in inherited:
            link.close()


class _Places:
    """A number of places, given to those who wait in the order in which they came.

    A place goes straight to the first in line: else a thread that has just given one back would take it
    again before another has woken up, and somebody would wait for ever.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.RLock()  # a signal's handler may ask in the midst of it
        self._free = count
        self._line: deque[threading.Lock] = deque()

    def take(self, seconds: float) -> bool:
        """Wait for a place; whether there was one in time."""
        with self._lock:
            if self._free and not self._line:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._line.append(turn)
        if turn.acquire(timeout=max(0.0, seconds)):
            return True
        with self._lock:
            if turn in self._line:
                self._line.remove(turn)
                return False
        return True  # it came in the very moment

    def give(self) -> None:
        """Give a place back."""
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self._free += 1


_pools: WeakSet[Pool] = WeakSet()


def _forked() -> None:
    for pool in list(_pools):
        pool.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
