# ruff: noqa: S101  what a test suite is made of
"""What the suite asks about holds: R1, R3, R4, R5, R6, R7, and the policies for uncapped calls."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from allowance.errors import HoldConflictError
from allowance.ledger.records import Ask, Declaration, EntryKind, Grant, HoldState, Posting
from allowance.stores.contract.bench import ALICE, BOB, MINUTE, START, TEAM, Bench, budget

__all__ = ["HoldContract"]


class HoldContract(Bench):
    """Reserve, settle, release, renew, sweep."""

    # -- R1 ------------------------------------------------------------------------------------------

    def test_r1_what_fits_exactly_is_granted_and_one_nano_more_is_not(self) -> None:
        grant = self.granted("a", amount=60)
        assert (grant.amount, grant.shrunk, grant.clamped, grant.bound) == (60, False, False, True)
        assert grant.expires_at == START + 15 * MINUTE
        denial = self.denied("b", amount=41)
        assert (denial.amount, denial.account.remaining, denial.temporary) == (41, 40, True)
        self.granted("c", amount=40)
        assert self.figures() == (0, 100)

    def test_r1_spend_and_holds_both_count(self) -> None:
        self.granted("a", amount=70)
        self.settle("a", 50)
        self.granted("b", amount=30)
        assert not self.denied("c", amount=51).temporary
        assert self.denied("d", amount=21).temporary
        self.granted("e", amount=20)

    def test_r1_a_limit_of_zero_refuses_all_that_costs_and_nothing_else(self) -> None:
        self.granted("free", budget(limit=0), amount=0)
        self.denied("dear", budget(limit=0), amount=1)
        self.denied("open", budget(limit=0), amount=5, floor=0, ceiling=9)

    def test_r1_no_limit_never_refuses(self) -> None:
        self.granted("a", budget(limit=None), amount=10**15)
        self.settle("a", 10**15)
        self.granted("b", amount=0)

    def test_r1_a_call_that_costs_nothing_passes_an_overdrawn_budget(self) -> None:
        self.granted("a", amount=10)
        self.settle("a", 500)
        self.granted("b", amount=0)

    def test_r1_threads_that_ask_at_once_never_overspend(self) -> None:
        with self.widened():
            outcomes = self.at_once(16, lambda number: self.reserve(f"h{number}", amount=30))
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 3
        assert self.figures() == (0, 90)

    # -- R3 ------------------------------------------------------------------------------------------

    def test_r3_the_same_ask_again_returns_the_first_grant(self) -> None:
        first = self.granted("a", amount=60)
        again = self.granted("a", amount=60)
        assert again._replace(accounts=()) == first._replace(accounts=())
        assert self.figures() == (0, 60)
        self.settle("a", 10)
        assert self.granted("a", amount=60).amount == 60
        assert self.figures() == (10, 0)

    def test_r3_the_same_id_with_other_content_is_a_conflict(self) -> None:
        self.granted("a", amount=60)
        for scopes, amount in (((budget(),), 61), ((budget(BOB),), 60), ((budget(), budget(BOB)), 60)):
            self.conflicts(partial(self.reserve, "a", *scopes, amount=amount))
        assert self.figures() == (0, 60)
        assert self.store.account(BOB) is None

    def test_r3_a_release_that_comes_before_its_reserve_refuses_it(self) -> None:
        assert self.store.release("late") is None
        assert self.store.release("late") is None
        self.conflicts(lambda: self.reserve("late", amount=1))
        assert self.store.account(ALICE) is None

    def test_r3_a_released_hold_is_not_reserved_or_settled_again(self) -> None:
        self.granted("a", amount=60)
        first = self.store.release("a", reason="not sent")
        assert first is not None
        assert (first.state, first.charged) == (HoldState.RELEASED, 0)
        assert self.store.release("a") == first
        self.conflicts(lambda: self.reserve("a", amount=60))
        self.conflicts(lambda: self.settle("a", 5))
        assert self.figures() == (0, 0)

    def test_r3_settling_twice_posts_once(self) -> None:
        self.granted("a", amount=60)
        assert self.settle("a", 50) == 50
        again = self.store.settle(Posting("a", 50))
        assert (again.posted, again.repeated, again.amount, again.held) == (0, True, 50, 60)
        self.conflicts(lambda: self.settle("a", 51))
        settled = self.store.release("a")
        assert settled is not None
        assert settled.state is HoldState.SETTLED
        assert self.figures() == (50, 0)
        assert len(list(self.store.entries(ALICE))) == 1

    def test_r3_of_many_settles_at_once_one_posts(self) -> None:
        self.granted("a", amount=60)
        with self.widened():
            assert sum(self.at_once(12, lambda _: self.settle("a", 50))) == 50
        assert self.figures() == (50, 0)

    def test_r3_a_settle_against_a_release_has_one_winner(self) -> None:
        for number in range(20):
            self.granted(f"h{number}", budget(limit=10_000), amount=10)

        def end(number: int) -> None:
            with suppress(HoldConflictError):
                if number % 2:
                    self.settle(f"h{number // 2}", 7)
                else:
                    self.store.release(f"h{number // 2}")

        self.at_once(40, end)
        spent, held = self.figures()
        assert held == 0
        assert spent == sum(entry.amount for entry in self.store.entries(ALICE))

    def test_r3_what_comes_after_the_term_corrects_what_was_charged(self) -> None:
        self.granted("a", amount=60)
        self.granted("b", amount=30)
        self.clock.advance(16 * MINUTE)
        assert self.figures() == (90, 0)
        assert self.settle("a", 20) == -40
        released = self.store.release("b", reason="never sent")
        assert released is not None
        assert (released.state, released.charged) == (HoldState.RELEASED, 0)
        assert self.figures() == (20, 0)
        kinds = [(entry.kind, entry.amount, entry.unconfirmed) for entry in self.store.entries(hold_id="a")]
        assert kinds == [(EntryKind.EXPIRY, 60, True), (EntryKind.CORRECTION, -40, False)]

    def test_r3_a_call_without_a_hold_is_settled_once(self) -> None:
        posting = Posting("late", 12, scopes=(budget(), budget(TEAM), budget()))
        first = self.store.settle(posting)
        assert (first.posted, first.held, first.overrun, first.repeated) == (12, 0, 0, False)
        assert [account.spent for account in first.accounts] == [12, 12]
        assert self.store.settle(posting).repeated
        self.conflicts(lambda: self.reserve("late", amount=12))
        assert self.figures(TEAM) == (12, 0)

    # -- R4 ------------------------------------------------------------------------------------------

    def test_r4_all_budgets_admit_or_nothing_changes(self) -> None:
        self.granted("a", budget(), budget(TEAM, 50), amount=40)
        denial = self.denied("b", budget(), budget(TEAM, 50), amount=11)
        assert denial.account.key == TEAM
        assert (self.figures(), self.figures(TEAM)) == ((0, 40), (0, 40))
        assert self.settle("a", 25) == 25
        assert (self.figures(), self.figures(TEAM)) == ((25, 0), (25, 0))

    def test_r4_a_refused_call_makes_no_accounts(self) -> None:
        assert self.denied("a", budget(BOB, 1000), budget(TEAM, 5), amount=6).account.key == TEAM
        assert list(self.store.accounts()) == []

    def test_r4_a_budget_named_twice_is_charged_once(self) -> None:
        grant = self.granted("a", budget(), budget(TEAM), budget(), amount=40)
        assert [account.key for account in grant.accounts] == [ALICE, TEAM]
        assert self.figures() == (0, 40)
        self.settle("a", 30)
        assert self.figures() == (30, 0)

    def test_r4_threads_that_take_budgets_in_any_order_neither_block_nor_overspend(self) -> None:
        scopes = (budget(), budget(BOB), budget(TEAM))
        with self.widened():
            outcomes = self.at_once(
                12, lambda number: self.reserve(f"h{number}", *scopes[:: 1 if number % 2 else -1], amount=30)
            )
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 3
        assert {self.figures(scope.key) for scope in scopes} == {(0, 90)}

    def test_r4_a_replaced_hold_goes_if_the_new_one_is_granted(self) -> None:
        self.granted("outer", budget(), budget(BOB), amount=80)
        grant = self.granted("inner", budget(), budget(TEAM), amount=90, replacing="outer")
        assert grant.replaced
        assert (self.figures(), self.figures(BOB), self.figures(TEAM)) == ((0, 90), (0, 0), (0, 90))
        outer = self.store.release("outer")
        assert outer is not None
        assert outer.state is HoldState.RELEASED
        self.conflicts(lambda: self.settle("outer", 5))

    def test_r4_a_replaced_hold_stays_if_the_new_one_is_refused(self) -> None:
        self.granted("outer", amount=80)
        self.denied("inner", amount=101, replacing="outer")
        assert self.figures() == (0, 80)
        assert self.settle("outer", 10) == 10

    def test_r4_of_several_that_replace_one_hold_one_does(self) -> None:
        self.granted("outer", amount=80)
        with self.widened():
            outcomes = self.at_once(
                8, lambda number: self.reserve(f"h{number}", amount=60, replacing="outer")
            )
        granted = [outcome for outcome in outcomes if isinstance(outcome, Grant)]
        assert [grant.replaced for grant in granted] == [True]
        assert self.figures() == (0, 60)

    def test_r4_replacing_what_is_over_is_an_ordinary_reserve(self) -> None:
        self.granted("outer", amount=80)
        self.settle("outer", 10)
        assert not self.granted("inner", amount=20, replacing="outer").replaced
        self.granted("other", amount=70, ttl=MINUTE)
        self.clock.advance(2 * MINUTE)
        assert self.denied("next", amount=20, replacing="other").amount == 20
        assert self.figures() == (80, 20)

    # -- R5 ------------------------------------------------------------------------------------------

    def test_r5_an_overrun_is_posted_in_full_and_refuses_the_next_call(self) -> None:
        self.granted("a", amount=60)
        settled = self.store.settle(Posting("a", 250, input_tokens=7, output_tokens=9, model="m"))
        assert (settled.posted, settled.held, settled.overrun) == (250, 60, 190)
        assert settled.accounts[0].remaining == -150
        denial = self.denied("b", amount=1)
        assert (denial.account.spent, denial.temporary) == (250, False)
        (entry,) = self.store.entries(hold_id="a")
        assert (entry.amount, entry.input_tokens, entry.output_tokens, entry.model) == (250, 7, 9, "m")

    # -- R6 ------------------------------------------------------------------------------------------

    def test_r6_a_hold_whose_owner_died_is_charged_at_its_term(self) -> None:
        self.granted("bound", amount=40, expected=10)
        self.granted("likely", amount=40, expected=10, ceiling=90)
        self.clock.advance(15 * MINUTE - 1)
        assert self.figures() == (0, 80)
        self.clock.advance(1)
        charged = {hold.hold_id: hold.charged for hold in self.store.sweep()}
        assert charged == {"bound": 40, "likely": 10}
        assert self.store.sweep() == []
        assert self.figures() == (50, 0)
        assert all(entry.unconfirmed for entry in self.store.entries(ALICE))
        assert [hold.state for hold in self.store.holds(ALICE)] == [HoldState.EXPIRED] * 2

    def test_r6_an_input_that_is_not_bounded_makes_no_bound(self) -> None:
        assert not self.granted("a", amount=40, expected=10, bounded=False).bound
        self.clock.advance(15 * MINUTE)
        assert self.figures() == (10, 0)

    def test_r6_a_reserve_sweeps_and_says_so(self) -> None:
        self.granted("dead", budget(), budget(TEAM), amount=100, expected=100)
        self.clock.advance(15 * MINUTE)
        denial = self.denied("a", amount=1)
        assert [hold.hold_id for hold in denial.expired] == ["dead"]
        assert not denial.temporary
        assert self.figures(TEAM) == (100, 0)
        self.granted("b", budget(limit=200), amount=100)

    def test_r6_a_hold_is_renewed_while_its_owner_lives(self) -> None:
        self.granted("a", amount=60)
        for _ in range(5):
            self.clock.advance(10 * MINUTE)
            self.store.renew(["a", "unknown"], 15 * MINUTE)
        assert self.figures() == (0, 60)
        self.store.renew(["a"], MINUTE)
        self.clock.advance(14 * MINUTE)
        assert self.figures() == (0, 60)
        self.settle("a", 5)
        self.store.renew(["a"], 15 * MINUTE)
        assert self.figures() == (5, 0)

    # -- R7 ------------------------------------------------------------------------------------------

    def test_r7_a_denial_changes_nothing_and_is_not_kept(self) -> None:
        self.granted("a", amount=60)
        before = (self.store.account(ALICE), list(self.store.holds()), list(self.store.entries()))
        self.denied("b", amount=41)
        assert (self.store.account(ALICE), list(self.store.holds()), list(self.store.entries())) == before
        self.settle("a", 10)
        self.granted("b", amount=41)

    # -- uncapped calls ------------------------------------------------------------------------------

    def test_shrink_holds_what_remains_if_that_covers_the_input(self) -> None:
        whole = self.granted("a", amount=70, floor=10, ceiling=400)
        assert (whole.amount, whole.shrunk, whole.clamped, whole.bound) == (70, False, False, False)
        part = self.granted("b", amount=70, floor=10, ceiling=400)
        assert (part.amount, part.shrunk, part.clamped, part.bound) == (30, True, False, False)
        assert self.denied("c", amount=70, floor=10, ceiling=400).temporary
        self.settle("b", 25)
        assert self.denied("d", amount=70, floor=10, ceiling=400).amount == 70
        self.granted("e", amount=70, floor=5, ceiling=400)

    def test_clamp_says_that_the_call_must_be_capped(self) -> None:
        scope = budget(uncapped="clamp")
        part = self.granted("a", scope, amount=150, floor=10, ceiling=400)
        assert (part.amount, part.shrunk, part.clamped, part.bound) == (100, True, True, True)
        self.settle("a", 20)
        whole = self.granted("b", scope, amount=70, floor=10, ceiling=400)
        assert (whole.amount, whole.shrunk, whole.clamped, whole.bound) == (70, False, False, False)
        assert not self.granted("c", scope, amount=5).clamped

    def test_reserve_holds_the_ceiling(self) -> None:
        scope = budget(uncapped="reserve")
        self.denied("a", scope, amount=20, floor=10, ceiling=101)
        grant = self.granted("b", scope, amount=20, floor=10, ceiling=90)
        assert (grant.amount, grant.shrunk, grant.bound) == (90, False, True)

    def test_refuse_never_shrinks(self) -> None:
        scope = budget(uncapped="refuse")
        self.granted("a", scope, amount=70, floor=10, ceiling=400)
        self.denied("b", scope, amount=31, floor=10, ceiling=400)
        assert self.granted("c", scope, amount=30, floor=10, ceiling=400).amount == 30

    def test_where_policies_differ_the_hold_satisfies_each(self) -> None:
        shrink = budget(TEAM, 50)
        strict = budget(BOB, uncapped="refuse")
        self.denied("a", shrink, strict, amount=60, floor=10, ceiling=80)
        hard = budget(ALICE, uncapped="reserve")
        self.denied("b", shrink, hard, amount=40, floor=10, ceiling=60)
        both = self.granted("c", hard, strict, amount=40, floor=10, ceiling=60)
        assert (both.amount, both.bound) == (60, True)

    def test_a_policy_without_a_limit_asks_for_nothing(self) -> None:
        grant = self.granted("a", budget(limit=None, uncapped="reserve"), amount=9, floor=1, ceiling=10**15)
        assert (grant.amount, grant.bound) == (9, False)

    def test_asks_that_no_store_can_keep_are_refused(self) -> None:
        good = Ask("a", (budget(),), 1, 2, 3, 1, True, MINUTE)
        bad = [
            good._replace(hold_id=""),
            good._replace(scopes=()),
            good._replace(ttl=0),
            good._replace(floor=-1),
            good._replace(floor=3),
            good._replace(ceiling=10**19),
            good._replace(amount=True),
        ]
        for ask in bad:
            self.misuse(partial(self.store.reserve, ask))
        for amount in (-1, 10**19, True):
            self.misuse(partial(self.settle, "a", amount, budget()))
        self.misuse(lambda: self.store.define(ALICE, Declaration(limit=-1, creates=True)))
        assert self.store.account(ALICE) is None
