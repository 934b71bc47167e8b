"""What a manager is bound to: a project, a store, and the books that its calls are charged with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from allowance.calls import lifeline
from allowance.calls.terms import user_name
from allowance.errors import ConfigurationError
from allowance.ledger.names import account_key
from allowance.ledger.records import Declaration
from allowance.manager.configuring import configured, make_books, open_now_or_later, shared_store
from allowance.manager.hosted import hosted_store, leave, named_server
from allowance.manager.twins import twin
from allowance.stores.open import is_hosted

if TYPE_CHECKING:
    from types import TracebackType

    from allowance.calls.books import Books
    from allowance.ledger.records import Account, AccountKey
    from allowance.stores.base import Store

__all__ = ["Bound"]


class Bound:
    """Opens and closes what `BudgetManager` works on, and finds accounts in it."""

    project_name: str
    client_type: str
    api_base: str | None
    headers: dict[str, str] | None
    store: Store
    books: Books

    def __init__(
        self,
        project_name: str,
        client_type: str = "local",
        api_base: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        store: str | Store | None = None,
        **settings: Any,
    ) -> None:
        _check_client(client_type, store, api_base, headers, settings)
        self.project_name = project_name
        self.client_type = client_type
        self.api_base = api_base
        self.headers = headers
        self._named = store
        self._settings = settings
        known = configured(caller="BudgetManager", **{**settings, "project": project_name})
        named = store
        if client_type == "memory":
            named = "memory://"
        elif client_type == "hosted":
            named = named_server(api_base, known.store)
        self._owned = isinstance(named, str)
        opened: list[Store] = []
        self.books = make_books(known, lambda: opened[0])  # whatever is wrong with a setting is said first
        if named is None:
            opened.append(shared_store(known))
        elif isinstance(named, str) and is_hosted(named):
            opened.append(hosted_store(named, known, headers, given_key=settings.get("api_key")))
        else:
            opened.append(open_now_or_later(named, known))
        self.store = self.books.store

    def close(self) -> None:
        """Write what still waits, and let go of a store that this manager opened by its URL.

        The default store and a store object that was given stay open: others may use them. So does a hosted
        store that another manager of this process has, until that is closed too. What a server has not taken
        by now stays in the journal on disk, for whoever uses that server next.
        """
        lifeline.drain()
        if self._owned:
            self._owned = False
            leave(self.store)

    aclose = twin(close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __copy__(self) -> Self:
        return self  # the budgets are in the store: a copy would be the same manager

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.client_type == "memory" or not (self._named is None or isinstance(self._named, str)):
            raise ConfigurationError(
                f"This manager cannot be pickled: its store, {self.store.url}, belongs to this process. Name "
                "a store by its URL, such as store='sqlite:///allowance.db', which processes share."
            )
        if self.headers or "api_key" in self._settings or _has_password(self._named):
            raise ConfigurationError(
                "This manager cannot be pickled: its key would be in the pickle, for all to read. Leave it "
                "out of the code and set ALLOWANCE_API_KEY (for a database PGPASSWORD, or ~/.pgpass), where "
                "other processes find it as this one does."
            )
        given = (self.project_name, self.client_type, self.api_base, self.headers)
        return _remade, (type(self), given, self._named, self._settings)

    def __repr__(self) -> str:
        return f"<BudgetManager of project {self.project_name!r} in {self.store.url}>"

    def _key(self, user: str | int, kind: str = "user", label: str = "") -> AccountKey:
        return account_key(self.project_name, kind, user_name(user), label)

    @property
    def _project(self) -> str:
        return account_key(self.project_name, "user", "any").project  # as keys have it: normalized

    def _account(self, user: str | int, kind: str = "user", label: str = "") -> Account:
        """One budget as it stands now.

        Raises:
            UnknownUserError: there is none; it names other projects of the store that know this user.
        """
        lifeline.catch_up()
        key = self._key(user, kind, label)
        return self.store.account(key) or self.store.define(
            key, Declaration()
        )  # which raises, for a stranger

    def _family(self, user: str | int, kind: str = "user") -> list[Account]:
        """All budgets of a user, the main one first.

        Raises:
            UnknownUserError: there is none.
        """
        lifeline.catch_up()
        key = self._key(user, kind)
        return self.store.family(key) or [self.store.define(key, Declaration())]


def _check_client(
    client_type: str, store: object, api_base: object, headers: object, settings: dict[str, Any]
) -> None:
    if client_type == "hosted" and store is not None:
        raise ConfigurationError(
            "client_type='hosted' takes its server from api_base=..., or from ALLOWANCE_STORE: leave store= "
            "out, or client_type."
        )
    if client_type != "hosted" and (api_base or headers) and not is_hosted(store):
        raise ConfigurationError(
            f"api_base and headers are for client_type='hosted', and this manager is {client_type!r:.60}: "
            "its budgets would not be on that server."
        )
    if client_type not in ("local", "memory", "hosted"):
        raise ConfigurationError(
            f"client_type must be 'local' (the default file), 'memory' or 'hosted', not {client_type!r:.60}. "
            "Any other store goes by its URL: store='sqlite:///budgets.db'."
        )
    if client_type == "memory" and store is not None:
        raise ConfigurationError("client_type='memory' is a store already: leave store= out, or client_type.")
    if "project" in settings:
        raise ConfigurationError(
            "A manager's project is its first argument, project_name: leave project= out."
        )


def _has_password(named: object) -> bool:
    try:
        return isinstance(named, str) and urlsplit(named).password is not None
    except ValueError:
        return False


def _remade(cls: type[Bound], given: tuple[Any, ...], store: str | None, settings: dict[str, Any]) -> Bound:
    return cls(*given, store=store, **settings)
