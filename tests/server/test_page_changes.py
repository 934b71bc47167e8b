"""What an operator does on the page: limits, top-ups, resets, holds, keys; and what is written down of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from allowance.ledger.records import Account, AccountKey, Declaration
from allowance.server.key import Scope
from allowance.server.page.listing import packed
from tests.server.browser import USD, World, csrf_of, hold, log_in, spend, world

USER = AccountKey("shop", "user", "alicia")
PAGE = f"/budgets/{packed(USER)}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.store.define(USER, Declaration(limit=5 * USD, duration="monthly", creates=True))
        spend(made.store, USER, 2 * USD, "gpt-4o", "call")
        yield made


def send(client: httpx.Client, path: str = PAGE, at: str = "", **fields: str) -> httpx.Response:
    """Send one of a page's forms."""
    form = client.get(at or path)
    return client.post(path, data={"csrf": csrf_of(form), **fields})


def account(site: World, key: AccountKey = USER) -> Account:
    found = site.store.account(key)
    assert found is not None
    return found


def told(site: World) -> list[tuple[str, str, Any, Any]]:
    """The audit log, but for the keys that the world began with."""
    admin = next(key.key_id for key in site.keys.listed() if key.name == "admin")
    lines = [line for line in site.state.audit_lines() if line.actor == admin]
    return [(line.action, line.target, line.before, line.after) for line in lines]


def test_a_limit_is_set_and_who_did_it_is_written_down(site: World) -> None:
    with site.client("admin") as client:
        answer = send(client, deed="terms", label="", limit="$1,250.5", duration="weekly")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?done=terms")
        assert "The new terms are in force" in client.get(answer.headers["location"]).text
        assert (account(site).terms.limit, account(site).terms.duration) == (1_250_500_000_000, "weekly")
        assert account(site).spent == 2 * USD  # R9
        ((action, target, before, after),) = told(site)
        assert (action, target) == ("budget.define", "user alicia")
        assert (before["terms"]["limit"], after["terms"]["limit"]) == (5 * USD, 1_250_500_000_000)
        line = client.get("/audit").text
        assert "<del><bdi>$5.00</bdi></del> <ins><bdi>$1,250.50</bdi></ins>" in line
        assert ">admin</bdi>" in line  # the key's name, not its id alone
        send(client, deed="terms", label="", limit="", duration="")
        assert (account(site).terms.limit, account(site).terms.duration) == (None, None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"deed": "terms", "limit": "-1", "duration": ""}, "such as 5 or 0.25, not &#39;-1&#39;"),
        ({"deed": "terms", "limit": "1e9", "duration": ""}, "US dollars"),
        ({"deed": "terms", "limit": "9999999999", "duration": ""}, "1,000,000,000"),
        ({"deed": "terms", "limit": "5", "duration": "fortnightly"}, "is no duration"),
        ({"deed": "topup", "amount": "0"}, "above zero"),
        ({"deed": "topup", "amount": "NaN"}, "such as 5 or 0.25"),
        ({"deed": "remove"}, "tick the box"),
        ({"deed": "unheard-of"}, "not known here"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(site: World, fields: dict[str, str], words: str) -> None:
    with site.client("admin") as client:
        before = account(site)
        answer = send(client, label="", **fields)
        assert answer.status_code == 422
        assert words in answer.text
        typed = fields.get("limit") or fields.get("amount") or ""
        assert f'value="{typed}"' in answer.text  # what was typed is still there to mend
        assert account(site)._replace(version=0) == before._replace(version=0)
        assert told(site) == []


def test_a_top_up_that_is_sent_twice_counts_once(site: World) -> None:
    with site.client("admin") as client:
        page = client.get(PAGE)
        once = re.search(r'name="once" value="([0-9a-f]{32})"', page.text)
        assert once is not None
        form = {"csrf": csrf_of(page), "deed": "topup", "label": "", "amount": "3", "once": once[1]}
        for _ in range(2):
            assert client.post(PAGE, data={**form, "reason": "asked nicely"}).status_code == 303
        assert account(site).limit == 8 * USD
        assert "asked nicely" in client.get(PAGE).text


def test_a_reset_takes_back_what_was_spent_and_keeps_the_lines(site: World) -> None:
    with site.client("admin") as client:
        assert send(client, deed="reset", label="", reason="new month").status_code == 303
        assert account(site).spent == 0
        text = client.get(PAGE).text
        assert "new month" in text
        assert "$2.00" in text
    assert site.store.audit() == []


def test_a_budget_of_a_label_is_changed_and_the_main_one_is_not(site: World) -> None:
    key = USER._replace(label="gpt-4o*")
    site.store.define(key, Declaration(limit=USD, duration="daily", models=("gpt-4o*",), creates=True))
    with site.client("admin") as client:
        send(client, deed="terms", label="gpt-4o*", limit="2", duration="daily")
        assert account(site, key).terms.limit == 2 * USD
        assert account(site, key).terms.models == ("gpt-4o*",)
        assert account(site).terms.limit == 5 * USD
        answer = send(client, deed="terms", label="made up", limit="2", duration="daily")
        assert answer.status_code == 404
        send(client, deed="remove", label="gpt-4o*", sure="yes")
        assert [one.key for one in site.store.family(USER)] == [USER]


def test_a_user_is_removed_and_the_sums_stay(site: World) -> None:
    with site.client("admin") as client:
        answer = send(client, deed="remove", label="", sure="yes")
        assert answer.headers["location"].startswith("/budgets?removed=1")
        assert client.get(PAGE).status_code == 404
        assert "$2.00" in client.get("/").text


def test_a_hold_is_released(site: World) -> None:
    hold(site.store, USER, USD, "a hold/with <odd> id")
    with site.client("admin") as client:
        assert "a hold/with &lt;odd&gt; id" in client.get("/holds").text
        answer = send(client, "/holds/release", at="/holds", hold="a hold/with <odd> id")
        assert answer.headers["location"] == "/holds?done=release"
        assert account(site).held == 0
        assert told(site)[0][:2] == ("hold.release", "a hold/with <odd> id")
        answer = send(client, "/holds/release", at="/holds", hold="none such")
        assert answer.status_code == 422


def test_a_budget_is_made(site: World) -> None:
    with site.client("admin") as client:
        made = AccountKey("shop", "team", "réd")
        fields = {"name": "réd", "kind": "team", "project": "shop", "limit": "7", "duration": "monthly"}
        answer = send(client, "/budgets/new", **fields, align="calendar")
        assert answer.headers["location"] == f"/budgets/{packed(made)}?done=made"
        assert account(site, made).terms.align == "calendar"
        for name in ("", "x" * 129, "a\x00b"):
            assert send(client, "/budgets/new", **{**fields, "name": name}).status_code == 422
        answer = send(client, "/budgets/new", **{**fields, "project": "(keys)", "kind": "key"})
        assert answer.status_code == 422


def test_a_key_is_made_shown_once_rotated_and_revoked(site: World) -> None:
    with site.client("admin") as client:
        fields = {"name": "app", "scope": "spend", "projects": "shop, red", "days": "30", "limit": "10"}
        answer = send(client, "/keys", deed="mint", **fields, duration="monthly")
        shown = re.search(r'id="token">(alw_[^<]+)<', answer.text)
        assert shown is not None
        key = site.keys.check(shown[1])
        assert key is not None
        assert (key.scopes, key.projects) == (frozenset({Scope.SPEND}), frozenset({"shop", "red"}))
        assert key.budgeted
        assert key.expires_at is not None
        assert account(site, AccountKey("(keys)", "key", "app")).limit == 10 * USD
        assert "alw_" not in client.get("/keys").text
        answer = send(client, "/keys", deed="rotate", name="app")
        anew = re.search(r'id="token">(alw_[^<]+)<', answer.text)
        assert anew is not None
        assert anew[1] != shown[1]
        rotated = site.keys.check(anew[1])
        assert rotated is not None
        assert send(client, "/keys", deed="revoke", id=rotated.key_id).status_code == 303
        assert site.keys.check(anew[1]) is None
        assert [line[0] for line in told(site)] == ["key.revoke", "key.rotate", "key.add"]
        for text in (client.get("/audit").text, client.get("/keys").text):
            assert shown[1] not in text
            assert shown[1].split("_")[2] not in text


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "scope": "read"},
        {"name": "n", "scope": "root"},
        {"name": "n", "scope": "read", "days": "soon"},
        {"name": "n", "scope": "read", "limit": "much"},
        {"name": "n", "scope": "read", "duration": "daily"},
        {"name": "reader", "scope": "read"},
    ],
)
def test_a_key_that_cannot_be_is_not_made(site: World, fields: dict[str, str]) -> None:
    with site.client("admin") as client:
        answer = send(client, "/keys", deed="mint", **fields)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert "alw_" not in answer.text
        assert len(site.keys.listed()) == 3


def test_logging_out_takes_the_cookie_away(site: World) -> None:
    with site.client("admin") as client:
        answer = send(client, "/logout", at="/")
        assert answer.status_code == 303
        assert "allowance" not in client.cookies
        assert client.get("/").status_code == 303
        assert log_in(client, site.tokens["admin"]).status_code == 303


def test_a_store_that_is_away_is_said_so(site: World) -> None:
    with site.client("admin") as client:
        site.store.close()
        answer = client.get("/budgets")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert "was closed" in answer.text
        assert "Traceback" not in answer.text
