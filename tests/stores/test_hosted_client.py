"""The client's own promises: its time, its tries, its connections, whom it trusts, what it shows."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from allowance.errors import (
    ConfigurationError,
    HoldConflictError,
    StoreCorruptError,
    StoreUnavailableError,
    UnknownUserError,
)
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Grant, Posting, Scope
from allowance.stores.base import Store
from allowance.stores.hosted import HostedStore
from allowance.stores.hosted.pool import _Places
from allowance.stores.memory import MemoryStore
from allowance.wire import json, problems
from tests.stores.hosted_server import Handler, Server, answer, serving

ALICE = AccountKey("app", "user", "alice")
FIVE = Declaration(limit=5, creates=True)
KEY = "alw_k1d_" + "s3cretpart" * 4 + "_crc"
LONG = 60
"""Seconds that no test waits for: where it passes in time, it does so in far less."""


def ask(hold_id: str = "h", amount: int = 1) -> Ask:
    return Ask(hold_id, (Scope(ALICE, FIVE),), amount, amount, amount, amount, True, 900_000_000)


@contextmanager
def hosted(server: Server, **more: object) -> Iterator[HostedStore]:
    store = HostedStore(server.url, **{"timeout": LONG, **more})  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


class Scripted(Handler):
    """Does what the next of ``script`` says in place of answering; nothing: it answers."""

    script: list[Callable[[Scripted, str, bytes], None] | None]

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.seen.append((self.path, self.client_address[1], dict(self.headers), body))
        step = self.script.pop(0) if self.script else None
        if step is not None:
            step(self, self.path, body)
            return
        status, data = answer(self.server.store, self.path, body)
        self.send(status, json.dumps(data), "application/json" if status == 200 else problems.CONTENT_TYPE)


def drop(handler: Scripted, path: str, body: bytes) -> None:
    """Hang up before it is done."""
    handler.close_connection = True


def done_and_dropped(handler: Scripted, path: str, body: bytes) -> None:
    """Hang up after it was done."""
    answer(handler.server.store, path, body)
    handler.close_connection = True


def cut(handler: Scripted, path: str, body: bytes) -> None:
    """Send half of the answer."""
    status, data = answer(handler.server.store, path, body)
    content = json.dumps(data)
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def short(handler: Scripted, path: str, body: bytes) -> None:
    """Promise more than is sent, though what is sent could be taken for all of it."""
    _, data = answer(handler.server.store, path, body)
    content = json.dumps(data)
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content) + 1))
    handler.end_headers()
    handler.wfile.write(content)
    handler.wfile.flush()
    handler.close_connection = True


def cut_in_the_head(handler: Scripted, path: str, body: bytes) -> None:
    """Send the beginning of an answer's head."""
    answer(handler.server.store, path, body)
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: applica")
    handler.wfile.flush()
    handler.close_connection = True


def cut_without_length(handler: Scripted, path: str, body: bytes) -> None:
    """Send half of an answer whose length nobody said."""
    status, data = answer(handler.server.store, path, body)
    content = json.dumps(data)
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def failing(code: str, **fields: object) -> Callable[[Scripted, str, bytes], None]:
    """Answer with a problem."""

    def step(handler: Scripted, path: str, body: bytes) -> None:
        status, data = problems.problem(code, "Because.", **fields)
        handler.send(status, json.dumps(data), problems.CONTENT_TYPE)

    return step


def page(status: int, **headers: str) -> Callable[[Scripted, str, bytes], None]:
    """Answer with a page of HTML."""
    return lambda handler, path, body: handler.send(
        status, b"<html><body>sorry, prompt text</body></html>", "text/html", **headers
    )


@contextmanager
def scripted(*steps: Callable[[Scripted, str, bytes], None] | None) -> Iterator[Server]:
    handler = type("Handler", (Scripted,), {"script": list(steps)})
    with serving(MemoryStore(), handler) as server:
        yield server


def sent(server: Server) -> list[str]:
    return [path for path, *_ in server.seen]


def mixed_up(**wrong: object) -> Callable[[Scripted, str, bytes], None]:
    """Answer what was asked of another."""

    def step(handler: Scripted, path: str, body: bytes) -> None:
        data = json.loads(body)
        assert isinstance(data, dict)
        status, reply = answer(handler.server.store, path, json.dumps({**data, **wrong}))
        handler.send(status, json.dumps(reply), "application/json")

    return step


def hints_first(handler: Scripted, path: str, body: bytes) -> None:
    """Send an interim response, and the answer when the client may have gone on."""
    handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    handler.wfile.flush()
    time.sleep(0.05)
    status, data = answer(handler.server.store, path, body)
    handler.send(status, json.dumps(data), "application/json")


# -- URLs and keys -----------------------------------------------------------------------------------


def test_it_is_a_store() -> None:
    store = HostedStore("https://budgets.example/team/")
    assert isinstance(store, Store)
    assert (store.url, store.rank, store.blocking) == ("https://budgets.example/team", 2, True)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("HTTPS://Budgets.Example:443", "https://budgets.example"),
        ("https://budgets.example:8443/a/b/", "https://budgets.example:8443/a/b"),
        ("http://127.0.0.1:4100", "http://127.0.0.1:4100"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:4100/", "http://[::1]:4100"),
    ],
)
def test_urls(url: str, kept: str) -> None:
    assert HostedStore(url).url == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "budgets.example",
        "ftp://a",
        "https://",
        "https://a b",
        "https://a:port",
        "https://a\r\nX: y",
        "https://ä",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no URL"):
        HostedStore(url)


@pytest.mark.parametrize(
    "url",
    ["https://me:hunter2@budgets.example", "https://hunter2@b.example", "https://b.example/?key=hunter2"],
)
def test_a_secret_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        HostedStore(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("host", ["budgets.example", "192.168.1.5", "127.0.0.1.example", "localhost.example"])
def test_http_to_another_machine_is_refused_unless_allowed(host: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_insecure"):
        HostedStore(f"http://{host}")
    assert HostedStore(f"http://{host}", allow_insecure=True).url == f"http://{host}"


@pytest.mark.parametrize("timeout", [0, -1, True, "2", float("nan"), float("inf"), None, 601])
def test_a_timeout_that_is_none_is_refused(timeout: object) -> None:
    with pytest.raises(ConfigurationError, match="seconds"):
        HostedStore("https://a", timeout=timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["hunter2 words", "hunter2\n", "hunter2\r\nX-Evil: 1", "hunter2ключ"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HostedStore("https://a", api_key=key)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        HostedStore("https://a", headers={"Authorization": f"Bearer {key}\r\nX: y"})
    assert "hunter2" not in str(caught.value)


def test_two_keys_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="Two keys"):
        HostedStore("https://a", api_key="one", headers={"authorization": "Bearer two"})


def test_who_asks_is_said_in_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWANCE_API_KEY", "from-environment")
    with scripted() as server:
        for more in (
            {},
            {"api_key": KEY},
            {"headers": {"Authorization": "Bearer mine", "Content-Type": "text/plain", "X-Team": "red"}},
        ):
            with hosted(server, **more) as store:
                store.account(ALICE)
    heads = [{name.lower(): value for name, value in head.items()} for _, _, head, _ in server.seen]
    assert [head["authorization"] for head in heads] == [
        "Bearer from-environment",
        f"Bearer {KEY}",
        "Bearer mine",
    ]
    assert {head["content-type"] for head in heads} == {"application/json"}
    assert heads[2]["x-team"] == "red"
    assert all(head["user-agent"].startswith("allowance/") for head in heads)


def test_a_refused_key_is_named_by_its_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    for code, words in (("unauthorized", "Make one"), ("forbidden", "more rights")):
        with scripted(failing(code)) as server, hosted(server, api_key=KEY) as store:
            with pytest.raises(ConfigurationError, match=f"key k1d.*{words}") as caught:
                store.reserve(ask())
            assert "s3cret" not in "".join(traceback.format_exception(caught.value))
            assert "s3cret" not in repr(vars(store)) + repr(store) + str(pickle.dumps(caught.value))
            assert len(server.seen) == 1
    with (
        scripted(page(401)) as server,
        hosted(server) as store,
        pytest.raises(ConfigurationError, match="without a key"),
    ):
        store.reserve(ask())
    assert "s3cret" not in caplog.text


def test_nothing_is_sent_or_loaded_before_it_is_needed() -> None:
    code = """
import sys
import wrapt, pydantic
before = set(sys.modules)
import allowance.stores.hosted as hosted
hosted.HostedStore("https://127.0.0.1:1", api_key="x")
print(sorted({"ssl", "http.client", "asyncio", "sqlite3"} & (set(sys.modules) - before)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# -- tries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        drop,
        done_and_dropped,
        cut,
        short,
        cut_in_the_head,
        cut_without_length,
        failing("internal"),
        failing("store_unavailable"),
        page(502),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_r3_what_went_astray_is_asked_again_with_the_same_id(
    fault: Callable[[Scripted, str, bytes], None], times: int
) -> None:
    with scripted(*[fault] * times, None, *[fault] * times) as server, hosted(server) as store:
        assert isinstance(store.reserve(ask(amount=3)), Grant)
        settled = store.settle(Posting("h", 2))
        assert settled.amount == 2
        assert sent(server) == ["/v1/reserve"] * (times + 1) + ["/v1/settle"] * (times + 1)
        account = server.store.account(ALICE)
        assert account is not None
        assert (account.spent, account.held) == (2, 0)
        assert len(list(server.store.entries())) == 1


def test_after_two_more_tries_it_is_enough() -> None:
    with scripted(*[done_and_dropped] * 9) as server, hosted(server) as store:
        store._is_known = True
        with pytest.raises(StoreUnavailableError, match="not known"):
            store.reserve(ask())
        assert sent(server) == ["/v1/reserve"] * 3


def test_r3_a_refusal_while_an_earlier_try_may_still_be_granted_is_none() -> None:
    """The first try is on its way when the second is refused; then room is made, and the first arrives."""
    held_up: list[bytes] = []

    def hold_up(handler: Scripted, path: str, body: bytes) -> None:
        held_up.append(body)
        handler.close_connection = True

    with scripted(None, hold_up) as server, hosted(server) as store:
        store.reserve(ask("other", 5))
        with pytest.raises(StoreUnavailableError, match="may still arrive"):
            store.reserve(ask("h", 5))
        assert isinstance(store.reserve(ask("h", 5)), Denial)  # nothing is on its way: a refusal is one
        store.release("h")  # as a call does that hears that nothing is known
        store.release("other")
        status, _ = answer(server.store, "/v1/reserve", held_up[0])
        assert status == 409
        assert list(store.holds()) == []


def test_adjustments_get_an_id_before_the_first_try() -> None:
    with scripted(done_and_dropped, None, done_and_dropped) as server, hosted(server) as store:
        server.store.define(ALICE, FIVE)
        store.adjust(ALICE, 3, reason="imported")
        store.extend(ALICE, 2)
        account = store.account(ALICE)
        assert account is not None
        assert (account.spent, account.limit) == (3, 7)


@pytest.mark.parametrize("verb", ["remove", "sweep"])
def test_what_cannot_be_told_from_a_repetition_is_sent_once(verb: str) -> None:
    with scripted(None, done_and_dropped) as server, hosted(server) as store:
        store.define(ALICE, FIVE)
        with pytest.raises(StoreUnavailableError):
            getattr(store, verb)(*[ALICE] if verb == "remove" else [])
        assert sent(server) == ["/v1/define", f"/v1/{verb}"]


def test_it_waits_as_long_as_the_server_says_or_not_at_all() -> None:
    with scripted(failing("rate_limited", retry_after=0.3)) as server, hosted(server) as store:
        began = time.monotonic()
        store.reserve(ask())
        assert time.monotonic() - began >= 0.3
    with scripted(failing("rate_limited", retry_after=3600)) as server, hosted(server) as store:
        with pytest.raises(StoreUnavailableError) as caught:
            store.reserve(ask())
        assert caught.value.retry_after == 3600.0
        assert len(server.seen) == 1


def test_a_reserve_says_how_long_it_still_waits() -> None:
    with scripted(failing("internal")) as server, hosted(server, timeout=50) as store:
        store.reserve(ask())
    first, second = [json.loads(body)["deadline_ms"] for *_, body in server.seen]  # type: ignore[index,call-overload]
    assert 0 < second < first <= 50_000


def test_errors_are_raised_as_what_they_are() -> None:
    with scripted() as server, hosted(server) as store:
        with pytest.raises(UnknownUserError) as unknown:
            store.adjust(ALICE, 5, reason="x")
        assert (unknown.value.user, unknown.value.project) == ("alice", "app")
        store.reserve(ask())
        with pytest.raises(HoldConflictError):
            store.reserve(ask(amount=2))
        with pytest.raises(ConfigurationError):
            store.renew(["h"], 0)
        assert isinstance(store.reserve(ask("i", 5)), Denial)
        assert len(server.seen) == 5
    with (
        scripted(failing("store_corrupt")) as server,
        hosted(server) as store,
        pytest.raises(StoreCorruptError),
    ):
        store.reserve(ask())


# -- what is none of our server's --------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(status: int) -> None:
    with scripted() as other, scripted(page(status, Location=f"{other.url}/x?token=hunter2")) as server:
        with (
            hosted(server, api_key=KEY) as store,
            pytest.raises(ConfigurationError, match=r"points elsewhere, to http://127.0.0.1/x\.") as caught,
        ):
            store.reserve(ask())
        assert "hunter2" not in str(caught.value)
        assert other.seen == []
        assert len(server.seen) == 1


def test_a_page_of_a_proxy_is_told_as_such() -> None:
    with scripted(None, page(404), page(200)) as server, hosted(server) as store:
        store.account(ALICE)
        for status in (404, 200):
            with pytest.raises(
                StoreUnavailableError, match=f"answered {status} with text/html .a page"
            ) as caught:
                store.reserve(ask())
            assert "prompt" not in str(caught.value)
        assert sent(server) == [
            "/v1/account",
            "/v1/reserve",
            "/v1/reserve",
        ]  # it is known not to be LiteLLM's


def test_json_that_says_it_is_something_else_is_not_taken() -> None:
    def step(handler: Scripted, path: str, body: bytes) -> None:
        handler.send(200, b'{"account": null}', "text/html")

    with scripted(None, step) as server, hosted(server) as store:
        store.account(ALICE)
        with pytest.raises(StoreUnavailableError, match="text/html"):
            store.account(ALICE)


def test_a_server_of_another_kind_is_told_as_such() -> None:
    with scripted(*[page(404)] * 9) as server, hosted(server) as store:
        with pytest.raises(StoreUnavailableError, match="no answer of allowance's server"):
            store.reserve(ask())
        assert sent(server) == ["/v1/reserve", "/v1/", "/get_budget"]


@pytest.mark.parametrize(
    "reply",
    [b"[]", b"{}", b'{"granted": {}}', b'{"granted": {"hold_id": "h", "amount": 1.5}}', b'{"a":1,"a":2}'],
)
def test_an_answer_that_cannot_be_read_promises_nothing(reply: bytes) -> None:
    def step(handler: Scripted, path: str, body: bytes) -> None:
        handler.send(200, reply, "application/json")

    with scripted(None, *[step] * 3) as server, hosted(server) as store:
        store.account(ALICE)
        with pytest.raises(StoreUnavailableError):
            store.reserve(ask())


OTHER = {"hold_id": "another", "amount": 0, "floor": 0, "ceiling": 0}


def test_r1_an_answer_to_another_request_promises_nothing() -> None:
    with scripted(mixed_up(**OTHER), mixed_up(amount=1, floor=0)) as server, hosted(server) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="another request") as caught:
                store.reserve(ask("mine", 2))
            assert not caught.value.unsent
        assert isinstance(store.reserve(ask("ours", 2)), Grant)
        assert len({port for _, port, *_ in server.seen}) == 3


@pytest.mark.parametrize("wrong", [{"hold_id": "another"}, {"amount": 1}])
def test_r14_a_settle_that_is_answered_as_another_is_not_done(wrong: dict[str, object]) -> None:
    with scripted(mixed_up(**wrong)) as server, hosted(server) as store:
        server.store.define(ALICE, FIVE)
        with pytest.raises(StoreUnavailableError, match="another request"):
            store.settle(Posting("mine", 2, (Scope(ALICE),)))


def test_a_release_that_is_answered_as_another_is_not_done() -> None:
    with scripted(mixed_up(hold_id="another")) as server, hosted(server) as store:
        server.store.reserve(ask("another"))
        with pytest.raises(StoreUnavailableError, match="another request"):
            store.release("mine")


def test_what_comes_before_an_answer_is_not_taken_for_it() -> None:
    with scripted(hints_first, hints_first) as server, hosted(server) as store:
        for name in ("a", "b"):
            outcome = store.reserve(ask(name))
            assert isinstance(outcome, Grant)
            assert outcome.hold_id == name


def test_r6_a_reserve_whose_answer_was_lost_as_the_kind_of_server_was_looked_for_may_have_been_done() -> None:
    with scripted(*[done_and_dropped] * 12) as server, hosted(server) as store:
        with pytest.raises(StoreUnavailableError) as caught:
            store.reserve(ask())
        assert server.store.hold("h") is not None
        assert not caught.value.unsent


def test_threads_that_meet_a_strange_server_look_at_it_once() -> None:
    with scripted(*[page(404)] * 500) as server, hosted(server) as store:
        store._finding.acquire()
        threads = [threading.Thread(target=strange, args=(store, str(number))) for number in range(8)]
        for thread in threads:
            thread.start()
        while len(sent(server)) < 8:
            time.sleep(0.001)
        time.sleep(0.1)  # until they stand before the lock
        store._finding.release()
        for thread in threads:
            thread.join()
        assert sent(server).count("/get_budget") == 1


def strange(store: HostedStore, name: str) -> None:
    with pytest.raises(StoreUnavailableError):
        store.reserve(ask(name))


def test_an_answer_without_end_is_not_taken() -> None:
    def endless(handler: Scripted, path: str, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        handler.wfile.write(b" " * 1000)
        handler.close_connection = True

    with (
        scripted(*[endless] * 3) as server,
        hosted(server) as store,
        pytest.raises(StoreUnavailableError, match="16777216"),
    ):
        store.reserve(ask())


# -- time --------------------------------------------------------------------------------------------


@contextmanager
def listening(serve: Callable[[socket.socket], None] | None) -> Iterator[str]:
    """A server that takes connections and does with them as told; None: it never takes any."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, ExitStack() as connections:
        listener.settimeout(0.05)

        def run() -> None:
            while serve is not None and not over.is_set():
                with suppress(TimeoutError):
                    taken.append(connections.enter_context(listener.accept()[0]))
                for connection in taken:
                    with suppress(OSError):
                        serve(connection)

        taken: list[socket.socket] = []
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def dripping(connection: socket.socket) -> None:
    """A byte now and then: each within any time that one read is given."""
    connection.sendall(b"H")


@pytest.mark.parametrize(
    "serve", [None, lambda connection: None, dripping], ids=["deaf", "silent", "dripping"]
)
def test_the_time_is_for_all_of_it(serve: Callable[[socket.socket], None] | None) -> None:
    """Without its deadline this would wait for as long as the server keeps it waiting."""
    outcome: list[object] = []
    with listening(serve) as url:
        store = HostedStore(url, timeout=0.4)

        def call() -> None:
            try:
                outcome.append(store.reserve(ask()))
            except StoreUnavailableError as error:
                outcome.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(LONG)
        assert not thread.is_alive()
        store.close()
    (error,) = outcome
    assert isinstance(error, StoreUnavailableError)
    assert "0.4 seconds" in str(error)


def test_a_host_that_nobody_knows_is_told_as_such() -> None:
    store = HostedStore("https://budgets.invalid", timeout=LONG)
    with pytest.raises(StoreUnavailableError, match=r"its name is not known|name resolution|no connection"):
        store.account(ALICE)


# -- connections -------------------------------------------------------------------------------------


def test_a_connection_is_used_again_and_one_that_was_closed_meanwhile_is_no_failure() -> None:
    with scripted() as server, hosted(server) as store:
        for _ in range(3):
            store.account(ALICE)
        assert len({port for _, port, *_ in server.seen}) == 1
        server.hang_up()
        store._line._breaker.failed = pytest.fail  # type: ignore[method-assign]
        for _ in range(3):
            store.account(ALICE)
        assert len({port for _, port, *_ in server.seen}) == 2


def test_a_connection_that_is_closed_as_it_is_used_again_is_no_failure() -> None:
    """The server's goodbye crosses the request: it is not seen before, only after."""
    with scripted(None, drop) as server, hosted(server) as store:
        store.account(ALICE)
        store._line._breaker.failed = pytest.fail  # type: ignore[method-assign]
        store.account(ALICE)
        assert len(server.seen) == 3


def test_r6_a_reserve_on_such_a_connection_may_have_been_done_though_no_other_can_be_made() -> None:
    def done_and_gone(handler: Scripted, path: str, body: bytes) -> None:
        handler.server.socket.shutdown(socket.SHUT_RDWR)  # nobody is let in any more
        done_and_dropped(handler, path, body)

    with scripted(None, done_and_gone) as server, hosted(server) as store:
        store.account(ALICE)
        with pytest.raises(StoreUnavailableError, match="Whether it was done is not known") as caught:
            store.reserve(ask())
        assert server.store.hold("h") is not None
        assert not caught.value.unsent, "else nobody would release it"


def test_threads_share_a_bounded_number_of_connections() -> None:
    together = threading.Barrier(33)
    with scripted() as server, hosted(server) as store:
        server.store.define(ALICE, Declaration(limit=10_000, creates=True))

        def work(number: int) -> None:
            if number < 33:
                together.wait()
            for turn in range(3):
                assert isinstance(
                    store.reserve(ask(f"{number}-{turn}")._replace(scopes=(Scope(ALICE),))), Grant
                )
                store.settle(Posting(f"{number}-{turn}", 1))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.account(ALICE).spent == 192  # type: ignore[union-attr]
        assert 1 < len({port for _, port, *_ in server.seen}) <= 32


def test_those_who_wait_for_a_connection_get_it_in_their_turn() -> None:
    places = _Places(1)
    order: list[int] = []
    assert places.take(0)
    assert not places.take(0)

    def wait(number: int) -> None:
        assert places.take(LONG)
        order.append(number)
        places.give()

    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        while len(places._line) <= number:
            time.sleep(0.001)
    places.give()
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_a_crowd_of_ones_own_is_no_failure_of_the_server() -> None:
    with scripted() as server, hosted(server, timeout=0.05) as store:
        for _ in range(32):
            assert store._line._pool._places.take(0)
        for _ in range(6):
            with pytest.raises(StoreUnavailableError, match="all 32 connections"):
                store.reserve(ask())
        assert store._line._breaker.wait() == 0.0


def test_r13_a_forked_child_makes_connections_of_its_own() -> None:
    with scripted() as server, hosted(server) as store:
        store.define(ALICE, FIVE)
        (before,) = {port for _, port, *_ in server.seen}
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                account = store.account(ALICE)
                status = 0 if account is not None and account.limit == 5 else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        store.account(ALICE)  # the child's end left the parent's connection alone
        ports = [port for _, port, *_ in server.seen]
        assert len(ports) == 3
        assert ports[0] == ports[2] == before
        assert ports[1] != before


def test_r13_a_child_that_was_forked_in_the_midst_of_a_request_can_ask() -> None:
    """The parent's threads hold connections, places and locks that no thread of the child will give back."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(handler: Scripted, path: str, body: bytes) -> None:
        entered.set()
        go_on.wait(LONG)
        handler.send(200, b'{"account":null}', "application/json")

    with scripted(slow) as server, hosted(server) as store:
        outcome: list[object] = []
        thread = threading.Thread(target=lambda: outcome.append(store.account(ALICE)))
        thread.start()
        assert entered.wait(LONG)
        pid = os.fork()
        if pid == 0:
            signal.alarm(LONG)
            status = 1
            try:
                links = [link for link in store._line._pool._open if link.reusable]
                status = 0 if store.account(ALICE) is None and not links else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        go_on.set()
        thread.join()
        assert os.waitstatus_to_exitcode(status) == 0
        assert outcome == [None]


def test_a_url_that_leads_past_the_protocol_is_told_with_what_to_do() -> None:
    with scripted() as server:
        store = HostedStore(f"{server.url}/typo", timeout=LONG)
        with pytest.raises(ConfigurationError, match=r"/typo was asked to list budgets and .*without a path"):
            list(store.accounts("app"))
        store.close()


def test_a_closed_store_says_so() -> None:
    with scripted() as server, hosted(server) as store:
        store.account(ALICE)
        store.close()
        store.close()
        with pytest.raises(StoreUnavailableError, match="was closed"):
            store.account(ALICE)


# -- a server that is down ---------------------------------------------------------------------------


def free_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_down_is_left_alone_for_a_while() -> None:
    store = HostedStore(free_url(), timeout=LONG)
    breaker = store._line._breaker
    now = [0.0]
    breaker._clock = lambda: now[0]
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=r"refused.*Nothing was changed"):
            store.reserve(ask())
    with pytest.raises(StoreUnavailableError, match="was not asked to reserve") as caught:
        store.reserve(ask())
    assert caught.value.retry_after == 1.0
    for verb in (
        lambda: store.settle(Posting("h", 1)),
        lambda: store.release("h"),
        lambda: store.renew(["h"], 5),
    ):
        with pytest.raises(StoreUnavailableError, match=r"within 0.5 seconds: the connection was refused"):
            verb()
    now[0] = 1.0
    with pytest.raises(StoreUnavailableError, match="refused"):
        store.reserve(ask())  # the one try after a second
    with pytest.raises(StoreUnavailableError, match="was not asked to reserve"):
        store.reserve(ask())


def test_what_is_tried_anyway_finds_the_server_again() -> None:
    with scripted(*[failing("internal")] * 6) as server, hosted(server) as store:
        server.store.define(ALICE, FIVE)
        store._line._breaker._clock = lambda: 0.0
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                store.reserve(ask())
        with pytest.raises(StoreUnavailableError, match="was not asked"):
            store.reserve(ask())
        store.settle(Posting("x", 1, (Scope(ALICE),)))
        assert isinstance(store.reserve(ask()), Grant)


def test_denials_and_misuse_do_not_count_as_failures() -> None:
    with scripted() as server, hosted(server) as store:
        store.define(ALICE, FIVE)
        for _ in range(6):
            assert isinstance(store.reserve(ask(amount=9)), Denial)
            with pytest.raises(ConfigurationError):
                store.reserve(ask(hold_id=""))
        assert isinstance(store.reserve(ask()), Grant)


def test_whom_it_does_not_trust_it_does_not_ask(tmp_path: Path) -> None:
    """A certificate that no authority of the system's has signed; then it is trusted by SSL_CERT_FILE."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    code = """
import sys
from allowance.errors import StoreUnavailableError
from allowance.stores.hosted import HostedStore
from allowance.ledger.records import AccountKey
store = HostedStore(sys.argv[1], timeout=60)
try:
    for _ in range(3):
        print(store.account(AccountKey("app", "user", "alice")).limit)
except StoreUnavailableError as error:
    print(error)
store.close()
"""
    with scripted() as server:
        server.store.define(ALICE, FIVE)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        url = f"https://localhost:{server.server_port}"
        for trusted, expected in ((None, "certificate is not trusted"), (certificate, "5\n5\n5\n")):
            environment = {**os.environ, **({"SSL_CERT_FILE": str(trusted)} if trusted else {})}
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", code, url],
                capture_output=True, text=True, timeout=LONG, env=environment,
            )  # fmt: skip
            assert expected in done.stdout, done.stdout + done.stderr
        assert len({port for _, port, *_ in server.seen}) == 1
