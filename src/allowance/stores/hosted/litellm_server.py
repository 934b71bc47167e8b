"""Servers that have only the two endpoints which LiteLLM's page tells people to build.

``POST /get_budget`` hands out the records of a project's users, all at once, and ``POST /set_budget`` takes
them back, all at once. Nothing in it is atomic, so between *processes* a cost can be lost, and two can spend
the same money: `allowance serve` is the remedy, and takes LiteLLM's clients too. What is kept nevertheless:

- Within this process each call is exact: its holds lie in this process's memory, and each reserve looks at
  the newest record first.
- No other user's record is changed. Each write fetches the newest records, adds what this process has spent
  to those of its own users, and posts the whole. Others' increments to our users stay, unless they fall
  into the moment between the two requests.
- Windows are turned here, by ``last_updated_at`` and the duration: a month has 28 days, a year 365.

The protocol knows users with one limit each. Other kinds, labels, windows by the calendar, durations that
are not whole days, budgets without a limit and top-ups are refused with `ConfigurationError`. Entries, holds
and ids are this process's own, and end with it. Terms that code declares are written when a process first
uses them.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.ledger.records import Account, AccountKey, Ask, Declaration, Scope
from allowance.stores.hosted.line import StrangeError
from allowance.stores.hosted.litellm_records import kept_declaration, kept_terms
from allowance.stores.hosted.litellm_shared import SharedRecords, get_budget
from allowance.stores.memory import MemoryStore, system_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from allowance.ledger.records import Denial, Entry, Grant, Hold, Posting, Settlement
    from allowance.stores.hosted.line import Line

__all__ = ["LiteLLMServer", "has_endpoints"]

log = logging.getLogger("allowance")


def has_endpoints(line: Line, seconds: float, project: str) -> bool:
    """Whether the server answers ``/get_budget`` as LiteLLM's clients expect it."""
    try:
        reply = get_budget(line, project, seconds)
    except StrangeError:
        return False
    return reply.get("status") in ("success", "error")


class LiteLLMServer:
    """A store over the two endpoints; see the top of this page."""

    rank = 2
    blocking = True

    def __init__(self, line: Line, seconds: float, clock: Callable[[], int] = system_clock) -> None:
        self.url = line.url
        self._line = line
        self._clock = clock
        self._books = MemoryStore(clock=clock, url=line.url)
        self._lock = threading.RLock()  # one verb at a time, its requests too: that makes this process exact
        self._seconds = seconds
        self._shared = SharedRecords(line, self._books, seconds, clock)
        log.warning(
            "%s has only LiteLLM's /get_budget and /set_budget. Calls of this process are counted exactly, "
            "but that protocol cannot be atomic between processes: two that write at once can lose a cost, "
            "or spend the same money. `allowance serve` can, and takes LiteLLM's clients too.",
            self.url,
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the verbs of other threads, no longer than for an answer."""
        if not self._lock.acquire(timeout=self._seconds):
            raise StoreUnavailableError(
                f"{self.url} answers so slowly that this thread's turn did not come within {self._seconds:g} "
                "seconds: over LiteLLM's protocol a process asks one thing at a time. Nothing was changed.",
                unsent=True,
            )
        try:
            yield
        finally:
            self._lock.release()

    # -- calls -------------------------------------------------------------------------------------

    def reserve(self, ask: Ask) -> Grant | Denial:
        """See `Store.reserve`."""
        ask = ask._replace(scopes=tuple([_kept_scope(scope) for scope in ask.scopes]))
        keys = [scope.key for scope in ask.scopes]
        with self._turn():
            self._shared.fetch(keys)
            outcome = self._books.reserve(ask)
            try:
                self._shared.push(keys)
            except StoreUnavailableError as error:
                log.info("%s will hear of new terms with the next cost: %s", self.url, error)
            return outcome

    def settle(self, posting: Posting) -> Settlement:
        """See `Store.settle`. What is counted here and could not be posted is when it is asked again."""
        posting = posting._replace(scopes=tuple([_kept_scope(scope) for scope in posting.scopes]))
        with self._turn():
            if self._books.hold(posting.hold_id) is None:
                self._shared.fetch([scope.key for scope in posting.scopes])
            settled = self._books.settle(posting)
            self._shared.push([account.key for account in settled.accounts], fetched=False)
            return settled

    def release(self, hold_id: str, *, reason: str = "") -> Hold | None:
        """See `Store.release`."""
        with self._turn():
            hold = self._books.release(hold_id, reason=reason)
            self._shared.push([key for key, _ in hold.windows] if hold else [], fetched=False)
            return hold

    def renew(self, hold_ids: Sequence[str], ttl: int) -> None:
        """See `Store.renew`."""
        self._books.renew(hold_ids, ttl)

    # -- budgets -----------------------------------------------------------------------------------

    def define(self, key: AccountKey, terms: Declaration, *, declared: bool = False) -> Account:
        """See `Store.define`."""
        _check_key(key)
        terms = kept_declaration(terms)
        with self._turn():
            self._shared.fetch([key])
            account = self._books.define(key, terms, declared=declared)
            self._shared.push([key])
            return account

    def account(self, key: AccountKey) -> Account | None:
        """See `Store.account`."""
        with self._turn():
            self._shared.fetch([key])
            return self._books.account(key)

    def family(self, key: AccountKey) -> list[Account]:
        """See `Store.family`; it has one budget at most."""
        with self._turn():
            self._shared.fetch([key.main])
            return self._books.family(key)

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        """See `Store.accounts`. Without a project those of the projects that this process has asked about."""
        with self._turn():
            for name in self._shared.projects() if project is None else [project]:
                self._shared.fetch([AccountKey(name, "user", "")], everyone=True)
            return self._books.accounts(project, after=after)

    def model_costs(self, key: AccountKey) -> dict[str | None, int]:
        """See `Store.model_costs`."""
        with self._turn():
            self._shared.fetch([key])
            ours = self._books.model_costs(key)
            standing = self._shared.standing(key)
            if standing is None:
                return ours
            costs = dict(standing.models)
            for model, amount in self._shared.collect(key).items():
                costs[model] = costs.get(model, 0) + amount
            return {model: cost for model, cost in costs.items() if cost}

    def adjust(
        self, key: AccountKey, amount: int | None, *, reason: str, adjustment_id: str | None = None
    ) -> Account:
        """See `Store.adjust`. A reset begins a new window, as it does with LiteLLM."""
        _check_key(key)
        with self._turn():
            self._shared.fetch([key])
            account = self._books.adjust(key, amount, reason=reason, adjustment_id=adjustment_id)
            if amount is None and account.window_end is not None:
                account = self._books.define(key, Declaration(created_at=self._clock()))
            self._shared.push([key])
            return account

    def extend(self, key: AccountKey, amount: int, **_: Any) -> NoReturn:  # noqa: ARG002  as every store's
        """Refused: the protocol has no top-ups."""
        raise ConfigurationError(
            f"{self.url} has only LiteLLM's /get_budget and /set_budget, which know no top-ups. Set a higher "
            "limit, or run `allowance serve` in its place."
        )

    def remove(self, key: AccountKey) -> list[Account]:
        """See `Store.remove`. It is left out of what is posted, and then looked for."""
        _check_key(key)
        with self._turn():
            self._shared.fetch([key])
            removed = self._books.remove(key)
            if not self._shared.without(key):
                raise ConfigurationError(
                    f"{self.url} keeps users that are left out of a post, so {key.name!r} cannot be removed "
                    "over LiteLLM's protocol. Remove the record on the server."
                )
            return removed

    # -- the books of this process -----------------------------------------------------------------

    def entries(
        self,
        key: AccountKey | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hold_id: str | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """See `Store.entries`: of this process. What others spent is in it as adjustments."""
        return self._books.entries(key, since=since, until=until, hold_id=hold_id, after=after)

    def hold(self, hold_id: str) -> Hold | None:
        """See `Store.hold`: of this process. The server is asked too, that one hears whether it answers."""
        with self._turn():
            self._shared.fetch([AccountKey(project, "user", "") for project in self._shared.projects()])
            return self._books.hold(hold_id)

    def holds(self, key: AccountKey | None = None) -> Iterator[Hold]:
        """See `Store.holds`: of this process."""
        return self._books.holds(key)

    def sweep(self) -> list[Hold]:
        """See `Store.sweep`: of this process."""
        with self._turn():
            charged = self._books.sweep()
            self._shared.push({key for hold in charged for key, _ in hold.windows}, fetched=False)
            return charged

    def audit(self) -> list[str]:
        """See `Store.audit`: of this process."""
        return self._books.audit()

    def prune(self, before: int) -> int:  # noqa: ARG002  as every store's
        """See `Store.prune`: there is nothing to prune, memory keeps a bounded number of lines."""
        return 0

    def close(self) -> None:
        """See `Store.close`."""
        self._line.close()


def _kept_scope(scope: Scope) -> Scope:
    _check_key(scope.key)
    return Scope(
        scope.key,
        None if scope.declared is None else kept_declaration(scope.declared),
        None if scope.default is None else kept_terms(scope.default),
    )


def _check_key(key: AccountKey) -> None:
    if key.kind != "user" or key.label:
        what = f"budget {key.label!r} of {key.kind} {key.name!r}" if key.label else f"{key.kind} {key.name!r}"
        raise ConfigurationError(
            "This server has only LiteLLM's /get_budget and /set_budget, which know users with one budget "
            f"each, and no {what}. Run `allowance serve` in its place, which takes LiteLLM's clients too."
        )
