"""What happens to one hold: does it fit, what is it charged, what does word of its call change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.errors import ConfigurationError, HoldConflictError
from allowance.ledger.records import EntryKind, Hold, HoldState
from allowance.money import MAX_NANOS, format_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.ledger.records import Account, AccountKey, Ask, Posting

__all__ = ["HoldRow", "Verdict", "admit", "check_ask", "check_posting", "fingerprint", "settle_charge"]

# Looking up a member of an enumeration takes longer than a global name.
_HELD: Final = HoldState.HELD
_CALL: Final = EntryKind.CALL


@dataclass(slots=True)
class HoldRow:
    """What a store keeps of a hold: the public record, and what a repetition of its ask is answered with.

    ``content`` is the ask or its `fingerprint`; None where the id is known without one: it was released
    before it was reserved, or settled without a hold. ``windows`` is empty for the former.
    """

    hold_id: str
    state: HoldState
    amount: int
    expected: int
    bound: bool
    windows: tuple[tuple[AccountKey, int], ...]
    model: str | None
    reserved_at: int
    expires_at: int
    charged: int = 0
    shrunk: bool = False
    clamped: bool = False
    replaced: bool = False
    content: Ask | bytes | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""

    def record(self) -> Hold:
        """The hold as it stands, as the public record."""
        return Hold(
            hold_id=self.hold_id,
            state=self.state,
            amount=self.amount,
            expected=self.expected,
            bound=self.bound,
            windows=self.windows,
            model=self.model,
            reserved_at=self.reserved_at,
            expires_at=self.expires_at,
            charged=self.charged,
            tags=self.tags,
            owner=self.owner,
        )


class Verdict(NamedTuple):
    """What is granted. ``refused_by`` is the position of the account that refuses, or None.

    ``least`` is what had to be left for it, said only where it is refused.
    """

    amount: int
    refused_by: int | None = None
    temporary: bool = False
    clamped: bool = False
    least: int = 0


def admit(accounts: Sequence[Account], ask: Ask, freed: Sequence[int] = ()) -> Verdict:
    """Decide how much is held for a call, by the accounts' policies (see `Ask`), or which account refuses.

    One rule: ``spent + held - freed + amount <= limit`` on each account that has a limit, where ``freed``
    is what the hold that is replaced holds there. An amount of zero always fits. Where policies differ
    the hold satisfies each: it is as large as the most demanding asks, and shrinks only if all allow it.
    Of the accounts that refuse, the one with the least room is named.
    """
    want, least, clamping = ask.amount, ask.floor, False
    room, tightest = None, 0
    for position, account in enumerate(accounts):
        limit = account.limit
        if limit is None:
            continue
        left = limit - account.spent - account.held
        if freed:
            left += freed[position]
        if room is None or left < room:
            room, tightest = left, position
        uncapped = account.terms.uncapped
        if uncapped == "reserve":
            want = least = ask.ceiling
        elif uncapped == "refuse":
            least = max(least, ask.amount)
        elif uncapped == "clamp":
            clamping = True
    if room is None or want == 0:
        amount = want
    elif _fits(room, least):
        amount = min(want, room)
    else:
        unspent = [limit - account.spent for account in accounts if (limit := account.limit) is not None]
        return Verdict(want, refused_by=tightest, temporary=_fits(min(unspent), least), least=least)
    return Verdict(amount, clamped=clamping and amount < want)


def _fits(room: int, least: int) -> bool:
    return room > 0 and room >= least


def settle_charge(row: HoldRow, amount: int) -> tuple[EntryKind, int] | None:
    """What settling at ``amount`` posts: the kind of entry and its amount; None for a repetition (R3).

    Raises:
        HoldConflictError: it was settled before with another amount, or released.
    """
    if row.state is _HELD:
        return _CALL, amount
    if row.state is HoldState.EXPIRED:
        return EntryKind.CORRECTION, amount - row.charged
    if row.state is HoldState.SETTLED and row.charged == amount:
        return None
    if row.state is HoldState.SETTLED:
        raise HoldConflictError(
            f"The call {row.hold_id} was settled at {format_usd(row.charged)} before, and now again at "
            f"{format_usd(amount)}. Nothing changed. Correct a settled call with an adjustment."
        )
    raise HoldConflictError(
        f"The hold {row.hold_id} was released, or another took its place, before it was settled at "
        f"{format_usd(amount)}. Nothing changed. Post the cost under an id of its own."
    )


def fingerprint(ask: Ask) -> bytes:
    """Sixteen bytes that two asks share if they ask for the same thing (R3); tags and owner are no part."""
    content = (
        tuple([tuple(scope.key) for scope in ask.scopes]),
        *(ask.floor, ask.amount, ask.ceiling, ask.expected, ask.bounded),
        *(ask.ttl, ask.replacing, ask.model),
    )
    return hashlib.blake2b(repr(content).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def check_repeat(row: HoldRow, ask: Ask) -> None:
    """Refuse an ask whose id is known, unless it is the same ask and its hold was not let go.

    Raises:
        HoldConflictError: one id, two different requests.
    """
    if row.state is HoldState.RELEASED:
        raise HoldConflictError(
            f"The hold {ask.hold_id} was released before this reserve came. Nothing is held. "
            "Reserve again under a new id."
        )
    known = row.content
    if known is None or known is ask:
        same = known is ask
    else:
        same = (known if isinstance(known, bytes) else fingerprint(known)) == fingerprint(ask)
    if not same:
        raise HoldConflictError(
            f"The id {ask.hold_id} stands for another call, which held {format_usd(row.amount)}. "
            "Nothing changed. Give each call an id of its own."
        )


def check_ask(ask: Ask) -> None:
    """Refuse an ask that no store can keep.

    Raises:
        ConfigurationError: for no scopes, an empty id, no lifetime, or amounts that are not whole
            nano-dollars with ``0 <= floor <= amount <= ceiling <= MAX_NANOS``.
    """
    hold_id, scopes, floor, amount, ceiling, expected, _, ttl, *_ = ask
    whole = type(floor) is type(amount) is type(ceiling) is type(expected) is int
    if not whole or not (0 <= floor <= amount <= ceiling <= MAX_NANOS and 0 <= expected <= MAX_NANOS):
        raise ConfigurationError(
            f"A hold needs 0 <= floor <= amount <= ceiling <= {MAX_NANOS} whole nano-dollars, not "
            f"{floor!r:.40}, {amount!r:.40}, {ceiling!r:.40} (expected {expected!r:.40})."
        )
    if not scopes or not hold_id or ttl <= 0:
        raise ConfigurationError("A hold needs an id, at least one budget, and a lifetime above zero.")


def check_posting(posting: Posting) -> None:
    """Refuse a posting that no store can keep.

    Raises:
        ConfigurationError: for an empty id, or an amount that is not 0 to a billion dollars in whole
            nano-dollars. A refund is an adjustment.
    """
    amount = posting.amount
    if type(amount) is not int or not 0 <= amount <= MAX_NANOS or not posting.hold_id:
        raise ConfigurationError(
            f"A cost is posted under an id, in 0 to {MAX_NANOS} whole nano-dollars, not {amount!r:.60}. "
            "To take spend away, adjust the budget."
        )
