"""The ledger's records as JSON objects, both ways. On each call's way, so there is no model between.

``dump_x`` gives the object for a record, ``load_x`` the record for an object. What is None, or usual, is
left out. A load raises `ConfigurationError` that names the field, the place of it, and what stood there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.ledger.records import (
    Ask,
    Denial,
    Entry,
    EntryKind,
    Grant,
    Hold,
    HoldState,
    Posting,
    Settlement,
)
from allowance.wire.budgets import dump_account, dump_scope, load_account, load_scope
from allowance.wire.fields import (
    chosen,
    each,
    flag,
    key_of,
    obj,
    sent,
    sent_texts,
    text,
    text_or_none,
    texts,
    whole,
    whole_or_none,
)

if TYPE_CHECKING:
    from allowance.ledger.records import AccountKey
    from allowance.wire.json import Json

__all__ = [
    "dump_ask",
    "dump_denial",
    "dump_entry",
    "dump_grant",
    "dump_hold",
    "dump_outcome",
    "dump_posting",
    "dump_settlement",
    "load_ask",
    "load_denial",
    "load_entry",
    "load_grant",
    "load_hold",
    "load_outcome",
    "load_posting",
    "load_settlement",
]

_STATES: Final = {state.value: state for state in HoldState}
_KINDS: Final = {kind.value: kind for kind in EntryKind}


def dump_ask(ask: Ask) -> Json:
    """See `load_ask`."""
    hold_id, scopes, floor, amount, ceiling, expected, bounded, ttl, replacing, model, tags, owner = ask
    data: Json = {
        "hold_id": hold_id,
        "scopes": [dump_scope(scope) for scope in scopes],
        "amount": sent(amount, "amount"),
        "expected": sent(expected, "expected"),
        "ttl": sent(ttl, "ttl"),
    }
    if type(floor) is not int or floor != amount:
        data["floor"] = sent(floor, "floor")
    if type(ceiling) is not int or ceiling != amount:
        data["ceiling"] = sent(ceiling, "ceiling")
    if bounded:
        data["bounded"] = True
    if replacing is not None:
        data["replacing"] = replacing
    if model is not None:
        data["model"] = model
    if tags:
        data["tags"] = sent_texts(tags, "tags")
    if owner:
        data["owner"] = owner
    return data


def load_ask(data: Json) -> Ask:
    """A call's ask. ``floor``, ``ceiling`` and ``expected`` are the amount where they are missing."""
    amount = whole(data, "amount")
    return Ask(
        text(data, "hold_id"),
        each(data, "scopes", load_scope),
        whole(data, "floor", amount),
        amount,
        whole(data, "ceiling", amount),
        whole(data, "expected", amount),
        flag(data, "bounded"),
        whole(data, "ttl"),
        text_or_none(data, "replacing"),
        text_or_none(data, "model"),
        texts(data, "tags"),
        text(data, "owner", ""),
    )


def dump_posting(posting: Posting) -> Json:
    """See `load_posting`."""
    hold_id, amount, scopes, model, input_tokens, output_tokens, unconfirmed, counted, *_ = posting
    reason, tags, at = posting.reason, posting.tags, posting.at
    data: Json = {"hold_id": hold_id, "amount": sent(amount, "amount")}
    if scopes:
        data["scopes"] = [dump_scope(scope) for scope in scopes]
    if model is not None:
        data["model"] = model
    if input_tokens:
        data["input_tokens"] = sent(input_tokens, "input_tokens")
    if output_tokens:
        data["output_tokens"] = sent(output_tokens, "output_tokens")
    if unconfirmed:
        data["unconfirmed"] = True
    if counted:
        data["counted"] = True
    if reason:
        data["reason"] = reason
    if tags:
        data["tags"] = sent_texts(tags, "tags")
    if at is not None:
        data["at"] = sent(at, "at")
    return data


def load_posting(data: Json) -> Posting:
    """What a call cost."""
    return Posting(
        text(data, "hold_id"),
        whole(data, "amount"),
        each(data, "scopes", load_scope),
        text_or_none(data, "model"),
        whole(data, "input_tokens", 0),
        whole(data, "output_tokens", 0),
        flag(data, "unconfirmed"),
        flag(data, "counted"),
        text(data, "reason", ""),
        texts(data, "tags"),
        whole_or_none(data, "at"),
    )


def dump_outcome(outcome: Grant | Denial) -> Json:
    """What a reserve is answered with: an object with ``granted`` or ``denied`` in it."""
    if isinstance(outcome, Grant):
        return {"granted": dump_grant(outcome)}
    return {"denied": dump_denial(outcome)}


def load_outcome(data: Json) -> Grant | Denial:
    """A grant or a denial."""
    if "denied" in data:
        return load_denial(obj(data["denied"], "denied"))
    return load_grant(obj(data.get("granted"), "granted"))


def dump_grant(grant: Grant) -> Json:
    """See `load_grant`."""
    hold_id, amount, shrunk, clamped, bound, replaced, expires_at, accounts, expired = grant
    data: Json = {
        "hold_id": hold_id,
        "amount": amount,
        "expires_at": expires_at,
        "accounts": [dump_account(account) for account in accounts],
    }
    for name, value in (("shrunk", shrunk), ("clamped", clamped), ("bound", bound), ("replaced", replaced)):
        if value:
            data[name] = True
    if expired:
        data["expired"] = [dump_hold(hold) for hold in expired]
    return data


def load_grant(data: Json) -> Grant:
    """A hold that was made."""
    return Grant(
        text(data, "hold_id"),
        whole(data, "amount"),
        flag(data, "shrunk"),
        flag(data, "clamped"),
        flag(data, "bound"),
        flag(data, "replaced"),
        whole(data, "expires_at"),
        each(data, "accounts", load_account),
        each(data, "expired", load_hold),
    )


def dump_denial(denial: Denial) -> Json:
    """See `load_denial`."""
    account, amount, temporary, expired = denial
    data: Json = {"account": dump_account(account), "amount": amount}
    if temporary:
        data["temporary"] = True
    if expired:
        data["expired"] = [dump_hold(hold) for hold in expired]
    return data


def load_denial(data: Json) -> Denial:
    """A refusal: which account, and what did not fit it."""
    return Denial(
        load_account(obj(data.get("account"), "account")),
        whole(data, "amount"),
        flag(data, "temporary"),
        each(data, "expired", load_hold),
    )


def dump_settlement(settlement: Settlement) -> Json:
    """See `load_settlement`."""
    hold_id, accounts, amount, posted, held, overrun, repeated = settlement
    data: Json = {
        "hold_id": hold_id,
        "accounts": [dump_account(account) for account in accounts],
        "amount": amount,
        "posted": posted,
    }
    if held:
        data["held"] = held
    if overrun:
        data["overrun"] = overrun
    if repeated:
        data["repeated"] = True
    return data


def load_settlement(data: Json) -> Settlement:
    """What settling did."""
    return Settlement(
        text(data, "hold_id"),
        each(data, "accounts", load_account),
        whole(data, "amount"),
        whole(data, "posted"),
        whole(data, "held", 0),
        whole(data, "overrun", 0),
        flag(data, "repeated"),
    )


def dump_hold(hold: Hold) -> Json:
    """See `load_hold`."""
    data: Json = {
        "hold_id": hold.hold_id,
        "state": hold.state.value,
        "amount": hold.amount,
        "expected": hold.expected,
        "windows": [{"key": list(key), "start": start} for key, start in hold.windows],
        "reserved_at": hold.reserved_at,
        "expires_at": hold.expires_at,
    }
    if hold.bound:
        data["bound"] = True
    if hold.model is not None:
        data["model"] = hold.model
    if hold.charged:
        data["charged"] = hold.charged
    if hold.tags:
        data["tags"] = list(hold.tags)
    if hold.owner:
        data["owner"] = hold.owner
    return data


def load_hold(data: Json) -> Hold:
    """Money set aside for one call."""
    return Hold(
        text(data, "hold_id"),
        chosen(data, "state", _STATES),
        whole(data, "amount"),
        whole(data, "expected"),
        flag(data, "bound"),
        each(data, "windows", _load_window),
        text_or_none(data, "model"),
        whole(data, "reserved_at"),
        whole(data, "expires_at"),
        whole(data, "charged", 0),
        texts(data, "tags"),
        text(data, "owner", ""),
    )


def _load_window(data: Json) -> tuple[AccountKey, int]:
    return key_of(data.get("key")), whole(data, "start")


def dump_entry(entry: Entry) -> Json:
    """See `load_entry`."""
    data: Json = {
        "seq": entry.seq,
        "key": list(entry.key),
        "kind": entry.kind.value,
        "amount": entry.amount,
        "at": entry.at,
        "posted_at": entry.posted_at,
        "window_start": entry.window_start,
    }
    if entry.hold_id is not None:
        data["hold_id"] = entry.hold_id
    if entry.model is not None:
        data["model"] = entry.model
    for name in ("input_tokens", "output_tokens", "unconfirmed", "counted", "reason"):
        value = getattr(entry, name)
        if value:
            data[name] = value
    if entry.tags:
        data["tags"] = list(entry.tags)
    return data


def load_entry(data: Json) -> Entry:
    """A line of the ledger."""
    return Entry(
        whole(data, "seq"),
        key_of(data.get("key")),
        chosen(data, "kind", _KINDS),
        whole(data, "amount"),
        whole(data, "at"),
        whole(data, "posted_at"),
        whole(data, "window_start"),
        text_or_none(data, "hold_id"),
        text_or_none(data, "model"),
        whole(data, "input_tokens", 0),
        whole(data, "output_tokens", 0),
        flag(data, "unconfirmed"),
        flag(data, "counted"),
        text(data, "reason", ""),
        texts(data, "tags"),
    )
