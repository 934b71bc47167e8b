# ruff: noqa: S101  what a test suite is made of
"""What the suite works with: a clock moved by hand, short ways to ask, races made wide."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest.mock import patch

from allowance.errors import ConfigurationError, HoldConflictError
from allowance.ledger.holds import admit
from allowance.ledger.records import AccountKey, Ask, Declaration, Grant, Posting, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.ledger.holds import Verdict
    from allowance.ledger.records import Account, Denial
    from allowance.stores.base import Store

__all__ = [
    "ALICE",
    "BOB",
    "DAY",
    "GPT",
    "MINUTE",
    "MONTH",
    "START",
    "TEAM",
    "Bench",
    "ManualClock",
    "budget",
]

E = TypeVar("E", bound=Exception)
T = TypeVar("T")

MINUTE: Final = 60_000_000
DAY: Final = 24 * 60 * MINUTE
START: Final = 1_772_323_200_000_000
"""1 March 2026, midnight UTC, in microseconds."""

ALICE: Final = AccountKey("app", "user", "alice")
BOB: Final = AccountKey("app", "user", "bob")
TEAM: Final = AccountKey("app", "team", "red")
MONTH: Final = ALICE._replace(label="month")
"""A second budget of Alice's, for all calls."""
GPT: Final = ALICE._replace(label="gpt")
"""A third one, which tests give to some models."""


class ManualClock:
    """A clock that stands still until it is told; microseconds."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, micros: int) -> None:
        """Move it; backwards too."""
        self.now += micros


def budget(key: AccountKey = ALICE, limit: int | None = 100, **terms: Any) -> Scope:
    """A scope whose terms code declares."""
    return Scope(key, Declaration(limit=limit, creates=True, **terms))


class Bench:
    """The part of the suite that its tests share. Subclasses say how a store is made."""

    clock: ManualClock
    store: Store

    def make_store(self, clock: Callable[[], int]) -> Store:
        """A new and empty store that goes by this clock, in microseconds."""
        raise NotImplementedError("Say how your store is made: def make_store(self, clock): return ...")

    @contextmanager
    def widened(self) -> Iterator[None]:
        """Make the gap between a decision and its writing wide, so that a missing lock shows.

        A store that does not decide by `allowance.ledger.verbs` should override this.
        """

        def slowly(*arguments: Any) -> Verdict:
            verdict = admit(*arguments)
            time.sleep(0.002)
            return verdict

        with patch("allowance.ledger.verbs.admit", slowly):
            yield

    def setup_method(self) -> None:
        """Begin each test with a store of its own."""
        self.clock = ManualClock()
        self.store = self.make_store(self.clock)

    def teardown_method(self) -> None:
        """Whatever a test did, the books balance after it (R2)."""
        differences = self.store.audit()
        self.store.close()
        assert differences == []

    def reserve(
        self,
        hold_id: str,
        *scopes: Scope,
        amount: int,
        floor: int | None = None,
        ceiling: int | None = None,
        expected: int | None = None,
        bounded: bool = True,
        ttl: int = 15 * MINUTE,
        replacing: str | None = None,
        model: str | None = "a-model",
        tags: tuple[str, ...] = (),
        owner: str = "",
    ) -> Grant | Denial:
        """Reserve a capped call's amount, or an uncapped one's where floor or ceiling differ."""
        return self.store.reserve(
            Ask(
                hold_id=hold_id,
                scopes=scopes or (budget(),),
                floor=amount if floor is None else floor,
                amount=amount,
                ceiling=amount if ceiling is None else ceiling,
                expected=amount // 2 if expected is None else expected,
                bounded=bounded,
                ttl=ttl,
                replacing=replacing,
                model=model,
                tags=tags,
                owner=owner,
            )
        )

    def granted(self, hold_id: str, *scopes: Scope, amount: int, **more: Any) -> Grant:
        """Reserve what must be granted."""
        outcome = self.reserve(hold_id, *scopes, amount=amount, **more)
        assert isinstance(outcome, Grant), f"{hold_id} should have been granted, but: {outcome}"
        return outcome

    def denied(self, hold_id: str, *scopes: Scope, amount: int, **more: Any) -> Denial:
        """Reserve what must be refused."""
        outcome = self.reserve(hold_id, *scopes, amount=amount, **more)
        assert not isinstance(outcome, Grant), f"{hold_id} should have been refused, but: {outcome}"
        return outcome

    def settle(self, hold_id: str, amount: int, *scopes: Scope) -> int:
        """Settle, and say how much was posted."""
        return self.store.settle(Posting(hold_id, amount, scopes=scopes)).posted

    def define(self, key: AccountKey = ALICE, limit: int | None = 100, **terms: Any) -> Account:
        """Make a budget, or change one, as an operator does."""
        return self.store.define(key, Declaration(limit=limit, creates=True, **terms))

    def spend(self, hold_id: str, amount: int, *scopes: Scope, **more: Any) -> int:
        """Post what a call without a hold has cost, and say how much was posted."""
        return self.store.settle(Posting(hold_id, amount, scopes or (Scope(ALICE),), **more)).posted

    def figures(self, key: AccountKey = ALICE) -> tuple[int, int]:
        """What is spent and held."""
        account = self.store.account(key)
        assert account is not None, f"{key} should exist"
        return account.spent, account.held

    def raises(self, kind: type[E], call: Callable[[], object]) -> E:
        """Do what must raise this error; the error."""
        try:
            outcome = call()
        except kind as error:
            return error
        raise AssertionError(f"{kind.__name__} should have been raised, but: {outcome}")

    def conflicts(self, call: Callable[[], object]) -> None:
        """Do what must be one id for two different requests."""
        self.raises(HoldConflictError, call)

    def misuse(self, call: Callable[[], object]) -> None:
        """Do what must be refused as misuse."""
        self.raises(ConfigurationError, call)

    def at_once(self, count: int, work: Callable[[int], T]) -> list[T]:
        """Run work(0), work(1), ... in threads that start together; the results in that order."""
        results: dict[int, T] = {}
        errors: list[BaseException] = []
        ready = threading.Barrier(count)

        def run(number: int) -> None:
            try:
                ready.wait()
                results[number] = work(number)
            except BaseException as error:  # noqa: BLE001  it is raised again below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return [results[number] for number in range(count)]
