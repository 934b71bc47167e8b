"""What several servers on one database must agree on: whose turn a job is, how far it came, what was told."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select
from sqlalchemy.dialects import postgresql, sqlite

from allowance.server.state.database import clock
from allowance.server.state.schema import lease, mark, secret, told, watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table

__all__ = [
    "ended",
    "forget_told",
    "give_back",
    "insert_once",
    "keep_mark",
    "read_mark",
    "shared_secret",
    "take",
    "tell_once",
    "unwatch",
    "watch",
]


def take(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take a lease or prolong one's own; False while another's has not run out, by the database's clock."""
    now = clock(connection)
    wanted = _insert(connection, lease).values(
        name=name, holder=holder, expires_at=now + round(seconds * 1e6)
    )
    taken = wanted.on_conflict_do_update(
        index_elements=[lease.c.name],
        set_={"holder": wanted.excluded.holder, "expires_at": wanted.excluded.expires_at},
        where=or_(lease.c.holder == holder, lease.c.expires_at <= now),
    )
    return connection.execute(taken.returning(lease.c.name)).first() is not None


def give_back(connection: Connection, name: str, holder: str) -> None:
    """Let go of a lease, if it is one's own, so that another server need not wait for its end."""
    connection.execute(lease.delete().where(lease.c.name == name, lease.c.holder == holder))


def read_mark(connection: Connection, name: str) -> int | None:
    """How far a job has come; None where it never ran."""
    found = connection.execute(select(mark.c.value).where(mark.c.name == name)).scalar_one_or_none()
    return None if found is None else int(found)


def keep_mark(connection: Connection, name: str, value: int) -> None:
    """Note how far a job has come."""
    wanted = _insert(connection, mark).values(name=name, value=value)
    connection.execute(
        wanted.on_conflict_do_update(index_elements=[mark.c.name], set_={"value": wanted.excluded.value})
    )


def tell_once(connection: Connection, event: str, until: int | None) -> bool:
    """Whether an event is new; it is known from now on, until the time when it cannot come again."""
    return insert_once(connection, told, {"event": event, "until": until})


def insert_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Add a row, unless one that is unique beside it is there; whether it was added."""
    wanted = _insert(connection, table).values(**row).on_conflict_do_nothing()
    return connection.execute(wanted.returning(*table.primary_key)).first() is not None


def shared_secret(connection: Connection, name: str) -> bytes:
    """Random bytes that every server on this database knows by this name; made by the first that asks."""
    insert_once(connection, secret, {"name": name, "value": secrets.token_bytes(32)})
    return bytes(connection.execute(select(secret.c.value).where(secret.c.name == name)).scalar_one())


def watch(connection: Connection, account: str, ends_at: int) -> None:
    """Remember when an account's window ends."""
    wanted = _insert(connection, watched).values(account=account, ends_at=ends_at)
    connection.execute(
        wanted.on_conflict_do_update(
            index_elements=[watched.c.account], set_={"ends_at": wanted.excluded.ends_at}
        )
    )


def ended(connection: Connection, now: int, limit: int) -> list[tuple[str, int]]:
    """Watched accounts whose windows have ended, those that ended first."""
    rows = select(watched.c.account, watched.c.ends_at).where(watched.c.ends_at <= now)
    return [
        (row.account, row.ends_at)
        for row in connection.execute(rows.order_by(watched.c.ends_at).limit(limit))
    ]


def unwatch(connection: Connection, account: str, ends_at: int) -> None:
    """Watch an account no more, unless another window of it is watched by now."""
    connection.execute(watched.delete().where(watched.c.account == account, watched.c.ends_at == ends_at))


def forget_told(connection: Connection, now: int) -> None:
    """Forget events whose time is over."""
    connection.execute(told.delete().where(told.c.until <= now))


def _insert(connection: Connection, table: Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)  # the two have the same verbs, and no type in common
