"""Put an output cap into a call's arguments, for the policy ``"clamp"``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from allowance.requests.fields import members

if TYPE_CHECKING:
    from allowance.requests.request import Request

__all__ = ["with_cap"]


def with_cap(arguments: Mapping[str, Any], request: Request, cap: int) -> dict[str, Any]:
    """The arguments with ``cap`` tokens as the most that each reply may have.

    Only copies are changed: the caller's dicts and objects stay as they are. Where the call had a cap,
    the same argument carries the new one. A call without a cap argument comes back unchanged.
    """
    changed = dict(arguments)
    name = request.cap_name
    if name is None:
        return changed
    if name == "maxOutputTokens":
        changed["generationConfig"] = {**(changed.get("generationConfig") or {}), name: cap}
    elif request.api == "gemini":
        changed["config"] = _set(changed.get("config"), name, cap)
    elif "model" not in changed:
        _cap_body(changed, name, cap)
    else:
        changed[name] = cap
    return changed


def _cap_body(changed: dict[str, Any], name: str, cap: int) -> None:
    """Set the cap in the one argument that holds the request."""
    for key, value in changed.items():
        named = None if key in ("self", "cls") else members(value)
        if named is not None and isinstance(named.get("model"), str):
            changed[key] = _set(value, name, cap)
            return


def _set(holder: object, name: str, cap: int) -> Any:
    if holder is None:
        return {name: cap}
    if isinstance(holder, Mapping):
        return {**holder, name: cap}
    copy_model = getattr(holder, "model_copy", None)
    if copy_model is not None:
        return copy_model(update={name: cap})
    changed = copy.copy(holder)
    setattr(changed, name, cap)
    return changed
