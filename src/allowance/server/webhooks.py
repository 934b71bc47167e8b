"""Webhooks: letters out of the state's outbox, signed, to the addresses that the settings name.

One server at a time sends. A letter that is not taken is tried again, later each time, eight times in all.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from allowance.errors import ConfigurationError, StoreError
from allowance.server.signatures import HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.server.state.outbox import Letter

__all__ = ["Webhooks", "check_webhooks", "target_of"]

log = logging.getLogger("allowance.server.webhooks")

TRIES: Final = 8
LEASE: Final = "webhooks"

_TIMEOUT: Final = 10.0
_LEASE_SECONDS: Final = 3 * _TIMEOUT
_LONGEST_PAUSE: Final = 3600.0
_SHORTEST_SECRET: Final = 16


def check_webhooks(urls: Sequence[str], secret: str | None) -> None:
    """Refuse what cannot be sent to, or not signed.

    Raises:
        ConfigurationError: an address that is not http or https; no secret, or a short one.
    """
    for url in urls:
        try:
            address = urlsplit(url)
            fine = address.scheme in ("http", "https") and bool(address.hostname)
        except ValueError:
            fine = False
        if not fine:
            raise ConfigurationError(
                "A webhook is an address such as https://example.com/hook: http or https."
            )
    if urls and len(secret or "") < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"Webhooks need a secret of {_SHORTEST_SECRET} characters or more, which their signatures are "
            "made with. Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )


def target_of(url: str) -> str:
    """What the outbox calls an address: its fingerprint, for an address may hold a password."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class Webhooks:
    """Sends what waits in the outbox, in a thread of its own.

    Args:
        state: whose outbox it is.
        settings: where to, and the secret.
        pause: seconds before the second try; each later one waits three times as long, an hour at most.
        every: seconds between looks into the outbox.
    """

    def __init__(
        self, state: State, settings: ServerSettings, *, pause: float = 5.0, every: float = 2.0
    ) -> None:
        check_webhooks(settings.webhooks, settings.webhook_secret)
        self._state = state
        self._addresses = {target_of(url): url for url in settings.webhooks}
        self._secret = settings.webhook_secret or ""
        self._pause = pause
        self._every = every
        self._holder = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """What the outbox calls the receivers."""
        return tuple(self._addresses)

    def start(self) -> None:
        """Send from now on, if there is anyone to send to."""
        if self._addresses and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="allowance-webhooks", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Send nothing more; a letter that is on its way is waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2 * _TIMEOUT)
            self._thread = None
        if self._addresses:
            try:
                self._state.give_back_lease(LEASE, self._holder)
            except StoreError:
                return  # it runs out

    def deliver(self) -> int:
        """Send what is due, once; how many letters were taken. Nothing where another server sends.

        Raises:
            StoreError: the state does not answer.
        """
        if not self._addresses or not self._state.take_lease(LEASE, self._holder, _LEASE_SECONDS):
            return 0
        with _client() as client:
            return self._deliver(client)

    def _run(self) -> None:
        with _client() as client:
            while not self._stopping.wait(self._every):
                try:
                    if self._state.take_lease(LEASE, self._holder, _LEASE_SECONDS):
                        self._deliver(client)
                except StoreError as error:
                    log.warning("Webhooks wait: %s", error)

    def _deliver(self, client: httpx.Client) -> int:
        taken = 0
        silent: set[str] = set()
        for letter in self._state.outbox.due(self.targets):
            if self._stopping.is_set():
                break
            if letter.target in silent:
                continue  # one that did not answer just now costs the others no time
            if not self._state.take_lease(LEASE, self._holder, _LEASE_SECONDS):
                break
            if self._send(client, letter):
                taken += 1
                self._state.outbox.delivered(letter.seq)
            else:
                silent.add(letter.target)
                self._put_off(letter)
        return taken

    def _send(self, client: httpx.Client, letter: Letter) -> bool:
        import httpx

        url, body, at = self._addresses[letter.target], letter.body.encode(), int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "allowance",
            HEADER: sign(self._secret, body, at),
        }
        try:
            with client.stream("POST", url, content=body, headers=headers) as answer:
                status = answer.status_code  # what it says besides is not read
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            log.warning("%s did not take event %s: %s", _host(url), letter.event, type(error).__name__)
            return False
        if not 200 <= status < 300:
            log.warning("%s did not take event %s: it answered %s", _host(url), letter.event, status)
        return 200 <= status < 300

    def _put_off(self, letter: Letter) -> None:
        if letter.tries + 1 >= TRIES:
            log.error("Event %s is given up after %s tries.", letter.event, TRIES)
            self._state.outbox.delivered(letter.seq)
            return
        pause = min(_LONGEST_PAUSE, self._pause * 3**letter.tries)
        self._state.outbox.put_off(letter.seq, pause * (0.8 + 0.4 * secrets.randbelow(1000) / 1000))


def _client() -> httpx.Client:
    import httpx

    # It would write each address into the log, and an address may hold a password.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.Client(timeout=_TIMEOUT, follow_redirects=False, limits=httpx.Limits(max_connections=4))


def _host(url: str) -> str:
    return urlsplit(url).hostname or "a webhook"
