"""The accounts that a call counts on: each scope stands for all of its user's that apply (see `Ask`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from allowance.errors import UnknownUserError
from allowance.ledger.accounts import declare, open_account, turn
from allowance.ledger.models import applies
from allowance.ledger.records import Scope, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.ledger.records import Account, AccountKey
    from allowance.ledger.tables import Tables

__all__ = ["by_family", "gather", "keep_recounted", "known_account", "recounted", "unknown"]

Costs: TypeAlias = "dict[str | None, int]"

_ONLY_COUNTS: Final = Terms(None)


def gather(tables: Tables, scopes: Sequence[Scope], model: str | None, now: int) -> list[Account]:
    """The accounts that a call of this model counts on, each once, in their present window.

    They come by user, in the order of the scopes, the main one first and then by label. What was declared is
    applied and kept; accounts that are new are not kept yet.

    Raises:
        UnknownUserError: a scope's account does not exist and nobody gave terms.
    """
    if len(scopes) == 1:
        # One user with one budget, as most have: the way of a short call, so it is short.
        family = tables.family(scopes[0].key)
        if len(family) == 1 and family[0].key == scopes[0].key and not scopes[0].key.label:
            account, costs = _present(tables, family[0], scopes[0], now)
            if account is not family[0]:
                keep_recounted(tables, account, costs)
            return [account]
    return _gather(tables, scopes, model, now)


def _gather(tables: Tables, scopes: Sequence[Scope], model: str | None, now: int) -> list[Account]:
    accounts: list[Account] = []
    changed: list[tuple[Account, Costs | None]] = []
    for named in by_family(scopes):
        wanted = {scope.key: scope for scope in named}
        family = []
        for kept in tables.family(named[0].key):
            account, costs = _present(tables, kept, wanted.pop(kept.key, None), now)
            if account is not kept:
                changed.append((account, costs))
            family.append(account)
        if wanted or family[0].key.label:
            family = sorted([*family, *_new(tables, named, wanted, family, now)], key=_by_key)
        accounts += [account for account in family if applies(account.terms, model)]
    for account, costs in changed:
        keep_recounted(tables, account, costs)
    return accounts


def _present(tables: Tables, kept: Account, scope: Scope | None, now: int) -> tuple[Account, Costs | None]:
    """An account as it is now, by what a scope declares for it; see `recounted`."""
    account = turn(kept, now)
    declared = None if scope is None else scope.declared
    if declared is None or declared is account.declared:
        return account, None
    return recounted(tables, account, declare(account, declared, now))


def recounted(tables: Tables, before: Account, after: Account) -> tuple[Account, Costs | None]:
    """The account after its terms changed: a new window's figures are the sums of what lies in it (R9).

    Together with the costs by model to be kept with it; None where they stay.
    """
    start, end = after.window_start, after.window_end
    if after is before or (start, end) == (before.window_start, before.window_end):
        return after, None
    costs = tables.costs(after.key, start, end)
    return after._replace(spent=sum(costs.values()), held=tables.held(after.key, start, end)), costs


def keep_recounted(tables: Tables, account: Account, costs: Costs | None) -> None:
    """Keep an account that changed, and the costs by model that were counted anew, if they were."""
    tables.keep(account)
    if costs is not None:
        tables.keep_costs(account, costs)


def known_account(tables: Tables, key: AccountKey, now: int) -> Account:
    """An account that must exist, in its present window.

    Raises:
        UnknownUserError: it does not.
    """
    account = tables.account(key)
    if account is None:
        raise unknown(tables, key)
    turned = turn(account, now)
    if turned is not account:
        tables.keep(turned)
    return turned


def unknown(tables: Tables, key: AccountKey) -> UnknownUserError:
    """The error that says who is not known, and which other projects know such a one."""
    projects = [project for project in tables.projects(key.kind, key.name) if project != key.project]
    return UnknownUserError(
        user=key.name, kind=key.kind, project=key.project, label=key.label, projects=projects
    )


def _new(
    tables: Tables, named: Sequence[Scope], wanted: dict[AccountKey, Scope], family: list[Account], now: int
) -> list[Account]:
    """The accounts that a family lacks: the labelled ones that scopes declare, and the main one."""
    made = []
    main = wanted.pop(named[0].key.main, None)
    for scope in wanted.values():
        account = open_account(Scope(scope.key, scope.declared), now)
        if account is None:
            raise unknown(tables, scope.key)
        made.append(account)
    if family and not family[0].key.label:
        return made
    default = next((scope.default for scope in named if scope.default is not None), None)
    if default is None and (family or made):
        default = _ONLY_COUNTS
    account = open_account(Scope(named[0].key.main, None if main is None else main.declared, default), now)
    if account is None:
        raise unknown(tables, named[0].key)
    return [account, *made]


def by_family(scopes: Iterable[Scope]) -> Iterable[Sequence[Scope]]:
    """The scopes by user, each account once; of terms that were declared twice the later ones stand."""
    by_key: dict[AccountKey, Scope] = {}
    for scope in scopes:
        other = by_key.get(scope.key)
        by_key[scope.key] = scope if other is None else _merged(other, scope)
    families: dict[AccountKey, list[Scope]] = {}
    for scope in by_key.values():
        families.setdefault(scope.key.main, []).append(scope)
    return families.values()


def _merged(outer: Scope, inner: Scope) -> Scope:
    declared, over = outer.declared, inner.declared
    if declared is None or over is None:
        return Scope(outer.key, declared or over, outer.default or inner.default)
    merged = replace(
        over,
        limit=declared.limit if over.limit is None else over.limit,
        duration=over.duration or declared.duration,
        align=over.align or declared.align,
        timezone=over.timezone or declared.timezone,
        uncapped=over.uncapped or declared.uncapped,
        creates=over.creates or declared.creates,
        models=declared.models if over.models is None else over.models,
        created_at=declared.created_at if over.created_at is None else over.created_at,
    )
    return Scope(outer.key, merged, outer.default or inner.default)


def _by_key(account: Account) -> AccountKey:
    return account.key
