"""Which replies metered calls have settled, and on whose budgets: none is charged to one of them again (R3).

A reply is known by itself or by its id:

- By *itself*, while it lives: a weak reference to the object that the call handed back. No reply is kept
  alive for this, and what is said of such an object goes by nothing else: stand-ins in tests often give
  every reply the same id.
- By its *id* and its tokens, of the last few thousand replies: so a reply that came as a plain dict is
  known, the same reply as a dict, and a stream that somebody put together from its chunks. An id does not
  vouch for an object of a class whose objects came with it: those are known by themselves, and this is none
  of them (a stand-in's next reply; but a copy, too).

A reply without either (a dict that has no id, a bare text) is not known. Nor is one that came from another
process. What a forked child finds here is as true there, for it shares its parent's stores.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

from allowance.replies import inner_reply, measure, reply_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from allowance.ledger.records import AccountKey
    from allowance.replies import Usage
    from allowance.stores.base import Store

__all__ = ["Payee", "remember", "remember_id", "was_settled"]

Payee: TypeAlias = "tuple[Store, AccountKey]"
"""Who paid: a user in a store, by the main account; the user's other budgets go with it."""

GENERATION = 5_000
"""Ids are kept in two generations of so many; the elder one is forgotten when the younger is full."""

MOST_PAYEES = 1_000
"""Of one reply: only a stand-in that is handed back again and again has several."""

DEEPEST = 4
"""Lists of replies, and frameworks' replies around the vendor's, are looked into so far."""

_Identity: TypeAlias = tuple[str, int | None, int | None]


class _Reference(weakref.ref[Any]):
    """A reply that was settled, for as long as it lives."""

    __slots__ = ("number", "payees")

    number: int
    payees: Collection[Payee]


class _Bearer:
    """The replies that bear one id: who paid, and the classes of those that are known by themselves."""

    __slots__ = ("kinds", "payees")

    def __init__(self, payees: Collection[Payee], kinds: tuple[type, ...]) -> None:
        self.payees = payees
        self.kinds = kinds


# Plain dicts, and no lock: each step is one operation on them, and a reply may die anywhere (R13).
_objects: dict[int, _Reference] = {}
_young: dict[_Identity, _Bearer] = {}
_old: dict[_Identity, _Bearer] = {}


def remember(reply: object, payees: tuple[Payee, ...], usage: Usage | None) -> None:
    """Note that a call's whole reply, with this usage, was charged to these."""
    if not payees:
        return
    kinds: tuple[type, ...] = ()
    if isinstance(reply, (list, tuple)):
        _remember_each(reply, payees)
    elif type(reply).__weakrefoffset__:
        kinds = (type(reply),)
        known = _objects.get(id(reply))
        if known is not None and known() is reply:
            known.payees = _joined(known.payees, payees)
        else:
            reference = _Reference(reply, _forget)
            reference.number = id(reply)
            reference.payees = payees
            _objects[id(reply)] = reference
    remember_id(reply_id(reply), payees, usage, kinds)


def remember_id(
    name: str | None, payees: tuple[Payee, ...], usage: Usage | None, kinds: tuple[type, ...] = ()
) -> None:
    """Note that the reply of this id was charged; of a stream there is no more to know it by."""
    global _young, _old
    if name is None or not payees:
        return
    identity = _identity(name, usage)
    bearer = _young.get(identity)
    if bearer is None:
        if len(_young) >= GENERATION:
            _old, _young = _young, {}
        _young[identity] = _Bearer(payees, kinds)
        return
    bearer.payees = _joined(bearer.payees, payees)
    if kinds != bearer.kinds:
        bearer.kinds = (*bearer.kinds, *[kind for kind in kinds if kind not in bearer.kinds])


def was_settled(reply: object, key: AccountKey, store: Store | None = None) -> bool:
    """Whether a metered call of this process has charged this reply to the user of ``key``.

    All budgets of one user count as one. With ``store`` only what was charged there counts. See the
    module for how a reply is known again.
    """
    return _was_settled(reply, key.main, store, DEEPEST)


def _was_settled(reply: object, main: AccountKey, store: Store | None, deeper: int) -> bool:
    if not deeper:
        return False
    if isinstance(reply, (list, tuple)):
        return bool(reply) and all(_was_settled(one, main, store, deeper - 1) for one in reply)
    known = _objects.get(id(reply))
    if known is not None and known() is reply:
        return _paid(known.payees, main, store)
    name = reply_id(reply)
    if name is not None:
        for identity in (_identity(name, measure(reply)), _identity(name, None)):
            for generation in (_young, _old):
                bearer = generation.get(identity)
                if bearer is None or type(reply) in bearer.kinds:
                    continue
                if _paid(bearer.payees, main, store):
                    return True
    return _was_settled(inner_reply(reply), main, store, deeper - 1)


def _identity(name: str, usage: Usage | None) -> _Identity:
    # Whoever counts a text again may count it otherwise: only the vendor's figures tell replies apart.
    if usage is None or usage.counted:
        return name, None, None
    return name, usage.input_tokens, usage.output_tokens


def _paid(payees: Collection[Payee], main: AccountKey, store: Store | None) -> bool:
    return any(key == main and (store is None or _same(other, store)) for other, key in list(payees))


def _same(one: Store, other: Store) -> bool:
    # What lies outside this process may be opened twice, by a manager and by configure().
    return one is other or (one.rank > 0 and one.url == other.url)


def _joined(known: Collection[Payee], more: tuple[Payee, ...]) -> Collection[Payee]:
    if known == more:
        return known
    joined = known if isinstance(known, set) else set(known)
    if len(joined) >= MOST_PAYEES:
        joined = set()
    joined.update(more)
    return joined


def _remember_each(replies: Any, payees: tuple[Payee, ...]) -> None:
    for reply in list(replies):
        usage = measure(reply)
        if usage is not None:
            remember(reply, payees, usage)


def _forget(reference: _Reference, objects: dict[int, _Reference] = _objects) -> None:
    """A finalizer: nothing but one operation on a dict."""
    if objects.get(reference.number) is reference:
        objects.pop(reference.number, None)
