"""Events that wait to be sent: bounded, each once, and kept until they were delivered or given up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select

from allowance.server.state.database import clock
from allowance.server.state.leases import insert_once, tell_once
from allowance.server.state.schema import outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from allowance.server.state.database import Database

__all__ = ["Event", "Letter", "Outbox"]

KEPT: Final = 10_000
"""Letters that may wait; the oldest go first."""


class Event(NamedTuple):
    """Something that webhooks are told. ``name`` is the same for the same event, whoever finds it.

    ``until`` is when it cannot come again, and its name may be forgotten; None: never.
    """

    name: str
    body: dict[str, Any]
    until: int | None = None


class Letter(NamedTuple):
    """An event for one receiver, and how often it was tried."""

    seq: int
    target: str
    event: str
    body: str
    tries: int


class Outbox:
    """The letters, in the database: what one server wrote another may send."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, events: Sequence[Event], targets: Collection[str]) -> int:
        """Keep a letter to each target for each event that is new; how many events were."""
        new = 0
        with self._database.write() as connection:
            now = clock(connection)
            for event in sorted(events, key=lambda event: event.name):  # in one order: no deadlocks
                if not tell_once(connection, event.name, event.until):
                    continue
                new += 1
                body = json.dumps({"id": event.name, "at": now, **event.body}, ensure_ascii=False)
                for target in targets:
                    letter = {"target": target, "event": event.name, "body": body, "tries": 0, "due_at": now}
                    insert_once(connection, outbox, letter)
            if new:
                newest = select(func.max(outbox.c.seq) - KEPT).scalar_subquery()
                connection.execute(outbox.delete().where(outbox.c.seq <= newest))
        return new

    def due(self, targets: Collection[str], limit: int = 50) -> list[Letter]:
        """Letters to these targets whose time has come, the oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(outbox.c.seq, outbox.c.target, outbox.c.event, outbox.c.body, outbox.c.tries)
                .where(outbox.c.due_at <= clock(connection), outbox.c.target.in_(sorted(targets)))
                .order_by(outbox.c.seq)
                .limit(limit)
            )
            return [Letter(*row) for row in rows]

    def delivered(self, seq: int) -> None:
        """Forget a letter: it was delivered, or given up."""
        with self._database.write() as connection:
            connection.execute(outbox.delete().where(outbox.c.seq == seq))

    def put_off(self, seq: int, seconds: float) -> None:
        """Try a letter again, not before some time has passed."""
        with self._database.write() as connection:
            due_at = clock(connection) + round(seconds * 1e6)
            connection.execute(
                outbox.update().where(outbox.c.seq == seq).values(tries=outbox.c.tries + 1, due_at=due_at)
            )

    def waiting(self) -> int:
        """How many letters wait."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(outbox)).scalar_one()
