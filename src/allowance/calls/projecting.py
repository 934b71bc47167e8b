"""Step 3 as a call needs it: which price, which quote, and the words of a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.errors import BudgetExceededError, UnknownModelError
from allowance.ledger.times import to_datetime
from allowance.money import to_usd
from allowance.quotes.quote import Quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from allowance.calls.books import Books
    from allowance.calls.views import View
    from allowance.ledger.records import Account, Denial
    from allowance.prices.price import Price
    from allowance.requests.request import Request

__all__ = ["cheap_quote", "find_price", "no_quote", "refusal"]


def find_price(books: Books, request: Request) -> Price | None:
    """The price of the requested model; None where none is known and the policy is to raise (R10)."""
    try:
        return books.catalogue.find(
            request.model, provider=request.provider, unknown=books.policy.on_unknown_model
        )
    except UnknownModelError:
        return None


def cheap_quote(books: Books, request: Request, price: Price, views: Iterable[View]) -> Quote | None:
    """The byte bound, where counting would not matter: far from the end of every budget.

    It serves where it is below 1 % of what remained when last seen, and this process's open cheap holds
    stay below 5 % with it (DESIGN §4). None: count.
    """
    limited: list[tuple[View, int]] = []
    for view in views:
        account = view.account
        if account is None:
            return None
        remaining = account.remaining
        if remaining is not None:
            limited.append((view, remaining))
    quote = books.quoting.quote(request, price, cheap=True)
    amount = quote.amount
    for view, remaining in limited:
        if amount * 100 >= remaining or (view.cheap + amount) * 20 >= remaining:
            return None
    return quote


def no_quote(model: str) -> Quote:
    """A quote of nothing, for a model whose price is unknown: with it the store is asked for limits."""
    return Quote(
        model=model,
        input_tokens=0,
        output_tokens=0,
        max_output_tokens=0,
        floor=0,
        amount=0,
        ceiling=0,
        expected=0,
        capped=False,
        input_bounded=False,
        unbounded=("no price is known for the model",),
    )


def refusal(denied: Denial, quote: Quote, call_id: str, *, remedy: str = "") -> BudgetExceededError:
    """The error for a denial, with the refusing budget's figures and what can be done."""
    account = denied.account
    return BudgetExceededError(
        user=account.key.name,
        kind=account.key.kind,
        label=account.key.label,
        models=account.terms.models,
        limit=to_usd(account.limit or 0),
        spent=to_usd(account.spent),
        held=to_usd(account.held),
        projected=to_usd(denied.amount),
        resets_at=resets_at(account),
        model=quote.model,
        call_id=call_id,
        temporary=denied.temporary,
        remedy=remedy or _remedy(account, quote),
    )


def resets_at(account: Account) -> datetime | None:
    """When the account's window ends, or None if it never does."""
    return None if account.window_end is None else to_datetime(account.window_end)


def _remedy(account: Account, quote: Quote) -> str:
    if account.key.kind == "process":
        raise_it = "raise allowance.max_budget"
    elif account.key.kind in ("block", "function"):
        raise_it = f"raise the {account.key.kind}'s limit"
    elif account.key.label:
        raise_it = f"raise the limit of its budget {account.key.label!r}"
    else:
        raise_it = f"raise the limit of {account.key.name!r}"
    if not account.limit:
        return f"To send it, {raise_it}: at $0.00 it refuses all that costs."
    note = f" {quote.note}" if quote.note else ""
    if not quote.max_output_tokens:  # an embedding: nothing but its input costs
        return f"To send it, shorten its input, or {raise_it}.{note}"
    shorter = "lower its output cap" if quote.capped else "give it an output cap (max_tokens)"
    return f"To send it, {shorter}, shorten its input, or {raise_it}.{note}"
