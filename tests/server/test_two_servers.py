"""Two servers on one PostgreSQL: what is changed through one holds at the other within a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.postgres import fresh_database, needs_postgres
from tests.server.running import Running, running

DOLLAR = 1_000_000_000


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Running, Running]]:
    with fresh_database() as url, running(url) as one, running(url) as other:
        yield one, other


def seen(asked: Callable[[], bool]) -> None:
    """Ask until it is seen: no request that was begun a second after the change may still miss it.

    What is timed is when requests begin, not how long they take, so a busy machine fails nothing.
    """
    changed = time.monotonic()
    while True:
        began = time.monotonic() - changed
        if asked():
            return
        assert began < 1, f"a request that was begun {began:.2f} seconds after the change missed it"
        time.sleep(0.01)


def reserve(server: Running, key: str, hold_id: str, user: str, amount: int) -> bool:
    """Whether it was granted."""
    scope = {"key": ["app", "user", user]}
    body = {"hold_id": hold_id, "scopes": [scope], "amount": amount, "ttl": 10**9}
    answer = server.ask("/v1/reserve", body, key=key)
    assert answer.status == 200, answer
    assert ("granted" in answer.body) != ("denied" in answer.body)
    return "granted" in answer.body


def define(server: Running, user: str, limit: int) -> None:
    body = {"key": ["app", "user", user], "terms": {"limit": limit, "creates": True}}
    answer = server.ask("/v1/define", body, key=server.admin_key)
    assert answer.status == 200, answer


def status(server: Running, key: str) -> int:
    return server.ask("/v1/accounts", {}, key=key).status


@needs_postgres
def test_a_key_made_or_revoked_through_one_is_so_at_the_other(servers: tuple[Running, Running]) -> None:
    one, other = servers
    key = one.mint("program", ["spend"])
    seen(lambda: status(other, key) == 200)
    body = {"name": "program"}
    assert one.ask("/v1/keys/revoke", body, key=one.admin_key).status == 200
    seen(lambda: status(other, key) == 401)
    assert status(one, key) == status(other, key) == 401


@needs_postgres
def test_r9_a_limit_that_is_changed_through_one_holds_at_the_other(servers: tuple[Running, Running]) -> None:
    one, other = servers
    key = one.mint("limits", ["spend"])
    define(one, "lee", 1 * DOLLAR)
    seen(lambda: status(other, key) == 200)
    assert reserve(other, key, "lee-1", "lee", DOLLAR)
    assert not reserve(other, key, "lee-2", "lee", DOLLAR)
    define(one, "lee", 2 * DOLLAR)
    seen(lambda: reserve(other, key, "lee-3", "lee", DOLLAR))
    define(one, "lee", 0)
    numbers = iter(range(10**6))
    seen(lambda: not reserve(other, key, f"lee-less-{next(numbers)}", "lee", 1))


@needs_postgres
def test_r2_a_reset_through_one_is_one_at_the_other(servers: tuple[Running, Running]) -> None:
    one, other = servers
    key = one.mint("resets", ["spend"])
    define(one, "kim", DOLLAR)
    seen(lambda: status(other, key) == 200)
    assert reserve(other, key, "kim-1", "kim", DOLLAR)
    assert other.ask("/v1/settle", {"hold_id": "kim-1", "amount": DOLLAR}, key=key).status == 200
    assert not reserve(other, key, "kim-2", "kim", DOLLAR)
    reset = {"key": ["app", "user", "kim"], "amount": None, "reason": "a new start", "adjustment_id": "new"}
    for server in (one, other):  # the second one is the same request, sent again elsewhere: it counts once
        answer = server.ask("/v1/adjust", reset, key=one.admin_key)
        assert answer.status == 200, answer
    seen(lambda: reserve(other, key, "kim-3", "kim", DOLLAR))
    assert not reserve(one, key, "kim-4", "kim", 1), "what is held through the other is held at this one"
