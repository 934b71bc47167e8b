"""What a store keeps, as the verbs see it: rows that are read and written under the store's own lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from allowance.ledger.holds import HoldRow
    from allowance.ledger.records import Account, AccountKey, EntryKind, Posting

__all__ = ["Adjustment", "Tables"]


class Adjustment(NamedTuple):
    """What an adjustment id stands for; the amount is as asked, None for a reset.

    ``until`` is None for what is no top-up; of a top-up it is its end as asked, 0 where none was given.
    """

    key: AccountKey
    amount: int | None
    until: int | None = None


class Tables(Protocol):
    """Rows, and nothing decided: `allowance.ledger.verbs` does that.

    Nobody else reads or writes them while a verb runs. What a verb wrote before it raised an error may
    stay or go: the verbs write nothing that would be wrong alone.
    """

    def account(self, key: AccountKey, /) -> Account | None:
        """The account as it was last kept."""
        ...

    def family(self, key: AccountKey, /) -> Sequence[Account]:
        """The accounts of the key's project, kind and name: the main one first, then by label."""
        ...

    def keep(self, account: Account) -> None:
        """Keep an account, new or changed."""
        ...

    def rename(self, old: AccountKey, new: AccountKey) -> None:
        """Move an account to another key, which is free.

        Its entries, costs, adjustments, and open and expired holds go with it.
        """
        ...

    def projects(self, kind: str, name: str) -> Sequence[str]:
        """The projects that have a budget of this kind and name."""
        ...

    def hold(self, hold_id: str, /) -> HoldRow | None:
        """The hold of this id, in whatever state."""
        ...

    def add_hold(self, row: HoldRow) -> None:
        """Keep a new hold."""
        ...

    def keep_hold(self, row: HoldRow) -> None:
        """Keep a hold whose state, charge or term has changed."""
        ...

    def due(self, now: int) -> Iterable[HoldRow]:
        """The open holds whose ``expires_at`` is not after ``now``, soonest first."""
        ...

    def costs(self, key: AccountKey, start: int, end: int | None) -> dict[str | None, int]:
        """The sums of the account's entries with ``start <= at < end``, by model."""
        ...

    def model_costs(self, account: Account) -> dict[str | None, int]:
        """What was kept for the account's current window with the two below; empty for a new window."""
        ...

    def add_cost(self, account: Account, model: str | None, amount: int) -> None:
        """Add to what a model has cost in the account's current window, which `costs` could find slowly."""
        ...

    def keep_costs(self, account: Account, costs: Mapping[str | None, int]) -> None:
        """Replace what each model has cost in the account's current window."""
        ...

    def held(self, key: AccountKey, start: int, end: int | None) -> int:
        """The sum of the account's open holds with ``start <= reserved_at < end``."""
        ...

    def adjustment(self, adjustment_id: str) -> Adjustment | None:
        """What this id stands for, if it is known."""
        ...

    def add_adjustment(self, adjustment_id: str, adjustment: Adjustment) -> None:
        """Remember an adjustment's id."""
        ...

    def add_entry(
        self,
        key: AccountKey,
        kind: EntryKind,
        amount: int,
        at: int,
        posted_at: int,
        window_start: int,
        about: Posting,
    ) -> None:
        """Append a line to the ledger; ``about`` gives it the rest: its ``hold_id`` is empty for none."""
        ...
