# ruff: noqa: S101  what a test suite is made of
"""What the suite asks about several budgets of one user: R1, R3, R4, R7, R8, R9, R11."""

from __future__ import annotations

from functools import partial

from allowance.errors import UnknownUserError
from allowance.ledger.records import Declaration, Grant, HoldState, Posting, Scope, Terms
from allowance.stores.contract.bench import ALICE, DAY, GPT, MINUTE, MONTH, TEAM, Bench, budget

__all__ = ["FamilyContract"]


class FamilyContract(Bench):
    """One call against the main budget of a user, and those with labels."""

    # -- R1 ------------------------------------------------------------------------------------------

    def test_r1_every_budget_of_the_user_must_admit_the_call(self) -> None:
        self.define(ALICE, 100, duration="daily")
        self.define(MONTH, 150, duration="monthly")
        self.granted("a", Scope(ALICE), amount=100)
        self.settle("a", 100)
        assert (self.figures(), self.figures(MONTH)) == ((100, 0), (100, 0))
        assert self.denied("b", Scope(ALICE), amount=1).account.key == ALICE
        self.clock.advance(DAY)
        assert self.denied("c", Scope(ALICE), amount=51).account.key == MONTH
        self.granted("d", Scope(ALICE), amount=50)
        assert (self.figures(), self.figures(MONTH)) == ((0, 50), (100, 50))

    def test_r1_whichever_budget_of_the_user_is_named(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 90)
        grants = [
            self.granted(f"h{number}", *[Scope(key) for key in keys], amount=30)
            for number, keys in enumerate(((ALICE,), (MONTH,), (MONTH, ALICE)))
        ]
        assert [[account.key for account in grant.accounts] for grant in grants] == [[ALICE, MONTH]] * 3
        assert (self.figures(), self.figures(MONTH)) == ((0, 90), (0, 90))
        assert self.denied("x", Scope(ALICE), amount=1).account.key == MONTH

    def test_r1_threads_that_name_different_budgets_of_a_user_never_overspend(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 95)
        scopes = [(Scope(ALICE),), (Scope(MONTH),), (Scope(TEAM, default=Terms(None)), Scope(ALICE))]
        with self.widened():
            outcomes = self.at_once(
                12, lambda number: self.reserve(f"h{number}", *scopes[number % 3], amount=30)
            )
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 3
        assert (self.figures(), self.figures(MONTH)) == ((0, 90), (0, 90))

    def test_r1_a_budget_for_some_models_counts_their_calls_alone(self) -> None:
        self.define(ALICE, 1000)
        self.define(GPT, 50, models=("GPT-4o*", "openai/*", "o[13]"))
        counted = ("gpt-4o", "Gpt-4O-mini", "azure/eu/gpt-4o", "openai/whatever", "a/OpenAI/x", "o3")
        others = ("gpt-4", "my-gpt-4o", "o4", "openai", "gpt-4/o", "", None)
        for number, model in enumerate(counted):
            grant = self.granted(f"c{number}", Scope(ALICE), amount=5, model=model)
            assert [account.key for account in grant.accounts] == [ALICE, GPT], model
        for number, other in enumerate(others):
            grant = self.granted(f"o{number}", Scope(GPT), amount=5, model=other)
            assert [account.key for account in grant.accounts] == [ALICE], other
        assert (self.figures(), self.figures(GPT)) == ((0, 65), (0, 30))
        assert self.denied("x", Scope(ALICE), amount=21, model="gpt-4o").account.key == GPT
        self.granted("y", Scope(ALICE), amount=21, model="claude")

    def test_r1_a_call_without_a_hold_counts_on_the_budgets_of_its_model(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 100)
        self.define(GPT, 50, models=("gpt-*",))
        self.spend("a", 10, model="gpt-4o")
        self.spend("b", 7, model="claude")
        self.spend("c", 3)
        assert [self.figures(key)[0] for key in (ALICE, MONTH, GPT)] == [20, 20, 10]

    # -- R3 ------------------------------------------------------------------------------------------

    def test_r3_the_same_ask_again_after_a_budget_was_added(self) -> None:
        self.define(ALICE, 100)
        first = self.granted("a", Scope(ALICE), amount=60)
        self.define(MONTH, 100)
        again = self.granted("a", Scope(ALICE), amount=60)
        assert [account.key for account in again.accounts] == [account.key for account in first.accounts]
        self.settle("a", 60)
        assert (self.figures(), self.figures(MONTH)) == ((60, 0), (0, 0))

    # -- R4 and R7 -----------------------------------------------------------------------------------

    def test_r4_a_family_admits_as_a_whole_and_the_error_names_the_one_that_refused(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 80)
        self.define(GPT, 20, models=("gpt-*",))
        self.granted("first", Scope(ALICE), amount=5, model="gpt-4o")
        before = self.store.family(ALICE)
        denial = self.denied("a", budget(TEAM, 1000), Scope(ALICE), amount=16, model="gpt-4o")
        assert (denial.account.key, denial.account.remaining, denial.temporary) == (GPT, 15, True)
        assert self.denied("a", Scope(ALICE), amount=76, model="claude").account.key == MONTH
        assert self.store.family(ALICE) == before
        assert self.store.account(TEAM) is None
        self.granted("a", Scope(ALICE), amount=15, model="gpt-4o")

    def test_r4_a_hold_that_is_replaced_frees_its_whole_family(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 100)
        self.define(GPT, 100, models=("gpt-*",))
        self.granted("outer", Scope(ALICE), amount=90, model="gpt-4o")
        self.granted("inner", Scope(ALICE), amount=95, model="claude", replacing="outer")
        assert [self.figures(key) for key in (ALICE, MONTH, GPT)] == [(0, 95), (0, 95), (0, 0)]

    def test_r7_a_denial_changes_nothing_in_the_family(self) -> None:
        self.define(MONTH, 50)
        before = self.store.family(ALICE)
        self.denied("a", Scope(ALICE, default=Terms(1000)), amount=51)
        self.denied("b", budget(GPT, 10, models=("a-*",)), amount=11)
        assert self.store.family(ALICE) == before
        assert [account.key for account in before] == [MONTH]

    # -- R8 and R9 -----------------------------------------------------------------------------------

    def test_r8_each_budget_of_a_family_has_windows_of_its_own(self) -> None:
        self.granted("a", budget(duration="daily"), budget(MONTH, 500, duration="monthly"), amount=60)
        self.clock.advance(DAY)
        assert [account.held for account in self.store.family(ALICE)] == [0, 0]
        assert [account.spent for account in self.store.family(ALICE)] == [0, 60]

    def test_r9_a_budget_that_is_added_or_gets_other_models_counts_from_then_on(self) -> None:
        self.define(ALICE, 100)
        self.spend("a", 10, model="gpt-4o")
        self.define(GPT, 50, models=("gpt-*",))
        self.spend("b", 7, model="gpt-4o")
        assert self.store.define(GPT, Declaration(models=("claude*",))).spent == 7
        self.spend("c", 3, model="gpt-4o")
        self.spend("d", 1, model="claude-1")
        assert self.figures(GPT) == (8, 0)
        assert self.store.define(GPT, Declaration(models=())).terms.models == ()
        self.spend("e", 2, model="gemini")
        assert (self.figures(GPT), self.figures()) == ((10, 0), (23, 0))

    def test_r9_models_are_declared_like_other_terms(self) -> None:
        self.granted("a", budget(GPT, 50, models=("a-*",)), amount=10)
        self.store.define(GPT, Declaration(models=("b-*",)))
        self.granted("b", budget(GPT, 50, models=("a-*",)), amount=10)
        assert self.figures(GPT) == (0, 10)
        self.granted("c", budget(GPT, 50, models=("a-*", "c-*")), amount=10)
        assert self.figures(GPT) == (0, 20)
        self.store.define(GPT, Declaration(models=("b-*",)))
        self.granted("d", budget(GPT, 50), amount=10)
        self.granted("e", budget(GPT, 50, models=("a-*", "c-*")), amount=10)
        assert self.figures(GPT) == (0, 20)

    def test_r9_models_that_cannot_be_kept_are_refused(self) -> None:
        self.define(GPT, 50, models=("gpt-*",))
        self.define(ALICE, 50)
        before = self.store.family(ALICE)
        for models in (("",), (" ",), ("a", ""), ["gpt-*"], "gpt-*", (5,), ("x" * 513,)):
            self.misuse(partial(self.store.define, GPT, Declaration(models=models)))  # type: ignore[arg-type]  # bad on purpose
        for key in (ALICE, TEAM):
            self.misuse(partial(self.define, key, 50, models=("gpt-*",)))
            self.misuse(partial(self.reserve, "a", budget(key, models=("gpt-*",)), amount=1))
        assert self.store.family(ALICE) == before
        assert self.store.account(TEAM) is None

    # -- R11 -----------------------------------------------------------------------------------------

    def test_r11_the_main_budget_is_made_by_default_terms_beside_a_labelled_one(self) -> None:
        self.define(MONTH, 500)
        accounts = self.granted("a", Scope(ALICE, default=Terms(70)), amount=70).accounts
        assert [(account.key, account.limit) for account in accounts] == [(ALICE, 70), (MONTH, 500)]
        assert self.denied("b", Scope(MONTH), amount=1).account.key == ALICE

    def test_r11_a_labelled_budget_is_never_made_by_default_terms_but_the_main_one_is(self) -> None:
        error = self.raises(
            UnknownUserError, lambda: self.reserve("a", Scope(MONTH, default=Terms(70)), amount=1)
        )
        assert (error.user, error.projects) == ("alice", ())
        assert list(self.store.accounts()) == []
        month = Scope(MONTH, Declaration(limit=500, creates=True), Terms(70))
        accounts = self.granted("a", month, amount=70).accounts
        assert [(account.key, account.limit) for account in accounts] == [(ALICE, 70), (MONTH, 500)]
        error = self.raises(UnknownUserError, lambda: self.reserve("b", Scope(GPT), amount=1))
        assert (error.project, error.projects) == ("app", ())

    def test_r11_without_default_terms_the_main_budget_only_counts(self) -> None:
        accounts = self.granted("a", budget(MONTH, 500), amount=70).accounts
        assert [(account.key, account.limit) for account in accounts] == [(ALICE, None), (MONTH, 500)]
        self.settle("a", 60)
        assert self.figures() == (60, 0)
        assert self.store.define(ALICE, Declaration(limit=100, creates=True)).remaining == 40

    def test_r11_the_main_budget_is_made_as_it_is_declared_where_it_is_named(self) -> None:
        accounts = self.granted("a", budget(MONTH, 500), budget(ALICE, 80), amount=70).accounts
        assert [(account.key, account.limit) for account in accounts] == [(ALICE, 80), (MONTH, 500)]

    def test_r11_a_budget_for_other_models_is_not_made_by_a_call_that_it_does_not_count(self) -> None:
        scope = budget(GPT, 50, models=("gpt-*",))
        assert [account.key for account in self.granted("a", scope, amount=5).accounts] == [ALICE]
        assert [account.key for account in self.store.family(ALICE)] == [ALICE]
        self.granted("b", scope, amount=5, model="gpt-4o")
        assert [account.key for account in self.store.family(ALICE)] == [ALICE, GPT]

    def test_r11_many_first_calls_at_once_make_one_family(self) -> None:
        scopes = (budget(MONTH, 100), Scope(ALICE, default=Terms(1000)))
        with self.widened():
            outcomes = self.at_once(
                12, lambda number: self.reserve(f"h{number}", *scopes[:: 1 if number % 2 else -1], amount=60)
            )
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 1
        assert [account.key for account in self.store.family(MONTH)] == [ALICE, MONTH]

    # -- reading -------------------------------------------------------------------------------------

    def test_a_family_comes_by_label_and_as_of_now(self) -> None:
        self.define(MONTH, 5)
        self.define(GPT, 7)
        self.define(ALICE, 100, duration="daily")
        self.define(ALICE._replace(project="other"), 1)
        self.define(ALICE._replace(kind="team"), 1)
        self.spend("a", 2)
        self.granted("b", Scope(ALICE), amount=3, ttl=MINUTE)
        self.clock.advance(DAY)
        for key in (ALICE, GPT):
            family = self.store.family(key)
            assert [(account.key, account.spent) for account in family] == [(ALICE, 0), (GPT, 5), (MONTH, 5)]
        assert self.store.family(TEAM) == []
        keys = [account.key for account in self.store.accounts("app")]
        assert keys == sorted(keys)
        assert len(keys) == 4
        (hold,) = self.store.holds(GPT)
        assert (hold.hold_id, hold.state) == ("b", HoldState.EXPIRED)

    def test_a_late_settle_reaches_every_budget_of_the_family(self) -> None:
        self.define(ALICE, 100)
        self.define(MONTH, 100)
        self.granted("a", Scope(ALICE), amount=60)
        self.clock.advance(15 * MINUTE)
        assert (self.figures(), self.figures(MONTH)) == ((60, 0), (60, 0))
        settled = self.store.settle(Posting("a", 20))
        assert [(account.key, account.spent) for account in settled.accounts] == [(ALICE, 20), (MONTH, 20)]
