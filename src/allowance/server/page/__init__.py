"""The page at ``/``: for people, where `/v1` is for programs. Made by the server; works without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from allowance.server.key import Scope
from allowance.server.page.gate import guarded, open_to_all
from allowance.server.page.site import HERE, STATIC, Site, static_name
from allowance.server.page.views.budgets import budgets, export, make_budget, new_budget
from allowance.server.page.views.keys import change_keys, keys
from allowance.server.page.views.lists import audit, holds, refusals
from allowance.server.page.views.login import log_in, log_out, show_login
from allowance.server.page.views.overview import overview
from allowance.server.page.views.user import change_user, release_hold, user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from allowance.server.keys import Keys
    from allowance.server.page.site import Visit
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["OPEN", "ROUTES", "Route", "page_router"]


class Route(NamedTuple):
    """A view that needs a key with this scope."""

    method: str
    path: str
    view: Callable[[Site, Visit], Response]
    scope: Scope


ROUTES: Final = (
    Route("GET", "/", overview, Scope.READ),
    Route("GET", "/budgets", budgets, Scope.READ),
    Route("GET", "/budgets/new", new_budget, Scope.ADMIN),
    Route("POST", "/budgets/new", make_budget, Scope.ADMIN),
    Route("GET", "/budgets/{user}", user, Scope.READ),
    Route("POST", "/budgets/{user}", change_user, Scope.ADMIN),
    Route("GET", "/export/budgets.csv", export, Scope.READ),
    Route("GET", "/export/budgets.json", export, Scope.READ),
    Route("GET", "/holds", holds, Scope.READ),
    Route("POST", "/holds/release", release_hold, Scope.ADMIN),
    Route("GET", "/refusals", refusals, Scope.READ),
    Route("GET", "/audit", audit, Scope.ADMIN),
    Route("GET", "/keys", keys, Scope.ADMIN),
    Route("POST", "/keys", change_keys, Scope.ADMIN),
    Route("POST", "/logout", log_out, Scope.READ),
)

OPEN: Final = (("GET", "/login", show_login), ("POST", "/login", log_in))
"""What needs no key, besides the files under ``/static``."""


def page_router(store: Store, keys: Keys, state: State, settings: ServerSettings) -> APIRouter:
    """The page's routes. Each asks for a session of its own, which a key opens."""
    site = Site(store, keys, state, settings)
    router = APIRouter()
    for route in ROUTES:
        router.add_route(
            route.path, guarded(site, route.view, route.scope), [route.method], include_in_schema=False
        )
    for method, path, view in OPEN:
        router.add_route(path, open_to_all(site, view), [method], include_in_schema=False)
    for name, media_type in STATIC.items():
        router.add_route(
            f"/static/{static_name(name)}",
            open_to_all(site, _file(name, media_type)),
            ["GET"],
            include_in_schema=False,
        )
    return router


def _file(name: str, media_type: str) -> Callable[[Site, Request, Mapping[str, str]], Response]:
    content = (HERE / "static" / name).read_bytes()
    forever = {"cache-control": "public, max-age=31536000, immutable"}

    def view(_: Site, __: Request, ___: Mapping[str, str]) -> Response:
        return Response(content, media_type=media_type, headers=forever)

    return view
