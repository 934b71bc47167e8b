# ruff: noqa: S101  what a test suite is made of
"""What the suite asks about top-ups, removal, costs by model, tags, and calls made earlier."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from allowance.errors import UnknownUserError
from allowance.ledger.records import (
    AccountKey,
    Declaration,
    EntryKind,
    Extra,
    HoldState,
    Posting,
    Scope,
    Terms,
)
from allowance.stores.contract.bench import ALICE, BOB, DAY, GPT, MINUTE, MONTH, START, TEAM, Bench, budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.ledger.records import Account

__all__ = ["KeepingContract"]


class KeepingContract(Bench):
    """Extend, remove, model_costs, and what entries and holds bear."""

    # -- top-ups -------------------------------------------------------------------------------------

    def test_r1_a_top_up_raises_the_limit_until_its_time(self) -> None:
        self.define(ALICE, 100)
        topped = self.store.extend(ALICE, 50, until=START + DAY, reason="a demo")
        assert (topped.limit, topped.terms.limit, topped.remaining) == (150, 100, 150)
        self.granted("a", Scope(ALICE), amount=150)
        assert self.denied("b", Scope(ALICE), amount=1).account.limit == 150
        self.settle("a", 120)
        self.clock.advance(DAY - 1)
        self.granted("c", Scope(ALICE), amount=30)
        self.store.release("c")
        self.clock.advance(1)
        denial = self.denied("d", Scope(ALICE), amount=1)
        assert (denial.account.limit, denial.account.remaining, denial.account.extras) == (100, -20, ())
        assert denial.account.version > topped.version

    def test_r8_a_top_up_without_an_end_lasts_as_long_as_the_window(self) -> None:
        self.define(ALICE, 100, duration="daily")
        assert self.store.extend(ALICE, 50).extras == (Extra(50, START + DAY),)
        self.granted("a", Scope(ALICE), amount=150)
        self.clock.advance(DAY)
        before = self.store.account(ALICE)
        assert before is not None
        assert (before.limit, before.extras) == (100, ())
        self.define(BOB, 100)
        self.store.extend(BOB, 50)
        self.clock.advance(3000 * DAY)
        assert self.granted("b", Scope(BOB), amount=150).accounts[0].extras == (Extra(50, None),)

    def test_r9_top_ups_add_up_and_outlast_a_new_limit(self) -> None:
        self.define(ALICE, 100)
        for amount, until in (
            (5, None),
            (10, START + DAY),
            (20, START + 2 * DAY),
            (40, START + DAY),
            (1, None),
        ):
            self.store.extend(ALICE, amount, until=until)
        account = self.define(ALICE, 200)
        assert account.extras == (Extra(50, START + DAY), Extra(20, START + 2 * DAY), Extra(6, None))
        assert account.limit == 276
        self.clock.advance(DAY)
        assert self.define(ALICE, None).limit is None
        assert self.define(ALICE, 0).limit == 26

    def test_r2_a_top_up_is_a_line_of_zero_with_its_reason(self) -> None:
        self.define(ALICE, 100)
        self.store.extend(ALICE, 2_000_000_000, until=START + DAY, reason="a demo")
        self.store.extend(ALICE, 500_000_000)
        lines = [(entry.kind, entry.amount, entry.reason) for entry in self.store.entries(ALICE)]
        assert lines == [
            (EntryKind.ADJUSTMENT, 0, "top-up of $2.00 until 2026-03-02T00:00:00Z: a demo"),
            (EntryKind.ADJUSTMENT, 0, "top-up of $0.50"),
        ]

    def test_r3_a_top_up_with_an_id_counts_once(self) -> None:
        self.define(ALICE, 100)
        self.define(BOB, 100)
        once = partial(self.store.extend, ALICE, 50, until=START + DAY, adjustment_id="one")
        assert [once().limit for _ in range(3)] == [150, 150, 150]
        self.conflicts(lambda: self.store.extend(ALICE, 51, until=START + DAY, adjustment_id="one"))
        self.conflicts(lambda: self.store.extend(ALICE, 50, until=START + 2 * DAY, adjustment_id="one"))
        self.conflicts(lambda: self.store.extend(ALICE, 50, adjustment_id="one"))
        self.conflicts(lambda: self.store.extend(BOB, 50, until=START + DAY, adjustment_id="one"))
        self.conflicts(lambda: self.store.adjust(ALICE, 50, reason="x", adjustment_id="one"))
        self.clock.advance(DAY)
        assert once().limit == 100
        for _ in range(2):
            assert self.store.extend(ALICE, 5, adjustment_id="two").limit == 105
        assert len(list(self.store.entries())) == 2

    def test_top_ups_that_cannot_be_are_refused(self) -> None:
        self.define(ALICE, 100)
        self.define(BOB, None)
        before = self.store.account(ALICE)
        for amount in (0, -1, True, 10**18):
            self.misuse(partial(self.store.extend, ALICE, amount))
        self.misuse(lambda: self.store.extend(ALICE, 1.5))  # type: ignore[arg-type]  # bad on purpose
        for until in (START, START - 1, 0, 10**18, True):
            self.misuse(partial(self.store.extend, ALICE, 5, until=until, adjustment_id="one"))
        self.misuse(lambda: self.store.extend(BOB, 5))
        self.raises(UnknownUserError, lambda: self.store.extend(TEAM, 5))
        assert self.store.account(ALICE) == before
        assert list(self.store.entries()) == []
        assert self.store.extend(ALICE, 5, until=START + 1, adjustment_id="one").limit == 105

    # -- removal -------------------------------------------------------------------------------------

    def test_r2_what_is_removed_keeps_its_books_and_its_name_is_free(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 200)
        self.granted("a", Scope(ALICE), amount=60)
        self.settle("a", 50)
        stood = self.store.family(ALICE)
        assert self.store.remove(ALICE) == stood
        assert self.store.family(ALICE) == []
        assert list(self.store.accounts()) == []
        self.raises(UnknownUserError, lambda: self.reserve("b", Scope(ALICE), amount=1))
        self.raises(UnknownUserError, lambda: self.store.remove(ALICE))
        entries = list(self.store.entries(hold_id="a"))
        assert [(entry.key.kind, entry.key.name, entry.amount) for entry in entries] == [
            ("deleted", "alice", 50)
        ] * 2
        labels = {"user 2026-03-01T00:00:00Z", "user month 2026-03-01T00:00:00Z"}
        assert {entry.key.label for entry in entries} == labels
        assert list(self.store.entries(ALICE)) == []
        self.granted("c", budget(), amount=100)
        assert [account.key for account in self.store.family(ALICE)] == [ALICE]
        self.store.remove(ALICE)
        self.misuse(lambda: self.store.remove(entries[0].key))
        kept = self.store.account(entries[0].key)
        assert kept is not None
        assert kept.spent == 50
        assert self.store.settle(Posting("a", 50)).repeated

    def test_r3_holds_of_a_removed_budget_end_like_others(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 100)
        for hold_id in ("settled", "released", "swept", "late"):
            self.granted(hold_id, Scope(ALICE), amount=10, ttl=MINUTE if hold_id == "late" else DAY)
        self.clock.advance(MINUTE)
        self.store.remove(ALICE)
        self.define(ALICE, 100)
        assert self.settle("settled", 7) == 7
        assert self.settle("late", 3) == -7
        released = self.store.release("released")
        assert released is not None
        assert {key.kind for key, _ in released.windows} == {"deleted"}
        self.clock.advance(DAY)
        assert [hold.hold_id for hold in self.store.sweep()] == ["swept"]
        assert [hold.hold_id for hold in self.store.holds()] == ["swept"]
        assert list(self.store.holds(ALICE)) == []
        again = self.granted("swept", Scope(ALICE), amount=10, ttl=DAY)
        assert [(account.key.kind, account.spent) for account in again.accounts] == [("deleted", 20)] * 2
        assert self.figures() == (0, 0)

    # -- reading on, and one hold ---------------------------------------------------------------------

    def test_a_reader_goes_on_where_it_left_off(self) -> None:
        for project in ("a", "b", "c"):
            for name in ("x", "y"):
                self.define(AccountKey(project, "user", name), 100)
                self.spend(f"{project}{name}", 5, Scope(AccountKey(project, "user", name)))
        keys = [account.key for account in self.store.accounts()]
        for position, key in enumerate(keys):
            assert [account.key for account in self.store.accounts(after=key)] == keys[position + 1 :]
            for project in ("a", "b", "c"):
                left = [other for other in keys[position + 1 :] if other.project == project]
                assert [account.key for account in self.store.accounts(project, after=key)] == left
        lines = list(self.store.entries())
        for position, line in enumerate(lines):
            assert list(self.store.entries(after=line.seq)) == lines[position + 1 :]
            assert list(self.store.entries(line.key, after=line.seq)) == []
            assert list(self.store.entries(line.key, after=line.seq - 1)) == [line]
            assert list(self.store.entries(hold_id=line.hold_id, after=line.seq - 1)) == [line]
            assert list(self.store.entries(hold_id=line.hold_id, after=line.seq)) == []

    def test_a_hold_is_found_by_its_id_in_whatever_state(self) -> None:
        self.define(ALICE, 100)
        assert self.store.hold("a") is None
        self.granted("a", Scope(ALICE), amount=40)
        held = self.store.hold("a")
        assert held is not None
        assert (held.state, held.amount, held.windows) == (HoldState.HELD, 40, ((ALICE, START),))
        self.settle("a", 30)
        settled = self.store.hold("a")
        assert settled is not None
        assert (settled.state, settled.charged) == (HoldState.SETTLED, 30)
        self.store.release("never")
        assert self.store.hold("never") is None

    def test_a_labelled_budget_is_removed_alone(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 50)
        self.granted("a", Scope(ALICE), amount=40)
        assert [(account.key, account.held) for account in self.store.remove(MONTH)] == [(MONTH, 40)]
        assert [account.key for account in self.store.family(MONTH)] == [ALICE]
        self.granted("b", Scope(ALICE), amount=60)
        self.store.adjust(ALICE, 5, reason="x", adjustment_id="one")
        self.store.remove(ALICE)
        self.define(ALICE, 100)
        self.conflicts(lambda: self.store.adjust(ALICE, 5, reason="x", adjustment_id="one"))

    def test_the_kind_of_removed_budgets_is_theirs(self) -> None:
        key = ALICE._replace(kind="deleted")
        self.misuse(lambda: self.define(key))
        self.misuse(lambda: self.reserve("a", budget(key), amount=1))

    def test_r6_whatever_is_asked_of_a_budget_what_is_over_is_charged_first(self) -> None:
        asked: dict[str, Callable[[AccountKey], Account | None]] = {
            "account": self.store.account,
            "family": lambda key: self.store.family(key)[0],
            "define": lambda key: self.store.define(key, Declaration(limit=200)),
            "adjust": lambda key: self.store.adjust(key, 0, reason="x"),
            "extend": lambda key: self.store.extend(key, 5),
            "remove": lambda key: self.store.remove(key)[0],
        }
        for name, ask in asked.items():
            key = ALICE._replace(name=name)
            self.granted(name, budget(key), amount=10)
            self.clock.advance(15 * MINUTE)
            account = ask(key)
            assert account is not None, name
            assert (account.spent, account.held) == (10, 0), name

    # -- costs by model ------------------------------------------------------------------------------

    def test_r2_costs_by_model_add_up_to_what_was_spent(self) -> None:
        self.define(ALICE, 1000)
        self.spend("a", 10, model="gpt-4o")
        self.spend("b", 5, model="gpt-4o")
        self.spend("c", 3)
        self.spend("free", 0, model="free")
        self.granted("d", Scope(ALICE), amount=50)
        self.store.settle(Posting("d", 20, model="claude"))
        self.store.adjust(ALICE, 4, reason="imported")
        self.store.adjust(ALICE, -2, reason="refund")
        assert self.store.model_costs(ALICE) == {"gpt-4o": 15, "claude": 20, None: 5}
        assert self.figures() == (40, 0)
        self.raises(UnknownUserError, lambda: self.store.model_costs(BOB))

    def test_r2_a_reset_empties_the_costs_by_model(self) -> None:
        self.define(ALICE, 1000)
        self.spend("a", 10, model="gpt-4o")
        self.spend("b", 3)
        self.spend("free", 0, model="free")
        self.spend("d", 7, model="claude")
        assert self.store.adjust(ALICE, None, reason="reset").spent == 0
        assert self.store.model_costs(ALICE) == {}
        self.spend("c", 5, model="gpt-4o")
        assert self.store.model_costs(ALICE) == {"gpt-4o": 5}
        resets = [(entry.model, entry.amount) for entry in self.store.entries(ALICE) if entry.reason]
        assert resets == [(None, -3), ("claude", -7), ("gpt-4o", -10)]

    def test_r2_a_reset_of_nothing_is_a_line_too(self) -> None:
        self.define(ALICE, 1000)
        assert self.store.adjust(ALICE, None, reason="reset").spent == 0
        lines = [(entry.kind, entry.amount, entry.reason) for entry in self.store.entries(ALICE)]
        assert lines == [(EntryKind.ADJUSTMENT, 0, "reset")]

    def test_r2_adjustments_that_cannot_be_are_refused(self) -> None:
        self.define(ALICE, 1000)
        for amount in (True, 10**19, -(10**19), "5", 1.5):
            self.misuse(partial(self.store.adjust, ALICE, amount, reason="x", adjustment_id="one"))  # type: ignore[arg-type]  # bad on purpose
        assert list(self.store.entries()) == []
        assert self.store.adjust(ALICE, 5, reason="x", adjustment_id="one").spent == 5

    def test_r3_a_late_word_corrects_the_cost_of_the_model_that_was_charged(self) -> None:
        self.granted("a", amount=60)
        self.granted("b", amount=40)
        self.clock.advance(15 * MINUTE)
        assert self.store.model_costs(ALICE) == {"a-model": 100}
        self.store.settle(Posting("a", 20, model="a-model-2026"))
        self.store.release("b")
        assert self.store.model_costs(ALICE) == {"a-model": 20}

    def test_r2_a_correction_after_a_reset_leaves_no_model_in_credit(self) -> None:
        self.granted("a", amount=60)
        self.clock.advance(15 * MINUTE)
        self.store.adjust(ALICE, None, reason="reset")
        self.settle("a", 20)
        assert self.store.model_costs(ALICE) == {}

    def test_r8_a_new_window_has_no_costs_yet(self) -> None:
        self.granted("late", budget(duration="daily"), amount=5, ttl=3 * DAY)
        self.spend("a", 10, model="gpt-4o")
        self.clock.advance(DAY)
        assert self.store.model_costs(ALICE) == {}
        self.settle("late", 5)
        assert self.store.model_costs(ALICE) == {}
        self.spend("b", 3, model="claude")
        assert self.store.model_costs(ALICE) == {"claude": 3}

    def test_r9_after_a_new_duration_costs_are_those_of_the_window(self) -> None:
        self.define(ALICE, 1000)
        self.spend("a", 10, model="gpt-4o")
        self.clock.advance(36 * 60 * MINUTE)
        self.spend("b", 5, model="gpt-4o")
        self.spend("c", 3, model="claude")
        self.store.define(ALICE, Declaration(duration="daily"))
        assert self.store.model_costs(ALICE) == {"gpt-4o": 5, "claude": 3}
        self.granted("d", budget(ALICE, 1000, duration="weekly"), amount=1)
        assert self.store.model_costs(ALICE) == {"gpt-4o": 15, "claude": 3}

    # -- tags and owners -----------------------------------------------------------------------------

    def test_r6_the_entry_of_a_hold_bears_its_tags_whoever_writes_it(self) -> None:
        for hold_id in ("settled", "swept", "late", "released"):
            self.granted(hold_id, amount=10, tags=("search", "eu"), owner="host:7")
        assert {(hold.tags, hold.owner) for hold in self.store.holds()} == {(("search", "eu"), "host:7")}
        self.settle("settled", 5)
        self.clock.advance(15 * MINUTE)
        (swept, *_) = self.store.sweep()
        assert (swept.tags, swept.owner, swept.state) == (("search", "eu"), "host:7", HoldState.EXPIRED)
        self.settle("late", 5)
        self.store.release("released")
        entries = list(self.store.entries(ALICE))
        assert len(entries) == 6
        assert {entry.tags for entry in entries} == {("search", "eu")}

    def test_tags_come_with_the_posting_too(self) -> None:
        self.spend("a", 5, budget(), tags=("import",))
        self.granted("b", amount=10, tags=("old",))
        self.store.settle(Posting("b", 5, tags=("new", "é, \"'")))
        self.spend("c", 5, budget())
        assert [entry.tags for entry in self.store.entries()] == [("import",), ("new", "é, \"'"), ()]

    # -- calls made earlier, budgets that began earlier ----------------------------------------------

    def test_r8_a_call_made_earlier_counts_in_the_window_of_its_time(self) -> None:
        self.define(ALICE, 100, duration="daily")
        self.define(MONTH, 100, duration="monthly")
        self.clock.advance(2 * DAY + MINUTE)
        assert self.spend("today", 10, at=START + 2 * DAY, model="m") == 10
        assert self.spend("yesterday", 20, at=START + 2 * DAY - 1, model="m") == 20
        assert (self.figures(), self.figures(MONTH)) == ((10, 0), (30, 0))
        assert self.store.model_costs(ALICE) == {"m": 10}
        (entry,) = self.store.entries(ALICE, until=START + 2 * DAY)
        assert (entry.amount, entry.window_start) == (20, START + DAY)
        assert (entry.at, entry.posted_at) == (START + 2 * DAY - 1, START + 2 * DAY + MINUTE)
        assert self.store.settle(Posting("yesterday", 20, (Scope(ALICE),), at=5)).repeated
        assert self.store.define(ALICE, Declaration(duration="forever")).spent == 30

    def test_r8_a_call_made_before_the_budget_was_lies_in_no_window_of_one_for_good(self) -> None:
        self.define(ALICE, 100)
        self.spend("before", 20, at=START - DAY)
        assert self.figures() == (0, 0)
        (entry,) = self.store.entries(ALICE)
        assert (entry.at, entry.window_start) == (START - DAY, START - DAY)

    def test_r15_a_call_is_not_made_in_the_future(self) -> None:
        self.define(ALICE, 100)
        for at in (START + 1, -1, True, 5.0):
            self.misuse(partial(self.spend, "a", 1, at=at))
        assert self.figures() == (0, 0)
        assert list(self.store.entries()) == []

    def test_windows_repeat_from_when_the_budget_is_said_to_have_begun(self) -> None:
        account = self.define(ALICE, 100, duration="7d", created_at=START - 3 * DAY)
        assert (account.created_at, account.window_start) == (START - 3 * DAY, START - 3 * DAY)
        scope = budget(BOB, duration="7d", created_at=START - 8 * DAY)
        (account,) = self.granted("a", scope, amount=1).accounts
        assert (account.created_at, account.window_start) == (START - 8 * DAY, START - DAY)
        scope = Scope(TEAM, Declaration(created_at=START - DAY), Terms(5))
        assert self.granted("b", scope, amount=1).accounts[0].created_at == START - DAY

    def test_r9_an_operator_moves_where_windows_repeat_from_and_code_does_not(self) -> None:
        self.define(ALICE, 100, duration="daily")
        self.clock.advance(DAY // 2)
        self.spend("a", 10, model="m")
        self.clock.advance(DAY // 4)
        self.spend("b", 5, model="n")
        scope = budget(duration="daily", created_at=START + DAY // 2 + 1)
        assert self.granted("c", scope, amount=1).accounts[0].created_at == START
        moved = self.store.define(ALICE, Declaration(created_at=START + DAY // 2 + 1))
        assert (moved.created_at, moved.window_start) == (START + DAY // 2 + 1, START + DAY // 2 + 1)
        assert (moved.spent, moved.held) == (5, 1)
        assert self.store.model_costs(ALICE) == {"n": 5}

    def test_a_budget_does_not_begin_in_the_future_or_before_1970(self) -> None:
        self.define(GPT, 100)
        before = self.store.account(GPT)
        for created_at in (START + 1, -1, True, 10**18):
            self.misuse(partial(self.define, ALICE, created_at=created_at))
            self.misuse(partial(self.define, GPT, created_at=created_at))
        assert [self.store.account(GPT), self.store.account(ALICE)] == [before, None]
