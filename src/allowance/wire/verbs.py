"""The verbs of protocol v1: what each is called, who may do it, and how its arguments and answer travel.

``POST /v1/{name}`` with the arguments as a JSON object is answered with 200 and an object, or with a
problem. The server makes its routes from this table and the client its calls::

    arguments = verb.load_arguments(body)                        # at the server
    reply = verb.dump_reply(getattr(store, verb.name)(**arguments))

    body = verb.dump_arguments(arguments)                        # at the client
    result = verb.load_reply(reply)

Listings are paged: see `allowance.wire.pages`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey
from allowance.wire import records
from allowance.wire.budgets import dump_account, dump_declaration, load_account, load_declaration
from allowance.wire.fields import (
    each,
    flag,
    key_of,
    key_or_none,
    obj,
    obj_or_none,
    sent,
    text,
    text_or_none,
    texts,
    whole,
    whole_or_none,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.wire.json import Json

__all__ = [
    "MAX_RENEWED",
    "VERBS",
    "Arguments",
    "Verb",
    "deadline_of",
    "scope_of",
]

Arguments: TypeAlias = dict[str, Any]
"""What the verb of `Store` takes, by name."""

Who: TypeAlias = Literal["spend", "read", "admin"]

MAX_RENEWED: Final = 256
"""Holds that one request renews."""


class Verb(NamedTuple):
    """One verb. ``repeats`` says that it may be sent again where nobody knows whether it was done."""

    name: str
    scope: Who
    about: str
    dump_arguments: Callable[[Arguments], Json]
    load_arguments: Callable[[Json], Arguments]
    dump_reply: Callable[[Any], Json]
    load_reply: Callable[[Json], Any]
    paged: bool = False
    repeats: bool = True


def scope_of(verb: Verb, arguments: Arguments) -> Who:
    """What a key must be allowed to: code's own terms come with spending, an operator's do not."""
    return "admin" if verb.name == "define" and not arguments["declared"] else verb.scope


def deadline_of(body: Json) -> int | None:
    """How many milliseconds the one who asks waits, from when it sent this; None where it does not say."""
    deadline = whole_or_none(body, "deadline_ms")
    if deadline is not None and deadline <= 0:
        raise ConfigurationError(f"The field 'deadline_ms' must be above zero, not {deadline}.")
    return deadline


# -- arguments ---------------------------------------------------------------------------------------


def _plain(**fields: Callable[[Json, str], Any]) -> Callable[[Json], Arguments]:
    """Arguments that are read field by field, under their own names."""
    readers = tuple(fields.items())
    return lambda body: {name: read(body, name) for name, read in readers}


def _said(arguments: Arguments) -> Json:
    """Arguments that are JSON already, but for keys; None is left out."""
    return {
        name: list(value) if isinstance(value, AccountKey) else value
        for name, value in arguments.items()
        if value is not None
    }


def _key(body: Json, name: str) -> AccountKey:
    return key_of(body.get(name), name)


def _reason(body: Json, name: str) -> str:
    return text(body, name, "")


def _seq(body: Json, name: str) -> int:
    return whole(body, name, 0)


def _dump_renewal(arguments: Arguments) -> Json:
    return {"hold_ids": list(arguments["hold_ids"]), "ttl": sent(arguments["ttl"], "ttl")}


def _load_renewal(body: Json) -> Arguments:
    hold_ids = texts(body, "hold_ids")
    if len(hold_ids) > MAX_RENEWED:
        raise ConfigurationError(f"One request renews {MAX_RENEWED} holds at most, not {len(hold_ids)}.")
    return {"hold_ids": hold_ids, "ttl": whole(body, "ttl")}


def _dump_definition(arguments: Arguments) -> Json:
    terms = dump_declaration(arguments["terms"])
    return {"key": list(arguments["key"]), "terms": terms, "declared": bool(arguments["declared"])}


def _load_definition(body: Json) -> Arguments:
    terms = load_declaration(obj(body.get("terms"), "terms"))
    return {"key": _key(body, "key"), "terms": terms, "declared": flag(body, "declared")}


def _dump_amount(arguments: Arguments) -> Json:
    for name in ("amount", "until"):
        if arguments.get(name) is not None:
            sent(arguments[name], name)
    return {"amount": None, **_said(arguments)}


def _load_adjustment(body: Json) -> Arguments:
    if "amount" not in body:
        raise ConfigurationError("The field 'amount' is missing: whole nano-dollars, or null for a reset.")
    arguments = _by_hand(body)
    arguments["amount"] = whole_or_none(body, "amount")
    return arguments


_by_hand = _plain(key=_key, reason=_reason, adjustment_id=text_or_none)


# -- replies -----------------------------------------------------------------------------------------


def _optional(name: str, dump: Callable[[Any], Json], load: Callable[[Json], Any]) -> _Both:
    """``{name: the record, or null}``."""

    def loaded(reply: Json) -> Any:
        data = obj_or_none(reply, name)
        return None if data is None else load(data)

    return lambda record: {name: None if record is None else dump(record)}, loaded


def _one(name: str, dump: Callable[[Any], Json], load: Callable[[Json], Any]) -> _Both:
    """``{name: the record}``."""
    return lambda record: {name: dump(record)}, lambda reply: load(obj(reply.get(name), name))


def _many(name: str, dump: Callable[[Any], Json], load: Callable[[Json], Any]) -> _Both:
    """``{name: [records]}``."""
    return (
        lambda found: {name: [dump(record) for record in found]},
        lambda reply: list(each(reply, name, load)),
    )


def _dump_costs(costs: Mapping[str | None, int]) -> Json:
    return {"costs": [{"model": model, "amount": amount} for model, amount in costs.items()]}


def _load_costs(reply: Json) -> dict[str | None, int]:
    return dict(each(reply, "costs", lambda cost: (text_or_none(cost, "model"), whole(cost, "amount"))))


_Both: TypeAlias = "tuple[Callable[[Any], Json], Callable[[Json], Any]]"

_NOTHING: Final[_Both] = (lambda _: {}, lambda _: None)
_ACCOUNT: Final = _one("account", dump_account, load_account)
_ACCOUNTS: Final = _many("accounts", dump_account, load_account)
_SWEPT: Final = _many("holds", records.dump_hold, records.load_hold)


# -- the table ---------------------------------------------------------------------------------------

_ALL: Final = (
    Verb(
        "reserve",
        "spend",
        "Hold money for one call on all of its budgets, or on none. A refusal is an answer too.",
        lambda arguments: records.dump_ask(arguments["ask"]),
        lambda body: {"ask": records.load_ask(body)},
        records.dump_outcome,
        records.load_outcome,
    ),
    Verb(
        "settle",
        "spend",
        "Post what a call cost, once; its hold is gone in the same step.",
        lambda arguments: records.dump_posting(arguments["posting"]),
        lambda body: {"posting": records.load_posting(body)},
        *_one("settled", records.dump_settlement, records.load_settlement),
    ),
    Verb(
        "release",
        "spend",
        "Let a hold go: its call was not sent, or cost nothing.",
        _said,
        _plain(hold_id=text, reason=_reason),
        *_optional("hold", records.dump_hold, records.load_hold),
    ),
    Verb("renew", "spend", "Put off the end of open holds.", _dump_renewal, _load_renewal, *_NOTHING),
    Verb(
        "define",
        "spend",
        "Make a budget, or change some of its terms; its spend stays. Without 'declared' it needs admin.",
        _dump_definition,
        _load_definition,
        *_ACCOUNT,
    ),
    Verb(
        "account",
        "read",
        "One budget as of now, or null.",
        _said,
        _plain(key=_key),
        *_optional("account", dump_account, load_account),
    ),
    Verb("family", "read", "All budgets of one user as of now.", _said, _plain(key=_key), *_ACCOUNTS),
    Verb(
        "accounts",
        "read",
        "Every budget of a project, or of all, in the order of their keys.",
        _said,
        _plain(project=text_or_none, after=key_or_none),
        *_many("items", dump_account, load_account),
        paged=True,
    ),
    Verb(
        "model_costs",
        "read",
        "What each model has cost in a budget's present window.",
        _said,
        _plain(key=_key),
        _dump_costs,
        _load_costs,
    ),
    Verb(
        "entries",
        "read",
        "Lines of the ledger in the order in which they were posted.",
        _said,
        _plain(key=key_or_none, since=whole_or_none, until=whole_or_none, hold_id=text_or_none, after=_seq),
        *_many("items", records.dump_entry, records.load_entry),
        paged=True,
    ),
    Verb(
        "hold",
        "read",
        "The hold of an id, in whatever state, or null.",
        _said,
        _plain(hold_id=text),
        *_optional("hold", records.dump_hold, records.load_hold),
    ),
    Verb(
        "holds",
        "read",
        "Open and expired holds, oldest first.",
        _said,
        _plain(key=key_or_none),
        *_many("items", records.dump_hold, records.load_hold),
        paged=True,
    ),
    Verb(
        "adjust",
        "admin",
        "Add to a budget's spend by hand; null brings it to zero.",
        _dump_amount,
        _load_adjustment,
        *_ACCOUNT,
    ),
    Verb(
        "extend",
        "admin",
        "Top a budget up, until a time.",
        _dump_amount,
        _plain(key=_key, amount=whole, until=whole_or_none, reason=_reason, adjustment_id=text_or_none),
        *_ACCOUNT,
    ),
    Verb(
        "remove",
        "admin",
        "Take a budget away, with a main one its whole family.",
        _said,
        _plain(key=_key),
        *_ACCOUNTS,
        repeats=False,
    ),
    Verb(
        "sweep",
        "admin",
        "Charge every hold whose term is over.",
        _said,
        _plain(),
        *_SWEPT,
        repeats=False,
    ),
    Verb(
        "audit",
        "admin",
        "Recompute every figure from the entries and holds; each difference in words.",
        _said,
        _plain(),
        lambda found: {"differences": list(found)},
        lambda reply: list(texts(reply, "differences")),
    ),
    Verb(
        "prune",
        "admin",
        "Fold the lines of closed windows that are older than a time, and forget calls that are over.",
        _said,
        _plain(before=whole),
        lambda count: {"pruned": count},
        lambda reply: whole(reply, "pruned"),
        repeats=False,
    ),
)

VERBS: Final[Mapping[str, Verb]] = {verb.name: verb for verb in _ALL}
"""The verbs by their names."""
