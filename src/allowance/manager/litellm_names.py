"""The methods that LiteLLM's manager has, under its names: plain dicts, and floats of US dollars."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from allowance.calls.terms import label_for, patterns
from allowance.calls.writing import post
from allowance.errors import ConfigurationError, StoreUnavailableError, UnknownUserError
from allowance.manager.binding import Bound
from allowance.manager.measuring import projection, receipt
from allowance.manager.terms import declared_terms
from allowance.manager.twins import twin
from allowance.manager.user_records import user_record
from allowance.money import to_usd

if TYPE_CHECKING:
    from allowance.calls.terms import Words
    from allowance.ledger.records import Account, Alignment, Uncapped
    from allowance.manager.times import Moment
    from allowance.money import Money

__all__ = ["LiteLLMNames"]

log = logging.getLogger("allowance")


class LiteLLMNames(Bound):
    """What code that was written for LiteLLM's manager calls; it is about users' main budgets.

    A *record* is a dict of ``total_budget`` and, where there is a duration, ``duration`` (in days: 1, 7, 28
    for monthly, 365 for yearly, as LiteLLM writes them, though months and years here are true ones),
    ``created_at`` and ``last_updated_at`` (the start of the window), in seconds since 1970; once something
    was spent in this window, ``current_cost`` and ``model_cost`` too. It is a copy: changing it changes
    nothing. Unknown users are `UnknownUserError`, which is a KeyError.
    """

    def create_budget(
        self,
        total_budget: Money | None,
        user: str | int,
        duration: str | None = None,
        created_at: Moment | None = None,
        *,
        align: Alignment | None = None,
        timezone: str | None = None,
        uncapped: Uncapped | None = None,
        models: Words | None = None,
        label: str = "",
        kind: str = "user",
    ) -> dict[str, Any]:
        """Give a user a budget; one that exists gets these terms, and what it has spent stays spent.

        The terms are declared, as those of ``budget()`` are: what an operator changes afterwards stays,
        until code declares something else.

        Args:
            total_budget: US dollars per window; None only counts, and leaves an existing limit as it is.
            user: whose budget; an ``int`` counts as its digits.
            duration: ``"daily"``, ``"weekly"``, ``"monthly"``, ``"yearly"``, or like ``"30s"``, ``"12h"``,
                ``"7d"``, ``"1mo"``; None: one window for good.
            created_at: where the windows of a new budget repeat from: seconds since 1970, a datetime, or
                ISO 8601; now, where it is left out. A budget that exists keeps its own.
            align, timezone, uncapped: as in `budgeted`.
            models, label: a further budget of the same user, beside the main one: with models (globs) it
                counts only calls to these, and its label is their names where it is given none.
            kind: what ``user`` names.

        Returns:
            The record of the budget.

        Raises:
            ConfigurationError: a term is not one; it is a ValueError too, and nothing was made.
        """
        named = patterns(models)
        terms = declared_terms(
            total_budget,
            duration,
            created_at,
            align=align,
            timezone=timezone,
            uncapped=uncapped,
            models=named,
        )
        key = self._key(user, kind, label_for(label, named))
        return self._record(self.store.define(key, terms, declared=True))

    def projected_cost(self, /, model: str, messages: Any, user: str | int, **call: Any) -> float:
        """What the user's cost would come to: spent so far, and this call's projection.

        The projection is of the input alone, as LiteLLM's, unless the call has an output cap: with
        ``max_tokens=500`` (or the argument that caps it in its API) it is what the call would hold.

        Args:
            model, messages: of the call; ``messages`` in any form that SDKs take.
            user: whose cost.
            call: the call's other arguments: ``max_tokens``, ``tools``, ``n``, ...

        Raises:
            UnknownUserError, UnknownModelError: there is no such budget, no such price.
        """
        account = self._account(user)
        return float(to_usd(account.spent + projection(self.books, model, messages, call)))

    def get_total_budget(self, user: str | int) -> float:
        """US dollars that the user may spend in this window; infinity where it only counts."""
        limit = self._account(user).limit
        return math.inf if limit is None else float(to_usd(limit))

    def get_current_cost(self, user: str | int) -> float:
        """US dollars that the user has spent in this window."""
        return float(to_usd(self._account(user).spent))

    def get_model_cost(self, user: str | int) -> dict[str, float]:
        """US dollars by model in this window; empty where nothing was spent (LiteLLM: the number 0)."""
        costs: dict[str, float] = self._record(self._account(user)).get("model_cost", {})
        return costs

    def is_valid_user(self, user: str | int) -> bool:
        """Whether the user has a budget here."""
        try:
            key = self._key(user)
        except ConfigurationError:
            return False  # what cannot be a name is nobody's
        return self.store.account(key) is not None

    def get_users(self) -> list[str]:
        """The names of all users of this project, in order."""
        return [account.key.name for account in self._users()]

    def update_cost(
        self,
        user: str | int,
        completion_obj: Any = None,
        model: str | None = None,
        input_text: str | None = None,
        output_text: str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Charge a call that was made elsewhere: by its reply, or by its texts and a model's name.

        A reply is the truth where it is given: its own usage, at the price of the model that it names
        (``model``, where it names none). A list of a stream's chunks is measured as a whole. The texts serve
        without a reply, or where it carries no usage. A reply that a metered call has charged to this user
        already, inside ``budget`` or ``budgeted``, is not charged again (R3).

        Returns:
            ``{"user": record}``, as the budget stands then. Where the store does not answer the cost is kept
            and posted once it does (R14): the record is empty then, as it is where the store or the user goes
            away while the cost is posted.

        Raises:
            UnknownUserError: there is no such budget, and no default terms.
            UnknownModelError: no price is known; nothing was recorded.
            ConfigurationError: nothing here tells what the call cost; the message says what would.
        """
        key = self._key(user)
        posting = receipt(self.books, key, completion_obj, model, input_text, output_text)
        if posting is None:
            return {"user": self._record(self._account(user))}
        settled = post(self.store, posting)
        if settled is None:
            return {"user": {}}
        try:
            record = self._record(next(account for account in settled.accounts if account.key == key))
        except (StoreUnavailableError, UnknownUserError):  # it went away, or the user did, a moment later
            return {"user": {}}  # the cost is posted: whoever heard of an error would post it again
        record.setdefault("current_cost", 0.0)  # a call that cost nothing was a call too
        record.setdefault("model_cost", {}).setdefault(posting.model or "", 0.0)
        return {"user": record}

    def reset_cost(
        self, user: str | int, *, kind: str = "user", label: str | None = None, reason: str = "reset by hand"
    ) -> dict[str, dict[str, Any]]:
        """Bring what the user has spent in this window to zero, on all of the user's budgets or on one.

        The ledger keeps its lines: a reset is one more, with the reason.
        """
        accounts = self._family(user, kind) if label is None else [self._account(user, kind, label)]
        for account in accounts:
            self.store.adjust(account.key, None, reason=reason)
        record = self._record(self._account(user, kind, label or accounts[0].key.label))
        return {"user": {**record, "current_cost": 0.0, "model_cost": {}}}

    def reset_on_duration(self, user: str | int) -> None:
        """Nothing is left to do: windows turn by themselves. For code that still calls it each day."""
        self._account(user)

    def update_budget_all_users(self) -> None:
        """Nothing is left to do, but that expired holds are charged now instead of at the next call."""
        self.store.sweep()

    def save_data(self) -> dict[str, str]:
        """Nothing is left to do: whatever was acknowledged is kept. Returns ``{"status": "success"}``."""
        return {"status": "success"}

    def load_data(self) -> None:
        """Nothing is left to do: every question is asked of the store."""

    def print_verbose(self, print_statement: object) -> None:
        """Log at the level DEBUG, under ``allowance``."""
        log.debug("%s", print_statement)

    @property
    def user_dict(self) -> dict[str, dict[str, Any]]:
        """The records of all users, by name, as they stand now; a copy: changing it changes nothing."""
        return {account.key.name: self._record(account) for account in self._users()}

    acreate_budget = twin(create_budget)
    aprojected_cost = twin(projected_cost)
    aget_total_budget = twin(get_total_budget)
    aget_current_cost = twin(get_current_cost)
    aget_model_cost = twin(get_model_cost)
    ais_valid_user = twin(is_valid_user)
    aget_users = twin(get_users)
    aupdate_cost = twin(update_cost)
    areset_cost = twin(reset_cost)
    areset_on_duration = twin(reset_on_duration)
    aupdate_budget_all_users = twin(update_budget_all_users)
    asave_data = twin(save_data)
    aload_data = twin(load_data)

    def _users(self) -> list[Account]:
        accounts = self.store.accounts(self._project)
        return [account for account in accounts if account.key.kind == "user" and not account.key.label]

    def _record(self, account: Account) -> dict[str, Any]:
        return user_record(account, self.store.model_costs(account.key) if account.spent else {})
