"""What one client cannot do to the others: sizes, depths, times, rates; over real sockets."""

from __future__ import annotations

import gzip
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from allowance.server import protocol
from allowance.server.limits import Rates
from allowance.server.problems import RefusedError
from tests.server.running import Inside, inside

TTL = 900_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside(f"sqlite:///{tmp_path_factory.mktemp('limits')}/a.db") as server:
        yield server


def raw(server: Inside, sent: bytes, *, wait: float = 20.0) -> bytes:
    """What comes back for these bytes until the server closes, or has answered."""
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=wait) as client:
        client.sendall(sent)
        found = b""
        while chunk := client.recv(65_536):
            found += chunk
            if b"\r\n\r\n" in found:
                break
        return found


def reserve(server: Inside, **changes: Any) -> Any:
    scope = {"key": ["p", "user", "a"], "declared": {"limit": 10**12, "creates": True}}
    body = {"hold_id": f"h-{time.monotonic_ns()}", "scopes": [scope], "amount": 5, "ttl": TTL, **changes}
    return server.ask("/v1/reserve", body, key=server.admin_key)


def test_a_body_has_a_largest_size(server: Inside) -> None:
    key = server.admin_key
    large = server.ask("/v1/reserve", {"hold_id": "x" * 70_000}, key=key)
    assert (large.status, large.body["code"]) == (413, "too_large")
    told = f"POST /v1/settle HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    told += "content-length: 99999999\r\n\r\n"
    assert raw(server, told.encode()).startswith(b"HTTP/1.1 413")
    chunked = told.replace("content-length: 99999999", "transfer-encoding: chunked").encode()
    chunked += b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + b"9000\r\n" + b"x" * 0x9000 + b"\r\n"
    assert raw(server, chunked).startswith(b"HTTP/1.1 413")
    page = server.ask("/login", data=b"key=" + b"x" * 70_000)
    assert page.status == 413
    every_user: dict[str, Any] = {"project_name": "big", "user_dict": {}, "pad": "x" * 70_000}
    assert server.ask("/set_budget", every_user, key=key).status == 200
    every_user["pad"] *= 150
    assert server.ask("/set_budget", every_user, key=key).status == 413


def test_a_body_is_not_unpacked(server: Inside) -> None:
    answer = server.ask(
        "/v1/account",
        data=gzip.compress(b'{"key": ["p", "user", "a"]}'),
        key=server.admin_key,
        headers={"content-encoding": "gzip"},
    )
    assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")


def test_a_head_has_a_largest_size(server: Inside) -> None:
    head = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
    assert raw(server, head + b"a: " + b"x" * 15_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert raw(server, head + b"a: " + b"x" * 17_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert raw(server, head + b"a: b\r\n" * 4_000 + b"\r\n").startswith(b"HTTP/1.1 431")
    body = b"x" * 40_000
    post = b"POST /v1/settle HTTP/1.1\r\nhost: x\r\ncontent-length: 40000\r\n\r\n"
    assert raw(server, post + body).startswith(b"HTTP/1.1 401"), "a body is no head"


def test_requests_that_come_together_are_all_answered(server: Inside) -> None:
    one = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=20) as client:
        client.sendall(one * 400)  # their heads are more than one head may be
        found = b""
        while found.count(b'{"status":"ok"}') < 400:
            chunk = client.recv(65_536)
            assert chunk
            found += chunk
        assert len(re.findall(rb"HTTP/1.1 200", found)) == 400


@pytest.mark.parametrize("endless", [b"0\r\n" + b"a: b\r\n" * 10_000, b"0\r\na: " + b"b" * 60_000])
@pytest.mark.parametrize("path", ["/v1/reserve", "/login"])
def test_what_comes_behind_a_body_has_a_largest_size(server: Inside, path: str, endless: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
    head += f"authorization: Bearer {server.admin_key}\r\n\r\n"
    assert raw(server, head.encode() + endless).startswith(b"HTTP/1.1 413")


def test_the_wrapping_of_chunks_has_a_largest_size(server: Inside) -> None:
    head = f"POST /v1/accounts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.admin_key}\r\n"
    head += "transfer-encoding: chunked\r\n\r\n"
    told = head.encode() + b"1;" + b"x" * 60_000
    assert raw(server, told).startswith(b"HTTP/1.1 413")
    small = b"".join(b"1\r\n%c\r\n" % byte for byte in b"{" + b" " * 20_000 + b"}") + b"0\r\n\r\n"
    assert raw(server, head.encode() + small).startswith(b"HTTP/1.1 200")


def test_a_header_behind_the_body_is_none_of_the_request(server: Inside) -> None:
    told = b"POST /v1/accounts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
    told += f"0\r\nauthorization: Bearer {server.admin_key}\r\n\r\n".encode()
    assert raw(server, told).startswith(b"HTTP/1.1 401")


def test_a_slow_client_is_let_go(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_PATIENCE", 0.2)
    monkeypatch.setattr(protocol, "BODY_PATIENCE", 0.2)
    head = b"POST /v1/settle HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + server.admin_key.encode()
    for sent in (b"", b"POST /v1/se", head, head + b"\r\ncontent-length: 10\r\n\r\n{"):
        assert raw(server, sent).startswith(b"HTTP/1.1 408"), sent[:20]
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=20) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTT")
        found = b""
        while chunk := client.recv(65_536):
            found += chunk
        assert found.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"key": ["p", "user", "a"], "key": ["p", "user", "b"]}',
        b'{"key": NaN}',
        b'{"key": 1e999}',
        b'{"key": ["p", "user", "\\ud800"]}',
        b'{"key": ["p", "user", "a\\u0000"]}',
        b"\xff\xfe",
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b"[" * 60_000,
        b'{"key": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda data: repr(data[:30]),
)
def test_what_is_no_clean_json_is_refused(server: Inside, data: bytes) -> None:
    for path in ("/v1/account", "/v1/reserve", "/v1/settle", "/v1/define", "/v1/keys"):
        answer = server.ask(path, data=data, key=server.admin_key)
        assert (answer.status, answer.body["code"]) == (422, "configuration"), (path, answer)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 1.5},
        {"amount": True},
        {"amount": -1},
        {"amount": 2**63},
        {"amount": 2**62},
        {"ttl": -1},
        {"ttl": None},
        {"hold_id": ""},
        {"scopes": []},
        {"scopes": [{"key": ["p", "user", f"u{number}"]} for number in range(9)]},
        {"scopes": [{"key": ["p", "user", "x" * 129], "default": {"limit": 5}}]},
        {"scopes": [{"key": ["p", "user", "a\nb"], "default": {"limit": 5}}]},
        {"scopes": [{"key": ["p", "user", "e\u0301"], "default": {"limit": 5}}]},
        {"scopes": [{"key": ["p", "deleted", "a"], "default": {"limit": 5}}]},
        {"scopes": [{"key": ["p", "user", " "], "default": {"limit": 5}}]},
        {"scopes": [{"key": ["p", "user", "b"], "default": {"limit": -5}}]},
        {"scopes": [{"key": ["p", "user", "b"], "default": {"limit": 5, "duration": "soon"}}]},
        {"deadline_ms": 0},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_a_reserve_that_cannot_be_is_refused(server: Inside, changes: dict[str, Any]) -> None:
    before = len(list(server.store.accounts()))
    answer = reserve(server, **changes)
    assert (answer.status, answer.body["code"]) == (422, "configuration"), answer
    assert len(list(server.store.accounts())) == before


def test_numbers_may_be_texts(server: Inside) -> None:
    assert reserve(server, amount="7").body["granted"]["amount"] == 7


def test_a_key_asks_only_so_often(tmp_path: Any) -> None:
    with inside(f"sqlite:///{tmp_path}/a.db", rate=0.001, burst=5) as server:
        other = server.mint("other", ["read"])
        answers = [server.ask("/v1/accounts", {}, key=server.admin_key) for _ in range(7)]
        assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
        assert answers[-1].body["code"] == "rate_limited"
        assert int(answers[-1].headers["retry-after"]) > 100
        assert server.ask("/v1/accounts", {}, key=other).status == 200
        assert server.ask("/healthz").status == 200


def test_a_bucket_fills_up_again() -> None:
    now = 100.0
    rates = Rates(2.0, 2, clock=lambda: now)
    for _ in range(2):
        rates.take("a")
    with pytest.raises(RefusedError):
        rates.take("a")
    now += 0.5
    rates.take("a")
    with pytest.raises(RefusedError):
        rates.take("a")
    now += 1e6
    for _ in range(2):
        rates.take("a")
    with pytest.raises(RefusedError):
        rates.take("a")
