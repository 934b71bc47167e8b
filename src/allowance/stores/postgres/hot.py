"""What the database's own functions are told, and what they answer. See `functions`."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import ConfigurationError
from allowance.ledger.accounts import declare
from allowance.ledger.families import by_family
from allowance.ledger.holds import check_ask, fingerprint
from allowance.ledger.models import applies
from allowance.ledger.records import Account, AccountKey, Ask, Declaration, Denial, Grant, Settlement, Terms
from allowance.stores.postgres.locks import stripe_of
from allowance.stores.postgres.tables import storable
from allowance.stores.rows import dump_declaration, dump_tags, load_declaration, read_account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from allowance.ledger.records import Posting, Scope

__all__ = ["Known", "answers", "dump", "encode", "stripes_of"]

encode: Final = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes an encoder each time

_MOST: Final = 50_000


class Known:
    """What accounts' declarations and globs were when they were last seen here, as the database has them.

    A guess and no more: it goes with the question, and where the database has another the answer is slow.
    """

    def __init__(self) -> None:
        self._families: dict[tuple[str, str, str], dict[str, tuple[str | None, str | None]]] = {}

    def see(self, key: AccountKey, declared: str | None, models: str | None) -> None:
        """Remember an account's; that of one without either is guessed rightly anyway."""
        if declared is None and models is None and key[:3] not in self._families:
            return
        if len(self._families) >= _MOST:
            self._families.clear()
        self._families.setdefault(key[:3], {})[key.label] = (declared, models)

    def family(self, key: AccountKey) -> Mapping[str, tuple[str | None, str | None]]:
        """Those of a family, by label."""
        return self._families.get(key[:3], {})


def dump(operation: Ask | Posting, known: Known) -> dict[str, Any]:
    """An operation as the database is told it."""
    if not isinstance(operation, Ask):
        return _posting(operation)
    try:
        check_ask(operation)
        return _ask(operation, known)
    except (ConfigurationError, TypeError):  # terms that cannot even be compared: the verbs say what is wrong
        # Told as an ask that is slow: as a posting it would settle the hold that has its id.
        return {
            "id": operation.hold_id,
            "families": [],
            "replacing": "",
            "stripes": stripes_of(operation.scopes),
        }


def stripes_of(scopes: Sequence[Scope]) -> list[int]:
    """The locks of the scopes' families."""
    return [stripe_of(scope.key) for scope in scopes]


def answers(
    operations: Sequence[Ask | Posting], rows: Sequence[tuple[Any, ...]]
) -> list[Grant | Denial | Settlement | None]:
    """What each operation is answered with; None for one that is slow."""
    found: list[Grant | Denial | Settlement | None] = [None] * len(operations)
    accounts: dict[int, list[tuple[int, Account]]] = {}
    firsts: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        firsts[row[0]] = row
        accounts.setdefault(row[0], []).append((row[7], read_account(row[8:])))
    for number, row in firsts.items():
        placed = accounts[number] if len(accounts[number]) == 1 else sorted(accounts[number], key=_place)
        found[number] = _answer(operations[number], row, tuple([account for _, account in placed]))
    return found


def _answer(
    operation: Ask | Posting, row: tuple[Any, ...], accounts: tuple[Account, ...]
) -> Grant | Denial | Settlement:
    _, status, amount, clamped, temporary, bound, expires_at, *_ = row
    if not isinstance(operation, Ask):
        overrun = max(0, operation.amount - amount)
        return Settlement(operation.hold_id, accounts, operation.amount, operation.amount, amount, overrun)
    if status == "denied":
        return Denial(accounts[0], amount, temporary)
    shrunk = amount < operation.amount
    return Grant(operation.hold_id, amount, shrunk, clamped, bound, False, expires_at, accounts)


def _posting(posting: Posting) -> dict[str, Any]:
    return {
        "id": posting.hold_id,
        "amount": posting.amount,
        "model": storable(posting.model),
        "input": posting.input_tokens,
        "output": posting.output_tokens,
        "unconfirmed": posting.unconfirmed,
        "counted": posting.counted,
        "reason": storable(posting.reason),
        "tags": dump_tags(posting.tags),
        "stripes": stripes_of(posting.scopes),
    }


def _ask(ask: Ask, known: Known) -> dict[str, Any]:
    told = {
        "id": ask.hold_id,
        "families": [_family(scopes, ask.model, known) for scopes in by_family(ask.scopes)],
        "amount": ask.amount,
        "floor": ask.floor,
        "ceiling": ask.ceiling,
        "expected": ask.expected,
        "bounded": bool(ask.bounded),
        "ttl": ask.ttl,
        "model": storable(ask.model),
        "content": fingerprint(ask).hex(),
        "tags": dump_tags(ask.tags),
        "owner": storable(ask.owner),
        "stripes": stripes_of(ask.scopes),
    }
    if ask.replacing is not None:
        told["replacing"] = ask.replacing
    return told


def _family(scopes: Sequence[Scope], model: str | None, known: Known) -> dict[str, Any]:
    key = scopes[0].key
    seen = known.family(key)
    globs = {models: _applies(models, model) for _, models in seen.values() if models is not None}
    named: dict[str, str | None] = {}
    for scope in scopes:
        declared = scope.declared
        if declared is not None:
            stored, _ = seen.get(scope.key.label, (None, None))
            named[scope.key.label] = _expected(declared, stored)
        else:
            named[scope.key.label] = None
    return {
        "project": key.project,
        "kind": key.kind,
        "name": key.name,
        "named": named,
        "count": len(named),
        "globs": globs,
    }


@lru_cache(maxsize=4096)
def _expected(declared: Declaration, stored: str | None) -> str:
    """What the account must have as declared, if this declaration is to change nothing."""
    if stored is not None:
        account = _PLAIN._replace(declared=load_declaration(stored))
        try:
            if declare(account, declared, 0) is account:
                return stored
        except ConfigurationError:
            pass  # terms that cannot be kept; the verbs will say so, for no account has them
    return dump_declaration(declared)


@lru_cache(maxsize=4096)
def _applies(models: str, model: str | None) -> bool:
    return applies(Terms(None, models=tuple(json.loads(models))), model)


def _place(placed: tuple[int, Account]) -> int:
    return placed[0]


_PLAIN: Final = Account(AccountKey("", "", "", "any"), Terms(None), None, 0, 0, None, 0, 0)
