"""Keys: who may ask the server for what. Made, listed, rotated, revoked; checked at every request.

All live keys are held in memory and brought up to date at most half a second later: a request costs no
look-up, a flood of unknown tokens neither, and a revocation is seen within a second by every server.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, or_, select

from allowance.errors import ConfigurationError
from allowance.ledger.names import clean
from allowance.ledger.records import Declaration
from allowance.server.key import KEY_PROJECT, Key, Scope, described, key_account
from allowance.server.keyring import Keyring
from allowance.server.state.audit import add_line
from allowance.server.state.database import clock
from allowance.server.state.schema import generation
from allowance.server.state.schema import key as keys
from allowance.server.tokens import digest, mint_token, parse_token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection, Row

    from allowance.ledger.records import Account
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["KEY_PROJECT", "Key", "Keys", "Scope", "described", "key_account"]

LONGEST_OVERLAP: Final = 30 * 24 * 3600
_NO_HASH: Final = bytes(32)


class Keys:
    """The keys of a server. With ``store`` they may have budgets, which lie in it.

    Every method but `check` and `live` asks the database each time. A change and its audit line are written
    in one transaction.
    """

    def __init__(self, state: State, store: Store | None = None) -> None:
        self._database = state.database
        self._store = store
        self._ring = Keyring(self._changed_since)

    # -- at every request ----------------------------------------------------------------------------

    def check(self, token: str) -> Key | None:
        """The key of a token; None where there is none, or it has expired or was revoked.

        Takes the same time for an unknown key as for a wrong secret. Without I/O where `fresh`.

        Raises:
            StoreUnavailableError: the database has not answered for as long as keys are trusted unasked;
                never for what is no token at all.
        """
        parsed = parse_token(token)
        known = None if parsed is None else self._ring.find(parsed.key_id)
        kept = _NO_HASH if known is None else known[1]
        right = hmac.compare_digest(kept, digest("" if parsed is None else parsed.secret))
        return known[0] if known is not None and right else None

    def live(self, key_id: str) -> Key | None:
        """The key of this id, as `check` has it; None where it has expired or was revoked.

        Raises:
            StoreUnavailableError: as for `check`.
        """
        known = self._ring.find(key_id)
        return None if known is None else known[0]

    @property
    def fresh(self) -> bool:
        """Whether `check` answers at once; where not, it asks the database: call it in a thread."""
        return self._ring.fresh

    def now(self) -> int:
        """The time by the database's clock, by which keys expire."""
        with self._database.read() as connection:
            return clock(connection)

    # -- changes -------------------------------------------------------------------------------------

    def mint(
        self,
        name: str,
        scopes: Iterable[Scope | str],
        projects: Iterable[str] | None = None,
        *,
        expires_at: int | None = None,
        fixed_terms: bool = False,
        limit: int | None = None,
        duration: str | None = None,
        actor: str,
    ) -> tuple[Key, str]:
        """Make a key; returns it and its token, which is shown once and kept nowhere.

        With ``limit``, in nano-dollars, and ``duration`` it has a budget of its own, `key_account`: of
        a name that had one before, the terms change and the spend stays.

        Raises:
            ConfigurationError: the name is taken; an unknown scope; a time that is over; terms that
                cannot be kept.
        """
        name, wanted = _key_name(name), _scopes(scopes)
        bound = None if projects is None else frozenset(clean(project, "project") for project in projects)
        if bound is not None and not bound:
            raise ConfigurationError("A key without projects sees nothing. Name one, or give None for all.")
        if bound is not None and KEY_PROJECT in bound:
            raise ConfigurationError(f"The project {KEY_PROJECT!r} is for keys' own budgets. Name another.")
        if duration is not None and limit is None:
            raise ConfigurationError("A key's budget needs a limit: give one with the duration, or neither.")
        with self._database.read() as connection:
            _refuse_taken(connection, name, expires_at)
        if limit is not None:
            self._give_budget(name, limit, duration)
        token, text = mint_token()
        with self._database.write() as connection:
            step = _step(connection)  # before the look: of two servers that make one name, one waits here
            now = _refuse_taken(connection, name, expires_at)
            connection.execute(_of_name(name).values(newest=False, changed=step))
            made = Key(
                token.key_id, name, wanted, bound, limit is not None, fixed_terms, expires_at, False, now
            )
            _insert(connection, made, digest(token.secret))
            add_line(connection, actor, "key.add", f"{name} ({made.key_id})", None, described(made))
        self._ring.expire()
        return made, text

    def rotate(self, name: str, *, overlap_seconds: float = 3600, actor: str) -> tuple[Key, str]:
        """A new token for the key of this name; the old one works for the overlap, and no longer.

        Raises:
            ConfigurationError: there is no such key; an overlap below 0, or above 30 days.
        """
        if not 0 <= overlap_seconds <= LONGEST_OVERLAP:
            raise ConfigurationError(
                f"The overlap of two tokens is 0 to {LONGEST_OVERLAP} seconds, not {overlap_seconds!r:.40}."
            )
        token, text = mint_token()
        with self._database.write() as connection:
            step, now = _step(connection), clock(connection)
            old = _newest(connection, name, now)
            ends = now + round(overlap_seconds * 1e6)
            ends = ends if old.expires_at is None else min(ends, old.expires_at)
            retired = replace(old, expires_at=ends, newest=False)
            connection.execute(_of_id(old.key_id).values(expires_at=ends, newest=False, changed=step))
            made = replace(old, key_id=token.key_id, created_at=now)
            _insert(connection, made, digest(token.secret))
            target = f"{name} ({old.key_id} → {made.key_id})"
            add_line(connection, actor, "key.rotate", target, described(old), described(retired))
        self._ring.expire()
        return made, text

    def revoke(self, name_or_id: str, *, actor: str) -> list[Key]:
        """Take away a key by its id, or all of a name; what is revoked stays so. Returns those that were.

        Raises:
            ConfigurationError: there is no such key, or none that was not revoked before.
        """
        with self._database.write() as connection:
            step, now = _step(connection), clock(connection)
            found = _live(connection, keys.c.key_id == name_or_id)
            found = found or _live(connection, keys.c.name == name_or_id)
            if not found:
                raise _unknown(name_or_id)
            revoked = []
            for old in found:
                gone = replace(old, revoked=True, revoked_at=now, newest=False)
                connection.execute(_of_id(old.key_id).values(revoked_at=now, newest=False, changed=step))
                target = f"{old.name} ({old.key_id})"
                add_line(connection, actor, "key.revoke", target, described(old), described(gone))
                revoked.append(gone)
        self._ring.expire()
        return revoked

    def listed(self) -> list[Key]:
        """Every key there ever was, by name, the newest of a name first."""
        with self._database.read() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.name, keys.c.created_at.desc()))
            return [_key(row) for row in rows]

    # -- inside --------------------------------------------------------------------------------------

    def _give_budget(self, name: str, limit: int, duration: str | None) -> Account:
        if self._store is None:
            raise ConfigurationError("A key's budget lies in the server's store: name it, to give a key one.")
        return self._store.define(
            key_account(name), Declaration(limit=limit, duration=duration, creates=True), declared=False
        )

    def _changed_since(self, seen: int) -> tuple[int, int, list[tuple[Key, bytes]]]:
        """The latest generation, the database's time, and the keys that changed after a generation."""
        with self._database.read() as connection:
            now = clock(connection)
            latest = int(connection.execute(select(generation.c.number)).scalar_one())
            if latest == seen:
                return latest, now, []
            rows = connection.execute(select(keys).where(keys.c.changed > seen))
            return latest, now, [(_key(row), row.secret_hash) for row in rows]


def _step(connection: Connection) -> int:
    """The next generation. Its row is locked to the end: who sees a generation sees all before it."""
    connection.execute(generation.update().values(number=generation.c.number + 1))
    return int(connection.execute(select(generation.c.number)).scalar_one())


def _key(row: Row[Any]) -> Key:
    return Key(
        key_id=row.key_id,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes.split(",")),
        projects=None if row.projects is None else frozenset(json.loads(row.projects)),
        budgeted=row.budgeted,
        fixed_terms=row.fixed_terms,
        expires_at=row.expires_at,
        revoked=row.revoked_at is not None,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        newest=row.newest,
    )


def _insert(connection: Connection, key: Key, secret_hash: bytes) -> None:
    row = {
        **{name: getattr(key, name) for name in ("key_id", "name", "budgeted", "fixed_terms", "created_at")},
        **{name: getattr(key, name) for name in ("expires_at", "revoked_at", "newest")},
        "secret_hash": secret_hash,
        "scopes": ",".join(sorted(key.scopes)),
        "projects": None if key.projects is None else json.dumps(sorted(key.projects)),
        "changed": select(generation.c.number).scalar_subquery(),
    }
    connection.execute(keys.insert().values(**row))


def _of_id(key_id: str) -> Any:
    return keys.update().where(keys.c.key_id == key_id)


def _of_name(name: str) -> Any:
    return keys.update().where(keys.c.name == name, keys.c.newest)


def _live(connection: Connection, which: ColumnElement[bool]) -> list[Key]:
    rows = connection.execute(
        select(keys).where(which, keys.c.revoked_at.is_(None)).order_by(keys.c.created_at)
    )
    return [_key(row) for row in rows]


def _newest(connection: Connection, name: str, now: int) -> Key:
    unexpired = or_(keys.c.expires_at.is_(None), keys.c.expires_at > now)
    found = _live(connection, and_(keys.c.name == name, keys.c.newest, unexpired))
    if not found:
        raise _unknown(name)
    return found[0]


def _refuse_taken(connection: Connection, name: str, expires_at: int | None) -> int:
    now = clock(connection)
    if expires_at is not None and (type(expires_at) is not int or not now < expires_at < 2**62):
        raise ConfigurationError(
            f"A key expires at a later time than now, {now}, in whole microseconds, not {expires_at!r:.60}."
        )
    unexpired = or_(keys.c.expires_at.is_(None), keys.c.expires_at > now)
    if _live(connection, and_(keys.c.name == name, keys.c.newest, unexpired)):
        raise ConfigurationError(
            f"There is a key {name!r:.140} already. For a new token of the same name rotate it "
            "(allowance keys rotate NAME); else give the new key a name of its own."
        )
    return now


def _unknown(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is no key {name!r:.140}, or it was revoked or has expired before. "
        "See: allowance keys list --all"
    )


def _key_name(name: str) -> str:
    try:
        name = clean(name, "name")
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("A budget's name", "A key's name", 1)) from None
    if len(name) > 128:
        raise ConfigurationError(f"A key's name may have 128 characters; this one has {len(name)}.")
    return name


def _scopes(scopes: Iterable[Scope | str]) -> frozenset[Scope]:
    choices = ", ".join(Scope)
    given = [scopes] if isinstance(scopes, str) else list(scopes)
    try:
        wanted = frozenset(Scope(scope) for scope in given)
    except ValueError:
        raise ConfigurationError(f"A key's scopes are among {choices}, not {given!r:.80}.") from None
    if not wanted:
        raise ConfigurationError(f"A key needs a scope: {choices}.")
    return wanted
