"""``/holds``, ``/refusals``, ``/audit``: what is open, what was refused, and who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.server.page.listing import list_holds

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response

    from allowance.server.page.site import Site, Visit
    from allowance.server.state import Refusal

__all__ = ["audit", "holds", "refusals", "refusals_for"]

_MOST: Final = 200
_LINES: Final = 100


def holds(site: Site, visit: Visit) -> Response:
    """Open and expired holds, the oldest first."""
    found, count = list_holds(site.store, visit.sees, most=_MOST)
    return site.page(visit, "holds.html", holds=found, count=count, done=visit.asked.get("done", ""))


def refusals(site: Site, visit: Visit) -> Response:
    """The latest, and why."""
    return site.page(visit, "refusals.html", refusals=refusals_for(site, visit, visit.projects, _MOST))


def refusals_for(site: Site, visit: Visit, projects: Collection[str] | None, most: int) -> list[Refusal]:
    """The latest refusals by budgets of these projects (None: of all) that a reader sees."""
    return [one for one in site.state.refusals(projects, limit=most) if visit.sees(one.project)]


def audit(site: Site, visit: Visit) -> Response:
    """The newest lines of the audit log, in pages."""
    word = visit.asked.get("before", "")
    before = int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None
    lines = site.state.audit_lines(visit.projects, before=before, limit=_LINES)
    following = lines[-1].seq if len(lines) == _LINES else None
    names = {key.key_id: key.name for key in site.keys.listed()}
    return site.page(visit, "audit.html", lines=lines, names=names, following=following, first=before is None)
