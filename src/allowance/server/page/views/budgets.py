"""``/budgets``: all budgets, searched and in pages; a form for a new one; and the same as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from allowance.ledger.names import account_key
from allowance.server.page.changes import Fields, give_terms
from allowance.server.page.exports import budgets_as_csv, budgets_as_json
from allowance.server.page.listing import account_of, list_budgets, packed

if TYPE_CHECKING:
    from starlette.responses import Response

    from allowance.ledger.records import AccountKey
    from allowance.server.page.site import Site, Visit

__all__ = ["budgets", "export", "make_budget", "new_budget"]


def budgets(site: Site, visit: Visit) -> Response:
    """One page of them."""
    asked = visit.asked
    project, search = asked.get("project", ""), asked.get("q", "").strip()[:200]
    after = account_of(asked.get("after", ""))
    listing = list_budgets(site.store, visit, project=project, search=search, after=after)
    following = None
    if listing.after is not None:
        following = urlencode({"project": project, "q": search, "after": packed(listing.after)})
    standings = site.standings.view(visit.sees)
    return site.page(
        visit,
        "budgets.html",
        project=project,
        search=search,
        listing=listing,
        first=after is None,
        following=following,
        projects=standings.projects,
        total=standings,
        export=urlencode({"project": project, "q": search}),
    )


def export(site: Site, visit: Visit) -> Response:
    """All that the search finds, as a file."""
    whose = (visit, visit.asked.get("project", ""), visit.asked.get("q", "")[:200])
    as_json = visit.request.scope["path"].endswith(".json")
    return (budgets_as_json if as_json else budgets_as_csv)(site.store, *whose)


def new_budget(site: Site, visit: Visit) -> Response:
    """The form."""
    standings = site.standings.view(visit.sees)
    projects = sorted({*standings.projects, *(visit.projects or ())} - {site.hidden})
    return site.page(visit, "new_budget.html", projects=projects)


def make_budget(site: Site, visit: Visit) -> Response:
    """What it sends: a budget of that name, or new terms where there is one."""
    fields = Fields(visit.form)
    key = account_key(
        fields.text("project") or "default",
        fields.text("kind") or "user",
        fields.text("name"),
        fields.text("label"),
    )
    give_terms(site, visit, key, new=True)
    return site.back(f"{path_of(key)}?done=made")


def path_of(key: AccountKey) -> str:
    """The page of the user whose budget this is."""
    return f"/budgets/{packed(key.main)}"
