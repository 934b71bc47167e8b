"""Why a call would be refused now, and when that ends. What decides is the ledger's own `admit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from allowance.calls.projecting import find_price, no_quote
from allowance.errors import ConfigurationError, UnknownModelError
from allowance.ledger.accounts import turn
from allowance.ledger.holds import Verdict, admit
from allowance.ledger.models import applies
from allowance.ledger.records import Ask, HoldState
from allowance.ledger.times import micros_of, to_datetime
from allowance.manager.reasons import reason
from allowance.manager.records import BudgetAnswer, Explanation
from allowance.manager.views import hold_status, status_of
from allowance.money import MAX_NANOS, to_usd
from allowance.requests import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from allowance.calls.books import Books
    from allowance.ledger.records import Account, Hold
    from allowance.prices.price import Price
    from allowance.quotes.quote import Quote
    from allowance.requests import Request

__all__ = ["explanation"]

_INPUTS: Final = ("messages", "input", "contents", "prompt")


def explanation(
    books: Books, family: Sequence[Account], holds: Sequence[Hold], model: str | None, call: Mapping[str, Any]
) -> Explanation:
    """What a call would meet now; ``family`` are all of the user's budgets, ``holds`` what lies on them.

    Raises:
        ConfigurationError: the arguments cannot be a call's.
    """
    question = _question(books, model, call)
    standing = [hold for hold in holds if hold.state is HoldState.HELD]
    counting = [account for account in family if applies(account.terms, model)]
    verdict = question.decide(counting)
    answers = tuple(_answer(question, account, counting, standing) for account in family)
    fits_at = None if verdict.refused_by is None else _all_fit_at(question, counting, answers)
    fits = verdict.refused_by is None
    found = Explanation(
        user=family[0].key.name,
        kind=family[0].key.kind,
        model=model,
        fits=fits,
        reason="",
        price_known=question.price is not None or model is None,
        needs=to_usd(verdict.amount if fits else verdict.least),
        wants=to_usd(question.quote.amount),
        temporary=verdict.temporary,
        fits_at=fits_at,
        budgets=answers,
        holds=tuple(hold_status(hold) for hold in standing),
    )
    return replace(found, reason=reason(found, question.unknown, clamped=verdict.clamped))


@dataclass(frozen=True, slots=True)
class _Question:
    """A call, as far as it is known, as the ledger is asked about it."""

    books: Books
    request: Request | None
    price: Price | None
    quote: Quote
    unknown: str = ""

    def decide(self, accounts: Sequence[Account]) -> Verdict:
        """What a reserve would come to on these accounts."""
        limited = [number for number, account in enumerate(accounts) if account.limit is not None]
        if self.unknown:
            return Verdict(0, refused_by=limited[0] if limited else None)  # R10
        quote = self.quote
        amounts = (quote.floor, quote.amount, quote.ceiling, quote.expected)
        verdict = admit(accounts, Ask("explain", (), *amounts, quote.input_bounded, 1))
        if verdict.clamped and not self._affords(verdict.amount):
            tightest = min(limited, key=lambda number: accounts[number].remaining or 0)
            return Verdict(quote.amount, refused_by=tightest, least=quote.amount)
        return verdict

    def _affords(self, amount: int) -> bool:
        """Whether the call can be capped to this amount, and one token may come back then."""
        if self.request is None or self.price is None or self.request.cap_name is None:
            return False
        return self.books.quoting.affordable(self.request, self.price, amount) > 0


def _question(books: Books, model: str | None, call: Mapping[str, Any]) -> _Question:
    given = {name: value for name, value in call.items() if value is not None}
    if model is None:
        if given:
            raise ConfigurationError("explain() needs model= too, to tell what the call would cost.")
        anything = no_quote("")._replace(floor=1, amount=1, ceiling=1)  # the least that can be left
        return _Question(books, None, None, anything)
    if not any(name in given for name in _INPUTS):
        given["messages"] = []
    request = read({"model": model, **given})
    if request is None:
        raise ConfigurationError(f"model= must be the name of a model, not {type(model).__name__}.")
    price = find_price(books, request)
    if price is not None:
        return _Question(books, request, price, books.quoting.quote(request, price))
    error = UnknownModelError(model=model, near=books.catalogue.near(model))
    return _Question(books, request, None, no_quote(model), unknown=str(error))


def _answer(
    question: _Question, account: Account, counting: Sequence[Account], standing: Sequence[Hold]
) -> BudgetAnswer:
    """One budget's answer: what would be decided if the others had room for everything."""
    if account not in counting:
        unasked = status_of(account)
        return BudgetAnswer(unasked, applies=False, needs=to_usd(0), fits=True, temporary=False, fits_at=None)
    others = [_roomy(other) for other in counting if other is not account]
    verdict = question.decide([account, *others])
    fits = verdict.refused_by is None
    times = []
    if verdict.temporary:
        ends = [hold.expires_at for hold in standing if any(key == account.key for key, _ in hold.windows)]
        times += [max(ends)] if ends else []
    if not fits and account.window_end is not None:
        fresh = turn(account, account.window_end)
        times += [account.window_end] if question.decide([fresh, *others]).refused_by is None else []
    return BudgetAnswer(
        budget=status_of(account),
        applies=True,
        needs=to_usd(verdict.amount if fits else verdict.least),
        fits=fits,
        temporary=verdict.temporary,
        fits_at=to_datetime(min(times)) if times else None,
    )


def _roomy(account: Account) -> Account:
    """The account with room for any call; its policy for uncapped calls still has its say."""
    if account.limit is None:
        return account
    return account._replace(terms=replace(account.terms, limit=MAX_NANOS), extras=(), spent=0, held=0)


def _all_fit_at(
    question: _Question, counting: Sequence[Account], answers: Sequence[BudgetAnswer]
) -> datetime | None:
    """When every budget admits the call, if nothing else is spent; None where waiting does not help."""
    times = [answer.fits_at for answer in answers if not answer.fits]
    known = [time for time in times if time is not None]
    if len(known) < len(times) or not known:
        return None
    at = max(known)
    # A top-up that makes another budget admit it now may be over by then.
    then = [turn(account, micros_of(at))._replace(held=0) for account in counting]
    return at if question.decide(then).refused_by is None else None
