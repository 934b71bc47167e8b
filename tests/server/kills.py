"""Load on a server that is killed in its midst: what it acknowledged must be there, and nothing twice.

Each caller writes down what it was told before it goes on. What it was not told, it asks again with the same
id once the server is back, as every client does.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from allowance.stores.base import Store
from tests.server.running import Running

LIMIT = 10**15
TTL = 3_600_000_000


@dataclass
class Books:
    """What the callers know to be so."""

    settled: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    asked_again: int = 0


class Caller(threading.Thread):
    """Makes calls until it is told to stop, and then finishes the one it is at."""

    def __init__(self, server: Running, key: str, number: int, books: Books, stop: threading.Event) -> None:
        super().__init__(name=f"caller-{number}")
        self.server, self.key, self.number, self.books = server, key, number, books
        self.stop = stop
        self.random = random.Random(number)
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Calls, one after another."""
        count = 0
        try:
            while not self.stop.is_set():
                count += 1
                self.call(f"call-{self.number}-{count}")
        except Exception as error:
            self.books.wrong.append(repr(error))
        finally:
            if self.connection is not None:
                self.connection.close()

    def call(self, hold_id: str) -> None:
        """A reserve, and (but for some that are left open) a settle."""
        amount = self.random.randrange(1, 1_000_000)
        user = f"user-{self.random.randrange(20)}"
        scopes = [
            {"key": ["kills", "user", user], "declared": {"limit": LIMIT, "creates": True}},
            {"key": ["kills", "team", "all"], "declared": {"limit": LIMIT, "creates": True}},
        ]
        ask = {"hold_id": hold_id, "scopes": scopes, "amount": amount, "ttl": TTL}
        if "granted" not in self.asked("/v1/reserve", ask):
            self.books.wrong.append(f"{hold_id} was refused")
        if self.random.random() < 0.05:
            self.books.held[hold_id] = amount
            return
        actual = self.random.randrange(1, 2_000_000)
        settled = self.asked("/v1/settle", {"hold_id": hold_id, "amount": actual})
        if settled["settled"]["amount"] != actual:
            self.books.wrong.append(f"{hold_id} was settled otherwise")
        self.books.settled[hold_id] = actual

    def asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer, however often it has to be asked for."""
        ends = time.monotonic() + 120
        tried = 0
        while time.monotonic() < ends:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
                headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
                self.connection.request("POST", path, json.dumps(body), headers)
                response = self.connection.getresponse()
                found: dict[str, Any] = json.loads(response.read())
                if response.status == 200:
                    self.books.asked_again += tried > 0
                    return found
                if response.status != 503:
                    raise AssertionError(f"{path} was answered {response.status}: {found}")
            except (OSError, http.client.HTTPException, ValueError):
                if self.connection is not None:
                    self.connection.close()
                self.connection = None
            tried += 1
            time.sleep(0.02)
        raise AssertionError(f"{path} was not answered")


def kill_under_load(server: Running, cycles: int, *, callers: int = 8, seconds: float = 0.6) -> Books:
    """Let callers call while the server is killed and started again so many times; what they know."""
    books, stop = Books(), threading.Event()
    key = server.mint("kills", ["spend"])
    threads = [Caller(server, key, number, books, stop) for number in range(callers)]
    for thread in threads:
        thread.start()
    dice = random.Random(7)
    try:
        for _ in range(cycles):
            time.sleep(seconds * (0.5 + dice.random()))
            server.kill()
            server.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join(150)
    return books


def differences(store: Store, books: Books) -> list[str]:
    """How the store's ledger differs from what the callers know; empty: in nothing."""
    wrong = [*books.wrong, *store.audit()]
    posted: dict[tuple[str, str], list[int]] = {}
    for entry in store.entries():
        posted.setdefault((entry.hold_id or "", entry.key.kind), []).append(entry.amount)
    for kind in ("user", "team"):
        for hold_id, amount in books.settled.items():
            found = posted.pop((hold_id, kind), [])
            if found != [amount]:
                wrong.append(f"{hold_id} was settled at {amount}; on its {kind} there stand {found}")
    wrong += [f"nobody knows of {hold_id}: {amounts}" for (hold_id, _), amounts in posted.items()]
    held = {hold.hold_id: hold.amount for hold in store.holds()}
    if held != books.held:
        wrong.append(f"holds differ: {set(held.items()) ^ set(books.held.items())}")
    return wrong
