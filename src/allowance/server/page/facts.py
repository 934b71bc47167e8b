"""What a line of the audit log says has changed, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from allowance.money import format_usd
from allowance.server.page.words import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from allowance.server.state import AuditLine

__all__ = ["Fact", "audit_facts"]

_AMOUNTS: Final = {"limit", "spent", "held", "amount", "charged", "base_limit"}
_TIMES: Final = {"created_at", "expires_at", "revoked_at", "until", "window_start", "window_end"}
_LEFT_OUT: Final = {"id", "newest", "created_at"}


class Fact(NamedTuple):
    """One thing that changed; "" is what was not there."""

    name: str
    before: str
    after: str


def audit_facts(line: AuditLine) -> list[Fact]:
    """What differs between before and after."""
    before, after = dict(_flat(line.before)), dict(_flat(line.after))
    return [
        Fact(name.replace("_", " "), before.get(name, ""), after.get(name, ""))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name) and name not in _LEFT_OUT
    ]


def _flat(values: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for name, value in (values or {}).items():
        if isinstance(value, dict):
            yield from _flat(value)
        elif value is not None and value is not False and value != []:
            yield name, _said(name, value)


def _said(name: str, value: Any) -> str:
    if value is True:
        return "yes"
    whole = type(value) is int
    if whole and name in _AMOUNTS:
        return format_usd(value)
    if whole and name in _TIMES:
        return f"{moment(value)} UTC"
    if isinstance(value, list):
        return ", ".join(_said("amount", one["amount"]) if _is_extra(one) else str(one) for one in value)
    return str(value)


def _is_extra(one: Any) -> bool:
    return isinstance(one, dict) and type(one.get("amount")) is int
