"""Put an output cap or another model into a call's arguments, where a budget is short."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.fields import field

if TYPE_CHECKING:
    from allowance.requests.request import Request

__all__ = ["with_cap", "with_model"]


_CAPS: Final = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "max_tokens_to_sample",
)

_HOLDERS: Final = ("config", "generationConfig", "generation_config", "extra_body")


def with_cap(arguments: Mapping[str, Any], request: Request, cap: int) -> dict[str, Any]:
    """The arguments with ``cap`` tokens as the most that each reply may have.

    Only copies are changed: the caller's dicts and objects stay as they are. Every cap that the call
    has, and that is larger, becomes ``cap``; a call without one gets it under ``request.cap_name``,
    where its API has such an argument.
    """
    changed = dict(arguments)
    if isinstance(changed.get("model"), str):
        return dict(_capped(changed, request, cap))
    for name, value in arguments.items():
        if name not in ("self", "cls") and isinstance(field(value, "model"), str):
            changed[name] = _capped(value, request, cap)
            break
    return changed


def with_model(arguments: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """The arguments with another model, or None where they name none. Only copies are changed."""
    if isinstance(arguments.get("model"), str):
        return {**arguments, "model": model}
    for name, value in arguments.items():
        if name not in ("self", "cls") and isinstance(field(value, "model"), str):
            return {**arguments, name: _set(value, "model", model)}
    return None


def _capped(call: Any, request: Request, cap: int) -> Any:
    for name in _HOLDERS:
        inner = field(call, name)
        lowered = _lowered(inner, cap)
        if lowered is not inner:
            call = _set(call, name, lowered)
    call = _lowered(call, cap)
    if request.max_output is not None or request.cap_name is None:
        return call
    if request.api != "gemini":
        return _set(call, request.cap_name, cap)
    holder = "config"
    if request.cap_name == "maxOutputTokens":
        holder = "generation_config" if field(call, "generation_config") else "generationConfig"
    return _set(call, holder, _set(field(call, holder), request.cap_name, cap))


def _lowered(holder: Any, cap: int) -> Any:
    for name in _CAPS:
        given = field(holder, name)
        if isinstance(given, int) and given > cap:
            holder = _set(holder, name, cap)
    return holder


def _set(holder: object, name: str, value: object) -> Any:
    if holder is None:
        return {name: value}
    if isinstance(holder, Mapping):
        return {**holder, name: value}
    copy_model = getattr(holder, "model_copy", None)
    if copy_model is not None:
        return copy_model(update={name: value})
    changed = copy.copy(holder)
    setattr(changed, name, value)
    return changed
