"""`BudgetManager`: budgets of many users, kept in one place, under LiteLLM's names and more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allowance.calls import lifeline
from allowance.calls.block import budget as budget_around
from allowance.calls.budgeted import budgeted as budgeted_function
from allowance.ledger.accounts import open_account
from allowance.ledger.records import Scope, Terms
from allowance.ledger.windows import parse_zone
from allowance.manager.explaining import explanation
from allowance.manager.litellm_names import LiteLLMNames
from allowance.manager.operating import Operations
from allowance.manager.reporting import report_of, windows_of
from allowance.manager.times import to_micros
from allowance.manager.twins import twin
from allowance.manager.user_cost import import_users, write_users
from allowance.manager.user_records import lasting
from allowance.stores.memory import system_clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike
    from typing import ParamSpec, TypeVar

    from allowance.calls.budgeted import User
    from allowance.ledger.records import Account
    from allowance.manager.records import (
        Explanation,
        ImportReport,
        ReportBy,
        ReportRow,
        WindowSummary,
    )
    from allowance.manager.times import Moment

    P = ParamSpec("P")
    T = TypeVar("T")

__all__ = ["BudgetManager"]


class BudgetManager(LiteLLMNames, Operations):
    """The budgets of a project's users.

    ::

        manager = BudgetManager("my-app")
        manager.create_budget(total_budget=10, user="1234", duration="daily")

        @manager.budgeted(user="1234")
        def ask(messages, model="gpt-4o-mini"): ...

    Args:
        project_name: whose users these are; projects share a store and never see each other's users.
        client_type: ``"local"``: the store that `configure` or ``ALLOWANCE_STORE`` names, else one file in
            the user's state directory; ``"memory"``: this process alone; ``"hosted"``: a server.
        api_base: of ``"hosted"``, the server's URL; without it the store that is configured must be one.
        headers: what each request to it bears; ``Authorization: Bearer KEY`` is the key. Better still is to
            leave the key to ``ALLOWANCE_API_KEY``: a manager whose key stands in code is not pickled.
        store: a store by its URL (``"sqlite:///budgets.db"``, ``"postgresql://host/db"``), or an object.
        settings: those of `configure` but for store and project: ``prices``, ``on_unknown_model``,
            ``default_limit``, ...; what is not named is as `configure` has it when the manager is made.

    It can be used by threads, asyncio tasks and forked processes at once. Every method that may do I/O has
    an async twin, with an ``a`` before its name.

    Raises:
        ConfigurationError: an argument is not one; the message says what is.
        StoreCorruptError: the store's file is no ledger.
    """

    def history(self, user: str | int, *, kind: str = "user", label: str = "") -> list[WindowSummary]:
        """The windows of a budget in which something was posted, and the present one, newest last."""
        entries = list(self.store.entries(self._account(user, kind, label).key))
        return windows_of(self._account(user, kind, label), entries)

    def report(
        self,
        by: ReportBy,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        kind: str = "user",
        timezone: str = "UTC",
        progress: Callable[[int], object] | None = None,
    ) -> list[ReportRow]:
        """What this project's users have spent, by user, model, day or tag; the dearest first, days in order.

        A call with several tags counts under each of them, so rows by tag may add up to more than was spent.
        Removed users count under the name that they had. Only main budgets are summed up: every call counts
        on one of them.

        Args:
            since, until: of calls reserved in ``since <= at < until``.
            timezone: the IANA zone of the days, and of a ``since`` or ``until`` that names none.
            progress: called now and then with the number of lines read so far.

        Raises:
            ConfigurationError: an argument is not one.
        """
        lifeline.catch_up()
        zone = parse_zone(timezone)
        start = None if since is None else to_micros(since, what="since", zone=zone)
        end = None if until is None else to_micros(until, what="until", zone=zone)
        entries = self.store.entries(since=start, until=end)
        return report_of(entries, by, project=self._project, kind=kind, timezone=timezone, progress=progress)

    def explain(
        self,
        /,
        user: str | int,
        *,
        model: str | None = None,
        messages: Any = None,
        max_tokens: int | None = None,
        kind: str = "user",
        **call: Any,
    ) -> Explanation:
        """Why a call would be refused now, and when that ends; nothing is sent or held.

        Args:
            model, messages, max_tokens, call: of the call, as far as they are known. Without a model the
                question is whether anything is left at all.

        Raises:
            UnknownUserError: there is no such budget, and no default terms.
            ConfigurationError: the arguments cannot be a call's.
        """
        lifeline.catch_up()
        family = self._family_or_default(user, kind)
        holds = list(self.store.holds(family[0].key.main))
        given = {"messages": messages, "max_tokens": max_tokens, **call}
        return explanation(self.books, family, holds, model, given)

    def import_user_cost(
        self, path: str | PathLike[str], *, progress: Callable[[int, int], object] | None = None
    ) -> ImportReport:
        """Take over the users of LiteLLM's ``user_cost.json``, with what they have spent.

        Their windows repeat from ``last_updated_at``, 28 days being a month and 365 a year, and what they
        spent counts in the window of that time: one that is over leaves them with nothing spent now. The same
        file again posts nothing; one that has grown since, the difference. A user who is here already keeps
        the terms that hold here. What cannot be taken is in the report's ``problems``: a user without a
        usable budget or duration, a cost that is no amount. After an interruption, import it again.

        Args:
            progress: called now and then with the number of users done, and of all.

        Raises:
            ConfigurationError: the file cannot be read, is damaged or is something else; nothing was changed.
            StoreUnavailableError: the store went away; what is missing comes with the next import.
        """
        return import_users(self.books, path, progress)

    def export_user_cost(self, path: str | PathLike[str] | None = None) -> dict[str, dict[str, Any]]:
        """All users as LiteLLM's ``user_cost.json`` has them; written to ``path``, whole or not at all.

        Main budgets of users only. Months become 28 days, as LiteLLM has them; a limit that only counts is
        infinity; top-ups are in it where they last for good.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        users = {account.key.name: self._record(lasting(account)) for account in self._users()}
        if path is not None:
            write_users(path, users)
        return users

    def budget(self, user: str | int | None = None, **terms: Any) -> budget_around:
        """`allowance.budget`, in this manager's store and project."""
        return budget_around(user, books=self.books, **terms)

    def budgeted(self, user: User = None, **terms: Any) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """`allowance.budgeted`, in this manager's store and project."""
        return budgeted_function(user, books=self.books, **terms)

    ahistory = twin(history)
    areport = twin(report)
    aexplain = twin(explain)
    aimport_user_cost = twin(import_user_cost)
    aexport_user_cost = twin(export_user_cost)

    def _family_or_default(self, user: str | int, kind: str) -> list[Account]:
        """The budgets that a call would count on: the main one, which it would make, and the others."""
        key, default = self._key(user, kind), self.books.default_terms
        family = self.store.family(key)
        if family and not family[0].key.label:
            return family
        if not family and default is None:
            return self._family(user, kind)  # raises, naming the projects that know the user
        made = open_account(Scope(key, default=default or Terms(limit=None)), system_clock())
        return family if made is None else [made, *family]
