"""The line to one server: a request goes out, and an answer comes back in time, or an error that says why."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.stores.hosted.breaker import Breaker
from allowance.stores.hosted.deadline import Deadline
from allowance.stores.hosted.links import LinkError
from allowance.stores.hosted.pool import Pool
from allowance.wire import json, problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.stores.hosted.address import Address
    from allowance.stores.hosted.credentials import Credentials
    from allowance.stores.hosted.links import Reply
    from allowance.wire.json import Json

__all__ = ["Line", "StrangeError"]

RETRIES: Final = 2
"""How often a request is sent again, with the same id, while its deadline lets it."""

IN_VAIN: Final = 0.5
"""Seconds that a request may take which must be tried though the server seems to be down."""

_PASSING: Final = (500, 502, 503, 504)
_JSON: Final = ("application/json", problems.CONTENT_TYPE)
_random: Final = random.SystemRandom()  # the program may have seeded the common one, alike everywhere


class StrangeError(StoreUnavailableError):
    """An answer that is none of this protocol's: a proxy's page, or another kind of server.

    ``passing`` says that it is what a proxy says while the server behind it does not answer.
    """

    passing = False


class Line:
    """Asks one server, safely from any number of threads.

    Args:
        address: where it is.
        credentials: what it is told of who asks.
        version: of this library, for its log.
    """

    def __init__(self, address: Address, credentials: Credentials, version: str) -> None:
        self.url = address.url
        self._key_id, self.has_key = credentials.key_id, credentials.has_key
        self._prefix = address.prefix
        self._pool = Pool(address)
        self._breaker = Breaker()
        self._closed = False
        self._head = (
            f" HTTP/1.1\r\nHost: {address.host_header}\r\nUser-Agent: allowance/{version}\r\n"
            "Accept: application/json\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\n"
            f"{credentials.lines}Content-Length: "
        )

    def post(
        self,
        path: str,
        body: Callable[[Deadline], bytes],
        *,
        seconds: float,
        what: str,
        repeats: bool = True,
        always: bool = False,
        method: str = "POST",
        any_type: bool = False,
        lost: list[LinkError] | None = None,
    ) -> Json:
        """Send a request, again if need be, and hand back the object that answers it.

        Args:
            path: what follows the server's URL.
            body: makes the request's body, for each try anew: it may say how much time is left.
            seconds: how long it may take in all.
            what: its name in errors.
            repeats: whether it may be sent again where nobody knows if it was done.
            always: whether it is sent though the server seems to be down; once, and for half a second then.
            lost: is given what befell tries that went unanswered, and may still arrive.
            any_type: whether JSON is taken for what it is, whatever the answer says that it is.

        Raises:
            StoreUnavailableError: no answer came, or one that promises nothing (`StrangeError`).
            ConfigurationError: the server refuses the key, points elsewhere, or refuses the request.
            BudgetError: whatever else the server raised.
        """
        if self._closed:
            raise StoreUnavailableError(f"The store {self.url} was closed. Make it again: HostedStore(url).")
        deadline, tries = self._time(seconds, what, always)
        start = f"{method} {self._prefix}{path}{self._head}"
        reached = False  # by any of the tries: what the first one did, the last one does not undo
        while True:
            tries -= 1
            try:
                reply = self._exchange(start, body, deadline, lost, fresh=not repeats)
                return self._read(reply, what, any_type)
            except LinkError as error:
                self._note(error, lost)
                reached = reached or error.sent
                again = (repeats or not error.sent) and not error.hopeless
                if not (tries and again and self._pause(deadline, 1 + RETRIES - tries, None)):
                    raise self._unanswered(error, deadline, what, reached) from None
            except StoreUnavailableError as error:
                reached = True
                again = repeats and (not isinstance(error, StrangeError) or error.passing)
                if not (tries and again and self._pause(deadline, 1 + RETRIES - tries, error.retry_after)):
                    raise

    def _time(self, seconds: float, what: str, always: bool) -> tuple[Deadline, int]:
        """How long it may take, and in how many tries; none at all while the server seems to be down."""
        wait = self._breaker.wait()
        if not wait:
            return Deadline(seconds), 1 + RETRIES
        if always:
            return Deadline(min(seconds, IN_VAIN)), 1
        raise StoreUnavailableError(
            f"{self.url} did not answer the last requests, so it was not asked to {what}. It will be in "
            f"{wait:.1f} seconds. Nothing was changed. Is `allowance serve` running there?",
            retry_after=wait,
            unsent=True,
        )

    def _note(self, error: LinkError, lost: list[LinkError] | None) -> None:
        if not error.crowded:
            self._breaker.failed()
        if error.sent and lost is not None:
            lost.append(error)

    def reconnect(self) -> None:
        """Use none of the connections that are open any more."""
        self._pool.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        self._pool.close()

    def _exchange(
        self,
        start: str,
        body: Callable[[Deadline], bytes],
        deadline: Deadline,
        lost: list[LinkError] | None,
        *,
        fresh: bool,
    ) -> Reply:
        try:
            return self._on_link(start, body, deadline, fresh=fresh)
        except LinkError as error:
            if fresh or not error.stale:
                raise
            # The server had closed a connection that was kept open: no failure of its.
            first = error
        if first.sent and lost is not None:
            lost.append(first)
        try:
            return self._on_link(start, body, deadline, fresh=True)
        except LinkError as error:
            error.sent = error.sent or first.sent  # the server may have closed it after all was done
            raise

    def _on_link(
        self, start: str, body: Callable[[Deadline], bytes], deadline: Deadline, *, fresh: bool
    ) -> Reply:
        with self._pool.link(deadline, fresh=fresh) as link:
            content = body(deadline)
            request = f"{start}{len(content)}\r\n\r\n".encode("ascii") + content
            try:
                return link.exchange(request, deadline)
            except LinkError:
                link.close()
                raise

    def _pause(self, deadline: Deadline, number: int, least: float | None) -> bool:
        """Wait before the next try; False where the deadline leaves no time for it."""
        pause = max(_random.uniform(0.02, 0.06) * 2**number, least or 0.0)
        if pause >= deadline.left():
            return False
        time.sleep(pause)
        return True

    def _read(self, reply: Reply, what: str, any_type: bool) -> Json:
        """The object that an answer consists of, or the error that it tells of."""
        status = reply.status
        if status < 500:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        if 300 <= status < 400:
            raise ConfigurationError(
                f"{self.url} was asked to {what} and points elsewhere, to {_place(reply.location)}. That is "
                "not followed, for the key would go along. If it is right, make that place the store's URL."
            )
        if status in (401, 403):
            raise self._unwelcome(reply, what)
        data = self._object(reply, what, any_type)
        if status == 200:
            return data
        if "code" not in data:
            raise self._strange(reply, what)
        if data["code"] == "not_found":
            raise ConfigurationError(
                f"{self.url} was asked to {what} and has no such address. A server's URL is what `allowance "
                "serve` prints, without a path, unless a proxy adds one. If it is right, upgrade the server."
            )
        error = problems.load(status, data)
        if isinstance(error, StoreUnavailableError) and error.retry_after is None:
            error.retry_after = _seconds(reply.retry_after)
        raise error

    def _object(self, reply: Reply, what: str, any_type: bool) -> Json:
        if not any_type and reply.content_type not in _JSON:
            raise self._strange(reply, what)
        try:
            data = json.loads(reply.body)
        except ConfigurationError as error:
            if reply.status == 200 and reply.content_type in _JSON:
                raise LinkError(f"its answer cannot be read: {error}", sent=True) from None
            raise self._strange(reply, what) from None
        if not isinstance(data, dict):
            raise self._strange(reply, what)
        return data

    def _unwelcome(self, reply: Reply, what: str) -> ConfigurationError:
        """The key was refused; it is named by its id alone."""
        try:
            error = problems.load(reply.status, self._object(reply, what, any_type=False))
            said = str(error).rstrip(".") + "."
        except (StrangeError, LinkError):
            said = f"it answered {reply.status}."
        if self._key_id:
            key = f"the key {self._key_id}"
        else:
            key = "the key that it was sent" if self.has_key else "requests without a key"
        remedy = (
            "Make one with `allowance keys`, and give it as api_key=... or in ALLOWANCE_API_KEY."
            if reply.status == 401
            else "Use a key that may, or make one with more rights by `allowance keys`."
        )
        return ConfigurationError(f"{self.url} was asked to {what} and refuses {key}: {said} {remedy}")

    def _strange(self, reply: Reply, what: str) -> StrangeError:
        kind = reply.content_type[:60] or "no content type"
        page = " (a page, perhaps of a proxy before it)" if "html" in kind else ""
        error = StrangeError(
            f"{self.url} answered {reply.status} with {kind}{page} when it was asked to {what}: that is no "
            "answer of allowance's server. Nothing is known about the budget. Look whether the URL is right "
            "and `allowance serve` runs behind it.",
            retry_after=_seconds(reply.retry_after),
        )
        error.passing = reply.status in _PASSING
        return error

    def _unanswered(
        self, error: LinkError, deadline: Deadline, what: str, reached: bool
    ) -> StoreUnavailableError:
        known = "Whether it was done is not known" if reached else "Nothing was changed"
        kind = StrangeError if error.silent else StoreUnavailableError
        return kind(
            f"{self.url} did not {what} within {deadline.seconds:g} seconds: {error}. {known}; asking again "
            "with the same id is safe. Is `allowance serve` running there, and can it be reached from here?",
            unsent=not reached,
        )


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isdecimal() and len(retry_after) < 7 else None


def _place(location: str) -> str:
    """Where a redirection points to, without what may be secret in it."""
    try:
        parts = urlsplit(location)
        host = f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""
        return f"{host}{parts.path}"[:200] or "nowhere"
    except ValueError:
        return "what is no URL"
