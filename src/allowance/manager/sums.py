"""Adding up lines of the ledger, for histories and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.ledger.records import EntryKind

if TYPE_CHECKING:
    from allowance.ledger.records import Entry

__all__ = ["Sum"]

_CALLS: Final = (EntryKind.CALL, EntryKind.EXPIRY)


class Sum:
    """Lines that belong together. Amounts are nano-dollars.

    Attributes:
        spent, adjusted: of all lines, and of those by hand.
        calls: how many calls were charged; a line that stands for many older ones tells no number.
        input_tokens, output_tokens: as far as the lines tell.
        by_model: amounts by model; "" has what belongs to none.
    """

    __slots__ = (
        "_guessed",
        "_pending",
        "adjusted",
        "by_model",
        "calls",
        "input_tokens",
        "output_tokens",
        "spent",
    )

    def __init__(self) -> None:
        self.spent = self.adjusted = self.calls = self.input_tokens = self.output_tokens = 0
        self.by_model: dict[str, int] = {}
        self._guessed = 0
        self._pending: dict[str | None, int] = {}

    def add(self, entry: Entry) -> None:
        """Take in one line, in the order of posting: a correction comes after what it corrects."""
        kind, amount, model = entry.kind, entry.amount, entry.model or ""
        self.spent += amount
        self.by_model[model] = self.by_model.get(model, 0) + amount
        self.input_tokens += entry.input_tokens
        self.output_tokens += entry.output_tokens
        if kind in _CALLS:
            self.calls += 1
        if kind is EntryKind.ADJUSTMENT:
            self.adjusted += amount
        elif kind is EntryKind.CALL and entry.unconfirmed:
            self._guessed += amount
        elif kind is EntryKind.EXPIRY:
            self._pending[entry.hold_id] = amount
        elif kind is EntryKind.CORRECTION:
            before = self._pending.pop(entry.hold_id, 0)
            if entry.unconfirmed:
                self._pending[entry.hold_id] = before + amount

    @property
    def unconfirmed(self) -> int:
        """The part of ``spent`` whose truth nobody could tell."""
        return self._guessed + sum(self._pending.values())
