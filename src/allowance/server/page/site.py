"""What every view of the page works with, and how a page becomes an answer."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from allowance.server.key import KEY_PROJECT, Scope
from allowance.server.page import spend, words
from allowance.server.page.attempts import Attempts
from allowance.server.page.facts import audit_facts
from allowance.server.page.listing import packed, users_of
from allowance.server.page.sessions import Sessions
from allowance.server.page.spend import Spend
from allowance.server.page.standings import Standings
from allowance.server.views import sees_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from allowance.ledger.records import AccountKey
    from allowance.server.key import Key
    from allowance.server.keys import Keys
    from allowance.server.page.sessions import Session
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["HEADERS", "STATIC", "Site", "Visit", "static_name"]

HERE: Final = Path(__file__).parent
STATIC: Final = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""What every answer of the page bears. No script is sent at all; the policy holds if one is put in."""


class Visit(NamedTuple):
    """A request of somebody who is logged in. ``form`` is what was posted, ``asked`` what the URL asks."""

    request: Request
    key: Key
    session: Session | None
    form: Mapping[str, str]
    asked: Mapping[str, str]

    @property
    def projects(self) -> frozenset[str] | None:
        """The projects that the key is bound to; None: all."""
        return self.key.projects

    @property
    def sees_keys(self) -> bool:
        """Whether the keys' own budgets are there for the key, as in `/v1`."""
        return sees_all(self.key)

    def sees(self, project: str) -> bool:
        """Whether budgets of this project are there for the key."""
        return self.key.sees(project) and (project != KEY_PROJECT or self.sees_keys)

    @property
    def admin(self) -> bool:
        """Whether the key may change limits."""
        return self.key.may(Scope.ADMIN)


@dataclass
class Site:
    """The page of one server."""

    store: Store
    keys: Keys
    state: State
    settings: ServerSettings
    hidden: str = KEY_PROJECT
    sessions: Sessions = field(init=False)
    attempts: Attempts = field(init=False, default_factory=Attempts)
    spend: Spend = field(init=False)
    standings: Standings = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.state.database)
        self.spend = Spend(self.store, hidden=self.hidden)
        self.standings = Standings(self.store)
        self._templates = _templates()

    def page(self, visit: Visit | None, template: str, *, status: int = 200, **values: Any) -> Response:
        """A template, filled: everything in it is escaped."""
        began = time.time_ns() // 1_000
        csrf = ""
        if visit is not None and visit.session is not None:
            csrf = self.sessions.form_token(visit.session.word)
        text = self._templates.get_template(template).render(
            visit=visit, csrf=csrf, now=began, query=visit.asked if visit else {}, **values
        )
        return HTMLResponse(text, status)

    def is_hidden(self, key: AccountKey) -> bool:
        """Whether an account is a key's own budget, which lies beside those of its projects."""
        return key.project == self.hidden

    def problem(self, visit: Visit | None, status: int, title: str, detail: str) -> Response:
        """An error as a page."""
        return self.page(visit, "problem.html", status=status, title=title, detail=detail)

    def back(self, path: str) -> Response:
        """To another page, after a change or a login; going back there sends nothing twice."""
        return RedirectResponse(path, 303)


@cache
def static_name(name: str) -> str:
    """The URL's last part of a static file: it changes with the content, so that it can be kept for good."""
    stem, _, ending = name.rpartition(".")
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:16]
    return f"{stem}.{digest}.{ending}"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "about": words.about,
        "exact": words.exact,
        "iso": words.iso,
        "moment": words.moment,
        "long": words.long_from,
        "clean": words.clean,
        "title_of": words.title_of,
        "bar": words.bar_of,
        "packed": packed,
        "day": spend.day_name,
        "changes": audit_facts,
        "users": users_of,
    }
    environment.globals["static"] = static_name
    return environment
