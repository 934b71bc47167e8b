"""Steps 4, 6 and 7 of one call: reserve, price, settle. Once each, whatever goes wrong between.

Everything here is written once, without colour: an async caller runs the same functions through
`allowance.calls.edges`, in a worker thread where a store does I/O.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from allowance.calls import journal, lifeline, process
from allowance.calls.extras import Extras
from allowance.calls.groups import groups_of
from allowance.calls.ids import made_here, new_id, owner
from allowance.calls.projecting import cheap_quote, find_price, no_quote, refusal
from allowance.calls.refuser import Refuser
from allowance.calls.telling import Teller, hooks_of
from allowance.calls.writing import release, settle
from allowance.errors import BudgetError, BudgetExceededError, StoreUnavailableError, UnknownModelError
from allowance.ledger.records import Ask, Denial, Posting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.calls.books import Books
    from allowance.calls.groups import Group
    from allowance.calls.settled import Payee
    from allowance.calls.stack import Frame
    from allowance.ledger.records import Account, Grant, Settlement
    from allowance.prices.price import Price
    from allowance.quotes.quote import Quote
    from allowance.replies.usage import Usage
    from allowance.requests.request import Request
    from allowance.stores.base import Store

__all__ = ["Charge"]

log = logging.getLogger("allowance")

_REFUSED_ELSEWHERE: Final = "refused by another budget"


class Charge:
    """What one call costs, from its projection to its line in the ledger.

    Attributes:
        call_id: the id of its hold in every store; a fresh one for each attempt.
        frames: all frames in force, outermost first.
        quote: the projection that was reserved; None for a charge made only afterwards.
        cap: the output cap that must go into the call, where the clamp policy set one; else None.
        refuser: the budget that refused the last attempt to reserve; None where none did.
        replaced: an inner metered call has taken over this charge's hold.
        tags: what marks it in the ledger.
        teller: tells the hooks; None where there are none.
    """

    __slots__ = (
        "__weakref__",
        "_cheap",
        "_extras",
        "_groups",
        "_open",
        "_outside",
        "_price",
        "_provider",
        "_request",
        "books",
        "call_id",
        "cap",
        "frames",
        "model",
        "quote",
        "refuser",
        "replaced",
        "tags",
        "teller",
    )

    def __init__(
        self, books: Books, frames: tuple[Frame, ...], model: str | None, provider: str | None = None
    ) -> None:
        self.books = books
        self.frames = frames
        self.model = model
        self.call_id = ""
        self.quote: Quote | None = None
        self.cap: int | None = None
        self.refuser: Refuser | None = None
        self.replaced = False
        self._provider = provider
        self._price: Price | None = None
        self._request: Request | None = None
        self._groups = groups_of(frames)
        hooks = hooks_of(books, frames)
        self.teller = Teller(hooks, model, books.policy.warn_at) if hooks else None
        self.tags = _tags_of(frames)
        # The decorated calls that this one is made inside.
        self._outside = [frame for frame in frames[:-1] if frame.is_call]
        self._cheap = 0
        self._extras: Extras | None = None  # once a stream costs more than the first hold
        # Whoever takes the token ends the charge: list.pop is atomic, and needs no lock in a finalizer.
        self._open: list[None] = []

    def stores(self) -> list[Store]:
        """The stores that this charge has to do with."""
        return [group.store for group in self._groups]

    def blocking(self) -> bool:
        """Whether reserving or settling may do I/O."""
        return any(group.store.blocking for group in self._groups)

    def payees(self) -> tuple[Payee, ...]:
        """The users who pay, in whatever store."""
        if len(self._groups) == 1:
            return self._groups[0].payees()
        return tuple([payee for group in self._groups for payee in group.payees()])

    # -- reserve -------------------------------------------------------------------------------------

    def reserve(self, request: Request) -> None:
        """Hold the call's projected cost on every budget over it, or change nothing.

        Raises:
            BudgetExceededError: a budget does not cover it.
            UnknownModelError: no price is known, a limit is in force, and the policy is to raise.
            UnknownUserError: a budget does not exist, and nobody gave terms for it.
            StoreUnavailableError: a budget that has a limit cannot be asked.
        """
        self._request = request
        self._price = find_price(self.books, request)
        if self._price is None:
            self._reserve_unpriced(request)
            return
        views = [view for group in self._groups for view in group.foreseen(self.model)]
        cheap = cheap_quote(self.books, request, self._price, views)
        if cheap is not None and self._hold(cheap) is None and self._clamp(request, cheap) is None:
            self._cheap = cheap.amount
            self._note_cheap(cheap.amount)
            return
        quote = self.books.quoting.quote(request, self._price)
        denied = self._hold(quote) or self._clamp(request, quote)
        if denied is not None:
            if self.teller is not None:
                self.teller.tell("denied", [denied.account], denied.amount)
            raise refusal(denied, quote, self.call_id)

    def _reserve_unpriced(self, request: Request) -> None:
        # Whether a limit is in force is the store's to say, so it is asked to hold nothing.
        self._hold(no_quote(request.model))
        if all(account.limit is None for group in self._groups for account in group.accounts()):
            return
        self.release("no price is known for the model")
        self.books.catalogue.find(request.model, provider=request.provider)  # raises, naming what is near

    def _begin(self) -> None:
        self.call_id = new_id()
        if self.teller is not None:
            self.teller.call_id = self.call_id

    def _hold(self, quote: Quote) -> Denial | None:
        """Reserve in store after store; a refusal lets the earlier ones go (R4)."""
        self._begin()
        self.quote = quote
        outer = _outer_charge(self.frames)
        tried: list[Group] = []
        try:
            for group in self._groups:
                if group.store.rank == journal.REMOTE:
                    self._expect_room(group)
                tried.append(group)
                try:
                    outcome = self._ask(group, quote, None if outer is None else outer.call_id)
                except StoreUnavailableError as error:
                    if error.unsent:
                        tried.pop()  # it has never heard of this hold: there is nothing to let go
                    raise
                if isinstance(outcome, Denial):
                    tried.pop()
                    self._undo(tried)
                    self.refuser = _refuser(group, outcome, quote, outer)
                    if self.teller is not None:
                        self.teller.expired(outcome.expired, [outcome.account, *group.accounts()])
                    return outcome
                if outcome is not None:
                    group.granted(outcome)
            self._open = [None]
        except BaseException:
            # A reserve whose outcome is unknown is released too: that refuses it, should it come late.
            self._undo(tried)
            raise
        for frame in self._outside:
            frame.inner_began()
        self._granted(tried, outer)
        return None

    def _ask(self, group: Group, quote: Quote, replacing: str | None) -> Grant | Denial | None:
        ask = Ask(
            self.call_id,
            group.scopes,
            quote.floor,
            quote.amount,
            quote.ceiling,
            quote.expected,
            quote.input_bounded,
            self.books.policy.ttl,
            replacing,
            self.model,
            self.tags,
            owner(),
        )
        try:
            return group.store.reserve(ask)
        except StoreUnavailableError as error:
            is_news = group.store.rank != journal.REMOTE or journal.journal_of(group.store).failed(error)
            # A memory store never comes back (this is a forked child): nothing was left open for that.
            closed = self.books.policy.on_store_error == "closed" or group.store.rank == 0
            if closed and not group.unlimited(self.model):
                raise
            level = logging.WARNING if is_news else logging.DEBUG
            log.log(level, "A call goes on without its budget in %s: %s", group.store.url, error)
            return None

    def _expect_room(self, group: Group) -> None:
        """Refuse a call whose cost could not be kept while its store is down (R14), if it has a limit."""
        full = journal.full(group.store, self.books.policy.journal_bytes)
        if full is not None and not group.unlimited(self.model):
            raise StoreUnavailableError(full)

    def _undo(self, groups: Iterable[Group]) -> None:
        for group in groups:
            group.grant = None
            if group.store.rank == journal.REMOTE:
                release(group.store, self.call_id, reason=_REFUSED_ELSEWHERE)
                continue
            try:
                group.store.release(self.call_id, reason=_REFUSED_ELSEWHERE)
            except StoreUnavailableError as error:
                # A memory store never comes back; another's hold would be charged at its term for nothing.
                if group.store.blocking:
                    lifeline.retry(group.store, partial(group.store.release, self.call_id))
                log.info("%s could not let a refused call's hold go: %s", group.store.url, error)
            except BudgetError as error:
                log.info("%s could not let a refused call's hold go: %s", group.store.url, error)

    def _granted(self, groups: Iterable[Group], outer: Charge | None) -> None:
        for group in groups:
            grant = group.grant
            if grant is None:
                continue
            if grant.replaced and outer is not None:
                outer.gave_up(group.store)
            if self.teller is not None:
                self.teller.expired(grant.expired, grant.accounts)
                self.teller.tell("reserved", grant.accounts, grant.amount)

    def _clamp(self, request: Request, quote: Quote) -> Denial | None:
        """Find the output cap that the grants afford; a Denial where not even one token fits."""
        grants = [group.grant for group in self._groups if group.grant is not None]
        if not [grant for grant in grants if grant.clamped]:
            return None
        least = min(grants, key=lambda grant: grant.amount)
        if self._price is not None and request.cap_name is not None:
            self.cap = self.books.quoting.affordable(request, self._price, least.amount)
        if self.cap:
            return None
        return self._refused(quote, "the call cannot be capped to what remains")

    def not_cappable(self) -> BudgetExceededError:
        """Let the holds go, and say that the cap of the clamp policy cannot be put into this call."""
        quote = self.quote or no_quote(self.model or "")
        return refusal(self._refused(quote, "the call takes no output cap"), quote, self.call_id)

    def _refused(self, quote: Quote, reason: str) -> Denial:
        """Let the holds go, and name the account with the least room as the one that refuses."""
        self.release(reason)
        accounts = [(group, account) for group in self._groups for account in group.accounts()]
        limited = [
            (account.remaining, number, account, group)
            for number, (group, account) in enumerate(accounts)
            if account.remaining is not None
        ]
        _, _, account, group = min(limited)
        denied = Denial(account=account, amount=quote.amount, temporary=False)
        self.refuser = _refuser(group, denied, quote, None)
        return denied

    def affordable(self) -> int:
        """The largest output cap for which the budget that refused has room; 0 where there is none."""
        if self.refuser is None or self._request is None or self._price is None:
            return 0
        return self.books.quoting.affordable(self._request, self._price, self.refuser.room)

    def held_on(self, account: Account, store: Store) -> int:
        """What it holds on this account."""
        for group in self._groups:
            grant = group.grant if group.store is store else None
            if grant is not None and any(held.key == account.key for held in grant.accounts):
                return grant.amount
        return 0

    # -- more, while a stream runs ---------------------------------------------------------------------

    def unbound(self) -> int | None:
        """Nano-dollars that are held, where the call may cost more; None where it cannot, or nothing is."""
        grants = [group.grant for group in self._groups if group.grant is not None]
        return None if all(grant.bound for grant in grants) else self.held()

    def held(self) -> int:
        """Nano-dollars that are held for it: where stores differ, the least."""
        grants = [group.grant.amount for group in self._groups if group.grant is not None]
        return min(grants, default=0) + self._more()

    def hold_ids(self) -> list[str]:
        """The ids of all its holds."""
        return [self.call_id] if self._extras is None else [self.call_id, *self._extras.amounts]

    def cost(self, usage: Usage) -> int:
        """What this usage costs, in nano-dollars."""
        return self._cost(usage)[0]

    def top_up(self, least: int, want: int) -> Denial | None:
        """Hold more for a running stream, at least ``least``; a Denial changes nothing (R4, R7).

        It is a hold of its own beside the first, which goes when the call is settled.
        """
        if self._extras is None:
            self._extras = Extras(self, self._groups)
        return self._extras.hold(least, want)

    def stopped(self, denied: Denial) -> None:
        """Tell that its stream is stopped, because this budget does not cover more of it."""
        if self.teller is not None:
            self.teller.tell("denied", [denied.account], denied.amount, reason="the stream was stopped")

    def _more(self) -> int:
        return 0 if self._extras is None else sum(self._extras.amounts.values())

    # -- settle --------------------------------------------------------------------------------------

    def settle(self, usage: Usage) -> None:
        """Post what the call cost, in full (R5). Only the first ending of a charge counts (R3)."""
        amount, reason = self._cost(usage)
        if not self._end(charged=True):
            return
        self._post(amount, usage, reason=reason)
        request, quote = self._request, self.quote
        if request is None or quote is None or usage.counted:
            return
        if quote.capped and usage.output_tokens >= quote.output_tokens:
            return  # cut by its own cap: how long the model would have gone on is not known
        self.books.quoting.observe(request.model, -(-usage.output_tokens // request.choices))

    def settle_afterwards(self, usage: Usage) -> None:
        """Post what a call cost that was never reserved."""
        self._begin()
        self._open = [None]
        for frame in self._outside:
            frame.inner_began()
        self.settle(usage)

    def counted(self) -> Quote | None:
        """The quote, its input counted even where the byte bound was enough to reserve it."""
        if self._cheap and self._request is not None and self._price is not None:
            self.quote = self.books.quoting.quote(self._request, self._price)
        return self.quote

    def settle_expected(self, reason: str) -> None:
        """Post the likely cost, marked unconfirmed: nobody can tell what this call did (R12)."""
        if self._end(charged=True):
            quote = self.counted()
            self._post(0 if quote is None else quote.expected, None, reason=reason)

    def release(self, reason: str) -> None:
        """Let the holds go: the call was not sent, or cost nothing."""
        if not self._end(charged=False):
            return
        for group in self._groups:
            grant, group.grant = group.grant, None
            if grant is None:
                continue
            if release(group.store, self.call_id, reason=reason):
                group.look()
            if self.teller is not None:
                self.teller.tell("released", group.accounts(), grant.amount, reason=reason)
        if self._extras is not None:
            self._extras.let_go()

    def gave_up(self, store: Store) -> None:
        """Note that a metered call inside has taken over the hold in this store."""
        self.replaced = True
        for group in self._groups:
            if group.store is store:
                group.grant = None

    def is_open(self) -> bool:
        """Whether nothing has ended it yet, and it is this process's: not that of the parent of a fork."""
        return bool(self._open) and made_here(self.call_id)

    def _end(self, *, charged: bool) -> bool:
        try:
            self._open.pop()
        except IndexError:
            return False
        for frame in self._outside:
            frame.inner_ended(charged=charged)
        lifeline.closed(self.call_id)
        if self._cheap:
            self._note_cheap(-self._cheap)
        return True

    def _note_cheap(self, amount: int) -> None:
        for group in self._groups:
            for view in group.views:
                view.add_cheap(amount)

    def _cost(self, usage: Usage) -> tuple[int, str]:
        try:
            amount = self.books.catalogue.cost(
                usage,
                model=self.model,
                provider=self._provider,
                unknown=self.books.policy.on_unknown_model,
            )
            return amount, ""
        except UnknownModelError:
            return 0, "no price is known for the model"

    def _post(self, amount: int, usage: Usage | None, *, reason: str) -> None:
        """Write what the call cost to every account over it; without usage it is unconfirmed."""
        for frame in self.frames:
            if frame.payer is not None:
                frame.add_cost(amount)
        in_process = False
        unconfirmed = usage is None
        written: list[tuple[Group, Settlement | None]] = []
        for group in self._groups:
            in_process = in_process or group.store is process.STORE
            posting = Posting(
                self.call_id,
                amount,
                group.scopes,
                (usage and usage.model) or self.model,
                0 if usage is None else usage.input_tokens,
                0 if usage is None else usage.output_tokens,
                unconfirmed,
                usage is not None and usage.counted,
                reason,
                self.tags,
            )
            written.append((group, settle(group.store, posting)))
        if self._extras is not None:
            self._extras.let_go()  # only now: between the two the budget must not look emptier than it is
        if not in_process:
            process.count(amount)
        for group, settled in written:  # every account is charged before anybody hears of any
            if settled is not None:
                group.saw(settled.accounts)
            if self.teller is None:
                continue
            if settled is None:
                self.teller.tell("failed", group.accounts(), amount, unconfirmed=unconfirmed)
            else:
                more = self._more()
                self.teller.settled(group, settled, more=more, unconfirmed=unconfirmed, reason=reason)


def _tags_of(frames: Iterable[Frame]) -> tuple[str, ...]:
    """The tags of all frames, outermost first, each once."""
    tags: tuple[str, ...] = ()
    for frame in frames:
        if frame.tags:
            tags += tuple(tag for tag in frame.tags if tag not in tags)
    return tags


def _outer_charge(frames: Sequence[Frame]) -> Charge | None:
    """The innermost decorated call over this one whose hold nobody has taken over yet."""
    for frame in reversed(frames):
        charge = None if frame.charge is None else frame.charge()
        if charge is not None and charge.is_open() and not charge.replaced:
            return charge
    return None


def _refuser(group: Group, denied: Denial, quote: Quote, outer: Charge | None) -> Refuser:
    account = denied.account
    least = {"reserve": quote.ceiling, "refuse": quote.amount}.get(account.terms.uncapped, quote.floor)
    freed = 0 if outer is None else outer.held_on(account, group.store)
    return Refuser(group.store, account, denied.amount, least, denied.temporary, freed)
