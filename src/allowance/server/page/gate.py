"""The only way to the page's routes: who asks, with which right, and whether the form is one of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from allowance.errors import (
    BudgetError,
    ConfigurationError,
    HoldConflictError,
    StoreUnavailableError,
    UnknownUserError,
)
from allowance.server.page.sessions import IDLE
from allowance.server.page.site import HEADERS, Site, Visit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from allowance.server.key import Key, Scope
    from allowance.server.page.sessions import Session

__all__ = ["cookie_name", "guarded", "open_to_all", "over_tls", "set_cookie"]

_LARGEST_FORM: Final = 64 * 1024
_MOST_FIELDS: Final = 50
_LOG: Final = logging.getLogger("allowance.server.page")

_STATUSES: Final = (
    (UnknownUserError, 404, "No such budget"),
    (HoldConflictError, 409, "Not twice"),
    (ConfigurationError, 422, "That cannot be"),
    (StoreUnavailableError, 503, "The store does not answer"),
)


def guarded(
    site: Site, view: Callable[[Site, Visit], Response], scope: Scope
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that calls the view for those who may: with a session, or (to read) with a key's token."""

    async def endpoint(request: Request) -> Response:
        posted = request.method not in ("GET", "HEAD")
        form = await _read_form(request) if posted else {}
        if form is None:
            return _sealed(site.problem(None, 413, "Too large", "The form is larger than 64 KiB."))
        return await run_in_threadpool(_answer, site, view, scope, request, form, posted)

    return endpoint


def open_to_all(
    site: Site, view: Callable[[Site, Request, Mapping[str, str]], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that anybody may ask: the login, and static files."""

    async def endpoint(request: Request) -> Response:
        form = await _read_form(request) if request.method == "POST" else {}
        if form is None:
            return _sealed(site.problem(None, 413, "Too large", "The form is larger than 64 KiB."))
        return _sealed(await run_in_threadpool(_caught, site, None, lambda: view(site, request, form)))

    return endpoint


async def _read_form(request: Request) -> dict[str, str] | None:
    """The fields of a form, as a browser posts it; of those given twice the last. None: it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            return None
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        return {}
    return dict(fields)


def cookie_name(site: Site, request: Request) -> str:
    """The session's cookie. Over TLS no other host of the domain can set it, which its name says."""
    return "__Host-allowance" if over_tls(site, request) else "allowance"


def set_cookie(site: Site, request: Request, answer: Response, session: Session) -> None:
    """Let the browser keep the session."""
    answer.set_cookie(
        cookie_name(site, request),
        session.word,
        max_age=IDLE,
        path="/",
        secure=over_tls(site, request),
        httponly=True,
        samesite="strict",
    )


def over_tls(site: Site, request: Request) -> bool:
    """Whether the browser came by https, be it to a proxy before us."""
    return site.settings.over_tls or request.scope["scheme"] == "https"


def _answer(
    site: Site,
    view: Callable[[Site, Visit], Response],
    scope: Scope,
    request: Request,
    form: Mapping[str, str],
    posted: bool,
) -> Response:
    try:
        session = site.sessions.load(request.cookies.get(cookie_name(site, request), ""))
        key = _key_of(site, request, session, posted)
    except BudgetError as error:
        return _sealed(_told(site, None, error))
    if key is None:
        return _sealed(_ask_for_key(request, posted))
    visit = Visit(request, key, session, form, dict(request.query_params))
    if posted and not _is_ours(site, request, session, form):
        answer = site.problem(
            visit,
            403,
            "This form is out of date",
            "It was not sent from this page, or you logged in anew since it was shown. Nothing was changed. "
            "Go back, reload and send it again.",
        )
    elif not key.may(scope):
        answer = site.problem(
            visit,
            403,
            "This key may not do that",
            f"It needs the scope {scope}. Log in with another key, or have one made: allowance keys add "
            f"NAME --scope {scope}",
        )
    else:
        answer = _caught(site, visit, lambda: view(site, visit))
        if session is not None and request.scope["path"] != "/logout":
            _renew(site, request, answer, session)
    return _sealed(answer)


def _renew(site: Site, request: Request, answer: Response, session: Session) -> None:
    """Have one who is at work not be logged out."""
    try:
        if site.sessions.renew(session):
            set_cookie(site, request, answer, session)
    except BudgetError:
        return  # the next request does it


def _key_of(site: Site, request: Request, session: Session | None, posted: bool) -> Key | None:
    """The key of the session, as it is now; or the one whose token a program sends, which reads only."""
    if session is not None:
        return site.keys.live(session.key_id)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if posted or scheme.lower() != "bearer" or not token:
        return None
    return site.keys.check(token.strip())


def _is_ours(site: Site, request: Request, session: Session | None, form: Mapping[str, str]) -> bool:
    if session is None or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    return site.sessions.is_form_token(session.word, form.get("csrf", ""))


def _ask_for_key(request: Request, posted: bool) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        detail = "Send a key: Authorization: Bearer alw_..., or log in at /login."
        problem = {"title": "unauthorized", "status": 401, "code": "unauthorized", "detail": detail}
        headers = {"www-authenticate": "Bearer"}
        return JSONResponse(problem, 401, headers, media_type="application/problem+json")
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    here = path + (f"?{query}" if query else "")
    onward = "" if posted or here == "/" else f"?next={quote(here, safe='')}"
    return RedirectResponse(f"/login{onward}", 303)


def _caught(site: Site, visit: Visit | None, view: Callable[[], Response]) -> Response:
    """The view's answer; our errors become pages with their words, all others one that tells nothing."""
    try:
        return view()
    except BudgetError as error:
        return _told(site, visit, error)
    except Exception:  # noqa: BLE001  # what was not foreseen must tell a browser nothing
        _LOG.exception("a page could not be made")
        return site.problem(visit, 500, "Something went wrong", "It is in the server's log.")


def _told(site: Site, visit: Visit | None, error: BudgetError) -> Response:
    status, title = next(
        ((status, title) for kind, status, title in _STATUSES if isinstance(error, kind)),
        (500, "Something is wrong with the store"),
    )
    answer = site.problem(visit, status, title, str(error))
    if status == 503:
        answer.headers["retry-after"] = "2"
    return answer


def _sealed(answer: Response) -> Response:
    for name, value in HEADERS.items():
        if name not in answer.headers:
            answer.headers[name] = value
    return answer
