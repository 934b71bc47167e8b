"""`Quote`: what a call is projected to cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from allowance.money import format_usd, to_usd

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Quote"]


class Quote(NamedTuple):
    """A projection in tokens and nano-dollars; the properties give US dollars.

    Attributes:
        model: the model as it was asked for.
        input_tokens: the input's count, or its upper bound.
        output_tokens: the cap times the number of replies; for an uncapped call the likely output.
        max_output_tokens: the most the model can put out for this call, choices included.
        floor: nano-dollars without which it cannot be sent: of an uncapped call the input alone, at the
            dearest rate it could hit; of a capped one the whole amount.
        amount: nano-dollars to hold: input and ``output_tokens`` at the dearest rate.
        ceiling: nano-dollars of input and ``max_output_tokens``. A capped call has amount == ceiling.
        expected: nano-dollars of its likely cost, at the ordinary rate; at most ``amount``.
        capped: whether the request caps its output.
        input_bounded: whether ``floor`` cannot be exceeded by the input.
        unbounded: why the quote is no upper bound, each reason in words; empty where it is one.
        counted_by: ``"o200k_base"``, ``"cl100k_base"``, ... or ``"bytes"``: what counted the input.
        note: what would make the quote sharper (how to get a vocabulary), else empty.
        likely_input_tokens: what the input likely is, where ``input_tokens`` is only a bound.
    """

    model: str
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    floor: int
    amount: int
    ceiling: int
    expected: int
    capped: bool
    input_bounded: bool
    unbounded: tuple[str, ...] = ()
    counted_by: str = "bytes"
    note: str = ""
    likely_input_tokens: int = 0

    @property
    def bound(self) -> bool:
        """True where the call cannot cost more than ``projected``: input and output are both bounded."""
        return not self.unbounded

    @property
    def projected(self) -> Decimal:
        """What is held before the call is sent, in US dollars."""
        return to_usd(self.amount)

    @property
    def expected_cost(self) -> Decimal:
        """What the call will likely cost, in US dollars."""
        return to_usd(self.expected)

    def __str__(self) -> str:
        kind = "at most" if self.bound else "about"
        return (
            f"{self.model}: {kind} {format_usd(self.amount)} "
            f"({self.input_tokens:,} tokens in, {self.output_tokens:,} out)"
        )
