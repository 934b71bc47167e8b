"""``/``: all budgets in a few figures and two pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.server.page.charts import day_bars, model_bars
from allowance.server.page.views.lists import refusals_for

if TYPE_CHECKING:
    from starlette.responses import Response

    from allowance.server.page.site import Site, Visit

__all__ = ["overview"]

_REFUSALS: Final = 8


def overview(site: Site, visit: Visit) -> Response:
    """What an operator looks at first."""
    project = visit.asked.get("project", "")
    standings = site.standings.view(visit.sees, project)
    spend = site.spend.view(visit.sees, project)
    projects = visit.projects if not project else frozenset({project} if visit.sees(project) else ())
    return site.page(
        visit,
        "overview.html",
        project=project,
        standings=standings,
        spend=spend,
        days=day_bars(spend.days),
        models=model_bars(spend.models),
        refusals=refusals_for(site, visit, projects, _REFUSALS),
    )
