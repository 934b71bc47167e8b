"""`Watch`: a stream that costs more than was held for it is given more from the budget as it runs.

What it has cost so far is reckoned from the usage that the vendor states on the way, and from the text
seen, counted. That is done only when enough text has come to make a difference: a token is at least one
byte, so a stream that is far from the end of its hold is not counted at all. Where the budget does not
cover the excess, ``on_overrun`` says what happens: the stream runs on, or is stopped.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

from allowance.calls.ids import made_here
from allowance.calls.projecting import refusal
from allowance.errors import BudgetError, BudgetExceededError, ConfigurationError
from allowance.replies import Usage

if TYPE_CHECKING:
    from allowance.calls.call import Call
    from allowance.calls.charge import Charge
    from allowance.ledger.records import Denial
    from allowance.replies import Tally
    from allowance.requests import Request

__all__ = ["OnOverrun", "Watch", "check_on_overrun", "watch"]

OnOverrun: TypeAlias = Literal["finish", "stop"]

log = logging.getLogger("allowance")

DEAREST = 16
"""How many times what a token of output text costs another may: those of pictures and of sound."""


def check_on_overrun(choice: object) -> None:
    """Refuse what is not one of the two.

    Raises:
        ConfigurationError: names them.
    """
    if choice not in ("finish", "stop"):
        raise ConfigurationError(f'on_overrun must be "finish" or "stop", not {choice!r:.40}.')


def watch(call: Call) -> Watch | None:
    """What watches this call's stream; None where it cannot cost more than is held."""
    charge, tally, request = call.charge, call.tally, call.request
    if charge is None or tally is None or request is None:
        return None
    held = charge.unbound()
    if held is None:
        return None
    stops = any(frame.on_overrun == "stop" for frame in call.frames)
    return Watch(call, charge, tally, request, held, stops=stops)


class Watch:
    """Watches one stream.

    Attributes:
        error: what is raised at the next chunk, where the stream was stopped; else None.
    """

    __slots__ = (
        "_charge",
        "_counted",
        "_held",
        "_input",
        "_next",
        "_off",
        "_pieces",
        "_quoting",
        "_request",
        "_stated",
        "_stops",
        "_tally",
        "error",
    )

    def __init__(
        self, call: Call, charge: Charge, tally: Tally, request: Request, held: int, *, stops: bool
    ) -> None:
        self.error: BudgetExceededError | None = None
        self._quoting = call.books.quoting
        self._charge = charge
        self._tally = tally
        self._request = request
        self._held = held
        self._stops = stops
        self._input = -1
        self._counted = 0  # output tokens of the pieces that were counted so far
        self._pieces = 0
        self._next = 0  # bytes of text from which on it is reckoned again
        self._stated = 1  # the figure in reported usage from which on it is
        self._off = False

    def due(self) -> bool:
        """Whether so much has come that it may cost more than is held."""
        tally = self._tally
        if self._off:
            return False
        return tally.size >= self._next or tally.stated >= self._stated

    def catch_up(self) -> None:
        """Reckon what the stream has cost; hold more, or set `error`, where that is more than is held."""
        charge = self._charge
        if self._tally.finished or not charge.is_open() or charge.replaced or not made_here(charge.call_id):
            self._off = True  # over, another's, or this is a forked child: nothing to hold for
            return
        usage = self._usage()
        cost = charge.cost(usage)
        if cost > self._held and not self._top_up(cost - self._held):
            self._off = True
            return
        thousand = charge.cost(usage._replace(output_tokens=usage.output_tokens + 1000)) - cost
        further = (self._held - cost) * 1000 // thousand if thousand > 0 else sys.maxsize
        self._next = self._tally.size + max(further, 1)
        self._stated = self._tally.stated + max(further // DEAREST, 1)

    def _top_up(self, short: int) -> bool:
        charge = self._charge
        ahead = short + self._held // 4  # so that a long stream asks a few times, and not at each chunk
        try:
            denied = charge.top_up(short, ahead)
            if denied is not None and ahead > short:
                denied = charge.top_up(short, short)
        except BudgetError as error:  # a store that is down stops no stream that runs already
            log.info("A stream goes on without more being held for it: %s", error)
            return False
        if denied is None:
            self._held = charge.held()
            return True
        if self._stops and charge.quote is not None:
            remedy = "The stream was stopped; what was seen of it is charged."
            whole = _of_the_whole(denied, self._held)
            self.error = refusal(whole, charge.quote, charge.call_id, remedy=remedy)
            charge.stopped(denied)
        return False

    def _usage(self) -> Usage:
        texts = self._tally.texts()
        if len(texts) < self._pieces:  # a helper's snapshot took the place of the pieces
            self._pieces = self._counted = 0
        fresh = "".join(texts[self._pieces :])
        if fresh:
            self._counted += self._quoting.count(self._request, (fresh,))
        self._pieces = len(texts)
        if self._input < 0:
            quote = self._charge.counted()
            self._input = 0 if quote is None else quote.likely_input_tokens
        known = self._tally.known()
        if known is None:
            return Usage(model=self._request.model, input_tokens=self._input, output_tokens=self._counted)
        return known._replace(
            input_tokens=known.input_tokens or self._input,
            output_tokens=max(known.output_tokens, self._counted),
        )


def _of_the_whole(denied: Denial, own: int) -> Denial:
    """The denial of more, as one of the whole call: what that holds already stands in nobody's way."""
    account = denied.account
    own = min(own, account.held)  # less, where the window has turned since it was sent
    amount = denied.amount + own
    fits_alone = account.spent + amount <= (account.limit or 0)
    return denied._replace(
        account=account._replace(held=account.held - own), amount=amount, temporary=fits_alone
    )
