"""Who is at the page: a random word in a cookie, of which the database knows the hash; and tokens of forms.

Every worker and every server of one database knows a session, and who reads a copy of the database can make
none. Which rights its key has, and whether it is still good, is asked anew at each request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import or_, select

from allowance.server.state.database import clock as database_clock
from allowance.server.state.schema import session as sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from allowance.server.state.database import Database

__all__ = ["IDLE", "LONGEST", "Session", "Sessions"]

IDLE: Final = 3_600
"""Seconds without a request after which one must log in again."""
LONGEST: Final = 12 * 3_600
"""Seconds after which one must log in again in any case."""

MOST: Final = 100
"""Sessions that one key may have at once; of more the oldest end."""

_RENEW_AFTER: Final = 300
_SECOND: Final = 1_000_000

_FORM: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Session(NamedTuple):
    """One login. Times are microseconds since 1970; ``word`` is what the cookie holds, shown by no repr."""

    key_id: str
    began: int
    seen: int
    word: str

    def __repr__(self) -> str:
        return f"Session(key_id={self.key_id!r}, word=...)"


class Sessions:
    """Begins, finds and ends them, in the server's own database.

    Every method but those for forms may raise `StoreUnavailableError`.
    """

    def __init__(self, database: Database, *, clock: Callable[[Connection], int] = database_clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, key_id: str) -> Session:
        """A new session for a key that was just shown. What is over by now is forgotten."""
        word = secrets.token_hex(32)
        newest = select(sessions.c.hash).where(sessions.c.key_id == key_id)
        newest = newest.order_by(sessions.c.began.desc()).limit(MOST - 1)
        with self._database.write() as connection:
            now = self._clock(connection)
            over = or_(
                sessions.c.seen <= now - IDLE * _SECOND,
                sessions.c.began <= now - LONGEST * _SECOND,
                (sessions.c.key_id == key_id) & sessions.c.hash.not_in(newest),
            )
            connection.execute(sessions.delete().where(over))
            row = {"hash": _hash(word), "key_id": key_id, "began": now, "seen": now}
            connection.execute(sessions.insert().values(**row))
        return Session(key_id, now, now, word)

    def load(self, cookie: str) -> Session | None:
        """The session of a cookie; None where there is none, or it is over."""
        if _FORM.fullmatch(cookie) is None:
            return None
        with self._database.read() as connection:
            row = connection.execute(select(sessions).where(sessions.c.hash == _hash(cookie))).first()
            now = self._clock(connection)
        if row is None or row.seen + IDLE * _SECOND <= now or row.began + LONGEST * _SECOND <= now:
            return None
        return Session(row.key_id, row.began, row.seen, cookie)

    def renew(self, session: Session) -> bool:
        """Note that somebody is there, if that was not done for some time; whether it was done now."""
        with self._database.read() as connection:
            now = self._clock(connection)
        if now - session.seen <= _RENEW_AFTER * _SECOND:
            return False
        with self._database.write() as connection:
            mine = sessions.c.hash == _hash(session.word)
            connection.execute(sessions.update().where(mine).values(seen=now))
        return True

    def end(self, session: Session) -> None:
        """Its cookie opens nothing from now on."""
        with self._database.write() as connection:
            connection.execute(sessions.delete().where(sessions.c.hash == _hash(session.word)))

    def form_token(self, word: str) -> str:
        """What every form of a session bears, so that no other site can send it."""
        return hmac.new(word.encode(), b"form", hashlib.sha256).hexdigest()

    def is_form_token(self, word: str, token: str) -> bool:
        """Whether a form bore it; compared in constant time."""
        return hmac.compare_digest(self.form_token(word).encode(), token.encode("utf-8", "replace"))


def _hash(word: str) -> bytes:
    return hashlib.sha256(word.encode()).digest()  # of 256 random bits: nobody finds it by trying
