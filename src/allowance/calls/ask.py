"""Questions without a call: what would this cost, what did this cost, how much was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allowance.calls.books import default_books
from allowance.errors import ConfigurationError
from allowance.money import to_usd
from allowance.replies import measure
from allowance.requests import read

if TYPE_CHECKING:
    from decimal import Decimal

    from allowance.calls.books import Books
    from allowance.quotes.quote import Quote
    from allowance.replies import Usage

__all__ = ["cost_of", "quote", "usage_of"]


def quote(*, model: str, books: Books | None = None, **arguments: Any) -> Quote:
    """What a call with these arguments would be projected to cost; nothing is sent or held.

    The arguments are those of the call itself: ``messages`` or ``input``, ``max_tokens``, ``tools``, ...

    Raises:
        UnknownModelError: no price is known.
        ConfigurationError: the arguments cannot be a call's.
    """
    books = books or default_books()
    request = read({"model": model, **arguments})
    if request is None:
        raise ConfigurationError('quote() needs a model by name: quote(model="gpt-4o", messages=[...]).')
    return books.quoting.quote(request, books.catalogue.find(request.model, provider=request.provider))


def usage_of(response: object) -> Usage:
    """The tokens in a reply of any SDK, or in the same as plain dicts.

    Raises:
        ConfigurationError: it carries no usage (a stream has to be read first).
    """
    usage = measure(response)
    if usage is None:
        raise ConfigurationError(
            f"This {type(response).__name__} carries no usage. A stream carries it at its end, and OpenAI's "
            'only with stream_options={"include_usage": True}.'
        )
    return usage


def cost_of(response: object, *, model: str | None = None, books: Books | None = None) -> Decimal:
    """What a reply cost, in US dollars, by the model and the service tier that it names.

    ``model`` serves where the reply names none.

    Raises:
        UnknownModelError: no price is known for its model.
        ConfigurationError: the reply carries no usage.
    """
    books = books or default_books()
    return to_usd(books.catalogue.cost(usage_of(response), model=model))
