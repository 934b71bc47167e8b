"""What is PostgreSQL's own: batches, addresses, roles, versions, and what cannot be kept."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from allowance.errors import (
    ConfigurationError,
    HoldConflictError,
    StoreCorruptError,
    StoreUnavailableError,
    UnknownUserError,
)
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Grant, Posting, Scope, Settlement
from allowance.stores.base import Batching, Store
from allowance.stores.contract.bench import ALICE, BOB, DAY, GPT, MINUTE, START, TEAM, ManualClock, budget
from allowance.stores.postgres import PostgresStore, sql
from allowance.stores.postgres.locks import stripe_of
from allowance.stores.postgres.schema import VERSION, prepare
from tests.postgres import emptied, fresh_database, needs_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAR = Declaration(limit=10**12, creates=True)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(database: str, clock: ManualClock) -> Iterator[PostgresStore]:
    with psycopg.connect(database, autocommit=True) as server:
        emptied(server)
    with closing(PostgresStore(database, clock=clock)) as opened:
        yield opened
        assert opened.audit() == []


def ask(hold_id: str, *scopes: Scope, amount: int = 10, **more: Any) -> Ask:
    return Ask(hold_id, scopes or (budget(),), amount, amount, amount, amount, True, 15 * MINUTE)._replace(
        **more
    )


def count_slow(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of what is done by the verbs from now on."""
    slow: list[str] = []
    real = store._calls._by_the_verbs

    def counted(operations: Any) -> Any:
        slow.extend(operation.hold_id for operation in operations)
        return real(operations)

    monkeypatch.setattr(store._calls, "_by_the_verbs", counted)
    return slow


@needs_postgres
def test_it_is_a_store_and_does_batches(store: PostgresStore) -> None:
    assert isinstance(store, Store)
    assert isinstance(store, Batching)
    assert store.many([]) == []


@needs_postgres
def test_the_common_case_is_one_round_trip(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.define(GPT, Declaration(limit=50, creates=True, models=("gpt-*",)))
    store.reserve(ask("first", budget(), budget(TEAM)))
    slow = count_slow(store, monkeypatch)
    asked: list[Any] = []
    real = store._engine.ask

    def counted(statement: Any, values: Any, **more: Any) -> Any:
        asked.append(statement)
        return real(statement, values, **more)

    monkeypatch.setattr(store._engine, "ask", counted)
    for number, model in enumerate(("gpt-4o", "claude", None)):
        granted = store.reserve(ask(f"h{number}", budget(), budget(TEAM), model=model))
        assert isinstance(granted, Grant)
        settled = store.settle(Posting(f"h{number}", 7, model=model))
        assert [account.key for account in settled.accounts] == [account.key for account in granted.accounts]
    assert isinstance(store.reserve(ask("big", amount=101)), Denial)
    assert (slow, len(asked)) == ([], 7)


@needs_postgres
def test_r9_what_code_declares_is_known_after_it_was_seen_once(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reserve(ask("a", budget(limit=100, duration="daily")))
    slow = count_slow(store, monkeypatch)
    part = Scope(
        ALICE, Declaration(limit=100, creates=True)
    )  # says less than what was declared, and nothing new
    for number in range(3):
        store.reserve(ask(f"p{number}", part))
    assert slow in ([], ["p0"])
    slow.clear()
    store.reserve(ask("b", budget(limit=200, duration="daily")))
    store.reserve(ask("c", budget(limit=200, duration="daily")))
    assert slow == ["b"]
    account = store.account(ALICE)
    assert account is not None
    assert account.limit == 200


@needs_postgres
def test_many_are_done_in_their_order_each_for_itself(store: PostgresStore) -> None:
    store.define(BOB, Declaration(limit=100, creates=True))
    outcomes = store.many(
        [
            ask("a", amount=60),  # first sight
            ask("b", amount=60),  # does not fit beside it
            ask("c", Scope(BOB), amount=90),
            Posting("c", 20),
            ask("d", Scope(BOB), amount=80),  # fits for that reason alone
            Posting("nothing", 5),
            ask("a", amount=61),
            Posting("d", -1),
            ask("e", Scope(TEAM), amount=1),
            ask("f", amount=60, replacing="a"),
        ]
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[:5] == [Grant, Denial, Grant, Settlement, Grant]
    assert kinds[5:] == [UnknownUserError, HoldConflictError, ConfigurationError, UnknownUserError, Grant]
    figures = {key: store.account(key) for key in (ALICE, BOB)}
    assert [(a.spent, a.held) for a in figures.values() if a is not None] == [(0, 60), (20, 80)]


@needs_postgres
def test_what_waits_for_a_slow_one_is_done_after_it(store: PostgresStore, clock: ManualClock) -> None:
    store.define(ALICE, Declaration(limit=100, creates=True))
    store.define(BOB, Declaration(limit=100, creates=True))
    store.reserve(ask("outer", Scope(ALICE), amount=100))
    outcomes = store.many(
        [
            ask("inner", Scope(ALICE), Scope(BOB), amount=10, replacing="outer"),  # slow
            ask("alice", Scope(ALICE), amount=90),  # fits once that is done, not before
            ask("bob", Scope(BOB), amount=91),  # and this one does not fit any more
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [Grant, Grant, Denial]


@needs_postgres
def test_r4_a_settle_that_waited_while_its_budget_was_removed_takes_the_new_lock(
    store: PostgresStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reserve(ask("a"))
    slow = count_slow(store, monkeypatch)
    settled: list[int] = []
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as server:
        other.execute("SELECT pg_advisory_xact_lock(1634496375, stripe) FROM allowance.account")
        waiting = threading.Thread(target=lambda: settled.append(store.settle(Posting("a", 5)).posted))
        waiting.start()
        while not server.execute(
            "SELECT FROM pg_locks WHERE NOT granted AND classid = 1634496375"
        ).fetchall():
            time.sleep(0.01)
        grave = ALICE._replace(kind="deleted", label="user")
        moved = "UPDATE allowance.account SET kind = 'deleted', label = 'user', stripe = %s"
        other.execute(moved, [stripe_of(grave)])
        other.commit()
        waiting.join()
    assert (slow, settled) == (["a"], [5])


@needs_postgres
def test_one_that_cannot_be_kept_does_not_cost_the_others(store: PostgresStore) -> None:
    store.define(BOB, Declaration(limit=100, creates=True))
    bad = [Scope(ALICE._replace(name=name), FAR) for name in ("nul\0", "half \ud800")]
    outcomes = store.many(
        [
            ask("a", Scope(BOB)),
            ask("b", bad[0]),
            ask("c", bad[1]),
            ask("d\0", Scope(BOB)),
            ask("e", Scope(BOB)),
        ]
    )
    wanted = [Grant, ConfigurationError, ConfigurationError, ConfigurationError, Grant]
    assert [type(outcome) for outcome in outcomes] == wanted
    for scope in bad:
        with pytest.raises(ConfigurationError):
            store.define(scope.key, FAR)
    assert [account.key for account in store.accounts()] == [BOB]


@needs_postgres
def test_r5_what_a_text_cannot_be_kept_as_never_costs_the_entry(store: PostgresStore) -> None:
    store.reserve(ask("a"))
    store.settle(Posting("a", 5, model="m\0\ud800", reason="r\0", tags=("t\0\ud800",)))
    store.settle(Posting("b", 5, (Scope(ALICE),), model="m\0\ud800", reason="r\0", tags=("t\0\ud800",)))
    for entry in store.entries(ALICE):
        assert (entry.model, entry.reason, entry.tags) == ("m\ufffd?", "r\ufffd", ("t\0\ud800",))


@needs_postgres
def test_batches_larger_than_a_transaction(store: PostgresStore) -> None:
    keys = [AccountKey("app", "user", f"u{number}") for number in range(300)]
    asks = [ask(f"h{number}", Scope(key, FAR)) for number, key in enumerate(keys)]
    assert all(isinstance(outcome, Grant) for outcome in store.many(asks))
    assert all(
        isinstance(outcome, Settlement) for outcome in store.many([Posting(a.hold_id, 3) for a in asks])
    )
    assert sum(account.spent for account in store.accounts()) == 900


# -- R15, and reading on ------------------------------------------------------------------------------


@needs_postgres
def test_r15_no_transaction_sees_an_account_earlier_than_the_last_one_did(
    store: PostgresStore, database: str, clock: ManualClock
) -> None:
    """The mark for all may be lowered by a race; then the account's own one tells."""
    store.reserve(ask("a", budget(duration="daily")))
    clock.advance(DAY)
    store.reserve(ask("b", budget(duration="daily")))
    with psycopg.connect(database, autocommit=True) as server:
        server.execute("SELECT setval('allowance.clock', 0)")
    clock.advance(-DAY)
    granted = store.reserve(ask("c", budget(duration="daily")))
    assert isinstance(granted, Grant)
    assert granted.expires_at == START + DAY + 15 * MINUTE
    assert granted.accounts[0].window_start == START + DAY


@needs_postgres
def test_r15_the_servers_clock_decides(database: str) -> None:
    with closing(PostgresStore(database)) as store, psycopg.connect(database, autocommit=True) as server:
        emptied(server)
        row = server.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        assert row is not None
        granted = store.reserve(ask("a"))
        assert isinstance(granted, Grant)
        assert 0 <= granted.accounts[0].created_at / 1e6 - float(row[0]) < 60


@needs_postgres
def test_who_reads_on_misses_no_entry_that_is_written_late(store: PostgresStore, database: str) -> None:
    for key in (ALICE, BOB):
        store.settle(Posting(key.name, 1, (Scope(key, FAR),)))
    with psycopg.connect(database) as slow:  # a transaction that has drawn its number, and not ended
        slow.execute("SELECT allowance.take('{5}')")
        slow.execute(
            "INSERT INTO allowance.entry (account, kind, amount, at, posted_at, window_start, input_tokens,"
            " output_tokens, unconfirmed, counted, reason) SELECT id, 'adjustment', 0, 1, 1, 1, 0, 0, false,"
            " false, 'late' FROM allowance.account WHERE name = 'alice'"
        )
        store.settle(Posting("after", 1, (Scope(BOB),)))
        seen: list[str] = []
        reader = threading.Thread(target=lambda: seen.extend(e.reason or "" for e in store.entries()))
        reader.start()
        time.sleep(0.2)
        slow.commit()
        reader.join(timeout=30)
    assert seen == ["", "", "late", ""]


@needs_postgres
def test_who_asks_for_open_holds_reads_no_settled_ones(store: PostgresStore, database: str) -> None:
    store.reserve(ask("a"))
    with psycopg.connect(database, autocommit=True) as server:
        server.execute("SET enable_seqscan = off")  # a small table is read whole with good reason
        plan = "\n".join(line for (line,) in server.execute(f"EXPLAIN {sql.UNSETTLED}").fetchall())
    assert "hold_open" in plan
    assert "hold_expired" in plan
    assert "hold_pkey" not in plan
    assert "Seq Scan on hold" not in plan
    assert [hold.hold_id for hold in store.holds()] == ["a"]


# -- the address, and who may -------------------------------------------------------------------------


def test_no_password_is_shown_anywhere() -> None:
    with closing(PostgresStore("postgresql://me:s3cret@127.0.0.1:1/db?application_name=s3cret")) as store:
        assert store.url == "postgresql://me@127.0.0.1:1/db"
        with pytest.raises(StoreUnavailableError) as caught:
            store.account(ALICE)
        assert "s3cret" not in repr(store) + str(caught.value) + repr(caught.value.__cause__)
    for bad in (
        "postgresql://me:s3cret@[/db",
        "http://me:s3cret@h/db",
        "s3cret",
        "postgresql://h/db?s3cret=1",
    ):
        with pytest.raises(ConfigurationError) as refused:
            PostgresStore(bad)
        assert "s3cret" not in str(refused.value) + repr(refused.value.__context__)


def test_a_server_that_is_not_there_is_known_at_once() -> None:
    with closing(PostgresStore("postgresql://postgres@127.0.0.1:1/db")) as store:
        for verb in (lambda: store.reserve(ask("a")), lambda: store.account(ALICE), store.audit):
            with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1"):
                verb()


def test_pool_sizes_are_numbers() -> None:
    for size in (0, -1, True, 1.5, 10**6):
        with pytest.raises(ConfigurationError, match="pool_size"):
            PostgresStore("postgresql://h/db", pool_size=size)  # type: ignore[arg-type]


@needs_postgres
def test_a_role_that_may_make_no_tables_does_once_they_are_there() -> None:
    with fresh_database() as url, psycopg.connect(url, autocommit=True) as server:
        role = f"allowance_plain_{server.info.backend_pid}"
        plain = url.replace("://postgres@", f"://{role}@")
        server.execute(f"CREATE ROLE {role} LOGIN")
        try:
            with closing(PostgresStore(plain)) as store, pytest.raises(ConfigurationError, match="GRANT"):
                store.reserve(ask("a"))
            with closing(PostgresStore(url)) as store:
                store.reserve(ask("a"))
            server.execute(f"GRANT USAGE ON SCHEMA allowance TO {role}")
            server.execute(
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA allowance TO {role}"
            )
            server.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA allowance TO {role}")
            with closing(PostgresStore(plain)) as store:
                assert isinstance(store.reserve(ask("b", budget(BOB))), Grant)
                assert store.settle(Posting("a", 5)).posted == 5
                assert store.audit() == []
        finally:
            server.execute(f"DROP OWNED BY {role}")
            server.execute(f"DROP ROLE {role}")


@needs_postgres
def test_many_that_come_first_at_once_make_the_tables_once() -> None:
    with fresh_database() as url:
        stores = [PostgresStore(url, pool_size=1) for _ in range(6)]
        outcomes: list[Any] = []
        threads = [
            threading.Thread(target=lambda n=n, s=s: outcomes.append(s.reserve(ask(f"h{n}", amount=60))))
            for n, s in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Denial"] * 5 + ["Grant"]
        for store in stores:
            store.close()


@needs_postgres
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_one_that_waited_while_another_made_the_tables_sees_them(isolation: str) -> None:
    option = f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
    with (
        fresh_database() as url,
        psycopg.connect(url, autocommit=True) as first,
        psycopg.connect(url, autocommit=True, options=option) as second,
        psycopg.connect(url, autocommit=True) as watching,
    ):
        waiting = threading.Thread(target=prepare, args=(second,))
        with first.transaction():
            prepare(first)
            waiting.start()
            until(lambda: watching.execute(_WAITS, (second.info.backend_pid,)).fetchone() == ("advisory",))
        waiting.join()
        prepare(second)
        assert watching.execute("SELECT version FROM allowance.meta").fetchall() == [(VERSION,)]


_WAITS = "SELECT wait_event FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@needs_postgres
def test_a_later_versions_tables_are_left_alone() -> None:
    with fresh_database() as url, psycopg.connect(url, autocommit=True) as server:
        with closing(PostgresStore(url)) as store:
            store.reserve(ask("a"))
        for version, words in ((99, "Upgrade"), (0, "is no ledger")):
            server.execute("UPDATE allowance.meta SET version = %s", (version,))
            with closing(PostgresStore(url)) as store, pytest.raises(StoreCorruptError, match=words):
                store.reserve(ask("b"))


@needs_postgres
def test_r2_entries_are_never_edited(store: PostgresStore, database: str) -> None:
    store.settle(Posting("a", 1, (Scope(ALICE, FAR),)))
    with psycopg.connect(database, autocommit=True) as server:
        for statement in (
            "UPDATE allowance.entry SET amount = 0",
            "DELETE FROM allowance.entry",
            "TRUNCATE allowance.entry",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="never edited"):
                server.execute(statement)


@needs_postgres
def test_r2_the_audit_finds_what_was_changed_behind_the_stores_back(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as server, closing(PostgresStore(database)) as store:
        emptied(server)
        store.reserve(ask("a"))
        store.reserve(ask("b"))
        store.settle(Posting("b", 4, model="m"))
        assert store.audit() == []
        for statement, undo, words in (
            ("account SET spent = 5", "account SET spent = 4", "spent is kept as 5"),
            ("account SET held = 0", "account SET held = 10", "held is kept as 0"),
            ("cost SET amount = 9", "cost SET amount = 4", "the cost of 'm' is kept as 9"),
            (
                "hold SET charged = 7 WHERE hold_id = 'b'",
                "hold SET charged = 4 WHERE hold_id = 'b'",
                "hold b: entries add up to 4",
            ),
        ):
            server.execute(f"UPDATE allowance.{statement}")
            (line,) = store.audit()
            assert words in line
            server.execute(f"UPDATE allowance.{undo}")
        assert store.audit() == []


@needs_postgres
def test_another_isolation_is_refused_and_not_worked_with(database: str) -> None:
    url = f"{database}?options=-c%20default_transaction_isolation%3Dserializable"
    with closing(PostgresStore(url)) as store, pytest.raises(ConfigurationError, match="READ COMMITTED"):
        store.reserve(ask("a"))


@needs_postgres
def test_what_is_acknowledged_is_on_the_disk_though_the_role_says_otherwise(database: str) -> None:
    url = f"{database}?options=-c%20synchronous_commit%3Doff"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("BEGIN")
        server.execute("SELECT allowance.tick(NULL)")
        row = server.execute("SHOW synchronous_commit").fetchone()
        server.execute("ROLLBACK")
    assert row == ("on",)
