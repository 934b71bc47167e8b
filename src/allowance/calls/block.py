"""`with budget(...)`: a budget around every call that a block makes, by whatever SDK, wherever it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from allowance.calls import lifeline
from allowance.calls.books import default_books
from allowance.calls.edges import run as run_in_edge
from allowance.calls.projecting import resets_at
from allowance.calls.ready import prepare
from allowance.calls.stack import enter, frames_in_force, owning_generator, remove
from allowance.calls.strategies import plan
from allowance.calls.terms import UNSET, Given, user_name
from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.ledger.accounts import declare, make_account, open_account
from allowance.ledger.records import Declaration, Terms
from allowance.money import format_usd, to_usd

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from types import FrameType, TracebackType

    from allowance.calls.books import Books
    from allowance.calls.events import Hook
    from allowance.calls.overrun import OnOverrun
    from allowance.calls.stack import Frame
    from allowance.calls.strategies import OnShort
    from allowance.calls.terms import Limit, Words
    from allowance.calls.views import View
    from allowance.ledger.records import Account, Alignment, Scope, Uncapped

__all__ = ["Block", "budget"]


class budget:  # noqa: N801  # read as a phrase: with budget("alice"):
    """A budget around a block: every metered call inside is sent only if its projected cost fits.

    ``with`` and ``async with`` both work, and so does the same object entered many times at once: what
    belongs to an entry is kept in the `Block` that it gives. Blocks nest: every budget must admit a call.
    Threads, tasks and streams that are begun inside stay charged to it after it is closed.

    Args:
        user: whose budget; an ``int`` counts as its digits. None: a budget for this block alone, in memory,
            which needs a ``limit``.
        limit: US dollars per window; None only counts. Left out, it is as the store has it.
        duration, align, timezone, uncapped, label, models, tags, kind, project: as in `budgeted`.
        on_exceeded: what is tried where a budget does not cover a call made inside: `downgrade`, `clamp`,
            `wait`, `ask`, or several in order. An SDK's call is changed as it is sent. Of nested blocks the
            inner one's come first, and then those around it.
        on_overrun: of a stream that costs more than was held, where the budget does not cover more:
            ``"finish"`` (the default) lets it run, and the overrun is reported; ``"stop"`` closes it, charges
            what was seen, and raises `BudgetExceededError` at the next chunk. Of several budgets, one that
            says ``"stop"`` is enough.
        on_event: gets an `Event` for whatever happens to the budget inside this block.
        warn_at: the part of the limit at which a ``threshold`` event is sent, once per window.
        books: what to charge with; a manager passes its own.

    Entering raises:
        UnknownUserError: the store has no such budget, and no limit was given here.
        ConfigurationError: a term is not one, or neither a user nor a limit was given.
        StoreUnavailableError: the store does not answer, and a limit may be in force.
    """

    __slots__ = ("_entries", "_given", "_user")

    def __init__(
        self,
        user: str | int | None = None,
        *,
        limit: Limit = UNSET,
        duration: str | None = None,
        align: Alignment | None = None,
        timezone: str | None = None,
        uncapped: Uncapped | None = None,
        label: str | None = None,
        models: Words | None = None,
        tags: Words = (),
        kind: str = "user",
        project: str | None = None,
        on_exceeded: OnShort | None = None,
        on_overrun: OnOverrun = "finish",
        on_event: Hook | None = None,
        warn_at: float | None = None,
        books: Books | None = None,
    ) -> None:
        self._given = Given(
            limit=limit,
            duration=duration,
            align=align,
            timezone=timezone,
            uncapped=uncapped,
            label=label,
            models=models,
            tags=tags,
            kind=kind,
            project=project,
            on_exceeded=plan(on_exceeded, block=True),
            on_overrun=on_overrun,
            on_event=on_event,
            warn_at=warn_at,
            books=books,
        )
        self._user = None if user is None else user_name(user)
        self._entries: list[tuple[int, Block]] = []
        if self._user is None and not self._given.own:
            raise ConfigurationError(
                "budget() needs a user, or a limit for this block alone: budget('alice') or budget(limit=1); "
                "limit=None only counts."
            )

    def __enter__(self) -> Block:
        prepare()
        block = self._block()
        block._look()
        return self._entered(block, sys._getframe(1))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not GeneratorExit:  # that may be a finalizer, which does no I/O (R13)
            lifeline.catch_up()
        remove(self._leaving(sys._getframe(1))._frame)

    async def __aenter__(self) -> Block:
        caller = sys._getframe(1)
        prepare()
        block = self._block()
        await run_in_edge(block._look, blocking=block._view.store.blocking)
        return self._entered(block, caller)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not GeneratorExit:  # that may be a finalizer, which does no I/O (R13)
            lifeline.catch_up()
        remove(self._leaving(sys._getframe(1))._frame)

    def _block(self) -> Block:
        given = self._given
        books = given.books or default_books()
        if self._user is None:
            scope, view = given.own_account("block")
        else:
            scope, view = given.account(books, self._user)
        return Block(given.frame(books, scope, view), scope, view)

    def _entered(self, block: Block, caller: FrameType) -> Block:
        # A with statement is left from the very frame that entered it: its id tells entries apart even
        # where they are left in another context than they were entered in.
        self._entries.append((id(caller), block))
        enter(block._frame, owning_generator(caller))
        return block

    def _leaving(self, caller: FrameType) -> Block:
        """The entry that is being left: the last one of the same code, or (an ExitStack's) the last here."""
        here = {id(frame) for frame in frames_in_force()}
        for chosen in (
            lambda entry: entry[0] == id(caller),
            lambda entry: id(entry[1]._frame) in here,
            lambda _: True,
        ):
            for entry in reversed(tuple(self._entries)):  # other threads enter and leave meanwhile
                if chosen(entry):
                    self._entries.remove(entry)
                    return entry[1]
        raise ConfigurationError("This budget was left more often than it was entered.")


class Block:
    """One entry of a block: what ``with budget(...) as b`` gives.

    The figures are the account's, as this process last saw it, without I/O; `refresh` asks the store.
    """

    __slots__ = ("_frame", "_scope", "_view")

    def __init__(self, frame: Frame, scope: Scope, view: View) -> None:
        self._frame = frame
        self._scope = scope
        self._view = view

    @property
    def spent(self) -> Decimal:
        """US dollars spent in the account's current window, by anybody."""
        return to_usd(self._account().spent)

    @property
    def held(self) -> Decimal:
        """US dollars held by open calls."""
        return to_usd(self._account().held)

    @property
    def limit(self) -> Decimal | None:
        """US dollars that may be spent in the window, top-ups included, or None: it only counts."""
        limit = self._account().limit
        return None if limit is None else to_usd(limit)

    @property
    def remaining(self) -> Decimal | None:
        """``limit - spent - held``: negative where calls cost more than they held; None without a limit."""
        remaining = self._account().remaining
        return None if remaining is None else to_usd(remaining)

    @property
    def resets_at(self) -> datetime | None:
        """When the window ends (aware, UTC), or None if it never does."""
        return resets_at(self._account())

    @property
    def cost(self) -> Decimal:
        """US dollars that this entry of the block has cost so far."""
        lifeline.catch_up()
        return to_usd(self._frame.cost)

    @property
    def user(self) -> str:
        """Whose budget it is."""
        return self._view.key.name

    @property
    def label(self) -> str:
        """Which of that user's budgets it is; ``""`` is the main one."""
        return self._view.key.label

    def refresh(self) -> Block:
        """Ask the store for the account as it stands now.

        Raises:
            StoreUnavailableError: it does not answer; the figures stay as they were last seen.
        """
        lifeline.catch_up()
        account = self._view.store.account(self._view.key)
        if account is not None:
            self._view.saw(account)
        return self

    async def arefresh(self) -> Block:
        """`refresh`, without blocking the event loop."""
        return await run_in_edge(self.refresh, blocking=self._view.store.blocking)

    def __repr__(self) -> str:
        account = self._account()
        limit = "no limit" if account.limit is None else format_usd(account.limit)
        which = f"budget {self.label!r}" if self.label else "budget"
        return f"<{which} of {account.key.kind} {self.user!r}: {format_usd(account.spent)} spent of {limit}>"

    def _account(self) -> Account:
        lifeline.catch_up()
        store = self._view.store
        if not store.blocking:  # reading a memory store is no I/O, and always exact
            now = store.account(self._view.key)
            if now is not None:
                return now
        if self._view.account is not None:
            return self._view.account
        # The first call makes it, on the default terms. Without those its store was down when the block
        # was entered, which only one without a limit survives.
        made = open_account(self._scope, 0)
        return made or make_account(self._view.key, Terms(limit=None), None, 0)

    def _look(self) -> None:
        """See the account when the block is entered; writes only where the terms given here changed."""
        seen = self._view.account
        declared = self._scope.declared
        if seen is not None and (declared is None or declare(seen, declared, seen.window_start) is seen):
            return
        store, key = self._view.store, self._view.key
        try:
            if declared is not None and (declared.creates or seen is not None):
                account: Account | None = store.define(key, declared, declared=True)
            else:
                account = store.account(key)
        except StoreUnavailableError:
            only_counts = declared is not None and declared.creates and declared.limit is None
            books = self._frame.books
            if only_counts or (books is not None and books.policy.on_store_error == "open"):
                return  # what only counts never stops anybody (R9), nor does what the user left open (R14)
            raise
        if account is None and (self._scope.default is None or key.label):
            account = store.define(key, Declaration())  # raises, naming the projects that know this user
        if account is not None:
            self._view.saw(account)
