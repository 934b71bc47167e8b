"""Connections to one database: made when they are needed, used by one thread at a time, never over a fork.

There is no thread in the background, so a process with a store may fork, and a server that is down is known
at once by the error of the connection that was tried.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

import psycopg
from psycopg.pq import TransactionStatus

from allowance.errors import StoreUnavailableError
from allowance.stores.postgres.schema import prepare
from allowance.stores.postgres.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["PATIENCE", "Connection", "Pool"]

T = TypeVar("T")

PATIENCE: Final = 5.0
"""Seconds for which a verb waits for the server in all."""


class Connection(psycopg.Connection[Any]):
    """A connection that does not wait for ever: a server may be stopped, and its machine still answer."""

    end: float | None = None
    """By when, on the monotonic clock, whatever is asked must be answered; None for ever."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """As psycopg's own, but no longer than to its ``end``: then the connection is lost."""
        if self.end is not None:
            gen = _bounded(gen, self.end)
        result: T = super().wait(gen, *args, **options)
        return result


def _bounded(waiting: Generator[Any, Any, T], end: float) -> Generator[Any, Any, T]:
    try:
        state = next(waiting)
        while True:
            ready = yield state
            if not ready and time.monotonic() > end:
                raise psycopg.OperationalError("the server has not answered in time")
            state = waiting.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result


class Pool:
    """At most so many connections to one database."""

    def __init__(self, conninfo: str, url: str, size: int) -> None:
        self._conninfo = conninfo
        self._url = url
        self._size = size
        self._closed = False
        self._prepared = False
        self._inherited: list[Any] = []
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self._idle: deque[Connection] = deque()
        self._turns = Turns(self._size)

    @contextmanager
    def connection(self, end: float) -> Iterator[Connection]:
        """A connection in autocommit, for this thread alone; ``end`` is by when, on the monotonic clock.

        Raises:
            StoreUnavailableError: all were in use until then, or the pool was closed.
            psycopg.Error: the server does not take a new one.
        """
        turns, idle = self._turns, self._idle
        if not turns.take(end - time.monotonic()):
            raise StoreUnavailableError(
                f"All {self._size} connections to {self._url} were in use for too long. Nothing was changed; "
                "try again, or open the store with a larger pool_size.",
                retry_after=0.1,
            )
        try:
            connection = self._taken(idle)
            connection.end = end
            try:
                yield connection
            finally:
                if self._closed or connection.info.transaction_status != TransactionStatus.IDLE:
                    connection.close()
                else:
                    idle.append(connection)
        finally:
            turns.give()

    def _taken(self, idle: deque[Connection]) -> Connection:
        while True:
            if self._closed:
                raise StoreUnavailableError(f"The store {self._url} was closed. Open it again.")
            try:
                connection = idle.pop()
            except IndexError:
                return self._made()
            if not connection.closed:
                return connection

    def _made(self) -> Connection:
        # Statements are not prepared: a pooler between (PgBouncer) gives each transaction another session.
        connection = Connection.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        try:
            if not self._prepared:
                prepare(connection)
                self._prepared = True
        except BaseException:
            connection.close()
            raise
        return connection

    def drop(self) -> None:
        """Close the connections that nobody uses: one was lost, so the others may be."""
        idle = self._idle
        while idle:
            try:
                idle.pop().close()
            except IndexError:
                return

    def close(self) -> None:
        """Close all; those in use, when they come back."""
        self._closed = True
        self.drop()

    def after_fork(self) -> None:
        """Begin anew in the child. The parent's connections are kept referenced: never used, never closed."""
        self._inherited.append(self._idle)
        self._begin()


_pools: WeakSet[Pool] = WeakSet()


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
