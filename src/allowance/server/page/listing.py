"""Lists of budgets and holds: what a reader sees of them, in pages, with an end to the search."""

from __future__ import annotations

import base64
import json
from binascii import Error as BadBase64
from typing import TYPE_CHECKING, Final, NamedTuple

from allowance.ledger.records import AccountKey
from allowance.server.key import KEY_PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allowance.ledger.records import Account, Hold
    from allowance.server.page.site import Visit
    from allowance.stores.base import Store

__all__ = [
    "LOOKED_AT_MOST",
    "PAGE",
    "Listing",
    "account_of",
    "list_budgets",
    "list_holds",
    "packed",
    "seen",
    "users_of",
]

PAGE: Final = 50
LOOKED_AT_MOST: Final = 20_000
"""Budgets that one search looks at; where it ends, the reader can go on."""


class Listing(NamedTuple):
    """A page of budgets. ``after`` is where the next one begins; ``cut`` says the search broke off there."""

    accounts: list[Account]
    after: AccountKey | None
    cut: bool


def packed(key: AccountKey) -> str:
    """A key as one word for a URL: no slash, dot or percent sign of a name can mean anything there."""
    text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def account_of(word: str) -> AccountKey | None:
    """The key that a word stands for; None where it stands for none."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(word.encode("ascii") + b"=" * (-len(word) % 4)))
    except (ValueError, BadBase64, RecursionError):
        return None
    if not isinstance(parts, list) or len(parts) != 4 or not all(isinstance(part, str) for part in parts):
        return None
    return AccountKey(*parts)


def seen(
    store: Store,
    visit: Visit,
    project: str = "",
    *,
    after: AccountKey | None = None,
) -> Iterator[Account]:
    """The budgets that a reader sees, or those of one project, in order of their keys."""
    projects = visit.projects
    if project:
        if visit.sees(project):
            yield from store.accounts(project, after=after)
    elif projects is None:
        yield from (account for account in store.accounts(after=after) if visit.sees(account.key.project))
    else:
        for name in sorted(projects):
            if visit.sees(name) and (after is None or name >= after.project):
                yield from store.accounts(name, after=after if after and after.project == name else None)


def list_budgets(
    store: Store,
    visit: Visit,
    *,
    project: str = "",
    search: str = "",
    after: AccountKey | None = None,
) -> Listing:
    """A page of budgets, whose name, label or kind holds the words that are searched, in any case."""
    matches = matcher(search)
    found: list[Account] = []
    last = after
    for looked, account in enumerate(seen(store, visit, project, after=after)):
        if len(found) == PAGE:
            return Listing(found, last, cut=False)
        if looked == LOOKED_AT_MOST:
            return Listing(found, last, cut=True)
        if matches(account):
            found.append(account)
        last = account.key
    return Listing(found, None, cut=False)


def matcher(search: str) -> Callable[[Account], bool]:
    """Whether every word that is searched stands in a budget's name, label or kind."""
    words = search.casefold().split()
    if not words:
        return lambda _: True

    def matches(account: Account) -> bool:
        key = account.key
        text = f"{key.name}\n{key.label}\n{key.kind}".casefold()
        return all(word in text for word in words)

    return matches


def list_holds(
    store: Store, sees: Callable[[str], bool], key: AccountKey | None = None, *, most: int = 200
) -> tuple[list[Hold], int]:
    """Open and expired holds on budgets that a reader sees, the oldest first; and how many there are."""
    found = [hold for hold in store.holds(key) if any(sees(named.project) for named, _ in hold.windows)]
    return found[:most], len(found)


def users_of(hold: Hold) -> list[AccountKey]:
    """Whose budgets a hold lies on, each user once; a key's own budget is no user's."""
    return list(dict.fromkeys(key.main for key, _ in hold.windows if key.project != KEY_PROJECT))
