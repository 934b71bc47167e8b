"""Who is at the page: a signed cookie that names a key, and the tokens of its forms.

The cookie holds no key that could be used elsewhere: its id, two times and a random word, signed with a
secret of the server's. So every worker and every server of one database knows it. Which rights the key
has, and whether it is still good, is asked anew at each request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["IDLE", "LONGEST", "Session", "Sessions"]

IDLE: Final = 3_600
"""Seconds without a request after which one must log in again."""
LONGEST: Final = 12 * 3_600
"""Seconds after which one must log in again in any case."""

_RENEW_AFTER: Final = 300

_FORM: Final = re.compile(
    r"([0-9A-Za-z_-]{1,64})\.([0-9]{1,12})\.([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII
)


class Session(NamedTuple):
    """One login. Times are whole seconds since 1970."""

    key_id: str
    began: int
    seen: int
    nonce: str


class Sessions:
    """Makes and reads the cookies; ``secret`` is the same on every worker and server."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def begin(self, key_id: str) -> Session:
        """A new session for a key that was just shown."""
        now = int(self._clock())
        return Session(key_id, now, now, secrets.token_hex(16))

    def dump(self, session: Session) -> str:
        """The cookie's text, as of now."""
        text = f"{session.key_id}.{session.began}.{int(self._clock())}.{session.nonce}"
        return f"{text}.{self._sign('session', text)}"

    def load(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it is not ours, was changed, or is over."""
        match = _FORM.fullmatch(cookie)
        if match is None:
            return None
        text, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign("session", text), signature):
            return None
        session = Session(match[1], int(match[2]), int(match[3]), match[4])
        now = self._clock()
        fresh = session.seen + IDLE > now and session.began + LONGEST > now
        return session if fresh else None

    def wants_renewal(self, session: Session) -> bool:
        """Whether its cookie is old enough to be made anew: one at work is not logged out."""
        return int(self._clock()) - session.seen > _RENEW_AFTER

    def form_token(self, nonce: str) -> str:
        """What every form of a session bears, so that no other site can send it."""
        return self._sign("form", nonce)

    def is_form_token(self, nonce: str, token: str) -> bool:
        """Whether a form bore it; compared in constant time."""
        return hmac.compare_digest(self._sign("form", nonce).encode(), token.encode("utf-8", "replace"))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
