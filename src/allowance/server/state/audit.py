"""The audit log: who changed which limit or key, when, from what to what. Lines are only ever added."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from allowance.server.state.database import clock
from allowance.server.state.schema import audit_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection, Row

__all__ = ["AuditLine", "add_line", "key_lines_after", "lines_before"]


class AuditLine(NamedTuple):
    """One change. ``actor`` is the id of the key that asked, or ``cli:`` and the system's user.

    ``project`` is None for what belongs to no project: the keys. ``before`` and ``after`` hold what changed.
    """

    seq: int
    at: int
    actor: str
    action: str
    project: str | None
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def add_line(
    connection: Connection,
    actor: str,
    action: str,
    target: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    project: str | None = None,
) -> None:
    """Add a line, in the transaction of the change that it tells of."""
    connection.execute(
        audit_line.insert().values(
            at=clock(connection),
            actor=actor,
            action=action,
            project=project,
            target=target,
            before=_dumped(before),
            after=_dumped(after),
        )
    )


def lines_before(
    connection: Connection, projects: Collection[str] | None, before: int | None, limit: int
) -> list[AuditLine]:
    """The newest lines first; of some projects alone, or with None of all and of the server itself."""
    wanted = select(audit_line).order_by(audit_line.c.seq.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(audit_line.c.seq < before)
    if projects is not None:
        wanted = wanted.where(audit_line.c.project.in_(sorted(projects)))
    return [_line(row) for row in connection.execute(wanted)]


def key_lines_after(connection: Connection, seq: int, limit: int) -> list[AuditLine]:
    """Changes of keys that followed a line, the oldest first."""
    wanted = select(audit_line).where(audit_line.c.seq > seq, audit_line.c.action.startswith("key."))
    return [_line(row) for row in connection.execute(wanted.order_by(audit_line.c.seq).limit(limit))]


def _line(row: Row[Any]) -> AuditLine:
    before, after = _loaded(row.before), _loaded(row.after)
    return AuditLine(row.seq, row.at, row.actor, row.action, row.project, row.target, before, after)


def _dumped(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _loaded(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else json.loads(text)
