"""What a key sees: of projects that it is not bound to nothing, as if they did not exist."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from allowance.errors import UnknownUserError
from allowance.server.key import KEY_PROJECT, Scope
from allowance.server.problems import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from allowance.ledger.records import Account, AccountKey, Hold
    from allowance.server.key import Key

__all__ = ["accounts_for", "hold_for", "holds_for", "refuse_foreign", "seen_error", "sees", "sees_all"]


def sees_all(key: Key) -> bool:
    """Whether nothing is hidden from the key."""
    return key.projects is None and key.may(Scope.ADMIN)


def sees(key: Key, account: AccountKey) -> bool:
    """Whether this account exists for the key; of the keys' own budgets only its own does."""
    if account.project == KEY_PROJECT:
        return sees_all(key) or (account.kind, account.name) == ("key", key.name)
    return key.sees(account.project)


def accounts_for(key: Key, accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Those that the key sees."""
    return tuple([account for account in accounts if sees(key, account.key)])


def hold_for(key: Key, hold: Hold | None) -> Hold | None:
    """The hold as the key sees it; None where it lies on a budget that the key does not see.

    The own budget of another key, on which a call of that key lies too, is left out.
    """
    if hold is None or sees_all(key):
        return hold
    windows = tuple(window for window in hold.windows if sees(key, window[0]))
    hidden = [window for window in hold.windows if window not in windows]
    if not windows or any(window[0].project != KEY_PROJECT for window in hidden):
        return None
    return replace(hold, windows=windows)


def holds_for(key: Key, holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """Those that the key sees."""
    return tuple([seen for hold in holds if (seen := hold_for(key, hold)) is not None])


def refuse_foreign(key: Key, *accounts: AccountKey) -> None:
    """Refuse to act on what the key does not see (alike, whether it exists or not), and on keys' own budgets.

    Those are for an admin key that is bound to no projects: else a key could raise the budget over it.

    Raises:
        RefusedError: 403.
    """
    for account in accounts:
        if not sees(key, account) or (account.project == KEY_PROJECT and not sees_all(key)):
            bound = ", ".join(map(repr, sorted(key.projects or ())))[:500]
            may = f"it is bound to {bound}" if key.projects is not None else "only an admin key may"
            raise RefusedError(
                403,
                "forbidden",
                f"The key {key.name!r} ({key.key_id}) may do nothing in project "
                f"{account.project!r:.140}: {may}.",
            )


def seen_error(key: Key, error: UnknownUserError) -> UnknownUserError:
    """The error with no projects in it but those that the key sees."""
    projects = [name for name in error.projects if name != KEY_PROJECT and key.sees(name)]
    return UnknownUserError(
        user=error.user, kind=error.kind, project=error.project, label=error.label, projects=projects
    )
