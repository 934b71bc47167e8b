"""``/login``, ``/logout``: a key opens a session."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from allowance.server.key import Scope
from allowance.server.page.gate import cookie_name, over_tls, set_cookie

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from allowance.server.page.site import Site, Visit

__all__ = ["log_in", "log_out", "show_login"]

_BEFORE: Final = "allowance_login"
_HERE: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,8000}", re.ASCII)
_AGAIN: Final = "This form is out of date. Send it again."


def show_login(site: Site, request: Request, _: Mapping[str, str]) -> Response:
    """The form."""
    return _form(site, request, onward(request.query_params.get("next", "")))


def log_in(site: Site, request: Request, form: Mapping[str, str]) -> Response:
    """What it sends: a key."""
    path = onward(form.get("next", ""))
    nonce = request.cookies.get(_BEFORE, "")
    if not nonce or not site.sessions.is_form_token(nonce, form.get("csrf", "")):
        return _form(site, request, path, trouble=_AGAIN, status=403)
    address = request.client.host if request.client else ""
    if wait := site.attempts.wait(address):
        trouble = f"Too many keys that were not good came from here. Wait {wait} s."
        answer = _form(site, request, path, trouble=trouble, status=429)
        answer.headers["retry-after"] = str(wait)
        return answer
    key = site.keys.check(form.get("key", "").strip())
    if key is None or not key.may(Scope.READ):
        site.attempts.failed(address)
        trouble = "This key is not good here: it is not known, has expired, or was revoked."
        return _form(site, request, path, trouble=trouble, status=401)
    answer = site.back(path)
    set_cookie(site, request, answer, site.sessions.begin(key.key_id))
    answer.delete_cookie(_BEFORE, path="/login")
    return answer


def log_out(site: Site, visit: Visit) -> Response:
    """End the session, here and in the browser."""
    if visit.session is not None:
        site.sessions.end(visit.session)
    answer = site.back("/login?bye=1")
    secure = over_tls(site, visit.request)
    answer.delete_cookie(
        cookie_name(site, visit.request), path="/", secure=secure, httponly=True, samesite="strict"
    )
    return answer


def onward(path: str) -> str:
    """Where to go after the login: a page of ours, whatever was asked."""
    return path if _HERE.fullmatch(path) else "/"


def _form(site: Site, request: Request, path: str, *, trouble: str = "", status: int = 200) -> Response:
    nonce = secrets.token_hex(16)
    answer = site.page(
        None,
        "login.html",
        status=status,
        trouble=trouble,
        path=path,
        token=site.sessions.form_token(nonce),
        bye="bye" in request.query_params,
    )
    answer.set_cookie(
        _BEFORE,
        nonce,
        max_age=3600,
        path="/login",
        secure=over_tls(site, request),
        httponly=True,
        samesite="strict",
    )
    return answer
