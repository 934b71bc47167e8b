"""`Teller`: what the hooks of a call's budgets hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allowance.calls.events import send

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.calls.books import Books
    from allowance.calls.events import EventKind, Hook
    from allowance.calls.groups import Group
    from allowance.calls.stack import Frame
    from allowance.ledger.records import Account, Hold, Settlement

__all__ = ["Teller", "hooks_of"]


def hooks_of(books: Books, frames: Iterable[Frame]) -> tuple[Hook, ...]:
    """The hooks of the settings and of the frames, outermost first, each once."""
    hooks = books.policy.on_event
    for frame in frames:
        if frame.hooks:
            hooks += tuple(hook for hook in frame.hooks if hook not in hooks)
    return hooks


class Teller:
    """Tells the hooks of one call.

    Attributes:
        call_id: the call's, of its present attempt.
    """

    __slots__ = ("_hooks", "_model", "_warn_at", "call_id")

    def __init__(self, hooks: tuple[Hook, ...], model: str | None, warn_at: float) -> None:
        self._hooks = hooks
        self._model = model
        self._warn_at = warn_at
        self.call_id = ""

    def tell(
        self,
        kind: EventKind,
        accounts: Iterable[Account],
        amount: int,
        *,
        unconfirmed: bool = False,
        reason: str = "",
    ) -> None:
        """Send one event for each account. ``amount`` is in nano-dollars."""
        send(
            self._hooks,
            kind,
            accounts,
            call_id=self.call_id,
            amount=amount,
            model=self._model,
            unconfirmed=unconfirmed,
            reason=reason,
        )

    def expired(self, holds: Sequence[Hold], accounts: Sequence[Account]) -> None:
        """Tell of holds whose term was found to be over on the way, where they lay on these accounts."""
        for hold in holds:
            named = {key for key, _ in hold.windows}
            concerned = {account.key: account for account in accounts if account.key in named}
            send(
                self._hooks,
                "expired",
                concerned.values(),
                call_id=hold.hold_id,
                amount=hold.charged,
                model=hold.model,
                unconfirmed=True,
            )

    def settled(
        self, group: Group, settled: Settlement, *, more: int, unconfirmed: bool, reason: str
    ) -> None:
        """Tell what was charged, and of an overrun and thresholds. ``more`` was held beside the hold."""
        self.tell("settled", settled.accounts, settled.amount, unconfirmed=unconfirmed, reason=reason)
        overrun = settled.overrun - more
        if overrun > 0:
            self.tell("overrun", settled.accounts, overrun, unconfirmed=unconfirmed)
        for account in settled.accounts:
            view = group.view(account.key)
            if view is None:
                continue
            for named, warn_at in group.warnings:
                part = self._warn_at if warn_at is None else warn_at
                if named.family is view.family and view.crossed(account, settled.posted, part):
                    self.tell("threshold", [account], account.spent)
