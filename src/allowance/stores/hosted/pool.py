"""Connections to one server, kept open between calls and shared by this process's threads."""

from __future__ import annotations

import os
import queue
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
"""Connections that are open at once. Threads beyond them wait, as long as their deadline lets them."""


class Pool:
    """Hands a connection to one thread at a time.

    A forked child begins with none: those of its parent's are closed there, and the parent goes on with
    them. What happens in it happens in single steps, so that a signal's handler may ask in their midst.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._open: WeakSet[Link] = WeakSet()
        self._idle: list[Link] = []
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(MOST):
            self._places.put(None)

    @contextmanager
    def link(self, deadline: Deadline, *, fresh: bool) -> Iterator[Link]:
        """A connection for one exchange; a ``fresh`` one was never used before.

        Raises:
            LinkError: none could be had before the deadline.
        """
        if self._pid != os.getpid():
            self.leave()
        places = self._places
        try:
            places.get(timeout=deadline.wait())
        except (queue.Empty, TimeoutError):
            raise LinkError(f"all {MOST} connections are in use", sent=False) from None
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
            places.put(None)

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
        idle, self._places, self._idle = self._idle, queue.SimpleQueue(), []
        for _ in range(MOST):
            self._places.put(None)
        for link in idle:
            link.close()

    def leave(self) -> None:
        """In a forked child: close all that is the parent's, be it in use there, and begin anew."""
        inherited = list(self._open)
        self._begin()
        for link in inherited:
            link.close()


_pools: WeakSet[Pool] = WeakSet()


def _forked() -> None:
    for pool in list(_pools):
        pool.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
