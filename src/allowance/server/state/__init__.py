"""What a server keeps besides its store: keys, the audit log, refusals, leases, and events to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allowance.server.state import audit, leases
from allowance.server.state.audit import AuditLine
from allowance.server.state.database import Database, clock, open_database
from allowance.server.state.outbox import Outbox
from allowance.server.state.refusals import Refusal, Refusals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["AuditLine", "Refusal", "State", "open_state"]


def open_state(url: str) -> State:
    """The state beside the store of this URL; its tables are made, or brought up to date.

    Raises:
        ConfigurationError: a server cannot stand on such a store, or on such a place.
        StoreUnavailableError, StoreCorruptError: the database cannot be used.
    """
    return State(open_database(url))


class State:
    """The server's own database, for any thread. Several workers and servers may share it.

    Every method may raise `StoreUnavailableError`, but for `refused`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outbox = Outbox(database)
        self._refusals = Refusals(database)

    def now(self) -> int:
        """The time by the database's clock, in microseconds."""
        with self.database.read() as connection:
            return clock(connection)

    # -- the audit log -------------------------------------------------------------------------------

    def audit(
        self,
        actor: str,
        action: str,
        target: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        *,
        project: str | None = None,
    ) -> None:
        """Add a line to the audit log, which stays for good; ``actor`` is the asking key's id. No secrets."""
        with self.database.write() as connection:
            audit.add_line(connection, actor, action, target, before, after, project)

    def audit_lines(
        self, projects: Collection[str] | None = None, *, before: int | None = None, limit: int = 200
    ) -> list[AuditLine]:
        """The newest lines first, those with lower numbers than ``before``; of all projects, or of some.

        Lines of the server's own matters, such as keys, come only where all are asked for.
        """
        with self.database.read() as connection:
            return audit.lines_before(connection, projects, before, limit)

    # -- refusals ------------------------------------------------------------------------------------

    def refused(
        self,
        project: str,
        kind: str,
        name: str,
        label: str,
        model: str | None,
        projected: int,
        remaining: int,
        limit: int,
        at: int,
    ) -> None:
        """Note a refused call. It is written soon, by another thread; this neither waits nor raises."""
        self._refusals.add(Refusal(0, at, project, kind, name, label, model, projected, remaining, limit))

    def refusals(
        self, projects: Collection[str] | None = None, limit: int = 200, *, after: int | None = None
    ) -> list[Refusal]:
        """The newest first; with ``after`` those that followed that number, the oldest first."""
        return self._refusals.listed(projects, after, limit)

    # -- what servers agree on -----------------------------------------------------------------------

    def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or prolong a lease; False while another holds it. It ends by the database's clock."""
        with self.database.write() as connection:
            return leases.take(connection, name, holder, seconds)

    def give_back_lease(self, name: str, holder: str) -> None:
        """Let go of a lease, if it is one's own."""
        with self.database.write() as connection:
            leases.give_back(connection, name, holder)

    def secret(self, name: str) -> bytes:
        """Random bytes, the same on every server of this database; they are shown to nobody."""
        with self.database.write() as connection:
            return leases.shared_secret(connection, name)

    def mark(self, name: str) -> int | None:
        """How far a job of the server's has come, or None."""
        with self.database.read() as connection:
            return leases.read_mark(connection, name)

    def keep_mark(self, name: str, value: int) -> None:
        """Note how far a job has come."""
        with self.database.write() as connection:
            leases.keep_mark(connection, name, value)

    def close(self) -> None:
        """Write what waits, and close this process's connections."""
        self._refusals.close()
        self.database.close()
