"""``/budgets/...``: all about one user, and what an operator may do there."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from allowance.errors import BudgetError, ConfigurationError, StoreError, UnknownUserError
from allowance.server.page import changes
from allowance.server.page.history import lines_of, windows_of
from allowance.server.page.listing import account_of, list_holds, packed
from allowance.stores.memory import system_clock

if TYPE_CHECKING:
    from starlette.responses import Response

    from allowance.ledger.records import AccountKey
    from allowance.server.page.site import Site, Visit

__all__ = ["change_user", "release_hold", "user"]

_MODELS: Final = 20
_REFUSALS: Final = 20
_REFUSALS_READ: Final = 1_000

_DEEDS: Final = {
    "terms": changes.give_terms,
    "topup": changes.top_up,
    "reset": changes.reset,
    "remove": changes.remove,
}
_DONE: Final = {
    "made": "The budget is there.",
    "terms": "The new terms are in force.",
    "topup": "Topped up.",
    "reset": "Reset: nothing is spent in this window.",
    "release": "The hold was released.",
}


def user(site: Site, visit: Visit) -> Response:
    """The page."""
    return _user(site, visit, _key_of(visit))


def change_user(site: Site, visit: Visit) -> Response:
    """One of its forms. What cannot be done is said on the page, with what was typed still in the form."""
    main = _key_of(visit)
    key = main._replace(label=visit.form.get("label", ""))
    deed = visit.form.get("deed", "")
    try:
        if deed not in _DEEDS:
            raise ConfigurationError("This form is not known here. Reload the page.")
        _DEEDS[deed](site, visit, key)
    except (StoreError, UnknownUserError):
        raise
    except BudgetError as error:
        return _user(site, visit, main, trouble=str(error), status=422)
    if deed == "remove" and not key.label:
        return site.back(f"/budgets?removed=1&project={quote(key.project, safe='')}")
    return site.back(f"/budgets/{packed(main)}?done={deed if deed in _DONE else 'terms'}")


def release_hold(site: Site, visit: Visit) -> Response:
    """Let a hold go, from whichever page."""
    changes.release(site, visit, visit.form.get("hold", ""))
    word = visit.form.get("user", "")
    known = account_of(word)
    return site.back(f"/budgets/{packed(known)}?done=release" if known else "/holds?done=release")


def _key_of(visit: Visit) -> AccountKey:
    key = account_of(visit.request.path_params["user"])
    if key is None or not visit.sees(key.project):
        # A foreign user and one that does not exist are answered alike.
        raise UnknownUserError(
            user="?" if key is None else key.name[:200], project="?" if key is None else key.project[:200]
        )
    return key.main


def _user(site: Site, visit: Visit, key: AccountKey, *, trouble: str = "", status: int = 200) -> Response:
    family = site.store.family(key)
    if not family:
        raise UnknownUserError(user=key.name, kind=key.kind, project=key.project)
    now = system_clock()
    holds, open_holds = list_holds(site.store, visit.sees, key)
    refusals = site.state.refusals({key.project}, limit=_REFUSALS_READ)
    mine = [one for one in refusals if (one.kind, one.name) == (key.kind, key.name)]
    return site.page(
        visit,
        "user.html",
        status=status,
        user=key,
        family=family,
        windows={account.key.label: windows_of(site.store, account) for account in family},
        lines={account.key.label: lines_of(site.store, account, now) for account in family[:1]},
        costs={account.key.label: _costs(site, account.key) for account in family},
        holds=holds,
        open_holds=open_holds,
        refusals=mine[:_REFUSALS],
        done=_DONE.get(visit.asked.get("done", ""), ""),
        trouble=trouble,
        typed=visit.form if trouble else {},
        once=secrets.token_hex(16),
    )


def _costs(site: Site, key: AccountKey) -> list[tuple[str, int]]:
    costs = site.store.model_costs(key)
    return sorted(((model or "", cost) for model, cost in costs.items() if cost), key=lambda one: -one[1])[
        :20
    ]
