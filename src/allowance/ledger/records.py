"""The ledger's records: what stores keep, take and hand back.

Amounts are nano-dollars. Times are whole microseconds since 1970-01-01 UTC, by the store's own clock.
What each call makes anew is a named tuple: a frozen dataclass takes five times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "Account",
    "AccountKey",
    "Alignment",
    "Ask",
    "Declaration",
    "Denial",
    "Entry",
    "EntryKind",
    "Extra",
    "Grant",
    "Hold",
    "HoldState",
    "Posting",
    "Scope",
    "Settlement",
    "Terms",
    "Uncapped",
]

Uncapped: TypeAlias = Literal["shrink", "clamp", "reserve", "refuse"]
"""What happens to a call without an output cap whose likely cost does not fit; see `Ask`."""

Alignment: TypeAlias = Literal["created", "calendar"]
"""Where windows start: at the moment the budget was created, or at midnight, Monday, the first."""


class AccountKey(NamedTuple):
    """Whose budget it is. Stores take several keys in sorted order, which rules out deadlocks.

    A user may have several budgets at once (so much a day *and* so much a month; so much for some models):
    the main one has no label, and every call counts on it; the others have one each. Together they are
    the user's *family*. A call that names any of them must fit all that apply to its model.
    """

    project: str
    kind: str
    name: str
    label: str = ""

    @property
    def main(self) -> AccountKey:
        """The key of the family's main budget."""
        return self._replace(label="") if self.label else self


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for an account: its limit (None only counts), and when its windows turn.

    ``models`` are globs, in any case: the account counts a call whose model, or what follows a slash in its
    name, fits one of them; empty: every call. Only an account with a label may have some.
    """

    limit: int | None
    duration: str | None = None
    align: Alignment = "created"
    timezone: str = "UTC"
    uncapped: Uncapped = "shrink"
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """Terms as code gives them. A field that is None was not given: it is as the store has it.

    ``creates`` is True where a limit was named, be it a number or None: only then may an account that
    the store does not know be made from this. For an account that exists, a limit of None changes nothing
    where code declares it (a None that was only passed on must not lift a limit); an operator's `define`
    with ``limit=None, creates=True`` does lift it. ``created_at``, never later than now, is where a new
    account's windows repeat from, in place of now; an operator's moves those of one that exists.
    """

    limit: int | None = None
    duration: str | None = None
    align: Alignment | None = None
    timezone: str | None = None
    uncapped: Uncapped | None = None
    creates: bool = False
    models: tuple[str, ...] | None = None
    created_at: int | None = None


class Extra(NamedTuple):
    """A top-up: so much more than the limit, until a time, or (None) for good."""

    amount: int
    until: int | None


class Account(NamedTuple):
    """One budget as it stands in its current window. ``declared`` is what code last asked for.

    ``version`` grows with each change to this account, from the time when it was made: of two snapshots the
    higher is the newer one, also where the account was removed and made anew between them.
    ``extras`` are the top-ups in force; those whose time is over go when the account is looked at.
    """

    key: AccountKey
    terms: Terms
    declared: Declaration | None
    created_at: int
    window_start: int
    window_end: int | None
    spent: int
    held: int
    version: int = 0
    extras: tuple[Extra, ...] = ()

    @property
    def limit(self) -> int | None:
        """What may be spent now: the terms' limit and the top-ups; None where nothing is limited."""
        limit = self.terms.limit
        if limit is None or not self.extras:
            return limit
        return limit + sum([extra.amount for extra in self.extras])

    @property
    def remaining(self) -> int | None:
        """``limit - spent - held``, or None where nothing is limited. Negative after an overrun."""
        limit = self.limit
        return None if limit is None else limit - self.spent - self.held


@dataclass(frozen=True, slots=True)
class Scope:
    """One budget that applies to a call, with the terms that code gave for it.

    ``declared`` comes from where the budget is used and is written when it changes; ``default`` only
    serves to make an account that the store does not know.
    """

    key: AccountKey
    declared: Declaration | None = None
    default: Terms | None = None


class Ask(NamedTuple):
    """A request to hold money for one call on every one of ``scopes``, or on none.

    Each scope stands for its family: the account that it names, the user's main one, and those with
    labels, as far as they apply to ``model``. A main account that does not exist is made: from the scope's
    declaration if it names the main one, else its default, else (where the family has another) as one
    that only counts.

    A capped call has ``floor == amount == ceiling``, its worst case. For an uncapped one ``amount`` is
    its likely cost, ``floor`` the least with which it can be sent at all (its input), ``ceiling`` the
    cost of the longest reply the model gives; the account's `Uncapped` policy picks among them:

    - ``shrink``: ``amount``, or where that does not fit all that remains, if it is ``floor`` at least;
    - ``clamp``: the same, and where it had to shrink the grant says that the call must be capped to it;
    - ``reserve``: ``ceiling``;
    - ``refuse``: ``amount``.

    Where the accounts differ, the hold must satisfy each. ``bounded`` says that the *input* part cannot
    cost more than was reckoned, so that ``ceiling`` is an upper bound of the call.

    ``replacing`` names an open hold that goes if and only if this one is granted (its room counts as
    free for this decision); where it is not open any more, this is an ordinary reserve.

    ``tags`` are words of the user's that its entries will bear, ``owner`` says which process makes the call.
    """

    hold_id: str
    scopes: tuple[Scope, ...]
    floor: int
    amount: int
    ceiling: int
    expected: int
    bounded: bool
    ttl: int
    replacing: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""


class Grant(NamedTuple):
    """A hold was made. ``accounts`` are all that it lies on, each once, as they stand after it.

    ``shrunk`` says that less than was asked is held; ``clamped`` that the call must then be capped to it.
    ``bound`` says that the call cannot cost more than ``amount``. ``replaced`` says that the ask's
    ``replacing`` was open and is gone. ``expired`` are holds whose term was found to be over on the way.
    """

    hold_id: str
    amount: int
    shrunk: bool
    clamped: bool
    bound: bool
    replaced: bool
    expires_at: int
    accounts: tuple[Account, ...]
    expired: tuple[Hold, ...] = ()


class Denial(NamedTuple):
    """Nothing was held. ``account`` is the one that refused, ``amount`` what did not fit it.

    ``temporary`` says that it would fit if no holds were open.
    """

    account: Account
    amount: int
    temporary: bool
    expired: tuple[Hold, ...] = ()


class HoldState(StrEnum):
    """``HELD → SETTLED | RELEASED | EXPIRED``, and ``EXPIRED → SETTLED | RELEASED`` when word comes late."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside for one call. ``windows`` names each account and the start of its window.

    ``charged`` is what has been posted for it so far: at its term ``amount`` where that was a bound and
    ``expected`` where it was not, after its settling the truth.
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
    tags: tuple[str, ...] = ()
    owner: str = ""


class EntryKind(StrEnum):
    """Why an entry stands in the ledger."""

    CALL = "call"  # what a call cost
    EXPIRY = "expiry"  # what a hold was charged at its term, unconfirmed
    CORRECTION = "correction"  # makes up the difference between an expiry and the truth
    ADJUSTMENT = "adjustment"  # a reset, a refund: by hand; of zero: a note of a top-up
    CARRIED = "carried"  # stands for many older entries of one window, which were folded into it


class Entry(NamedTuple):
    """One line of the ledger, never edited. ``at`` is when the call was reserved: it fixes the window."""

    seq: int
    key: AccountKey
    kind: EntryKind
    amount: int
    at: int
    posted_at: int
    window_start: int
    hold_id: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    unconfirmed: bool = False
    counted: bool = False
    reason: str = ""
    tags: tuple[str, ...] = ()


class Posting(NamedTuple):
    """What a call cost, to be posted on every account of its hold, once.

    ``scopes`` name the accounts for a call that has no hold (it was charged only afterwards, or its hold
    is older than the store remembers). ``unconfirmed`` marks a cost that nobody could measure,
    ``counted`` one whose tokens were counted here because the reply carried no usage. ``at`` is when a call
    without a hold was made, if that was earlier: what is imported counts in the window of its time (what was
    made before a budget for good, in none of its), and with a hold it says nothing.
    """

    hold_id: str
    amount: int
    scopes: tuple[Scope, ...] = ()
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    unconfirmed: bool = False
    counted: bool = False
    reason: str = ""
    tags: tuple[str, ...] = ()
    at: int | None = None


class Settlement(NamedTuple):
    """What settling did. ``accounts`` are all that the hold lay on, as they stand now.

    ``posted`` is what this settling added to ``spent`` (less than the amount, where an expiry had been
    charged before; 0 when ``repeated``). ``overrun`` is by how much the call cost more than it held.
    """

    hold_id: str
    accounts: tuple[Account, ...]
    amount: int
    posted: int
    held: int
    overrun: int
    repeated: bool = False
