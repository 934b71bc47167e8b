"""``/keys``: listed, made, given a new token, revoked. A token is shown once, in the answer to its making."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import BudgetError, ConfigurationError, StoreError
from allowance.server.page.changes import Fields
from allowance.stores.memory import system_clock

if TYPE_CHECKING:
    from starlette.responses import Response

    from allowance.server.page.site import Site, Visit

__all__ = ["change_keys", "keys"]

_DAY: Final = 86_400_000_000


def keys(site: Site, visit: Visit) -> Response:
    """The list, and the form for a new one."""
    return _keys(site, visit) if visit.projects is None else _not_here(site, visit)


def change_keys(site: Site, visit: Visit) -> Response:
    """One of its forms."""
    if visit.projects is not None:
        return _not_here(site, visit)
    deeds = {"mint": _mint, "rotate": _rotate, "revoke": _revoke}
    try:
        deed = deeds.get(visit.form.get("deed", ""))
        if deed is None:
            raise ConfigurationError("This form is not known here. Reload the page.")
        token = deed(site, visit)
    except StoreError:
        raise
    except BudgetError as error:
        return _keys(site, visit, trouble=str(error), status=422)
    if token is None:
        return site.back("/keys?done=revoked")
    return _keys(site, visit, token=token)


def _not_here(site: Site, visit: Visit) -> Response:
    """Only one who sees all projects may hand out keys: any other could give itself more than it has."""
    detail = (
        f"The key {visit.key.name!r} is bound to projects, and keys are the whole server's. Log in with an "
        "admin key that sees all projects, or use the command line on the server itself: allowance keys"
    )
    return site.problem(visit, 403, "This key may not do that", detail)


def _keys(site: Site, visit: Visit, *, token: str = "", trouble: str = "", status: int = 200) -> Response:
    now = system_clock()
    everyone = site.keys.listed()
    live = [one for one in everyone if not one.revoked and (one.expires_at is None or one.expires_at > now)]
    return site.page(
        visit,
        "keys.html",
        status=status,
        live=live,
        over=len(everyone) - len(live),
        token=token,
        trouble=trouble,
        typed=visit.form if trouble else {},
        done=visit.asked.get("done", ""),
    )


def _mint(site: Site, visit: Visit) -> str:
    fields = Fields(visit.form)
    projects = [word.strip() for word in fields.text("projects").split(",") if word.strip()]
    _, token = site.keys.mint(
        fields.text("name"),
        [fields.text("scope")],
        projects or None,
        expires_at=_ends(fields),
        fixed_terms=fields.text("fixed_terms") == "yes",
        limit=fields.amount("limit", "The limit") if fields.text("limit") else None,
        duration=fields.text("duration") or None,
        actor=visit.key.key_id,
    )
    return token


def _ends(fields: Fields) -> int | None:
    word = fields.text("days")
    if not word:
        return None
    if not (word.isascii() and word.isdigit()) or not 1 <= int(word[:6]) <= 3650:
        raise ConfigurationError(f"A key lasts 1 to 3,650 days, not {word[:40]!r}; leave it empty for good.")
    return system_clock() + int(word) * _DAY


def _rotate(site: Site, visit: Visit) -> str:
    _, token = site.keys.rotate(visit.form.get("name", ""), overlap_seconds=3600, actor=visit.key.key_id)
    return token


def _revoke(site: Site, visit: Visit) -> None:
    site.keys.revoke(visit.form.get("id", ""), actor=visit.key.key_id)
