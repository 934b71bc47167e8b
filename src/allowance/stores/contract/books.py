# ruff: noqa: S101  what a test suite is made of
"""What the suite asks about accounts, windows, terms and the books: R2, R8, R9, R11, R15."""

from __future__ import annotations

from functools import partial

from allowance.errors import StoreUnavailableError, UnknownUserError
from allowance.ledger.records import AccountKey, Declaration, EntryKind, Grant, Posting, Scope, Terms
from allowance.stores.contract.bench import ALICE, BOB, DAY, MINUTE, START, TEAM, Bench, budget

__all__ = ["BookContract"]


class BookContract(Bench):
    """Define, adjust, account, accounts, entries, holds, audit."""

    # -- R2 ------------------------------------------------------------------------------------------

    def test_r2_spent_is_the_sum_of_the_entries(self) -> None:
        for number, amount in enumerate((5, 0, 11)):
            self.granted(f"h{number}", amount=20)
            self.settle(f"h{number}", amount)
        self.store.adjust(ALICE, 7, reason="imported")
        self.store.adjust(ALICE, -3, reason="refund")
        entries = list(self.store.entries(ALICE))
        assert [entry.amount for entry in entries] == [5, 0, 11, 7, -3]
        assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})
        assert [entry.reason for entry in entries[3:]] == ["imported", "refund"]
        assert self.figures() == (20, 0)

    def test_r2_a_reset_is_an_adjustment_and_spend_never_falls_below_zero(self) -> None:
        self.granted("a", amount=50)
        self.settle("a", 50)
        assert self.store.adjust(ALICE, None, reason="reset").spent == 0
        assert self.store.adjust(ALICE, -10, reason="refund").spent == 0
        assert [entry.amount for entry in self.store.entries(ALICE)] == [50, -50, 0]
        assert all(entry.kind is EntryKind.ADJUSTMENT for entry in list(self.store.entries(ALICE))[1:])

    def test_r2_a_correction_after_a_reset_gives_no_credit(self) -> None:
        self.granted("a", amount=60)
        self.clock.advance(15 * MINUTE)
        self.store.adjust(ALICE, None, reason="reset")
        self.settle("a", 20)
        assert self.figures() == (0, 0)
        self.denied("b", amount=101)

    def test_r2_an_adjustment_with_an_id_counts_once(self) -> None:
        self.granted("a", amount=1)
        for _ in range(3):
            self.store.adjust(ALICE, 30, reason="top-up", adjustment_id="one")
        assert self.figures() == (30, 1)
        self.conflicts(lambda: self.store.adjust(ALICE, 31, reason="top-up", adjustment_id="one"))
        self.raises(UnknownUserError, lambda: self.store.adjust(BOB, 5, reason="nobody"))

    def test_r2_the_books_balance_after_a_storm(self) -> None:
        def work(number: int) -> None:
            for round_ in range(6):
                hold = f"h{number}-{round_}"
                outcome = self.reserve(hold, budget(), budget(TEAM, 400), amount=number + round_)
                if isinstance(outcome, Grant):
                    if round_ % 3:
                        self.settle(hold, 2 * round_)
                    else:
                        self.store.release(hold)

        self.at_once(8, work)
        assert self.store.audit() == []
        assert self.figures()[1] == 0

    # -- R8 ------------------------------------------------------------------------------------------

    def test_r8_a_window_turns_by_the_clock_alone(self) -> None:
        scope = budget(duration="daily")
        self.granted("a", scope, amount=100)
        self.settle("a", 100)
        self.clock.advance(DAY - 1)
        assert self.denied("b", scope, amount=1).account.window_end == START + DAY
        self.clock.advance(1)
        account = self.store.account(ALICE)
        assert account is not None
        assert (account.spent, account.window_start, account.window_end) == (0, START + DAY, START + 2 * DAY)
        self.granted("c", scope, amount=100)
        self.clock.advance(3000 * DAY)
        assert self.figures() == (0, 0)

    def test_r8_a_late_settle_is_charged_to_the_window_of_its_reserve(self) -> None:
        scope = budget(duration="daily")
        self.granted("a", scope, amount=60, ttl=3 * DAY)
        self.clock.advance(DAY)
        assert self.figures() == (0, 0)
        self.granted("b", scope, amount=100)
        settled = self.store.settle(Posting("a", 55))
        assert [(account.spent, account.held) for account in settled.accounts] == [(0, 100)]
        (entry,) = self.store.entries(ALICE, until=START + DAY)
        assert (entry.amount, entry.at, entry.window_start) == (55, START, START)
        assert entry.posted_at == START + DAY

    def test_r8_a_hold_that_expires_or_goes_late_leaves_the_new_window_alone(self) -> None:
        scope = budget(duration="1h")
        self.granted("a", scope, amount=60)
        self.granted("b", scope, amount=40, ttl=DAY)
        self.clock.advance(60 * MINUTE)
        assert self.figures() == (0, 0)
        self.store.release("a")
        self.store.release("b")
        assert self.figures() == (0, 0)
        assert sum(entry.amount for entry in self.store.entries(ALICE)) == 0

    def test_r8_closed_windows_stay_readable(self) -> None:
        for day in range(3):
            self.granted(f"h{day}", budget(duration="daily"), amount=50)
            self.settle(f"h{day}", 10 + day)
            self.clock.advance(DAY)
        for day, amounts in enumerate(([10], [11], [12], [])):
            start = START + day * DAY
            entries = self.store.entries(ALICE, since=start, until=start + DAY)
            assert [entry.amount for entry in entries] == amounts

    def test_r8_calendar_windows_begin_at_midnight_of_their_zone(self) -> None:
        scope = budget(duration="monthly", align="calendar", timezone="Europe/Berlin")
        self.clock.advance(10 * DAY)
        account = self.granted("a", scope, amount=1).accounts[0]
        hour = 60 * MINUTE
        # Berlin's March has an hour less, and its midnight is an hour, then two, before that of UTC.
        assert account.window_start == START - hour
        assert account.window_end == START + 31 * DAY - 2 * hour

    # -- R9 ------------------------------------------------------------------------------------------

    def test_r9_a_new_limit_keeps_what_was_spent(self) -> None:
        self.granted("a", amount=80)
        self.settle("a", 80)
        self.granted("b", budget(limit=200), amount=120)
        self.denied("c", budget(limit=50), amount=1)
        assert self.figures() == (80, 120)

    def test_r9_after_a_new_duration_the_sum_is_that_of_the_window(self) -> None:
        self.granted("a", amount=30)
        self.settle("a", 30)
        self.clock.advance(36 * 60 * MINUTE)
        self.granted("b", amount=20)
        self.settle("b", 20)
        self.granted("c", amount=10)
        daily = self.store.define(ALICE, Declaration(duration="daily"))
        assert (daily.spent, daily.held, daily.window_start) == (20, 10, START + DAY)
        weekly = self.store.define(ALICE, Declaration(duration="weekly"))
        assert (weekly.spent, weekly.held) == (50, 10)
        self.settle("c", 10)
        assert self.store.define(ALICE, Declaration(duration="forever")).window_end is None
        assert self.figures() == (60, 0)

    def test_r9_what_a_reset_took_back_is_no_credit_in_a_shorter_window(self) -> None:
        self.granted("a", amount=80)
        self.settle("a", 80)
        self.clock.advance(36 * 60 * MINUTE)
        self.store.adjust(ALICE, -30, reason="refund")
        self.store.adjust(ALICE, None, reason="reset")
        daily = self.store.define(ALICE, Declaration(duration="daily"))
        assert (daily.spent, daily.remaining) == (0, 100)
        assert self.store.define(ALICE, Declaration(duration="forever")).spent == 0

    def test_r9_what_code_declares_is_written_only_when_it_changes(self) -> None:
        self.granted("a", amount=10)
        self.store.define(ALICE, Declaration(limit=500))
        self.granted("b", amount=300)
        account = self.store.account(ALICE)
        assert account is not None
        assert account.terms.limit == 500
        self.denied("c", budget(limit=99), amount=10)
        assert self.store.define(ALICE, Declaration(limit=99, creates=True), declared=True).terms.limit == 99

    def test_r9_what_an_operator_made_is_nothing_that_code_has_declared(self) -> None:
        self.store.define(ALICE, Declaration(limit=100, creates=True))
        self.store.define(ALICE, Declaration(limit=50))
        self.granted("a", budget(limit=100), amount=100)
        self.store.define(ALICE, Declaration(limit=50))
        self.denied("b", budget(limit=100), amount=1)

    def test_r9_fields_are_declared_one_by_one(self) -> None:
        self.granted("a", budget(duration="daily"), amount=10)
        self.store.define(ALICE, Declaration(limit=500, uncapped="refuse"))
        changed = self.granted("b", budget(duration="weekly"), amount=10).accounts[0]
        assert (changed.terms.limit, changed.terms.duration) == (500, "weekly")
        assert changed.terms.uncapped == "refuse"
        same = self.granted("c", Scope(ALICE), amount=10).accounts[0]
        assert same.terms == changed.terms

    def test_r9_none_declared_lifts_no_limit_but_an_operators_does(self) -> None:
        self.granted("a", amount=10)
        self.denied("b", budget(limit=None), amount=91)
        assert self.store.define(ALICE, Declaration(limit=None, creates=True)).terms.limit is None
        self.granted("b", amount=10**12)

    def test_r9_bad_terms_are_refused_and_change_nothing(self) -> None:
        self.granted("a", amount=10)
        before = self.store.account(ALICE)
        for terms in (
            Declaration(duration="10dogs"),
            Declaration(timezone="Mars/Olympus"),
            Declaration(align="sometimes"),  # type: ignore[arg-type]  # bad on purpose
            Declaration(uncapped="maybe"),  # type: ignore[arg-type]  # bad on purpose
            Declaration(limit=-5),
            Declaration(limit=True),
            Declaration(limit=10**19),
        ):
            self.misuse(partial(self.store.define, ALICE, terms))
        assert self.store.account(ALICE) == before

    # -- R11 -----------------------------------------------------------------------------------------

    def test_r11_default_terms_make_an_unknown_users_budget(self) -> None:
        scope = Scope(ALICE, default=Terms(limit=70, duration="daily"))
        account = self.granted("a", scope, amount=70).accounts[0]
        assert (account.terms, account.created_at, account.declared) == (scope.default, START, None)
        self.denied("b", Scope(ALICE, default=Terms(limit=1000)), amount=1)

    def test_r11_many_first_calls_at_once_share_one_budget(self) -> None:
        scope = Scope(ALICE, default=Terms(limit=100))
        with self.widened():
            outcomes = self.at_once(12, lambda number: self.reserve(f"h{number}", scope, amount=60))
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 1
        assert self.figures() == (0, 60)

    def test_r11_nobody_gave_terms(self) -> None:
        elsewhere = AccountKey("other", "user", "alice")
        self.store.define(elsewhere, Declaration(limit=5, creates=True))
        for call in (
            lambda: self.reserve("a", budget(BOB), Scope(ALICE), amount=1),
            lambda: self.reserve("a", Scope(ALICE, Declaration(duration="daily")), amount=1),
            lambda: self.store.define(ALICE, Declaration(duration="daily")),
            lambda: self.settle("b", 5, budget(BOB), Scope(ALICE)),
        ):
            error = self.raises(UnknownUserError, call)
            assert error.projects == ("other",)
        self.raises(UnknownUserError, lambda: self.settle("nothing", 5))
        assert [account.key for account in self.store.accounts()] == [elsewhere]

    # -- R15 -----------------------------------------------------------------------------------------

    def test_r15_the_stores_time_never_runs_backwards(self) -> None:
        scope = budget(duration="daily")
        self.clock.advance(DAY)
        self.granted("a", scope, amount=60)
        self.clock.advance(-2 * DAY)
        again = self.granted("b", scope, amount=10)
        assert again.expires_at == START + DAY + 15 * MINUTE
        assert again.accounts[0].window_start == START + DAY
        self.clock.advance(2 * DAY + 15 * MINUTE)
        assert {hold.hold_id for hold in self.store.sweep()} == {"a", "b"}

    # -- reading -------------------------------------------------------------------------------------

    def test_accounts_come_in_order_of_their_keys_and_by_project(self) -> None:
        names = [
            "zoë",
            "Ada",
            "O'Brien",
            '"; DROP TABLE account',
            "%_",
            "用户",
            "a/b",
            "x" * 512,
            "\U0001f600",
        ]
        for name in names:
            self.store.define(AccountKey("app", "user", name), Declaration(limit=5, creates=True))
        self.store.define(AccountKey("b", "user", "Ada"), Declaration(limit=7, creates=True))
        keys = [account.key for account in self.store.accounts()]
        assert keys == sorted(keys)
        assert {key.name for key in keys} == set(names)
        assert [account.key.name for account in self.store.accounts("b")] == ["Ada"]
        assert list(self.store.accounts("nobody's")) == []

    def test_accounts_are_seen_as_of_now(self) -> None:
        self.granted("a", budget(duration="daily"), amount=10)
        self.granted("b", budget(BOB), amount=10)
        self.clock.advance(DAY)
        assert [(account.spent, account.held) for account in self.store.accounts()] == [(0, 0), (10, 0)]
        self.granted("c", Scope(BOB), amount=20)
        self.clock.advance(DAY)
        account = self.store.define(BOB, Declaration(uncapped="refuse"))
        assert (account.spent, account.held) == (30, 0)

    def test_versions_tell_newer_snapshots_from_older(self) -> None:
        first = self.granted("a", amount=10).accounts[0]
        settled = self.store.settle(Posting("a", 5)).accounts[0]
        adjusted = self.store.adjust(ALICE, 5, reason="x")
        assert first.version < settled.version < adjusted.version
        assert self.store.account(ALICE) == adjusted
        self.clock.advance(MINUTE)
        self.store.remove(ALICE)
        assert self.define().version > adjusted.version

    def test_many_entries_are_read_in_order_whatever_is_asked(self) -> None:
        for number in range(1203):
            self.settle(f"h{number}", number % 7, budget(ALICE if number % 2 else BOB, None))
            self.clock.advance(1)
        everything = list(self.store.entries())
        assert [entry.seq for entry in everything] == sorted(entry.seq for entry in everything)
        assert len(everything) == 1203
        assert [entry.hold_id for entry in self.store.entries(BOB)] == [f"h{n}" for n in range(0, 1203, 2)]
        part = self.store.entries(ALICE, since=START + 3, until=START + 8)
        assert [entry.at - START for entry in part] == [3, 5, 7]
        assert [entry.key for entry in self.store.entries(hold_id="h8")] == [BOB]
        assert list(self.store.entries(ALICE, hold_id="h8")) == []

    def test_holds_are_listed_oldest_first(self) -> None:
        for number in range(4):
            self.granted(f"h{number}", budget(limit=1000), amount=10, ttl=(40 - 10 * number) * MINUTE)
            self.clock.advance(MINUTE)
        self.granted("bobs", budget(BOB), amount=1)
        self.settle("h1", 1)
        assert [hold.hold_id for hold in self.store.holds(ALICE)] == ["h0", "h2", "h3"]
        assert [hold.hold_id for hold in self.store.holds()] == ["h0", "h2", "h3", "bobs"]

    def test_a_closed_store_says_so(self) -> None:
        other = self.make_store(self.clock)
        other.close()
        other.close()
        self.raises(StoreUnavailableError, lambda: other.account(ALICE))
