"""`Extras`: further holds of a stream that costs more than was held for it when it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.calls.ids import owner
from allowance.calls.writing import release
from allowance.ledger.records import Ask, Denial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.calls.charge import Charge
    from allowance.calls.groups import Group
    from allowance.ledger.records import Grant

__all__ = ["Extras"]


class Extras:
    """Holds beside a call's first; they go when it is settled.

    Attributes:
        amounts: what each holds, in nano-dollars, by its id.
    """

    __slots__ = ("_charge", "_groups", "amounts")

    def __init__(self, charge: Charge, groups: Sequence[Group]) -> None:
        self._charge = charge
        self._groups = groups
        self.amounts: dict[str, int] = {}

    def hold(self, least: int, want: int) -> Denial | None:
        """Hold ``want`` more, or ``least`` where no more is to be had; a Denial changes nothing (R4, R7)."""
        charge = self._charge
        more_id = f"{charge.call_id}+{len(self.amounts) + 1}"
        self.amounts[more_id] = (
            0  # known first: an ending that comes in between lets it go, and so refuses it
        )
        if not charge.is_open():
            return None
        granted: list[tuple[Group, Grant]] = []
        for group in self._groups:
            if group.grant is None:
                continue
            outcome = group.store.reserve(self._ask(more_id, group, least, want))
            if isinstance(outcome, Denial):
                for earlier, _ in granted:
                    release(earlier.store, more_id, reason="refused by another budget")
                return outcome
            granted.append((group, outcome))
            group.saw(outcome.accounts)
            if charge.teller is not None:
                charge.teller.tell(
                    "reserved", outcome.accounts, outcome.amount, reason="the stream costs more"
                )
        self.amounts[more_id] = min((grant.amount for _, grant in granted), default=0)
        return None

    def _ask(self, more_id: str, group: Group, least: int, want: int) -> Ask:
        charge = self._charge
        return Ask(
            more_id,
            group.scopes,
            *(least, want, want, least),
            False,
            charge.books.policy.ttl,
            None,
            charge.model,
            charge.tags,
            owner(),
        )

    def let_go(self) -> None:
        """Release all of them."""
        for group in self._groups:
            released = [
                release(group.store, more_id, reason="its call is over") for more_id in list(self.amounts)
            ]
            if all(released):
                group.look()
