"""What a call cost that was made elsewhere, and what one would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allowance.calls.ask import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.calls.books import Books
    from allowance.ledger.records import AccountKey, Posting

__all__ = ["projection", "receipt"]


def projection(books: Books, model: str, messages: Any, call: Mapping[str, Any]) -> int:
    """Nano-dollars of a call: of its input, and where its output is capped of all that it may put out."""
    projected = quote(model=model, books=books, **{"messages": messages, **call})
    return projected.amount if projected.capped else projected.floor


def receipt(
    books: Books,
    key: AccountKey,
    reply: Any,
    model: str | None,
    input_text: str | None,
    output_text: str | None,
) -> Posting | None:
    """What a call cost that was made elsewhere; None where a metered call has charged it already."""
    raise NotImplementedError
