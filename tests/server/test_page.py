"""The page over HTTP: who gets in, who sees what, and what every answer bears."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from allowance.ledger.records import AccountKey, Declaration
from allowance.server.key import Scope, key_account
from allowance.server.keys import Keys
from allowance.server.page import OPEN, ROUTES
from allowance.server.page.attempts import Attempts
from allowance.server.page.listing import packed
from allowance.server.page.sessions import IDLE, LONGEST, MOST, Sessions
from allowance.server.state import State, schema
from tests.server.browser import USD, World, csrf_of, hold, log_in, spend, world

ALICE = AccountKey("shop", "user", "alicia")
BOB = AccountKey("red", "user", "bob")
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("page")) as made:
        for key in (ALICE, BOB):
            made.store.define(key, Declaration(limit=5 * USD, duration="monthly", creates=True))
            spend(made.store, key, USD, "gpt-4o", f"call of {key.name}")
            hold(made.store, key, USD // 2, f"hold-of-{key.name}")
        yield made


def paths() -> list[tuple[str, str, Scope]]:
    """Every route that needs a key, with an address that is there."""
    return [(route.method, route.path.replace("{user}", packed(ALICE)), route.scope) for route in ROUTES]


@pytest.mark.parametrize(("method", "path", "scope"), paths(), ids=lambda value: str(value)[:30])
def test_no_route_answers_without_a_key(site: World, method: str, path: str, scope: Scope) -> None:
    with site.client() as client:
        answer = client.request(method, path, data={"csrf": "0" * 64} if method == "POST" else None)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
        assert "alicia" not in answer.text
        # A program is told in its own words.
        answer = client.request(method, path, headers={"accept": "*/*"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path", "scope"), paths(), ids=lambda value: str(value)[:30])
def test_a_read_key_reads_and_changes_nothing(site: World, method: str, path: str, scope: Scope) -> None:
    with site.client("reader") as client:
        form = {"csrf": csrf_of(client.get("/")), "deed": "reset"}
        before = site.store.account(ALICE)
        answer = client.request(method, path, data=form if method == "POST" else None)
        wanted = 403 if scope is Scope.ADMIN else 303 if path == "/logout" else 200
        assert answer.status_code == wanted, answer.text[:500]
        after = site.store.account(ALICE)
        assert before is not None
        assert after is not None
        assert (before.spent, before.terms) == (
            after.spent,
            after.terms,
        )


@pytest.mark.parametrize("path", [path for method, path, _ in paths() if method == "POST"])
@pytest.mark.parametrize("token", ["", "0" * 64, "another's", "ünïcode"])
def test_a_form_of_another_site_changes_nothing(site: World, path: str, token: str) -> None:
    if token == "another's":
        with site.client("admin") as other:
            token = csrf_of(other.get("/"))
    with site.client("admin") as client:
        answer = client.post(path, data={"csrf": token, "deed": "reset", "hold": "hold-of-alicia"})
        assert answer.status_code == 403
        answer = client.post(
            path, data={"csrf": csrf_of(client.get("/"))}, headers={"sec-fetch-site": "cross-site"}
        )
        assert answer.status_code == 403
    account = site.store.account(ALICE)
    assert account is not None
    assert (account.spent, account.held) == (USD, USD // 2)


def test_a_key_in_the_header_reads_but_posts_nothing(site: World) -> None:
    headers = {"authorization": f"Bearer {site.tokens['admin']}", "accept": "*/*"}
    with httpx.Client(base_url=site.url, headers=headers) as client:
        assert '"name": "alicia"' in client.get("/export/budgets.json").text
        assert client.post(f"/budgets/{packed(ALICE)}", data={"deed": "reset"}).status_code == 401
        client.headers["authorization"] = f"Bearer {site.tokens['admin'][:-1]}x"
        assert client.get("/export/budgets.json").status_code == 401


def test_the_session_is_kept_from_scripts_and_other_sites(site: World) -> None:
    with site.client() as client:
        answer = log_in(client, site.tokens["admin"], "/holds?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/holds?x=1")
        cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("allowance="))
        for word in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={IDLE}"):
            assert word in cookie
        assert "Secure" not in cookie
        secret = site.tokens["admin"].split("_")[2]
        assert secret not in cookie
        assert secret not in answer.text + client.get("/").text


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nx: y", ""],
)
def test_the_login_leads_to_no_other_site(site: World, path: str) -> None:
    with site.client() as client:
        assert log_in(client, site.tokens["reader"], path).headers["location"] == "/"


def test_a_changed_cookie_is_nobodys(site: World) -> None:
    with site.client("reader") as client:
        good = client.cookies["allowance"]
        assert client.get("/", headers={"cookie": f"allowance={good}"}).status_code == 200
        kept = hashlib.sha256(good.encode()).hexdigest()
        for bad in (
            kept,
            good[:-1] + ("0" if good[-1] != "0" else "1"),
            good.upper(),
            good + "0",
            "",
            "." * 99,
        ):
            client.cookies.clear()
            assert client.get("/", headers={"cookie": f"allowance={bad}"}).status_code == 303


def test_a_session_ends_when_nobody_is_there_and_at_last_in_any_case(state: State) -> None:
    second = 1_000_000
    now = [10**15]
    sessions = Sessions(state.database, clock=lambda _: now[0])
    session = sessions.begin("key")
    assert sessions.load(session.word) == session
    assert not sessions.renew(session)
    assert session.word not in repr(session)
    now[0] += IDLE * second - 1
    assert Sessions(state.database, clock=lambda _: now[0]).load(session.word) == session
    now[0] += 1
    assert sessions.load(session.word) is None
    now[0] -= 1
    while sessions.load(session.word) is not None:
        assert now[0] < session.began + LONGEST * second
        assert sessions.renew(session)
        now[0] += IDLE * second - 1
    assert now[0] >= session.began + LONGEST * second


def test_sessions_are_kept_as_hashes_and_not_for_good(state: State) -> None:
    now = [10**15]
    sessions = Sessions(state.database, clock=lambda _: now[0])
    other = sessions.begin("other")
    words = []
    for _ in range(MOST + 5):
        now[0] += 1
        words.append(sessions.begin("key").word)
    assert [sessions.load(word) is not None for word in words] == 5 * [False] + MOST * [True]
    assert sessions.load(other.word) is not None
    with state.database.read() as connection:
        kept = repr(connection.execute(schema.session.select()).all())
    assert not any(word in kept for word in words)
    now[0] += IDLE * 1_000_000
    last = sessions.begin("key")
    with state.database.read() as connection:
        assert len(connection.execute(schema.session.select()).all()) == 1
    sessions.end(last)
    assert sessions.load(last.word) is None


def test_a_copy_of_the_database_opens_no_session(site: World) -> None:
    """They were signed with a secret that stands in the database as it is."""
    admin = next(key.key_id for key in site.keys.listed() if key.name == "admin")
    with site.client("admin"), site.state.database.read() as connection:
        words = [row.hash.hex() for row in connection.execute(schema.session.select())]
        secrets = [bytes(row.value) for row in connection.execute(schema.secret.select())]
    assert words
    now = int(time.time())
    text = f"{admin}.{now}.{now}.{'0' * 32}"
    signed = [hmac.new(secret, f"session:{text}".encode(), hashlib.sha256) for secret in secrets]
    words += [f"{text}.{signature.hexdigest()}" for signature in signed]
    with site.client() as client:
        for word in words:
            assert client.get("/", headers={"cookie": f"allowance={word}"}).status_code == 303


def test_a_cookie_that_was_copied_is_nobodys_after_the_logout(site: World) -> None:
    with site.client("admin") as client:
        cookie = {"cookie": f"allowance={client.cookies['allowance']}"}
        form = {"csrf": csrf_of(client.get("/"))}
        assert client.post("/logout", data=form).status_code == 303
        client.cookies.clear()
        assert client.get("/", headers=cookie).status_code == 303


def test_a_revoked_key_is_out_at_once_and_its_session_with_it(site: World) -> None:
    key, token = site.keys.mint("leaver", [Scope.ADMIN], actor="test")
    site.tokens["leaver"] = token
    with site.client("leaver") as client:
        assert client.get("/").status_code == 200
        site.keys.revoke(key.key_id, actor="test")
        assert client.get("/").headers["location"] == "/login"
        answer = log_in(client, token)
        assert answer.status_code == 401
        assert "not good" in answer.text
        assert token not in answer.text


def test_a_key_that_another_server_revoked_is_out_within_moments(site: World) -> None:
    key, site.tokens["goner"] = site.keys.mint("goner", [Scope.READ], actor="test")
    with site.client("goner") as client:
        assert client.get("/").status_code == 200
        Keys(site.state).revoke(key.key_id, actor="another server")
        until = time.monotonic() + 30
        while client.get("/").status_code == 200:
            assert time.monotonic() < until
        assert client.get("/").headers["location"] == "/login"


def test_over_tls_no_other_host_can_set_the_cookie(tmp_path: Path) -> None:
    with world(tmp_path, over_tls=True) as made, made.client() as client:
        answer = log_in(client, made.tokens["reader"])
        assert answer.status_code == 403  # httpx, as a browser, sends no Secure cookie over http
        cookie = answer.headers["set-cookie"]
        assert "Secure" in cookie
        nonce = re.search(r"allowance_login=([0-9a-f]{32})", cookie)
        assert nonce is not None
        answer = client.post(
            "/login",
            data={"key": made.tokens["reader"], "csrf": csrf_of(answer)},
            headers={"cookie": nonce[0]},
        )
        assert answer.status_code == 303
        assert re.search(
            r"__Host-allowance=.*; Path=/; SameSite=strict; Secure", answer.headers["set-cookie"]
        )


def test_keys_are_not_tried_without_end(site: World) -> None:
    now = [0.0]
    attempts = Attempts(clock=lambda: now[0])
    for _ in range(10):
        assert attempts.wait("1.2.3.4") == 0
        attempts.failed("1.2.3.4")
    assert attempts.wait("1.2.3.4") == 61
    assert attempts.wait("5.6.7.8") == 0
    now[0] = 61.0
    assert attempts.wait("1.2.3.4") == 0
    for number in range(300):
        attempts.failed(str(number))
    assert attempts.wait("9.9.9.9") > 0
    for number in range(20_000):
        attempts.failed(str(number))
    assert len(attempts._failed) <= 10_001


def test_the_login_says_when_to_come_back(tmp_path: Path) -> None:
    with world(tmp_path) as made, made.client() as client:
        for _ in range(10):
            assert log_in(client, "alw_wrong").status_code == 401
        answer = log_in(client, made.tokens["admin"])
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 61
        assert client.post("/login", data={"key": made.tokens["admin"]}).status_code == 403  # no form of ours


@pytest.mark.parametrize("path", ["/", "/login", "/budgets/abc", "/keys", "/budgets?after=%00%ff&q=%00"])
def test_every_answer_is_sealed(site: World, path: str) -> None:
    with site.client("admin") as client:
        answer = client.get(path)
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", answer.text)
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", answer.text)


def test_static_files_are_kept_for_good_under_a_name_of_their_content(site: World) -> None:
    with site.client() as client:
        css = re.search(r"/static/page\.[0-9a-f]{16}\.css", client.get("/login").text)
        assert css is not None
        answer = client.get(css[0])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/css")
        assert "url(" not in answer.text
        assert "@import" not in answer.text
        assert client.get("/static/../words.py").status_code == 404
        assert client.get("/static/page.css").status_code == 404


def test_a_key_bound_to_a_project_sees_no_other(site: World) -> None:
    with site.client("red") as client:
        ours = ("/", "/?project=shop", "/budgets", "/budgets?project=shop", "/holds", "/refusals")
        for path in (*ours, "/export/budgets.csv", "/export/budgets.json", "/audit"):
            text = client.get(path).text
            assert not re.search("alicia|shop", text.replace("project=shop", "")), path
        assert "bob" in client.get("/budgets").text
        assert "hold-of-bob" in client.get("/holds").text
        # Another project's user, and one that is not there, are answered alike.
        foreign = client.get(f"/budgets/{packed(ALICE)}")
        unknown = client.get(f"/budgets/{packed(ALICE._replace(name='nobody'))}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace("alicia", "nobody")[:1500] == unknown.text[:1500]
        form = {"csrf": csrf_of(client.get("/"))}
        answer = client.post(f"/budgets/{packed(ALICE)}", data={**form, "deed": "reset"})
        assert answer.status_code == 404
        answer = client.post("/holds/release", data={**form, "hold": "hold-of-alicia"})
        assert answer.status_code == 422
        answer = client.post("/budgets/new", data={**form, "project": "shop", "name": "eve", "limit": "1"})
        assert answer.status_code == 404
        assert site.store.account(ALICE._replace(name="eve")) is None
        # It could hand out more than it has.
        assert client.get("/keys").status_code == 403
        answer = client.post("/keys", data={**form, "deed": "mint", "name": "mine", "scope": "admin"})
        assert answer.status_code == 403
        assert "mine" not in {key.name for key in site.keys.listed()}
    hold_of_alice = site.store.hold("hold-of-alicia")
    assert hold_of_alice is not None
    assert hold_of_alice.state == "held"


def test_a_form_that_is_too_large_is_not_read(site: World) -> None:
    with site.client("admin") as client:
        answer = client.post("/keys", data={"csrf": "x" * 70_000})
        assert answer.status_code == 413
        assert (
            client.post("/keys", content=b"\xff\xfe&&&=%ff", headers={"content-type": "x"}).status_code == 403
        )


def test_every_route_is_one_of_the_table(site: World) -> None:
    """So that a route without a guard does not come in by another way."""
    from allowance.server.page import page_router
    from allowance.server.settings import ServerSettings

    router = page_router(site.store, site.keys, site.state, ServerSettings())
    made = {(method, route.path) for route in router.routes for method in route.methods if method != "HEAD"}  # type: ignore[attr-defined]
    table = {(route.method, route.path) for route in ROUTES} | {(method, path) for method, path, _ in OPEN}
    assert {one for one in made - table if not one[1].startswith("/static/")} == set()


def test_many_look_at_once(site: World) -> None:
    failed: list[str] = []

    def look() -> None:
        with site.client("reader") as client:
            for path in ("/", "/budgets", "/holds", f"/budgets/{packed(ALICE)}"):
                answer = client.get(path)
                if answer.status_code != 200:
                    failed.append(answer.text)

    threads = [threading.Thread(target=look) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_the_budgets_of_keys_are_there_for_who_sees_all_and_for_nobody_else(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.keys.mint("tenant", [Scope.SPEND], limit=5 * USD, actor="test")
        own = key_account("tenant")
        hold(made.store, own, USD, "hold-of-the-key")
        made.state.refused(*own, "gpt-4o", USD, 0, USD, time.time_ns() // 1_000)
        for who, there in (("reader", False), ("red", False), ("admin", True)):
            with made.client(who) as client:
                for path in ("/", "/budgets", "/export/budgets.json", "/export/budgets.csv", "/refusals"):
                    assert ("tenant" in client.get(path).text) is there, (who, path)
                assert ("hold-of-the-key" in client.get("/holds").text) is there
                assert client.get(f"/budgets/{packed(own)}").status_code == (200 if there else 404)
                for path in ("/budgets", "/export/budgets.json", "/"):
                    asked = client.get(path, params={"project": own.project})
                    assert ("tenant" in asked.text) is there, (who, path)


def test_an_operator_is_not_told_of_other_projects(site: World) -> None:
    unknown = AccountKey("red", "user", "alicia")
    with site.client("red") as client:
        form = {"csrf": csrf_of(client.get("/")), "deed": "topup", "amount": "1"}
        answer = client.post(f"/budgets/{packed(unknown)}", data=form)
        assert answer.status_code == 404
        assert "shop" not in answer.text


@pytest.mark.parametrize("host", ["[", "evil.example/x?y", "a b"])
def test_a_host_that_is_none_changes_no_answer(site: World, host: str) -> None:
    with site.client() as client:
        answer = client.get("/holds?x=1", headers={"host": host})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fholds%3Fx%3D1")
    with site.client("reader") as client:
        for path in ("/", "/export/budgets.json"):
            assert client.get(path, headers={"host": host}).status_code == 200
