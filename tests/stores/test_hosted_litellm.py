"""Over a server that has only LiteLLM's two endpoints: exact in this process, and nobody's record is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from allowance.errors import ConfigurationError, StoreCorruptError, StoreUnavailableError, UnknownUserError
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Grant, Posting, Scope, Terms
from allowance.stores.hosted import HostedStore
from allowance.stores.hosted.address import parse
from allowance.stores.hosted.credentials import credentials
from allowance.stores.hosted.line import Line
from allowance.stores.hosted.litellm_server import LiteLLMServer
from tests.stores.litellm_only import Server, litellm_only

USD = 10**9
DAY = 86_400
ALICE = AccountKey("app", "user", "alice")


@pytest.fixture
def server() -> Iterator[Server]:
    with litellm_only() as server:
        yield server


@pytest.fixture
def store(server: Server) -> Iterator[HostedStore]:
    store = HostedStore(server.url, timeout=20)
    yield store
    store.close()


class Clock:
    now = 1_772_323_200_000_000
    step = 0

    def __call__(self) -> int:
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(server: Server, clock: Clock) -> Iterator[LiteLLMServer]:
    store = LiteLLMServer(Line(parse(server.url), credentials(None, None), "test"), 20, clock)
    yield store
    store.close()


def ask(hold_id: str, amount: int, key: AccountKey = ALICE, **scope: object) -> Ask:
    return Ask(hold_id, (Scope(key, **scope),), amount, amount, amount, amount, True, 900_000_000)  # type: ignore[arg-type]


def alice(server: Server) -> dict[str, object]:
    record = server.projects["app"]["alice"]
    assert isinstance(record, dict)
    return record


def test_it_is_found_out_once_and_said(
    server: Server, store: HostedStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "allowance"):
        store.define(ALICE, Declaration(limit=USD, creates=True))
        store.account(ALICE)
        list(store.accounts("app"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "cannot be atomic" in line
    assert "allowance serve" in line
    assert [path for path, _ in server.asked if path.startswith("/v1")] == ["/v1/define"]


def test_a_listing_finds_it_out_too(server: Server, store: HostedStore) -> None:
    server.projects["app"] = {"b": {"total_budget": 1}, "a": {"total_budget": 2}}
    assert [account.key.name for account in store.accounts("app")] == ["a", "b"]


def test_records_are_as_litellm_writes_them(server: Server, timed: LiteLLMServer, clock: Clock) -> None:
    timed.define(ALICE, Declaration(limit=10 * USD, duration="monthly", creates=True))
    seconds = clock.now / 1_000_000
    assert alice(server) == {
        "total_budget": 10,
        "duration": 28,
        "created_at": seconds,
        "last_updated_at": seconds,
        "current_cost": 0,
        "model_cost": {},
    }
    timed.reserve(ask("a", 5 * USD))
    timed.settle(Posting("a", 1_500_000, model="gpt-4"))
    assert alice(server)["current_cost"] == 0.0015
    assert alice(server)["model_cost"] == {"gpt-4": 0.0015}
    assert timed.model_costs(ALICE) == {"gpt-4": 1_500_000}
    assert timed.account(ALICE).held == 0  # type: ignore[union-attr]
    assert timed.audit() == []


def test_a_call_fits_or_is_refused_by_what_the_server_has(server: Server, store: HostedStore) -> None:
    server.projects["app"] = {"alice": {"total_budget": 1, "current_cost": 0.25, "model_cost": {"m": 0.25}}}
    assert isinstance(store.reserve(ask("a", 75 * USD // 100)), Grant)
    denied = store.reserve(ask("b", 1))
    assert isinstance(denied, Denial)
    assert (denied.account.spent, denied.account.held) == (USD // 4, 75 * USD // 100)
    alice(server)["current_cost"] = 0.0
    assert isinstance(store.reserve(ask("c", 1)), Grant)


def test_r1_calls_of_this_process_never_overspend(server: Server, store: HostedStore) -> None:
    store.define(ALICE, Declaration(limit=10 * USD, creates=True))

    def call(number: int) -> None:
        if isinstance(store.reserve(ask(f"h{number}", USD)), Grant):
            store.settle(Posting(f"h{number}", USD, model="m"))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alice(server)["current_cost"] == 10
    assert alice(server)["model_cost"] == {"m": 10}


def test_no_other_users_record_is_lost_or_changed(server: Server, store: HostedStore) -> None:
    bob = {"total_budget": "ten", "current_cost": 0.1 + 0.2, "note": ["his own"], "model_cost": None}
    store.define(ALICE, Declaration(limit=USD, creates=True))
    server.projects["app"]["bob"] = bob
    server.projects["other"] = {"alice": {"total_budget": 5}}
    alice(server)["note"] = "kept"
    store.settle(Posting("a", 1000, (Scope(ALICE),), model="m"))
    assert server.projects["app"]["bob"] == bob
    assert server.projects["other"] == {"alice": {"total_budget": 5}}
    assert alice(server)["note"] == "kept"


def test_what_others_add_to_our_user_stays(server: Server, store: HostedStore) -> None:
    store.define(ALICE, Declaration(limit=USD, creates=True))
    store.settle(Posting("a", 10_000_000, (Scope(ALICE),), model="m"))
    alice(server)["current_cost"] = 0.51
    alice(server)["model_cost"] = {"m": 0.26, "n": 0.25}
    store.settle(Posting("b", 10_000_000, (Scope(ALICE),), model="n"))
    assert alice(server)["current_cost"] == 0.52
    assert alice(server)["model_cost"] == {"m": 0.26, "n": 0.26}
    assert store.model_costs(ALICE) == {"m": 260_000_000, "n": 260_000_000}
    assert store.account(ALICE).spent == 520_000_000  # type: ignore[union-attr]


@pytest.mark.parametrize(("path", "times"), [("/get_budget", 3), ("/set_budget", 1)])
@pytest.mark.parametrize("held", [True, False])
def test_r3_a_cost_whose_post_went_astray_is_counted_once(
    server: Server, store: HostedStore, path: str, times: int, held: bool
) -> None:
    store.define(ALICE, Declaration(limit=USD, creates=True))
    if held:
        store.reserve(ask("a", USD))
    posting = Posting("a", 10_000_000, (Scope(ALICE),), model="m")
    server.lost = {path: times}
    with pytest.raises(StoreUnavailableError):
        store.settle(posting)
    assert server.lost == {path: 0}
    for _ in range(2):
        store.settle(posting)
        assert alice(server)["current_cost"] == 0.01
        assert alice(server)["model_cost"] == {"m": 0.01}


def test_r8_a_window_of_days_is_turned_here(server: Server, timed: LiteLLMServer, clock: Clock) -> None:
    start = clock.now / 1_000_000
    server.projects["app"] = {
        "alice": {
            "total_budget": 1,
            "duration": 1,
            "created_at": start,
            "last_updated_at": start,
            "current_cost": 0.5,
            "model_cost": {"m": 0.5},
        }
    }
    assert timed.account(ALICE).spent == USD // 2  # type: ignore[union-attr]
    clock.now += (2 * DAY + 5) * 1_000_000
    account = timed.account(ALICE)
    assert account is not None
    assert (account.spent, account.window_start) == (0, int((start + 2 * DAY) * 1_000_000))
    timed.settle(Posting("a", 1000, (Scope(ALICE),), model="m"))
    assert alice(server)["current_cost"] == 0.000001
    assert alice(server)["last_updated_at"] == start + 2 * DAY
    assert alice(server)["created_at"] == start


def test_r8_a_record_whose_writers_clock_is_ahead_keeps_its_cost(
    server: Server, timed: LiteLLMServer, clock: Clock
) -> None:
    clock.step = 1000
    ahead = clock.now / 1_000_000 + 60
    record = {"total_budget": 10, "duration": 30, "created_at": ahead, "last_updated_at": ahead}
    server.projects["app"] = {"alice": {**record, "current_cost": 5, "model_cost": {"m": 5}}}
    for number in range(3):
        clock.now += 25_000_000
        timed.reserve(ask(f"c{number}", USD))
        clock.now += 1_000_000
        timed.settle(Posting(f"c{number}", USD, (Scope(ALICE),), model="m"))
        assert alice(server)["current_cost"] == 6 + number
        assert alice(server)["model_cost"] == {"m": 6 + number}
    assert timed.account(ALICE).spent == 8 * USD  # type: ignore[union-attr]
    assert timed.audit() == []


@pytest.mark.parametrize("trouble", [{"status": "error"}, {"detail": "database is locked"}])
def test_an_answer_that_hands_out_no_records_is_not_taken_for_a_project_without_users(
    server: Server, store: HostedStore, trouble: dict[str, str]
) -> None:
    store.define(ALICE, Declaration(limit=USD, creates=True))
    store.settle(Posting("a", 1000, (Scope(ALICE),), model="m"))
    kept = dict(server.projects["app"])
    server.troubles = [trouble]
    with pytest.raises(StoreUnavailableError):
        store.define(ALICE._replace(name="bob"), Declaration(limit=USD, creates=True))
    assert server.projects["app"] == kept
    store.define(ALICE._replace(name="bob"), Declaration(limit=USD, creates=True))
    assert server.projects["app"]["alice"] == kept["alice"]


def test_a_reset_brings_the_record_to_zero(server: Server, timed: LiteLLMServer, clock: Clock) -> None:
    for duration in ("weekly", "forever"):
        timed.define(ALICE, Declaration(limit=USD, duration=duration, creates=True))
        timed.settle(Posting(f"a{duration}", 5000, (Scope(ALICE),), model="m"))
        clock.now += 1_000_000
        assert timed.adjust(ALICE, None, reason="reset").spent == 0
        assert (alice(server)["current_cost"], alice(server)["model_cost"]) == (0, {})
        assert timed.account(ALICE).spent == 0  # type: ignore[union-attr]
    timed.adjust(ALICE, 500, reason="imported", adjustment_id="one")
    timed.adjust(ALICE, 500, reason="imported", adjustment_id="one")
    assert alice(server)["current_cost"] == 5e-07


def test_r6_a_hold_that_expires_is_posted(server: Server, timed: LiteLLMServer, clock: Clock) -> None:
    timed.define(ALICE, Declaration(limit=USD, creates=True))
    timed.reserve(ask("a", 2000))
    clock.now += 901_000_000
    timed.sweep()
    assert alice(server)["current_cost"] == 0.000002
    timed.settle(Posting("a", 500))
    assert alice(server)["current_cost"] == 5e-07


def test_r11_first_sight_makes_the_record(server: Server, store: HostedStore) -> None:
    with pytest.raises(UnknownUserError):
        store.reserve(ask("a", 1))
    store.reserve(ask("b", 1, default=Terms(USD, "daily")))
    assert (alice(server)["total_budget"], alice(server)["duration"]) == (1, 1)


def test_a_user_is_removed_by_leaving_it_out(server: Server, store: HostedStore) -> None:
    bob = ALICE._replace(name="bob")
    for key in (ALICE, bob):
        store.define(key, Declaration(limit=USD, creates=True))
    store.remove(ALICE)
    assert list(server.projects["app"]) == ["bob"]
    assert store.account(ALICE) is None
    del server.projects["app"]["bob"]
    assert store.account(bob) is None


def test_a_turn_among_threads_comes_in_time_or_not_at_all(server: Server) -> None:
    store = LiteLLMServer(Line(parse(server.url), credentials(None, None), "test"), 0.05)
    held, over = threading.Event(), threading.Event()

    def hold_on() -> None:
        with store._lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold_on)
    thread.start()
    held.wait()
    with pytest.raises(StoreUnavailableError, match="turn") as caught:
        store.reserve(ask("a", 5))
    assert caught.value.unsent
    over.set()
    thread.join()


def test_r14_whether_the_server_answers_is_not_said_from_memory(server: Server, store: HostedStore) -> None:
    store.define(ALICE, Declaration(limit=USD, creates=True))
    store.reserve(ask("a", 5))
    server.lost = {"/get_budget": 3}
    with pytest.raises(StoreUnavailableError):
        store.hold("a")
    assert store.hold("a") is not None


def test_a_limit_changed_on_the_server_holds_here(server: Server, store: HostedStore) -> None:
    store.define(ALICE, Declaration(limit=USD, creates=True))
    alice(server)["total_budget"] = 3
    alice(server)["duration"] = 7
    alice(server)["last_updated_at"] = alice(server)["created_at"] = 1_700_000_000.0
    account = store.account(ALICE)
    assert account is not None
    assert (account.limit, account.terms.duration) == (3 * USD, "7d")


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (Declaration(limit=None, creates=True), "without a limit"),
        (Declaration(limit=5, align="calendar", creates=True), "calendar"),
        (Declaration(limit=5, duration="5m", creates=True), "whole days"),
        (Declaration(limit=5, models=("gpt-*",), creates=True), "some models"),
    ],
)
def test_terms_that_the_protocol_has_no_words_for_are_refused(
    server: Server, store: HostedStore, terms: Declaration, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{words}.*allowance serve"):
        store.define(ALICE, terms)
    with pytest.raises(ConfigurationError, match=words):
        store.reserve(ask("a", 1, declared=terms))
    assert "app" not in server.projects


def test_what_the_protocol_has_no_place_for_is_refused(store: HostedStore) -> None:
    five = Declaration(limit=5, creates=True)
    with pytest.raises(ConfigurationError, match=r"team 'red'.*allowance serve"):
        store.define(AccountKey("app", "team", "red"), five)
    with pytest.raises(ConfigurationError, match="budget 'day'"):
        store.reserve(ask("a", 1, ALICE._replace(label="day"), declared=five))
    with pytest.raises(ConfigurationError, match="no top-ups"):
        store.extend(ALICE, 5)
    assert store.account(ALICE._replace(label="day")) is None


@pytest.mark.parametrize(
    "record",
    [
        {"total_budget": "10"},
        {"total_budget": -1},
        {"total_budget": True},
        {},
        {"total_budget": 1, "duration": 1},
        {"total_budget": 1, "duration": -1, "last_updated_at": 1.0},
        {"total_budget": 1, "current_cost": "much"},
        {"total_budget": 1, "model_cost": [1]},
    ],
)
def test_a_record_that_cannot_be_read_is_not_taken_for_zero(
    server: Server, store: HostedStore, record: dict[str, object]
) -> None:
    server.projects["app"] = {"alice": record}
    with pytest.raises(StoreCorruptError, match="'alice'"):
        store.reserve(ask("a", 1, declared=Declaration(limit=5, creates=True)))
    assert server.projects["app"] == {"alice": record}
