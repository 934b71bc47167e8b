"""Transactions on the database: tried again where that is safe, and never for longer than a few seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from allowance.errors import BudgetError, StoreUnavailableError
from allowance.stores.postgres import sql
from allowance.stores.postgres.faults import is_lost, is_passing, translated
from allowance.stores.postgres.hot import Known
from allowance.stores.postgres.pool import PATIENCE, Connection, Pool
from allowance.stores.postgres.tables import AgainError, PostgresTables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Engine"]

T = TypeVar("T")
Tables = TypeVar("Tables", bound=PostgresTables)

_TRIES: Final = 5
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Engine:
    """The verbs' way to the database."""

    def __init__(self, pool: Pool, url: str, clock: Callable[[], int] | None) -> None:
        self.known = Known()
        self._pool = pool
        self._url = url
        self._clock = clock

    def given(self) -> int | None:
        """The time to go by, where it is not the server's own."""
        return None if self._clock is None else self._clock()

    def ask(self, statement: Any, values: Sequence[Any]) -> list[Any]:
        """One statement in one round trip; it must be one that may be sent twice.

        Raises:
            StoreUnavailableError, StoreCorruptError, ConfigurationError: see `faults.translated`.
        """
        return self._tried(lambda connection: connection.execute(statement, values).fetchall())

    def transact(
        self,
        verb: Callable[[Tables, int], T],
        *,
        stripes: Iterable[int] = (),
        hold_ids: Sequence[str] = (),
        repeatable: bool = True,
        kind: type[Tables] = PostgresTables,  # type: ignore[assignment]  # where none is given it is this one
    ) -> T:
        """Run a verb at the store's time, alone on the families it is about, and whole.

        It begins with the locks that are known to be needed: of ``stripes``, and of these holds. Where it
        comes upon others it begins again with those too. What it raises undoes what it wrote. One that is not
        ``repeatable`` is not tried again where its commit may have been the last that the server heard.
        """
        wanted = set(stripes)
        earliest = 0
        ended = False

        def work(connection: Connection) -> T:
            nonlocal earliest, ended
            if ended and not repeatable:
                raise StoreUnavailableError(
                    f"The connection to {self._url} was lost while a change was made to be lasting. Whether "
                    "it was is not known: look at the budget before you ask again."
                )
            for _ in range(100):
                try:
                    now = self._entered(connection, wanted, hold_ids, earliest)
                    result = verb(kind(connection, frozenset(wanted), now, self.known.see), now)
                    ended = True
                    connection.execute("COMMIT")
                    return result
                except AgainError as more:
                    connection.execute("ROLLBACK")
                    wanted.update(more.stripes)
                    earliest = max(earliest, more.earliest)
                except BaseException:
                    _undo(connection)
                    raise
            raise StoreUnavailableError(
                f"{self._url}: others changed the same budgets too often. Nothing was changed; try again.",
                retry_after=0.1,
            )

        return self._tried(work)

    def _entered(
        self, connection: Connection, wanted: set[int], hold_ids: Sequence[str], earliest: int
    ) -> int:
        """Begin, with all these locks; the time."""
        if hold_ids:
            (found,) = connection.execute(sql.STRIPES_OF, (list(hold_ids),)).fetchone() or ([],)
            wanted.update(found)
        connection.execute(_BEGIN)
        entered = connection.execute(sql.ENTER, (sorted(wanted), self.given(), earliest)).fetchone()
        return int(entered[0]) if entered is not None else earliest

    def look(self, work: Callable[[Connection], T]) -> T:
        """Read at one moment, however long it takes, while others write."""

        def looking(connection: Connection) -> T:
            connection.end = None
            connection.execute(_SNAPSHOT)
            try:
                return work(connection)
            finally:
                _undo(connection)

        return self._tried(looking)

    def _tried(self, work: Callable[[Connection], T]) -> T:
        end = time.monotonic() + PATIENCE
        for attempt in range(1, _TRIES + 1):
            try:
                with self._pool.connection(end) as connection:
                    return work(connection)
            except BudgetError:
                raise
            except (psycopg.Error, UnicodeEncodeError, OverflowError) as error:
                lost = isinstance(error, psycopg.Error) and is_lost(error)
                again = lost or (isinstance(error, psycopg.Error) and is_passing(error))
                if lost:
                    self._pool.drop()
                if not again or attempt == _TRIES or time.monotonic() > end:
                    raise translated(error, self._url) from error
                time.sleep(0.02 * (attempt - 1) ** 2)  # a server that restarts is back in a moment
        raise AssertionError("the last try returns or raises")


def _undo(connection: Connection) -> None:
    """Roll back; a connection on which that does not work is closed by the pool."""
    try:
        if not connection.closed:
            connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()
