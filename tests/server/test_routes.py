"""Every route there is, against everybody who may come; the cases come from the app's own route table."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from starlette.routing import Route

from allowance.errors import ConfigurationError
from allowance.server.application import Application
from allowance.server.gate import Need
from allowance.server.settings import ServerSettings
from allowance.server.state import open_state
from allowance.stores.memory import MemoryStore
from tests.server.running import Inside, inside

KINDS = ("no key", "a wrong key", "a read key", "a spend key", "revoked", "expired", "wrong project")
REFUSED = {"no key", "a wrong key", "revoked", "expired"}
MAY = {
    Need.READ: {"a read key", "a spend key", "wrong project"},
    Need.SPEND: {"a spend key", "wrong project"},
    Need.ADMIN: set[str](),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    path = tmp_path_factory.mktemp("routes")
    with inside(f"sqlite:///{path}/a.db") as server:
        yield server


@pytest.fixture(scope="module")
def tokens(server: Inside) -> dict[str, str | None]:
    soon = time.time_ns() // 1000 + 300_000
    tokens: dict[str, str | None] = {
        "no key": None,
        "a wrong key": "alw_0123456789ab_" + "a" * 52 + "_00000000",
        "a read key": server.mint("reader", ["read"]),
        "a spend key": server.mint("spender", ["spend"]),
        "revoked": server.mint("gone", ["admin"]),
        "expired": server.mint("old", ["admin"], expires_at=soon),
        "wrong project": server.mint("elsewhere", ["spend"], projects=["elsewhere"]),
    }
    server.keys.revoke("gone", actor="test")
    while server.keys.check(tokens["expired"] or "") is not None:
        time.sleep(0.05)
    return tokens


def routes() -> list[tuple[str, str, Need]]:
    """All routes, by method and path, with what each needs: read from an application's table."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        state = open_state(f"sqlite:///{Path(folder)}/a.db")
        try:
            app = Application(MemoryStore(), state, ServerSettings(sweep_seconds=None))
        finally:
            state.close()
    found = []
    for route in app.router.routes:
        assert isinstance(route, Route)
        found += [
            (method, route.path, app.needs[route.path])
            for method in sorted(route.methods or {"GET"})
            if method != "HEAD"
        ]
    return found


ROUTES = routes()


def test_there_are_routes_of_every_need() -> None:
    assert {need for _, _, need in ROUTES} == set(Need)
    assert len(ROUTES) > 40
    assert [path for _, path, need in ROUTES if need is Need.OPEN] == [
        *("/v1/", "/healthz", "/readyz", "/openapi.json", "/docs")
    ]


@pytest.mark.parametrize("who", KINDS)
@pytest.mark.parametrize(("method", "path", "need"), ROUTES, ids=lambda value: str(value))
def test_a_route_lets_through_whom_it_may(
    server: Inside, tokens: dict[str, str | None], method: str, path: str, need: Need, who: str
) -> None:
    body = {} if method == "POST" else None
    at = path.replace("{user}", "cA~dXNlcg~eA~")
    answer = server.ask(at, body, key=tokens[who], method=method)
    assert answer.status < 500 or path == "/readyz", answer
    if need is Need.OPEN:
        assert answer.status == 200
        return
    if need is Need.PAGE:
        to_log_in = answer.headers.get("location", "").startswith("/login")
        harmless = path == "/login" or path.startswith("/static/")
        if who in REFUSED and not harmless:
            assert answer.status in (401, 403) or (answer.status == 303 and to_log_in), answer
        elif method == "POST" and not harmless:
            assert answer.status in (401, 403, 303), answer  # no form of the page's own
        return
    if who in REFUSED:
        assert (answer.status, answer.body["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    elif who not in MAY[need] or (path == "/metrics" and who == "wrong project"):  # all projects' figures
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
    else:
        assert answer.status in (200, 404, 422), answer


def test_an_admin_key_may_all(server: Inside) -> None:
    for method, path, need in ROUTES:
        if need in (Need.PAGE, Need.OPEN):
            continue
        body = {} if method == "POST" else None
        assert server.ask(path, body, key=server.admin_key).status in (200, 404, 422), path


def test_a_route_that_nobody_said_the_need_of_is_refused(server: Inside) -> None:
    app = server.app
    app.router.routes.append(Route("/unguarded", endpoint=lambda request: None))
    try:
        with pytest.raises(ConfigurationError, match="'/unguarded' has no need"):
            app.check()
        answer = server.ask("/unguarded", key=server.admin_key)
        assert answer.status == 500, answer
    finally:
        app.router.routes.pop()
    app.check()


def test_what_is_not_there_is_told_in_the_same_form(server: Inside) -> None:
    nowhere = server.ask("/v2/reserve", {})
    assert (nowhere.status, nowhere.body["code"]) == (404, "not_found")
    wrong = server.ask("/v1/reserve", method="GET")
    assert (wrong.status, wrong.body["code"]) == (405, "method_not_allowed")
    assert server.ask("/v1/reserve/", {}).status == 404
    assert server.ask("//v1/reserve", {}).status == 404


def test_answers_bear_what_keeps_browsers_safe(server: Inside) -> None:
    for path in ("/healthz", "/nothing", "/v1/", "/docs", "/", "/login"):
        headers = server.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "server" not in headers, path
        assert "access-control-allow-origin" not in headers, path


def test_docs_need_no_other_host(server: Inside) -> None:
    page = server.ask("/docs").body.decode()
    assert "http" + "s://" not in page
    assert "<script" not in page
    assert "POST /v1/reserve" in page


def test_an_error_that_nobody_foresaw_says_nothing_but_an_id(
    server: Inside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(server.app.doing.store, "account", broken)
    answer = server.ask("/v1/account", {"key": ["p", "user", "a"]}, key=server.admin_key)
    assert (answer.status, answer.body["code"]) == (500, "internal")
    assert "hunter2" not in str(answer)
    assert answer.body["incident"] in caplog.text
