"""Webhooks: what is told, to whom, how often; signed, retried, bounded; found by one server of several."""

from __future__ import annotations

import http.server
import json
import logging
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey, Ask, Declaration, Posting, Scope
from allowance.server import webhooks
from allowance.server.keys import Keys
from allowance.server.settings import ServerSettings
from allowance.server.signatures import sign, verify
from allowance.server.state import State, open_state
from allowance.server.state.outbox import Event
from allowance.server.sweeps import Sweeper
from allowance.server.webhooks import Webhooks, target_of
from allowance.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "a secret of the tests, canary-7731"
ALICE = AccountKey("app", "user", "alice")


def until(found: Callable[[], object]) -> None:
    """Wait for a condition; the end is generous."""
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


@dataclass
class Receiver:
    """Who is told; ``answers`` are given in turn, and the last one again and again."""

    url: str
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A real server on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            self.send_response(status)
            if status == 307:
                self.send_header("location", receiver.url + "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(open_state(f"sqlite:///{tmp_path}/x.db")) as found:
        yield found


def told(*urls: str, **more: Any) -> ServerSettings:
    return ServerSettings(webhooks=urls, webhook_secret=SECRET, sweep_seconds=0.05, **more)


# -- letters ------------------------------------------------------------------------------------------


def test_a_letter_is_signed_and_delivered_once(receiver: Receiver, state: State) -> None:
    hooks = Webhooks(state, told(receiver.url + "/hook"))
    state.outbox.put([Event("e1", {"type": "threshold", "user": "ä"})], hooks.targets)
    assert hooks.deliver() == 1
    assert hooks.deliver() == 0
    [(headers, body)] = receiver.got
    assert {"id": "e1", "type": "threshold", "user": "ä"}.items() <= json.loads(body).items()
    signature = headers["allowance-signature"]
    assert verify(SECRET, body, signature)
    assert not verify(SECRET + "x", body, signature)
    assert not verify(SECRET, body + b" ", signature)
    assert not verify(SECRET, body, signature, now=time.time() + 301)
    assert state.outbox.waiting() == 0


@pytest.mark.parametrize(
    "header", ["", "t=", "t=x,v1=y", "v1=0", "t=1", f"t={'9' * 400},v1=0", "t=\u0661,v1=\xe9"]
)
def test_what_is_no_signature_is_refused(header: str) -> None:
    assert not verify(SECRET, b"{}", header, now=1)
    assert verify(SECRET, b"{}", sign(SECRET, b"{}", 1), now=1)


def test_a_letter_that_is_not_taken_is_tried_again_and_given_up_at_last(
    receiver: Receiver, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [500]
    hooks = Webhooks(state, told(receiver.url), pause=0)
    state.outbox.put([Event("e1", {})], hooks.targets)
    while state.outbox.waiting():
        hooks.deliver()
    assert len(receiver.got) == webhooks.TRIES
    assert len({body for _, body in receiver.got}) == 1
    assert "given up" in caplog.text
    receiver.answers = [503, 429, 204]
    state.outbox.put([Event("e2", {})], hooks.targets)
    while state.outbox.waiting():
        hooks.deliver()
    assert [body["id"] for body in receiver.bodies[webhooks.TRIES :]] == ["e2"] * 3


def test_the_next_try_waits_longer_each_time(receiver: Receiver, state: State) -> None:
    receiver.answers = [500]
    hooks = Webhooks(state, told(receiver.url), pause=60)
    state.outbox.put([Event("e1", {})], hooks.targets)
    hooks.deliver()
    assert hooks.deliver() == 0
    assert len(receiver.got) == 1
    assert state.outbox.waiting() == 1


def test_a_redirect_is_not_followed(receiver: Receiver, state: State) -> None:
    receiver.answers = [307, 200]
    hooks = Webhooks(state, told(receiver.url), pause=60)
    state.outbox.put([Event("e1", {})], hooks.targets)
    assert hooks.deliver() == 0
    assert len(receiver.got) == 1


def test_one_who_does_not_answer_does_not_keep_the_others_from_theirs(
    receiver: Receiver, state: State
) -> None:
    hooks = Webhooks(state, told("http://127.0.0.1:9/nobody", receiver.url))
    state.outbox.put([Event(f"e{number}", {}) for number in range(5)], hooks.targets)
    assert hooks.deliver() == 5
    assert [body["id"] for body in receiver.bodies] == [f"e{number}" for number in range(5)]
    assert state.outbox.waiting() == 5


def test_of_two_servers_one_sends(receiver: Receiver, state: State) -> None:
    one, other = Webhooks(state, told(receiver.url)), Webhooks(state, told(receiver.url))
    assert one.deliver() == 0  # it has the lease now
    state.outbox.put([Event("e1", {})], one.targets)
    assert other.deliver() == 0
    one.stop()
    assert other.deliver() == 1


def test_no_secret_of_an_address_is_in_a_log_or_in_the_database(
    receiver: Receiver, state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = receiver.url.replace("http://", "http://user:canary-1@") + "/hook?token=canary-2"
    receiver.answers = [500, 200]
    for url in (address, "http://127.0.0.1:9/canary-3"):
        hooks = Webhooks(state, told(url), pause=0)
        state.outbox.put([Event(f"e {target_of(url)}", {})], hooks.targets)
        hooks.deliver()
        hooks.deliver()
        hooks.stop()
    assert len(receiver.got) == 2
    assert "did not take event" in caplog.text
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in ("canary-1", "canary-2", "canary-3", "canary-7731"):
        assert secret not in caplog.text + repr(told(address)) + repr(hooks)
        assert secret.encode() not in kept


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("ftp://example.com", SECRET),
        ("file:///etc/passwd", SECRET),
        ("example.com/hook", SECRET),
        ("http://", SECRET),
        ("https://[broken", SECRET),
        ("https://example.com", None),
        ("https://example.com", "short"),
    ],
)
def test_what_cannot_be_sent_to_or_signed_is_refused(url: str, secret: str | None, state: State) -> None:
    with pytest.raises(ConfigurationError):
        Webhooks(state, ServerSettings(webhooks=(url,), webhook_secret=secret))


# -- what is told -------------------------------------------------------------------------------------


class Day:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1000

    def __call__(self) -> int:
        return self.now


@dataclass
class Told:
    """A store, its server's job, and what the receiver was told, by the types of the events."""

    store: MemoryStore
    clock: Day
    state: State
    sweeper: Sweeper
    receiver: Receiver

    def spend(self, name: str, amount: int) -> None:
        self.store.settle(Posting(name, amount, (Scope(ALICE),)))

    def told(self) -> list[dict[str, Any]]:
        """What a round and its letters tell now."""
        before = len(self.receiver.got)
        assert self.sweeper.round() is not None
        while self.sweeper.deliver():
            pass
        return self.receiver.bodies[before:]


@pytest.fixture
def told_of(receiver: Receiver, state: State) -> Told:
    clock = Day()
    store = MemoryStore(clock=clock)
    store.define(ALICE, Declaration(limit=1000, duration="daily", creates=True))
    return Told(store, clock, state, Sweeper(store, state, told(receiver.url)), receiver)


def test_a_threshold_is_told_once_in_a_window(told_of: Told) -> None:
    told_of.spend("a", 799)
    assert told_of.told() == []
    told_of.spend("b", 1)
    [event] = told_of.told()
    assert (event["type"], event["percent"], event["user"]) == ("threshold", 80, "alice")
    assert (event["spent"], event["limit"]) == ("0.0000008", "0.000001")
    told_of.spend("c", 100)
    assert told_of.told() == []
    told_of.spend("d", 500)
    assert [event["percent"] for event in told_of.told()] == [100]
    told_of.spend("e", 500)
    assert told_of.told() == []


def test_a_reset_is_told_and_thresholds_begin_anew(told_of: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of.spend("a", 1000)
    assert len(told_of.told()) == 2
    told_of.clock.now += 86_400_000_000
    now = told_of.clock.now
    monkeypatch.setattr(told_of.state, "now", lambda: now + 1)
    [event] = told_of.told()
    assert (event["type"], event["user"], event["spent"]) == ("reset", "alice", "0")
    assert told_of.told() == []
    told_of.spend("b", 1000)
    assert [event["type"] for event in told_of.told()] == ["threshold", "threshold"]


def test_denials_are_told_once_a_minute_for_each_budget(told_of: Told) -> None:
    now = told_of.state.now()
    minute = now - now % 60_000_000
    for number in range(30):
        told_of.state.refused("app", "user", "alice", "", "gpt-4o", 30, 20, 10, minute + number)
    told_of.state.refused("app", "user", "bob", "", None, 30, 20, 10, minute)
    told_of.state.refused("app", "user", "alice", "", None, 30, 20, 10, minute - 1)
    told_of.state.refused("app", "user", "old", "", None, 30, 20, 10, minute - 7_200_000_000)
    events = told_of.told()
    assert sorted(event["user"] for event in events) == ["alice", "alice", "bob"]
    assert {event["type"] for event in events} == {"exceeded"}
    assert {event["model"] for event in events} == {"gpt-4o", None}
    told_of.state.refused("app", "user", "alice", "", "gpt-4o", 30, 20, 10, minute + 50)
    assert told_of.told() == []


def test_changes_of_keys_are_told_without_the_token(told_of: Told) -> None:
    _, token = Keys(told_of.state).mint("app", ["spend"], actor="cli:me")
    told_of.state.audit("k1", "budget.define", "alice")
    Keys(told_of.state).revoke("app", actor="cli:me")
    events = told_of.told()
    assert [(event["type"], event["actor"]) for event in events] == [
        ("key.add", "cli:me"),
        ("key.revoke", "cli:me"),
    ]
    assert token.split("_")[2] not in repr(told_of.receiver.got)
    assert told_of.told() == []


def test_what_a_round_found_is_told_though_it_died_before_it_noted_so(
    told_of: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_of.spend("a", 1000)
    real = told_of.state.outbox.put

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(told_of.state.outbox, "put", die)
    with pytest.raises(KeyboardInterrupt):
        told_of.sweeper.round()
    monkeypatch.setattr(told_of.state.outbox, "put", real)
    assert len(told_of.told()) == 2
    assert told_of.told() == []


def test_in_a_server_all_this_runs_by_itself_and_stops(receiver: Receiver, state: State) -> None:
    store = MemoryStore()
    store.define(ALICE, Declaration(limit=10, creates=True))
    scope = Scope(ALICE)
    store.reserve(Ask("dies", (scope,), 9, 9, 9, 9, True, 1))
    sweeper = Sweeper(store, state, told(receiver.url))
    sweeper._webhooks._every = 0.05
    before = threading.enumerate()
    sweeper.start()
    try:
        until(lambda: receiver.got)
    finally:
        sweeper.stop()
    assert [body["percent"] for body in receiver.bodies] == [80]
    started = [one for one in threading.enumerate() if one not in before]
    assert not [one for one in started if one.name.startswith("allowance-")]
    assert state.take_lease("sweeps", "another", 1)
    assert state.take_lease("webhooks", "another", 1)
