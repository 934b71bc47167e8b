# ruff: noqa: S101  what a test suite is made of
"""What the suite asks about folding what is old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import ConfigurationError, UnknownUserError
from allowance.ledger.records import EntryKind, HoldState, Posting, Scope
from allowance.stores.contract.bench import ALICE, BOB, DAY, MINUTE, START, TEAM, Bench, budget

if TYPE_CHECKING:
    from allowance.ledger.records import AccountKey, Entry

__all__ = ["PruningContract"]

MANY: Final = 1_300
"""More than twice the rows of one step."""


class PruningContract(Bench):
    """Prune: the sums stay, and nobody's call is counted twice or lost."""

    def _call(self, name: str, key: AccountKey, amount: int, model: str = "m") -> None:
        self.granted(name, budget(key, None), amount=amount)
        self.store.settle(Posting(name, amount, model=model, input_tokens=2, output_tokens=1, tags=("t",)))

    def _lines(self, key: AccountKey) -> list[Entry]:
        return list(self.store.entries(key))

    def _prune(self, days: int = 8) -> int:
        return self.store.prune(self.clock.now - days * DAY)

    def test_r2_lines_of_closed_windows_become_one_for_each_window_and_model(self) -> None:
        self.define(ALICE, None, duration="daily")
        for day in range(12):
            for number in range(3):
                self._call(f"{day}-{number}", ALICE, 10 + number, "cheap" if number else "dear")
                self.clock.advance(MINUTE)
            self.clock.advance(DAY - 3 * MINUTE)
        before = self._lines(ALICE)
        assert self._prune() == 4  # of four days two lines each are one now
        after = self._lines(ALICE)
        assert len(after) == 32
        carried = [line for line in after if line.kind is EntryKind.CARRIED]
        assert [line.window_start for line in carried] == [START + day * DAY for day in range(4)]
        assert {(line.model, line.amount, line.input_tokens, line.output_tokens) for line in carried} == {
            ("cheap", 23, 4, 2)
        }
        assert [line.at for line in carried] == [START + day * DAY + 2 * MINUTE for day in range(4)]
        assert sum(line.amount for line in after) == sum(line.amount for line in before)
        assert [line.seq for line in after] == sorted(line.seq for line in after)
        assert {line.seq for line in after} < {line.seq for line in before}
        assert self.store.audit() == []
        assert self._prune() == 0
        assert self._lines(ALICE) == after

    def test_r2_of_a_budget_for_good_what_is_old_is_folded_too_and_spent_stays(self) -> None:
        self.define(ALICE, 100_000)
        for number in range(5):
            self._call(f"old-{number}", ALICE, 7)
        self.store.adjust(ALICE, -5, reason="a refund")
        self.clock.advance(9 * DAY)
        self._call("new", ALICE, 1)
        account, costs = self.store.account(ALICE), self.store.model_costs(ALICE)
        assert self._prune() == 4  # the refund is of no model, and stays a line of its own
        assert self.store.account(ALICE) == account
        assert self.store.model_costs(ALICE) == costs == {"m": 36, None: -5}
        assert [line.amount for line in self._lines(ALICE)] in ([35, -5, 1], [-5, 35, 1])
        assert self.store.audit() == []

    def test_r2_many_lines_are_folded_in_steps_and_the_books_balance(self) -> None:
        self.define(ALICE, None, duration="daily")
        self.define(BOB, None)

        def some(first: int) -> None:
            for number in range(first, MANY, 26):
                key = BOB if number % 5 == 0 else ALICE
                self.spend(f"{number:06}", number, Scope(key), model=f"m{number % 3}")

        self.at_once(26, some)  # so that a store may take many together
        self.clock.advance(9 * DAY)
        assert self._prune() == MANY - 6
        for key in (ALICE, BOB):
            lines = self._lines(key)
            assert sorted(line.model or "" for line in lines) == ["m0", "m1", "m2"]
            assert {line.kind for line in lines} == {EntryKind.CARRIED}
        assert sum(line.amount for line in self.store.entries()) == sum(range(MANY))
        assert self.store.audit() == []

    def test_r3_what_is_younger_than_eight_days_is_refused(self) -> None:
        self.define(ALICE, 100)
        self._call("a", ALICE, 5)
        self.clock.advance(8 * DAY - 1)
        error = self.raises(ConfigurationError, lambda: self.store.prune(START))
        assert "8 days" in str(error)
        self.clock.advance(1)
        assert self.store.prune(START) == 0
        self.raises(ConfigurationError, lambda: self.store.prune(START + 1))
        self.raises(ConfigurationError, lambda: self.store.prune(-1))
        assert self.store.hold("a") is not None

    def test_r3_holds_that_are_over_are_forgotten_and_younger_ones_known(self) -> None:
        self.define(ALICE, 1000)
        self._call("old", ALICE, 5)
        self.granted("let go", Scope(ALICE), amount=5)
        self.store.release("let go")
        self.store.release("never came")
        self.clock.advance(2 * DAY)
        self._call("young", ALICE, 5)
        self.clock.advance(7 * DAY)
        self._prune()
        assert [self.store.hold(name) for name in ("old", "let go")] == [None, None]
        self.raises(UnknownUserError, lambda: self.store.settle(Posting("old", 5)))
        assert self.store.settle(Posting("young", 5)).repeated
        self.granted("never came", Scope(ALICE), amount=1)

    def test_r6_what_is_open_or_expired_is_never_touched(self) -> None:
        self.define(ALICE, 1000, duration="daily")
        self.granted("expires", Scope(ALICE), amount=50, ttl=MINUTE)
        self.granted("again", Scope(ALICE), amount=50, ttl=MINUTE)
        self.granted("lasts", Scope(ALICE), amount=20, ttl=30 * DAY)
        self.clock.advance(10 * DAY)
        self.store.sweep()
        lines = self._lines(ALICE)
        assert self._prune() == 0
        assert self._lines(ALICE) == lines
        late = self.store.settle(Posting("expires", 30))
        assert late.posted == -20
        assert self.store.settle(Posting("lasts", 20)).posted == 20
        # What was posted just now may be told again, however old its call is.
        self._prune()
        assert self.store.settle(Posting("expires", 30)).repeated
        found = self.store.release("again")
        assert found is not None
        assert found.state is HoldState.RELEASED
        assert sum(line.amount for line in self._lines(ALICE)) == 50
        self.clock.advance(9 * DAY)
        assert self._prune() > 0
        assert sum(line.amount for line in self._lines(ALICE)) == 50
        assert self.store.audit() == []

    def test_r4_a_hold_on_several_accounts_is_folded_where_its_window_has_closed(self) -> None:
        self.define(ALICE, 1000, duration="daily")
        self.define(TEAM, 1000, duration="yearly")
        for number in range(4):
            self.granted(f"{number}", Scope(ALICE), Scope(TEAM), amount=10)
            self.settle(f"{number}", 10)
        self.clock.advance(20 * DAY)
        assert self._prune() == 3
        assert [line.amount for line in self._lines(ALICE)] == [40]
        assert [line.amount for line in self._lines(TEAM)] == [10] * 4
        assert self.store.audit() == []

    def test_r9_after_a_change_of_duration_a_folded_window_still_counts(self) -> None:
        self.define(ALICE, 1000, duration="daily")
        for number in range(4):
            self._call(f"{number}", ALICE, 10)
            self.clock.advance(DAY)
        self.clock.advance(10 * DAY)
        self._prune()
        account = self.define(ALICE, 1000, duration="monthly")
        assert account.spent == 40
        assert self.define(ALICE, 1000, duration="forever").spent == 40
        assert self._prune() == 0  # windows that were apart stay apart
        assert self.store.audit() == []

    def test_what_was_removed_is_folded_as_well(self) -> None:
        self.define(ALICE, 1000)
        for number in range(3):
            self._call(f"{number}", ALICE, 10)
        self.store.remove(ALICE)
        self.clock.advance(9 * DAY)
        assert self._prune() == 2
        assert sum(line.amount for line in self.store.entries()) == 30
