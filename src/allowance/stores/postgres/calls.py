"""Reserves and settles: by the database's own functions, and where those are not enough by the verbs."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from allowance.errors import BudgetError, ConfigurationError, StoreError, StoreUnavailableError
from allowance.ledger import verbs
from allowance.ledger.holds import check_posting
from allowance.ledger.records import Ask, Denial, Grant
from allowance.stores.postgres import sql
from allowance.stores.postgres.hot import answers, dump, encode, stripes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from allowance.ledger.records import Hold, Posting, Settlement
    from allowance.stores.postgres.engine import Engine
    from allowance.stores.postgres.tables import PostgresTables

    Operation: TypeAlias = Ask | Posting
    Outcome: TypeAlias = Grant | Denial | Settlement | BudgetError

__all__ = ["Calls"]

_MOST: Final = 256
"""Operations in one transaction."""


class Calls:
    """What is asked and posted, one by one or many at once."""

    hot = True
    """Whether the database's own functions are asked first: tests try both ways."""

    few = 4
    """Up to so many are done one by one; with a larger crowd, what they have in common is done once."""

    def __init__(self, engine: Engine, sweep: Callable[[], list[Hold]]) -> None:
        self._engine = engine
        self._sweep = sweep

    def one(self, operation: Operation) -> Grant | Denial | Settlement:
        """Its answer, or its error raised."""
        outcome = self._part([operation])[0]
        if isinstance(outcome, BudgetError):
            try:
                raise outcome
            finally:
                del outcome  # its traceback holds this frame: they would keep each other alive
        return outcome

    def many(self, operations: Sequence[Operation]) -> list[Outcome]:
        """See `Batching.many`."""
        outcomes: list[Outcome] = []
        for part in _parts(operations):
            outcomes += self._part(part)
        return outcomes

    def _part(self, operations: Sequence[Operation]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [_misuse(operation) for operation in operations]
        swept: tuple[Hold, ...] = ()
        asked = [number for number, outcome in enumerate(outcomes) if outcome is None]
        if self.hot and asked:
            found, swept = self._asked([operations[number] for number in asked])
            for number, answer in zip(asked, found, strict=True):
                outcomes[number] = answer
        slow = [number for number, outcome in enumerate(outcomes) if outcome is None]
        if slow:
            done = self._by_the_verbs([operations[number] for number in slow])
            for number, outcome in zip(slow, done, strict=True):
                outcomes[number] = outcome
        return _telling(swept, [outcome for outcome in outcomes if outcome is not None])

    def _asked(self, operations: Sequence[Operation]) -> tuple[Sequence[Outcome | None], tuple[Hold, ...]]:
        """What the database answers at once, None for what is slow; and the holds that were swept for it."""
        swept: list[Hold] = []
        for _ in range(2):
            try:
                rows = self._engine.ask(sql.PERFORM, self._told(operations))
            except (ConfigurationError, UnicodeEncodeError):
                if len(operations) == 1:
                    raise
                break  # one that cannot be kept must not cost the others: the verbs take each alone
            if not rows or rows[0][1] != "due":
                return answers(operations, rows), tuple(swept)
            swept += self._sweep()
        return [None] * len(operations), tuple(swept)

    def _told(self, operations: Sequence[Operation]) -> tuple[str, list[int], list[str], int | None, bool]:
        engine = self._engine
        told = [dump(operation, engine.known) for operation in operations]
        stripes = [stripe for operation in told for stripe in operation["stripes"]]
        settling = [operation.hold_id for operation in operations if not isinstance(operation, Ask)]
        together = len(told) > self.few
        return encode(told), stripes, settling, engine.given(), together

    def _by_the_verbs(self, operations: Sequence[Operation]) -> list[Outcome]:
        """All in one transaction, or where one of them undoes it, each in its own."""
        ids = [operation.hold_id for operation in operations]
        ids += [
            operation.replacing
            for operation in operations
            if isinstance(operation, Ask) and operation.replacing
        ]
        try:
            stripes = [stripe for operation in operations for stripe in stripes_of(operation.scopes)]
            return self._engine.transact(
                lambda tables, now: [_performed(tables, operation, now) for operation in operations],
                stripes=stripes,
                hold_ids=ids,
            )
        except (StoreError, ConfigurationError, UnicodeEncodeError) as error:
            if len(operations) == 1:
                return [error if isinstance(error, BudgetError) else ConfigurationError(str(error))]
            if isinstance(error, StoreUnavailableError):
                return [copy(error) for _ in operations]
        return [self._by_the_verbs([operation])[0] for operation in operations]


def _parts(operations: Sequence[Operation]) -> Iterator[Sequence[Operation]]:
    """What is done in one transaction: of an id only the first, for what comes next may hang upon it."""
    start, seen = 0, set[str]()
    for number, operation in enumerate(operations):
        ids = {operation.hold_id}
        if isinstance(operation, Ask) and operation.replacing is not None:
            ids.add(operation.replacing)
        if number - start == _MOST or not seen.isdisjoint(ids):
            yield operations[start:number]
            start, seen = number, set()
        seen |= ids
    if operations:
        yield operations[start:]


def _telling(swept: tuple[Hold, ...], outcomes: list[Outcome]) -> list[Outcome]:
    """Say to the first that asked, and was not misuse, what was swept before it."""
    for number, outcome in enumerate(outcomes):
        if swept and isinstance(outcome, (Grant, Denial)):
            outcomes[number] = outcome._replace(expired=(*swept, *outcome.expired))
            break
    return outcomes


def _misuse(operation: Operation) -> BudgetError | None:
    try:
        if not isinstance(operation, Ask):
            check_posting(operation)
    except ConfigurationError as error:
        return error
    return None


def _performed(tables: PostgresTables, operation: Operation, now: int) -> Outcome:
    """An error of the verbs' stands for its operation alone: they write nothing that would be wrong alone."""
    try:
        if isinstance(operation, Ask):
            return verbs.reserve(tables, operation, now)
        return verbs.settle(tables, operation, now)
    except BudgetError as error:
        return error
