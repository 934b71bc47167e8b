"""What a key may have done: the verbs of a store, with the key's own budget added and all else hidden."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from allowance.errors import ConfigurationError, HoldConflictError, UnknownUserError
from allowance.ledger.records import Denial, Scope
from allowance.server.audited import audited
from allowance.server.key import KEY_PROJECT, key_account
from allowance.server.names import check_name
from allowance.server.problems import RefusedError
from allowance.server.views import (
    accounts_for,
    hold_for,
    holds_for,
    refuse_foreign,
    seen_error,
    sees,
    sees_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from allowance.ledger.records import (
        Account,
        AccountKey,
        Ask,
        Declaration,
        Entry,
        Grant,
        Hold,
        Posting,
        Settlement,
    )
    from allowance.server.batches import Batcher
    from allowance.server.key import Key
    from allowance.server.metrics import Metrics
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["Doing"]

T = TypeVar("T")

_REMEMBERED: Final = 100_000
_COLD_THREADS: Final = 8

LONGEST_HOLD: Final = 7 * 24 * 3600 * 1_000_000
"""Microseconds for which a hold may be asked, or renewed: no hold blocks a budget for good."""


class Doing:
    """The verbs of one store, for many keys. Reserves and settles go through the batcher."""

    def __init__(
        self, store: Store, batcher: Batcher, state: State, settings: ServerSettings, metrics: Metrics
    ) -> None:
        self.store = store
        self._batcher = batcher
        self._state = state
        self._settings = settings
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(_COLD_THREADS, thread_name_prefix="allowance-verb")
        self._projects_of: OrderedDict[str, frozenset[str]] = OrderedDict()

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(wait=True)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What may wait for a disk or a network, in one of a few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # -- each call's two -----------------------------------------------------------------------------

    async def reserve(self, key: Key, ask: Ask, deadline: float | None) -> Grant | Denial:
        """See `Store.reserve`; ``deadline`` is a moment of `time.monotonic`."""
        _check_term(ask.ttl)
        scopes = self._scopes(key, ask.scopes)
        bound = key.projects is not None
        if ask.replacing is not None and bound and not await self._owns(key, ask.replacing):
            ask = ask._replace(replacing=None)  # as where it is unknown
        if scopes is not ask.scopes:
            ask = ask._replace(scopes=scopes)
        try:
            outcome = await self._batcher.reserve(ask, deadline)
        except Exception as error:
            self._metrics.reserved(None)
            if isinstance(error, UnknownUserError):
                raise seen_error(key, error) from None
            raise
        self._metrics.reserved(outcome)
        if isinstance(outcome, Denial):
            self._note_refusal(outcome, ask)
        elif bound:
            self._remember(ask.hold_id, frozenset(scope.key.project for scope in scopes))
        if outcome.expired and not sees_all(key):
            expired = holds_for(key, outcome.expired)
            if isinstance(outcome, Denial):
                return outcome._replace(expired=expired)
            return outcome._replace(expired=expired)
        return outcome

    async def settle(self, key: Key, posting: Posting) -> Settlement:
        """See `Store.settle`."""
        if posting.scopes:
            posting = posting._replace(scopes=self._scopes(key, posting.scopes))
        if key.projects is not None and not await self._may_settle(key, posting.hold_id):
            if posting.scopes:
                raise HoldConflictError(f"The id {posting.hold_id:.80} stands for another call.")
            raise UnknownUserError(user=posting.hold_id, kind="hold", project="(none)")
        try:
            settled = await self._batcher.settle(posting)
        except UnknownUserError as error:
            raise seen_error(key, error) from None
        self._metrics.settled(settled)
        if not sees_all(key):
            return settled._replace(accounts=accounts_for(key, settled.accounts))
        return settled

    def _scopes(self, key: Key, scopes: Sequence[Scope]) -> tuple[Scope, ...]:
        """The scopes of a call by this key: with its own budget, and without terms that it may not name."""
        if len(scopes) > self._settings.max_scopes:
            raise ConfigurationError(
                f"A call may name {self._settings.max_scopes} budgets on this server, not {len(scopes)}."
            )
        for scope in scopes:
            check_name(scope.key)
            refuse_foreign(key, scope.key)
        if key.fixed_terms:
            scopes = tuple([Scope(scope.key) for scope in scopes])
        if key.budgeted:
            scopes = (*scopes, Scope(key_account(key.name)))
        return scopes if isinstance(scopes, tuple) else tuple(scopes)

    def _note_refusal(self, denial: Denial, ask: Ask) -> None:
        account = denial.account
        self._state.refused(
            account.key.project,
            account.key.kind,
            account.key.name,
            account.key.label,
            ask.model,
            denial.amount,
            account.remaining or 0,
            account.limit or 0,
            time.time_ns() // 1000,
        )

    # -- whose holds ---------------------------------------------------------------------------------

    def _remember(self, hold_id: str, projects: frozenset[str]) -> None:
        self._projects_of[hold_id] = projects
        if len(self._projects_of) > _REMEMBERED:
            self._projects_of.popitem(last=False)

    async def _found(self, hold_id: str) -> Hold | None:
        return await self.in_thread(partial(self.store.hold, hold_id))

    async def _owns(self, key: Key, hold_id: str) -> bool:
        """Whether the hold is known, and the key's to act upon."""
        if self._remembers(key, hold_id):
            return True
        return hold_for(key, await self._found(hold_id)) is not None

    async def _may_settle(self, key: Key, hold_id: str) -> bool:
        """Whether the hold is the key's to act upon, or unknown."""
        if self._remembers(key, hold_id):
            return True
        found = await self._found(hold_id)
        return found is None or hold_for(key, found) is not None

    def _remembers(self, key: Key, hold_id: str) -> bool:
        projects = self._projects_of.get(hold_id)
        return projects is not None and all(key.sees(name) or name == KEY_PROJECT for name in projects)

    async def release(self, key: Key, hold_id: str, reason: str) -> Hold | None:
        """See `Store.release`; another's hold is as one that is not known, and nothing is changed."""
        if key.projects is not None and not await self._may_settle(key, hold_id):
            return None
        return hold_for(key, await self.in_thread(partial(self.store.release, hold_id, reason=reason)))

    async def renew(self, key: Key, hold_ids: Sequence[str], ttl: int) -> None:
        """See `Store.renew`; others' holds are passed over."""
        _check_term(ttl)
        if key.projects is not None:
            hold_ids = [hold_id for hold_id in hold_ids if await self._owns(key, hold_id)]
        if hold_ids:
            await self.in_thread(partial(self.store.renew, hold_ids, ttl))

    # -- all else: each runs in a thread ---------------------------------------------------------------

    def define(self, by: Key, key: AccountKey, terms: Declaration, declared: bool) -> Account:
        """See `Store.define`. Terms that code declares need no admin, but may be forbidden to a key."""
        check_name(key)
        refuse_foreign(by, key)
        if declared:
            if by.fixed_terms:
                raise RefusedError(
                    403,
                    "forbidden",
                    f"The key {by.name!r} ({by.key_id}) may not name terms: ask for the budget of "
                    f"{key.kind} {key.name!r:.140} from whoever runs the server.",
                )
            try:
                return self.store.define(key, terms, declared=True)
            except UnknownUserError as error:
                raise seen_error(by, error) from None
        return audited(
            self._state, by, "define", key, self.store, partial(self.store.define, key, terms, declared=False)
        )

    def account(self, by: Key, key: AccountKey) -> Account | None:
        """See `Store.account`."""
        return self.store.account(key) if sees(by, key) else None

    def family(self, by: Key, key: AccountKey) -> list[Account]:
        """See `Store.family`."""
        return self.store.family(key) if sees(by, key) else []

    def accounts(self, by: Key, project: str | None, after: AccountKey | None) -> Iterator[Account]:
        """See `Store.accounts`."""
        if project is not None or by.projects is None:
            if project is not None and not by.sees(project):
                return
            found: Iterable[Account] = self.store.accounts(project, after=after)
        else:
            found = chain.from_iterable(
                self.store.accounts(name, after=after)
                for name in sorted(by.projects)
                if after is None or name >= after.project
            )
        yield from (account for account in found if sees(by, account.key))

    def model_costs(self, by: Key, key: AccountKey) -> dict[str | None, int]:
        """See `Store.model_costs`."""
        if not sees(by, key):
            raise UnknownUserError(user=key.name, kind=key.kind, project=key.project, label=key.label)
        try:
            return self.store.model_costs(key)
        except UnknownUserError as error:
            raise seen_error(by, error) from None

    def entries(
        self,
        by: Key,
        key: AccountKey | None,
        since: int | None,
        until: int | None,
        hold_id: str | None,
        after: int,
    ) -> Iterator[Entry]:
        """See `Store.entries`."""
        if key is not None and not sees(by, key):
            return iter(())
        found = self.store.entries(key, since=since, until=until, hold_id=hold_id, after=after)
        return (entry for entry in found if sees(by, entry.key))

    def hold(self, by: Key, hold_id: str) -> Hold | None:
        """See `Store.hold`."""
        return hold_for(by, self.store.hold(hold_id))

    def holds(self, by: Key, key: AccountKey | None) -> Iterator[Hold]:
        """See `Store.holds`."""
        if key is not None and not sees(by, key):
            return iter(())
        return iter(holds_for(by, self.store.holds(key)))

    def adjust(
        self, by: Key, key: AccountKey, amount: int | None, reason: str, adjustment_id: str | None
    ) -> Account:
        """See `Store.adjust`."""
        refuse_foreign(by, key)
        work = partial(self.store.adjust, key, amount, reason=reason, adjustment_id=adjustment_id)
        return audited(self._state, by, "adjust", key, self.store, work)

    def extend(
        self,
        by: Key,
        key: AccountKey,
        amount: int,
        until: int | None,
        reason: str,
        adjustment_id: str | None,
    ) -> Account:
        """See `Store.extend`."""
        refuse_foreign(by, key)
        work = partial(
            self.store.extend, key, amount, until=until, reason=reason, adjustment_id=adjustment_id
        )
        return audited(self._state, by, "extend", key, self.store, work)

    def remove(self, by: Key, key: AccountKey) -> list[Account]:
        """See `Store.remove`."""
        refuse_foreign(by, key)
        return audited(self._state, by, "remove", key, self.store, partial(self.store.remove, key))

    def sweep(self, by: Key) -> list[Hold]:
        """See `Store.sweep`; a key that is bound to projects is told of its own holds."""
        return list(holds_for(by, self.store.sweep()))

    def audit(self, by: Key) -> list[str]:
        """See `Store.audit`."""
        _refuse_bound(by)
        return self.store.audit()

    def prune(self, by: Key, before: int) -> Any:
        """See `Store.prune`."""
        _refuse_bound(by)
        prune = getattr(self.store, "prune", None)
        if prune is None:
            raise ConfigurationError("The server's store cannot fold old entries.")
        return prune(before)


def _check_term(ttl: int) -> None:
    if ttl > LONGEST_HOLD:
        raise ConfigurationError(
            f"A hold lasts {LONGEST_HOLD} microseconds at most on a server, not {ttl}. Renew it while its "
            "call runs."
        )


def _refuse_bound(by: Key) -> None:
    if by.projects is not None:
        raise RefusedError(
            403,
            "forbidden",
            f"The key {by.name!r} ({by.key_id}) is bound to projects, and this is about the whole store.",
        )
