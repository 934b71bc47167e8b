"""What the file store's rows say, and what happens where something else has written to them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from allowance.errors import StoreCorruptError, UnknownUserError
from allowance.ledger import verbs
from allowance.ledger.records import AccountKey, Ask, Declaration, Grant, Posting, Scope
from allowance.stores.contract import ManualClock
from allowance.stores.contract.bench import DAY
from allowance.stores.sqlite import SQLiteStore, sql
from allowance.stores.sqlite.batches import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = AccountKey("p", "user", "n")
GPT = KEY._replace(label="gpt")
SCOPE = Scope(KEY, Declaration(limit=1000, duration="daily", creates=True))
GPT_SCOPE = Scope(GPT, Declaration(limit=500, creates=True, models=("gpt-4o*", "o1")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, clock=clock)
    yield store
    store.close()


def reserve(store: SQLiteStore, hold_id: str, *scopes: Scope, model: str | None = "gpt-4o") -> Grant:
    ask = Ask(
        hold_id, scopes, 10, 10, 10, 5, True, 60_000_000, model=model, tags=("ä", "b"), owner="host:7\ud800"
    )
    grant = store.reserve(ask)
    assert isinstance(grant, Grant)
    return grant


def written(path: Path, statement: str) -> None:
    """Something else writes to the file."""
    raw = sqlite3.connect(path)
    assert raw.execute(statement).rowcount > 0
    raw.commit()
    raw.close()


def kept(path: Path, statement: str) -> list[tuple[object, ...]]:
    raw = sqlite3.connect(path)
    rows = raw.execute(statement).fetchall()
    raw.close()
    return rows


def test_each_commit_waits_for_the_disk(store: SQLiteStore) -> None:
    connection = store._engine._connection
    assert connection is not None
    pragmas = ("synchronous", "journal_mode", "foreign_keys", "trusted_schema")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == [2, "wal", 1, 0]


def test_a_family_is_the_same_after_opening_again(store: SQLiteStore, path: Path, clock: ManualClock) -> None:
    reserve(store, "a", SCOPE, GPT_SCOPE)
    store.extend(KEY, 7, reason="gift")
    store.extend(GPT, 8)
    family, holds = store.family(KEY), list(store.holds())
    assert [account.key.label for account in family] == ["", "gpt"]
    assert family[1].terms.models == ("gpt-4o*", "o1")
    assert family[1].declared == GPT_SCOPE.declared
    assert [account.limit for account in family] == [1007, 508]
    assert (holds[0].tags, holds[0].owner) == (("ä", "b"), "host:7?")
    store.close()
    again = SQLiteStore(path, clock=clock)
    assert again.family(GPT) == family
    assert list(again.holds(GPT)) == holds
    again.settle(Posting("a", 3, model="gpt-4o"))
    assert {(entry.key, entry.tags) for entry in again.entries(hold_id="a")} == {
        (KEY, ("ä", "b")),
        (GPT, ("ä", "b")),
    }
    assert again.audit() == []
    again.close()


def test_no_model_an_empty_name_and_zero_are_three_models(store: SQLiteStore) -> None:
    for number, model in enumerate((None, "", "0", "m\ud800")):
        store.settle(Posting(f"h{number}", 10**number, (SCOPE,), model=model))
        store.settle(Posting(f"i{number}", 10**number, (SCOPE,), model=model))
    assert store.model_costs(KEY) == {None: 2, "": 20, "0": 200, "m?": 2000}
    assert store.audit() == []


def test_r8_costs_of_an_older_window_are_as_if_they_were_not_there(
    store: SQLiteStore, path: Path, clock: ManualClock
) -> None:
    for model in ("a", "b"):
        store.settle(Posting(model, 5, (SCOPE,), model=model))
    clock.advance(DAY)
    assert store.model_costs(KEY) == {}
    store.settle(Posting("c", 7, (SCOPE,), model="a"))
    assert store.model_costs(KEY) == {"a": 7}
    assert sorted(kept(path, "SELECT model, amount FROM cost")) == [("a", 7), ("b", 5)]
    assert store.audit() == []


def test_r9_a_new_window_that_reaches_back_counts_the_older_costs_again(
    store: SQLiteStore, clock: ManualClock
) -> None:
    for day in range(3):
        store.settle(Posting(f"a{day}", 5, (SCOPE,), model="a"))
        store.settle(Posting(f"b{day}", 1, (SCOPE,), model=None))
        clock.advance(DAY)
    store.define(KEY, Declaration(duration="forever"))
    assert store.model_costs(KEY) == {"a": 15, None: 3}
    store.define(KEY, Declaration(duration="daily"))
    assert store.model_costs(KEY) == {}
    store.settle(Posting("c", 2, (SCOPE,), model=None))
    assert store.model_costs(KEY) == {None: 2}
    assert store.audit() == []


def test_r2_wrong_costs_by_model_are_found(store: SQLiteStore, path: Path) -> None:
    store.settle(Posting("a", 5, (SCOPE,), model="a"))
    written(path, "UPDATE cost SET amount = 4")
    assert "the cost of 'a' is kept as 4 nano-dollars, and adds up to 5" in "\n".join(store.audit())


REMOVER = """
import sys
from allowance.ledger.records import *
from allowance.stores.contract import ManualClock
from allowance.stores.sqlite import SQLiteStore
store, key = SQLiteStore(sys.argv[1], clock=ManualClock()), AccountKey("p", "user", "n")
store.remove(key)
if len(sys.argv) > 2:
    store.settle(Posting("b", 7, (Scope(key, Declaration(limit=50, creates=True)),)))
"""


def test_a_name_that_another_process_removed(store: SQLiteStore, path: Path) -> None:
    reserve(store, "a", SCOPE)
    subprocess.run([sys.executable, "-c", REMOVER, str(path)], check=True)
    store.settle(Posting("b", 1, (SCOPE,)))
    assert [account.spent for account in store.family(KEY)] == [1]
    (hold,) = store.holds()
    assert [key.kind for key, _ in hold.windows] == ["deleted"]
    assert store.audit() == []


def test_a_name_that_is_removed_and_made_anew_in_one_transaction(store: SQLiteStore) -> None:
    store.settle(Posting("a", 5, (SCOPE,)))
    now = store._engine._latest
    removing = Operation(lambda tables: verbs.remove(tables, KEY, now))
    making = Operation(lambda tables: verbs.settle(tables, Posting("b", 1, (SCOPE,)), now))
    store._engine._commit([removing, making])
    assert [operation.outcome() is not None for operation in (removing, making)] == [True, True]
    assert [account.spent for account in store.family(KEY)] == [1]
    assert store.audit() == []


def test_each_other_project_of_a_stranger_is_named_once(store: SQLiteStore) -> None:
    store.settle(Posting("a", 5, (SCOPE, GPT_SCOPE), model="o1"))
    with pytest.raises(UnknownUserError) as caught:
        store.define(KEY._replace(project="q"), Declaration())
    assert str(caught.value).count("'p'") == 1


def test_a_name_that_another_process_removed_and_made_anew(store: SQLiteStore, path: Path) -> None:
    reserve(store, "a", SCOPE)
    subprocess.run([sys.executable, "-c", REMOVER, str(path), "anew"], check=True)
    store.settle(Posting("c", 1, (SCOPE,)))
    store.settle(Posting("a", 9))
    account = store.account(KEY)
    assert account is not None
    assert (account.spent, account.held) == (8, 0)
    assert [entry.hold_id for entry in store.entries(KEY)] == ["b", "c"]
    assert [entry.key.kind for entry in store.entries(hold_id="a")] == ["deleted"]
    assert store.audit() == []


def test_entries_of_a_call_are_found_after_its_account_was_removed(store: SQLiteStore) -> None:
    reserve(store, "a", SCOPE)
    store.settle(Posting("a", 9))
    store.remove(KEY)
    store.settle(Posting("b", 1, (SCOPE,)))
    (entry,) = store.entries(hold_id="a")
    assert (entry.amount, entry.key.kind) == (9, "deleted")
    assert list(store.accounts()) == [store.account(KEY)]


def test_accounts_of_a_project_come_in_order_whatever_lies_around_them(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allowance.stores.sqlite._PAGE", 2)
    keys = [
        AccountKey(project, kind, name, label)
        for project in ("o", "p", "q")
        for kind in ("team", "user")
        for name in ("a", "b")
        for label in ("", "x", "y")
    ]
    for key in reversed(keys):
        store.define(key, Declaration(limit=1, creates=True))
    store.remove(AccountKey("p", "user", "b"))
    there = [key for key in keys if key[:3] != ("p", "user", "b")]
    assert [account.key for account in store.accounts()] == there
    assert [account.key for account in store.accounts("p")] == [key for key in there if key.project == "p"]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE hold SET windows = 'junk'", "hold a"),
        ("UPDATE hold SET windows = '5'", "hold a"),
        ("UPDATE hold SET windows = '[[1]]'", "hold a"),
        ("UPDATE hold SET windows = '[[\"p\"]]'", "hold a"),
        ("UPDATE hold SET tags = '{'", "hold a"),
        ("UPDATE account SET declared = 'junk'", "account p/user/n"),
        ("UPDATE account SET declared = '[1,2,3,4,5,6,7,8,9,10]'", "account p/user/n"),
        ("UPDATE account SET models = '7'", "account p/user/n"),
        ("UPDATE account SET extras = '[[1]]'", "account p/user/n"),
    ],
)
def test_a_damaged_row_is_never_answered_by_starting_from_zero(
    store: SQLiteStore, path: Path, statement: str, says: str
) -> None:
    reserve(store, "a", SCOPE)
    written(path, statement)
    for _ in range(2):
        with pytest.raises(StoreCorruptError, match=says):
            store.settle(Posting("a", 5))
    assert kept(path, "SELECT spent, held FROM account") == [(0, 10)]
    assert kept(path, "SELECT count(*) FROM entry") == [(0,)]


def test_a_damaged_entry(store: SQLiteStore, path: Path) -> None:
    store.settle(Posting("a", 5, (SCOPE,)))
    written(path, "INSERT INTO entry SELECT 9, 1, 'call', 1, 1, 1, 1, 'b', 'm', 0, 0, 0, 0, '', '{'")
    with pytest.raises(StoreCorruptError, match="entry 9"):
        list(store.entries())


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        ("FAMILY", ("p", "user", "n"), "sqlite_autoindex_account_1"),
        ("PROJECTS", ("user", "n"), "COVERING INDEX account_by_name"),
        ("ACCOUNTS_AFTER", ("", "", "", "", 9), "sqlite_autoindex_account_1"),
        ("ACCOUNTS_OF_PROJECT_AFTER", ("p", "", "", "", 9), "sqlite_autoindex_account_1"),
        ("MODEL_COSTS", (1, 1), "PRIMARY KEY"),
        ("COSTS", (1, 1, None, None), "entry_by_account"),
        ("DUE", (1,), "hold_open"),
        ("SOONEST", (), "hold_open"),
        ("HOLD", ("a",), "PRIMARY KEY"),
    ],
)
def test_what_each_call_reads_is_found_by_an_index(
    store: SQLiteStore, statement: str, values: tuple[object, ...], index: str
) -> None:
    connection = store._engine._connection
    assert connection is not None
    plan = connection.execute(f"EXPLAIN QUERY PLAN {getattr(sql, statement)}", values).fetchall()
    steps = [str(row[3]) for row in plan]
    assert any("SEARCH" in step and index in step for step in steps), steps
    assert not any("SCAN" in step for step in steps), steps


RESERVER = """
import sys
from allowance.ledger.records import *
from allowance.stores.contract import ManualClock
from allowance.stores.sqlite import SQLiteStore
scope = Scope(AccountKey("p", "user", "n"), Declaration(limit=50, creates=True))
SQLiteStore(sys.argv[1], clock=ManualClock()).reserve(Ask("theirs", (scope,), 9, 9, 9, 9, True, 1_000_000))
"""


def test_r6_holds_of_another_process_come_to_their_term_here(
    store: SQLiteStore, path: Path, clock: ManualClock
) -> None:
    assert store.sweep() == []
    subprocess.run([sys.executable, "-c", RESERVER, str(path)], check=True)
    clock.advance(1_000_000)
    assert [hold.hold_id for hold in store.sweep()] == ["theirs"]


def test_r6_a_hold_may_come_to_its_term_in_the_transaction_that_made_it(store: SQLiteStore) -> None:
    store.settle(Posting("a", 1, (SCOPE,)))
    now = store._engine._latest
    ask = Ask("b", (SCOPE,), 9, 9, 9, 9, True, ttl=5)
    batch = [
        Operation(lambda tables: verbs.reserve(tables, ask, now)),
        Operation(lambda tables: verbs.sweep(tables, now + 4)),
        Operation(lambda tables: verbs.sweep(tables, now + 5)),
    ]
    store._engine._commit(batch)
    _, early, late = [operation.outcome() for operation in batch]
    assert (early, [hold.hold_id for hold in late]) == ((), ["b"])
