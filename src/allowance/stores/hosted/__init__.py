"""The store behind a server: many machines, one set of budgets."""

from __future__ import annotations

import os
import secrets
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.ledger.records import Denial, Grant
from allowance.stores.hosted.address import parse
from allowance.stores.hosted.credentials import credentials
from allowance.stores.hosted.line import Line, StrangeError
from allowance.wire import PROTOCOL, json
from allowance.wire.pages import MAX_PAGE, load_page
from allowance.wire.verbs import MAX_RENEWED, VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from allowance.ledger.records import (
        Account,
        AccountKey,
        Ask,
        Declaration,
        Entry,
        Hold,
        Posting,
        Settlement,
    )
    from allowance.stores.base import Store
    from allowance.stores.hosted.deadline import Deadline
    from allowance.stores.hosted.links import LinkError
    from allowance.wire.json import Json

__all__ = ["HostedStore"]

UNHURRIED: Final = 30.0
"""Seconds, at least, for what no call waits for: listings, audits, changes by hand."""

_SAID: Final = {
    "account": "show a budget",
    "family": "show a budget",
    "accounts": "list budgets",
    "model_costs": "show the costs of models",
    "entries": "list entries",
    "hold": "show a hold",
    "holds": "list holds",
    "remove": "delete a budget",
}
"""What a verb is called in errors, after "was asked to"; others by their own names."""

_HURRIED: Final = {"reserve", "settle", "release", "renew", "define", "account", "family", "hold"}
_ALWAYS: Final = {"settle", "release", "renew"}
"""What is tried though the server seems to be down: a cost that was paid must not be turned away unasked."""


class HostedStore:
    """A store that lies behind HTTP: ``allowance serve``, or a server that has LiteLLM's two endpoints.

    Nothing is sent before the first verb. Connections are kept open, and shared by the threads of this
    process; a forked child makes its own. Each verb ends within its time: in it fall connecting, sending,
    reading and up to two further tries with the same id. A server that does not answer is left alone for a
    while, and reserves fail at once meanwhile; what is settled, released or renewed is always tried.

    Where the server only knows LiteLLM's ``/get_budget`` and ``/set_budget``, that is found out by the first
    answer that is none of ours, and said once; see `allowance.stores.hosted.litellm_server`.

    Args:
        url: ``https://budgets.example``, perhaps with a path. ``http://`` is for this machine alone.
        api_key: who asks; else ``ALLOWANCE_API_KEY``. It is in no repr, log, error or row.
        headers: more lines for the head of each request; an ``Authorization`` among them is the key.
        timeout: seconds that a verb of a call may take in all.
        allow_insecure: take ``http://`` to other machines, where keys and names travel in the open.

    Raises:
        ConfigurationError: for a URL, a key or headers that cannot be used.
    """

    rank = 2
    blocking = True

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 2.0,
        allow_insecure: bool = False,
    ) -> None:
        from allowance import __version__

        if type(timeout) not in (int, float) or not 0 < timeout <= 600:
            raise ConfigurationError(
                f"The timeout is a number of seconds above 0 and up to 600, not {timeout!r:.40}."
            )
        address = parse(url, allow_insecure=allow_insecure)
        self.url = address.url
        self._timeout = float(timeout)
        self._line = Line(address, credentials(api_key, headers), __version__)
        self._begin()
        _stores.add(self)

    def _begin(self) -> None:
        self._is_known = False  # that it is a server of ours: no page of a proxy's changes that
        self._other: Store | None = None  # where the server has only LiteLLM's endpoints
        self._finding = threading.RLock()
        self._found_none_at = 0.0  # when (monotonic) it was last seen to be neither kind of server

    def __repr__(self) -> str:
        return f"HostedStore({self.url!r})"

    def reserve(self, ask: Ask) -> Grant | Denial:
        """See `Store.reserve`.

        A refusal that answers a second try, while the first one may still be on its way to be granted, is no
        refusal yet: `StoreUnavailableError`.
        """
        lost: list[LinkError] = []
        outcome: Grant | Denial = self._do("reserve", lost, ask=ask)
        if lost and isinstance(outcome, Denial):
            raise StoreUnavailableError(
                f"{self.url} refused a reserve that was sent again after this: {lost[-1]}. The first one may "
                "still arrive and be granted. Let go of its id, and ask again under a new one."
            )
        if isinstance(outcome, Grant) and (
            outcome.hold_id != ask.hold_id or not ask.floor <= outcome.amount <= ask.ceiling
        ):
            raise self._misled("reserve", ask.hold_id)
        return outcome

    def settle(self, posting: Posting) -> Settlement:
        """See `Store.settle`."""
        settlement: Settlement = self._do("settle", posting=posting)
        if (settlement.hold_id, settlement.amount) != (posting.hold_id, posting.amount):
            raise self._misled("settle", posting.hold_id)
        return settlement

    def release(self, hold_id: str, *, reason: str = "") -> Hold | None:
        """See `Store.release`."""
        hold: Hold | None = self._do("release", hold_id=hold_id, reason=reason)
        if hold is not None and hold.hold_id != hold_id:
            raise self._misled("release", hold_id)
        return hold

    def renew(self, hold_ids: Sequence[str], ttl: int) -> None:
        """See `Store.renew`. More than 256 go in several requests."""
        for start in range(0, max(len(hold_ids), 1), MAX_RENEWED):
            self._do("renew", hold_ids=hold_ids[start : start + MAX_RENEWED], ttl=ttl)

    def define(self, key: AccountKey, terms: Declaration, *, declared: bool = False) -> Account:
        """See `Store.define`."""
        account: Account = self._do("define", key=key, terms=terms, declared=declared)
        return account

    def account(self, key: AccountKey) -> Account | None:
        """See `Store.account`."""
        account: Account | None = self._do("account", key=key)
        return account

    def family(self, key: AccountKey) -> list[Account]:
        """See `Store.family`."""
        accounts: list[Account] = self._do("family", key=key)
        return accounts

    def accounts(self, project: str | None = None, *, after: AccountKey | None = None) -> Iterator[Account]:
        """See `Store.accounts`. They are fetched in pages of 500, each at one moment of its own."""
        return self._pages("accounts", {"project": project}, {"after": after})

    def model_costs(self, key: AccountKey) -> dict[str | None, int]:
        """See `Store.model_costs`."""
        costs: dict[str | None, int] = self._do("model_costs", key=key)
        return costs

    def adjust(
        self, key: AccountKey, amount: int | None, *, reason: str, adjustment_id: str | None = None
    ) -> Account:
        """See `Store.adjust`."""
        named = adjustment_id or _new_id()  # so that it counts once, however often it is sent
        account: Account = self._do("adjust", key=key, amount=amount, reason=reason, adjustment_id=named)
        return account

    def extend(
        self,
        key: AccountKey,
        amount: int,
        *,
        until: int | None = None,
        reason: str = "",
        adjustment_id: str | None = None,
    ) -> Account:
        """See `Store.extend`."""
        named = adjustment_id or _new_id()
        account: Account = self._do(
            "extend", key=key, amount=amount, until=until, reason=reason, adjustment_id=named
        )
        return account

    def remove(self, key: AccountKey) -> list[Account]:
        """See `Store.remove`. It is sent once: where no answer comes, look before you ask again."""
        accounts: list[Account] = self._do("remove", key=key)
        return accounts

    def entries(
        self,
        key: AccountKey | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hold_id: str | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """See `Store.entries`. They are fetched in pages of 500."""
        fixed = {"key": key, "since": since, "until": until, "hold_id": hold_id}
        return self._pages("entries", fixed, {"after": after})

    def hold(self, hold_id: str) -> Hold | None:
        """See `Store.hold`."""
        hold: Hold | None = self._do("hold", hold_id=hold_id)
        if hold is not None and hold.hold_id != hold_id:
            raise self._misled("hold", hold_id)
        return hold

    def holds(self, key: AccountKey | None = None) -> Iterator[Hold]:
        """See `Store.holds`. They are fetched in pages of 500."""
        return self._pages("holds", {"key": key}, {})

    def sweep(self) -> list[Hold]:
        """See `Store.sweep`."""
        holds: list[Hold] = self._do("sweep")
        return holds

    def audit(self) -> list[str]:
        """See `Store.audit`."""
        differences: list[str] = self._do("audit")
        return differences

    def prune(self, before: int) -> int:
        """See `Store.prune`."""
        count: int = self._do("prune", before=before)
        return count

    @property
    def has_key(self) -> bool:
        """Whether the server is told who asks."""
        return self._line.has_key

    def about(self) -> Json | None:
        """What the server says of itself: its ``protocol`` and ``version``; None where it is none of ours.

        Raises:
            StoreUnavailableError: it does not answer.
        """
        try:
            return self._about()
        except StrangeError as strange:
            if strange.passing:
                raise
            return None

    def close(self) -> None:
        """See `Store.close`. The verbs raise `StoreUnavailableError` from now on."""
        self._line.close()

    # -- asking ------------------------------------------------------------------------------------

    def _do(self, name: str, lost: list[LinkError] | None = None, **arguments: Any) -> Any:
        """One verb, done by the server; by ourselves where it has only LiteLLM's endpoints."""
        if self._other is None:
            verb = VERBS[name]
            data = verb.dump_arguments(arguments)
            try:
                return self._loaded(name, verb.load_reply, self._ask(name, data, lost))
            except StrangeError as strange:
                self._find_out(strange, _project_of(arguments))
        return getattr(self._other, name)(**arguments)

    def _pages(self, name: str, fixed: dict[str, Any], first: dict[str, Any]) -> Iterator[Any]:
        verb = VERBS[name]
        data = verb.dump_arguments({**fixed, **first})
        while self._other is None:
            try:
                reply = self._ask(name, {**data, "limit": MAX_PAGE})
                items, cursor = self._loaded(name, partial(load_page, verb), reply)
            except StrangeError as strange:
                self._find_out(strange, _project_of(fixed))
                break
            yield from items
            if cursor is None:
                return
            data["after"] = cursor
        yield from getattr(self._other, name)(**fixed, **first)

    def _ask(self, name: str, data: Json, lost: list[LinkError] | None = None) -> Json:
        hurried = name in _HURRIED
        return self._line.post(
            f"/v{PROTOCOL}/{name}",
            partial(_with_deadline, data) if name == "reserve" else partial(_plain, json.dumps(data)),
            seconds=self._timeout if hurried else max(self._timeout, UNHURRIED),
            what=_SAID.get(name, name),
            repeats=VERBS[name].repeats,
            always=name in _ALWAYS,
            lost=lost,
        )

    def _loaded(self, name: str, load: Any, reply: Json) -> Any:
        try:
            result = load(reply)
        except ConfigurationError as error:
            raise StrangeError(
                f"{self.url} answered a {name} with what this version of allowance cannot read: {error} "
                "Look which versions run here and there."
            ) from None
        self._is_known = True
        return result

    def _misled(self, name: str, hold_id: str) -> StoreUnavailableError:
        """The answer is to another request: whatever stands between mixed them up, and may do so again."""
        self._line.reconnect()
        return StoreUnavailableError(
            f"{self.url} answered the {name} of {hold_id} with what answers another request. Whether it was "
            "done is not known; asking again with the same id is safe. Look at the proxy before the server."
        )

    # -- servers of another kind -------------------------------------------------------------------

    def _find_out(self, strange: StrangeError, project: str) -> None:
        """Find out, once, whether the server has LiteLLM's endpoints; else the answer was an error."""
        from allowance.stores.hosted.litellm_server import LiteLLMServer, has_endpoints

        began = time.monotonic()
        if self._is_known or strange.passing or not self._finding.acquire(timeout=self._timeout):
            raise strange
        try:
            if self._other is not None:
                return
            if self._found_none_at < began and not self._is_known:  # else another thread has just looked
                self._is_known = self._is_ours()
                if not self._is_known and has_endpoints(self._line, self._timeout, project):
                    self._other = LiteLLMServer(self._line, self._timeout)
                    return
                self._found_none_at = time.monotonic()
        except StoreUnavailableError:  # says of the looking that it changed nothing, not of what came first
            pass
        finally:
            self._finding.release()
        raise strange

    def _is_ours(self) -> bool:
        try:
            found = self._about()
        except StrangeError:
            return False
        return found.get("server") == "allowance"

    def _about(self) -> Json:
        return self._line.post(
            f"/v{PROTOCOL}/", _nothing, seconds=self._timeout, what="say what it is", method="GET"
        )


def _with_deadline(data: Json, deadline: Deadline) -> bytes:
    return json.dumps({**data, "deadline_ms": max(1, int(deadline.left() * 1000))})


def _plain(body: bytes, _: Deadline) -> bytes:
    return body


def _nothing(_: Deadline) -> bytes:
    return b""


def _project_of(arguments: Mapping[str, Any]) -> str:
    """Whose records a server with LiteLLM's endpoints is asked for."""
    key = arguments.get("key")
    for value in ("ask", "posting"):
        if value in arguments and arguments[value].scopes:
            key = arguments[value].scopes[0].key
    return key.project if key is not None else arguments.get("project") or "default"


def _new_id() -> str:
    return f"adjustment-{secrets.token_hex(12)}"


_stores: WeakSet[HostedStore] = WeakSet()


def _forked() -> None:
    for store in list(_stores):
        store._begin()  # noqa: SLF001  what was known in memory is the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
