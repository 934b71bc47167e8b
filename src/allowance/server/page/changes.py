"""What an operator may do on the page. Each change is made by the store, and told to the audit log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from allowance.errors import ConfigurationError, UnknownUserError
from allowance.ledger.records import Declaration
from allowance.ledger.windows import FOREVER
from allowance.money import to_nanos
from allowance.server.audited import audited
from allowance.server.key import KEY_PROJECT
from allowance.server.names import check_name
from allowance.server.views import hold_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.ledger.records import AccountKey, Hold
    from allowance.server.page.site import Site, Visit

__all__ = ["Fields", "give_terms", "release", "remove", "reset", "top_up"]

_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,12}(\.\d{0,30})?|\.\d{1,30}", re.ASCII)
_ONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Fields:
    """A form's fields, as people type them."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = form

    def text(self, name: str) -> str:
        """The text without blanks around it; "" where there is none."""
        return self._form.get(name, "").strip()

    def amount(self, name: str, what: str) -> int:
        """Nano-dollars of an amount such as ``5``, ``$0.25`` or ``1,000``.

        Raises:
            ConfigurationError: it is none.
        """
        typed = self.text(name)
        plain = typed.removeprefix("$").strip()
        if _THOUSANDS.fullmatch(plain):
            plain = plain.replace(",", "")
        if not _NUMBER.fullmatch(plain):
            raise ConfigurationError(f"{what} must be US dollars, such as 5 or 0.25, not {typed[:40]!r}.")
        return to_nanos(plain, what=what)

    def limit(self) -> int | None:
        """A limit: an amount, or nothing (or ``none``) for a budget that only counts."""
        return None if self.text("limit").lower() in ("", "none") else self.amount("limit", "The limit")

    @property
    def once(self) -> str | None:
        """What makes a form that is sent twice count once."""
        word = self._form.get("once", "")
        return f"page-{word}" if _ONCE.fullmatch(word) else None


def give_terms(site: Site, visit: Visit, key: AccountKey, *, new: bool = False) -> None:
    """Set a budget's limit and duration; with ``new`` make it where there is none.

    Raises:
        UnknownUserError: there is no such budget, or its project is not the key's.
        ConfigurationError: terms that cannot be kept.
    """
    fields = Fields(visit.form)
    if new:
        check_name(key)
        if site.is_hidden(key):
            raise ConfigurationError(f"The project {key.project!r} is for keys, which are made at /keys.")
    elif site.store.account(key) is None:
        raise UnknownUserError(user=key.name, kind=key.kind, project=key.project, label=key.label)
    terms = Declaration(
        limit=fields.limit(),
        duration=fields.text("duration") or FOREVER,
        align="calendar" if fields.text("align") == "calendar" else None,
        creates=True,
    )
    _do(site, visit, "define", key, lambda: site.store.define(key, terms))


def top_up(site: Site, visit: Visit, key: AccountKey) -> None:
    """Let the user spend so much more, to the end of the window."""
    fields = Fields(visit.form)
    amount = fields.amount("amount", "The amount")
    reason = fields.text("reason") or "topped up by hand"
    _do(
        site,
        visit,
        "extend",
        key,
        lambda: site.store.extend(key, amount, reason=reason, adjustment_id=fields.once),
    )


def reset(site: Site, visit: Visit, key: AccountKey) -> None:
    """Bring what was spent in this window to zero."""
    fields = Fields(visit.form)
    reason = fields.text("reason") or "reset by hand"
    _do(
        site,
        visit,
        "reset",
        key,
        lambda: site.store.adjust(key, None, reason=reason, adjustment_id=fields.once),
    )


def remove(site: Site, visit: Visit, key: AccountKey) -> None:
    """Take a budget away; with the main one all of the user's."""
    if visit.form.get("sure") != "yes":
        raise ConfigurationError("Nothing was removed: tick the box that says so first.")
    _do(site, visit, "remove", key, lambda: site.store.remove(key))


def release(site: Site, visit: Visit, hold_id: str) -> None:
    """Let a hold go, whose call was not made or cost nothing.

    Raises:
        ConfigurationError: there is no such hold, or it lies on budgets that the key does not see.
    """
    hold = hold_for(visit.key, site.store.hold(hold_id))
    if hold is None:
        raise ConfigurationError(
            f"No hold has the id {hold_id[:80]!r}. It may be settled and forgotten by now: reload the page."
        )
    after = site.store.release(hold_id, reason="released by hand")
    site.standings.changed()
    site.state.audit(
        visit.key.key_id,
        "hold.release",
        hold_id,
        _shown(hold),
        None if after is None else _shown(after),
        project=_project_of(hold),
    )


def _do(site: Site, visit: Visit, action: str, key: AccountKey, work: Callable[[], object]) -> None:
    if not visit.sees(key.project):
        # As if it did not exist: nobody learns what other projects there are.
        raise UnknownUserError(user=key.name, kind=key.kind, project=key.project, label=key.label)
    audited(site.state, visit.key, action, key, site.store, work)
    site.standings.changed()


def _shown(hold: Hold) -> dict[str, Any]:
    return {"state": str(hold.state), "amount": hold.amount, "charged": hold.charged}


def _project_of(hold: Hold) -> str:
    """The project that the call was made in, not that of its key's own budget."""
    projects = [key.project for key, _ in hold.windows]
    return next((project for project in projects if project != KEY_PROJECT), KEY_PROJECT)
