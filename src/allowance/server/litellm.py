"""LiteLLM's own protocol: ``/get_budget`` and ``/set_budget``, as its hosted ``BudgetManager`` speaks it.

LiteLLM keeps the books in its own memory, and posts the totals of all users at each change. So the server
takes from a post what is *above* its own books, model by model, and posts that to the ledger; sent twice it
counts once. A cost goes down only where the record's ``last_updated_at`` is newer than the start of our
window and its cost is 0: LiteLLM has reset it, and the window begins anew at that time. Users that are not in
the post are left alone. A budget or a duration is taken as terms that code declares: the post applies it when
it *changes*, so what an operator sets since is not undone by the next post of an old copy. A key with fixed
terms resets nothing: what LiteLLM counts anew is added to the window that is there.

What that protocol cannot keep: two LiteLLM processes that count on the same user and model each post a
total of their own, of which the higher one stands; what the other spent in the same time is lost. And what
LiteLLM spends is not held before the call. ``allowance.BudgetManager`` has neither limit.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import HoldConflictError, StoreUnavailableError
from allowance.ledger.records import AccountKey, Declaration, Posting, Scope
from allowance.manager.user_records import days_of, lasting
from allowance.server.audited import audited
from allowance.server.endpoints import Endpoint
from allowance.server.gate import Need
from allowance.server.key import key_account
from allowance.server.litellm_records import project_of, read_body, read_users, record_of
from allowance.server.names import check_name
from allowance.server.problems import RefusedError, json_reply
from allowance.server.views import refuse_foreign, sees
from allowance.stores.memory import system_clock

if TYPE_CHECKING:
    from allowance.ledger.records import Account
    from allowance.server.doing import Doing
    from allowance.server.endpoints import Call
    from allowance.server.gate import Gate
    from allowance.server.key import Key
    from allowance.server.litellm_records import Posted
    from allowance.server.metrics import Metrics
    from allowance.server.problems import Reply
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["litellm"]

_REASON: Final = "posted by LiteLLM"
_RESET: Final = "reset by LiteLLM"
_TRIES: Final = 50
_LOCKS: Final = 256
_AT_ONCE: Final = 32
_REMEMBERED: Final = 100_000
_ROUNDED: Final = 1_000  # microseconds that a time may lose as a float of seconds


def litellm(
    doing: Doing, state: State, gate: Gate, metrics: Metrics, settings: ServerSettings
) -> list[Endpoint]:
    """The two endpoints. Both need a key that may spend: what posts costs is code that makes calls."""
    books = _Books(doing.store, state)
    build = partial(Endpoint, need=Need.SPEND, gate=gate, metrics=metrics)
    return [
        build("/get_budget", partial(_get, doing, books), most=settings.max_body),
        build("/set_budget", partial(_set, doing, books), most=settings.max_litellm_body),
    ]


async def _get(doing: Doing, books: _Books, call: Call) -> Reply:
    project = project_of(read_body(call.body))
    users = await doing.in_thread(partial(books.users, call.by, project))
    return json_reply({"status": "success", "data": users} if users else {"status": "error"})


async def _set(doing: Doing, books: _Books, call: Call) -> Reply:
    await doing.in_thread(partial(books.take, call.by, call.body))
    return json_reply({"status": "success"})


class _Books:
    """The users of a store's projects, as LiteLLM sees them."""

    def __init__(self, store: Store, state: State) -> None:
        self._store = store
        self._state = state
        # Without it nobody can tell what id a posting will have, and take it before.
        self._secret = state.secret("litellm")
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))  # a project has always the same one
        self._taken: dict[AccountKey, Posted] = {}

    def users(self, by: Key, project: str) -> dict[str, dict[str, Any]]:
        """The records of a project's users; none of one that the key does not see."""
        accounts = self._accounts(project) if by.sees(project) else {}
        return {
            account.key.name: record_of(
                account, self._store.model_costs(account.key) if account.spent else {}
            )
            for account in accounts.values()
            if sees(by, account.key)
        }

    def take(self, by: Key, content: bytes) -> None:
        """Take over what a post says, of all its users; where one of them cannot be used, of none."""
        body = read_body(content)
        project = project_of(body)
        users = read_users(project, body.get("user_dict"))
        for key in (AccountKey(project, "user", "(all)"), *(user.key for user in users)):
            check_name(key)
            refuse_foreign(by, key)
        # LiteLLM posts all that it has at each change, from many threads.
        with self._locks[hash(project) % _LOCKS]:
            accounts = self._accounts(project)
            news = [user for user in users if user.key not in accounts or self._taken.get(user.key) != user]
            with ThreadPoolExecutor(min(_AT_ONCE, len(news) or 1)) as pool:  # a store commits them together
                for _ in pool.map(lambda user: self._take_user(by, user, accounts.get(user.key)), news):
                    pass
            self._remember(news)

    def _remember(self, users: list[Posted]) -> None:
        """A record that comes again as it was says nothing new: all but one or two of each post are such."""
        if len(self._taken) + len(users) > _REMEMBERED:
            self._taken.clear()
        self._taken.update({user.key: user for user in users})

    def _accounts(self, project: str) -> dict[AccountKey, Account]:
        return {
            account.key: account
            for account in self._store.accounts(project)
            if account.key.kind == "user" and not account.key.label
        }

    def _take_user(self, by: Key, user: Posted, account: Account | None) -> None:
        account = self._terms(by, user, account)
        if not user.costs:
            if not by.fixed_terms and user.updated is not None and _is_of_after(user, account):
                self._reset(by, user.key, account, user.updated)
            return
        self._post(by, user)

    def _terms(self, by: Key, user: Posted, account: Account | None) -> Account:
        """The user's account, with the terms of the post where they are new."""
        if account is None:
            at = user.updated if user.updated is not None and user.updated <= system_clock() else None
            terms = Declaration(user.limit, user.duration, creates=True, created_at=at)
        else:
            known = {account.limit, lasting(account).limit, account.terms.limit, None}
            declared = account.declared or Declaration()
            limit = None if user.limit in known | {declared.limit} else user.limit
            same = user.days in (days_of(account.terms.duration), days_of(declared.duration), None)
            terms = Declaration(limit, None if same else user.duration, creates=limit is not None)
            if limit is None and same:
                return account
        if by.fixed_terms:
            raise RefusedError(
                403,
                "forbidden",
                f"The key {by.name!r} ({by.key_id}) may not name terms, and the post does for user "
                f"{user.key.name!r:.140}. Ask whoever runs the server for the budget.",
            )
        return self._store.define(user.key, terms, declared=True)

    def _reset(self, by: Key, key: AccountKey, account: Account, updated: int) -> None:
        """LiteLLM began to count anew: so does the window, at the same time. Once for each such time."""

        def work() -> Account:
            begun = account
            if account.terms.align != "calendar" and updated <= system_clock():
                begun = self._store.define(key, Declaration(created_at=updated))
            if not begun.spent:
                return begun
            name = self._name("reset", *key, updated)
            return self._store.adjust(key, None, reason=_RESET, adjustment_id=name)

        audited(self._state, by, "reset", key, self._store, work)

    def _post(self, by: Key, user: Posted) -> None:
        """Post what LiteLLM has counted and we have not.

        The id of each posting comes from the account's version: of several that saw the same books, be it in
        other processes, one is kept, and the others look anew.
        """
        scopes = (Scope(user.key), Scope(key_account(by.name))) if by.budgeted else (Scope(user.key),)
        lost, posted = 0, None
        while lost < _TRIES:
            account = self._store.account(user.key)
            if account is None:
                return  # it was removed meanwhile
            missing = self._missing(by, user, account)
            if missing is None:
                return
            if missing == posted:
                break  # what was posted is not found again: never post it without end
            model, amount = missing
            name = self._name("cost", *user.key, account.version)
            try:
                kept = not self._store.settle(Posting(name, amount, scopes, model, reason=_REASON)).repeated
            except HoldConflictError:
                kept = False
            lost, posted = (0, missing) if kept else (lost + 1, None)
        raise StoreUnavailableError(
            f"The books of user {user.key.name!r:.140} change faster than they can be read.", retry_after=1.0
        )

    def _missing(self, by: Key, user: Posted, account: Account) -> tuple[str | None, int] | None:
        """A model, and how much of its cost the ledger lacks."""
        ours: dict[str | None, int] = defaultdict(int)
        # What it counts began in an earlier window of ours; or within this one, which its key may not reset.
        if _is_of_before(user, account) or (by.fixed_terms and _is_of_after(user, account)):
            for entry in self._store.entries(user.key, since=user.updated):
                if entry.reason != _RESET:
                    ours[entry.model] += entry.amount
        else:
            ours |= self._store.model_costs(user.key)
        for model, cost in user.costs.items():
            if cost > ours.get(model, 0):
                return model, cost - ours.get(model, 0)
        return None

    def _name(self, *parts: object) -> str:
        """The id of a posting, or of an adjustment: on every server of this database the same."""
        text = json.dumps(parts)
        digest = hashlib.blake2b(text.encode(), key=self._secret, digest_size=16)
        return f"litellm {digest.hexdigest()}"


def _is_of_before(user: Posted, account: Account) -> bool:
    return user.updated is not None and user.updated < account.window_start - _ROUNDED


def _is_of_after(user: Posted, account: Account) -> bool:
    return user.updated is not None and user.updated > account.window_start + _ROUNDED
