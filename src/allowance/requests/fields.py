"""Look into plain mappings, TypedDicts, pydantic models and SDK objects alike, without running their code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import isclass, isfunction, ismethod
from typing import Any

from allowance.errors import ConfigurationError

__all__ = [
    "MAX_DEPTH",
    "MAX_PARTS",
    "as_count",
    "as_json",
    "as_list",
    "endless",
    "field",
    "first_field",
    "members",
    "plain",
]

MAX_DEPTH = 60
"""How deep arguments may be nested: deeper than any provider accepts, and far from Python's own limit."""

MAX_PARTS = 250_000
"""How many parts one call may have: content that holds itself would go on for ever."""


def members(thing: object) -> Mapping[str, Any] | None:
    """The named values of a mapping or an object, or None where it has none.

    Objects are read through their ``__dict__`` (and pydantic's extra fields), so that no property runs.
    """
    if isinstance(thing, Mapping):
        return thing
    if isclass(thing):
        return None
    own = getattr(thing, "__dict__", None)
    if isinstance(own, dict):
        extra = getattr(thing, "__pydantic_extra__", None)
        return {**own, **extra} if isinstance(extra, dict) else own
    slots = getattr(type(thing), "__dataclass_fields__", None)
    if isinstance(slots, dict):
        return {name: getattr(thing, name, None) for name in slots}
    return None


def field(thing: object, name: str) -> Any:
    """One named value of a mapping or an object; None where there is none."""
    found = thing if type(thing) is dict else members(thing)
    return None if found is None else found.get(name)


def first_field(thing: object, *names: str) -> Any:
    """The first of several spellings that has a value: ``inline_data`` or ``inlineData``."""
    found = members(thing)
    if found is not None:
        for name in names:
            value = found.get(name)
            if value is not None:
                return value
    return None


def as_list(value: object) -> Sequence[Any] | None:
    """A list, tuple or other sequence that may be read twice; None for text, mappings and iterators."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        return value
    return None


def as_count(value: object, name: str) -> int | None:
    """A number of tokens or replies. None where none was given.

    SDKs mark an argument that was not given by objects of their own, and some servers take -1 for "no
    limit": anything that is not a whole number from zero up counts as not given.

    Raises:
        ConfigurationError: for a bool, which Python would take for 0 or 1.
    """
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, bool):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    index = getattr(type(value), "__index__", None)
    return None if index is None else as_count(int(index(value)), name)


def plain(value: object) -> Any:
    """A copy of a value that JSON can hold: objects become their members, classes their JSON schema.

    Raises:
        ConfigurationError: where it is nested more than sixty deep, has more than 250,000 parts, or
            holds itself.
    """
    return _plain(value, 0, [MAX_PARTS])


def _plain(value: object, depth: int, left: list[int]) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise endless()
    if isclass(value) or hasattr(value, "__origin__"):
        return _schema(value, depth, left)
    items = as_list(value)
    if items is not None:
        return [_plain(item, depth + 1, left) for item in items]
    if isfunction(value) or ismethod(value):
        return _declaration(value)
    named = members(value)
    if named is None:
        return type(value).__name__
    return {
        str(name): _plain(item, depth + 1, left)
        for name, item in named.items()
        if item is not None and not str(name).startswith("_")
    }


def _schema(hint: Any, depth: int, left: list[int]) -> dict[str, object]:
    """What becomes of a class, or a hint such as ``list[Answer]``, where it says how a reply must look."""
    schema = getattr(hint, "model_json_schema", None)
    if schema is not None:
        return dict(schema())
    inner = [_plain(each, depth + 1, left) for each in getattr(hint, "__args__", ())]
    named = {name: str(each) for name, each in getattr(hint, "__annotations__", {}).items()}
    return {"type": getattr(hint, "__name__", str(hint)), "items": inner, "properties": named}


def _declaration(function: Any) -> dict[str, object]:
    """What an SDK tells the model about a Python function that it passes as a tool."""
    hints = {name: {"type": str(hint)} for name, hint in function.__annotations__.items()}
    return {
        "name": function.__name__,
        "description": function.__doc__ or "",
        "parameters": {"type": "object", "properties": hints, "required": list(hints)},
    }


def as_json(value: object) -> str:
    """The value as compact JSON, which is how tools' arguments and schemas reach a model.

    Raises:
        ConfigurationError: as `plain`, and for a number that JSON cannot hold.
    """
    written = plain(value)
    try:
        return json.dumps(written, separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        raise ConfigurationError("The call's arguments hold a number that JSON cannot hold.") from None


def endless() -> ConfigurationError:
    """The error for arguments that are nested too deep, have too many parts, or hold themselves."""
    return ConfigurationError(
        f"The call's arguments are nested more than {MAX_DEPTH} deep, have more than {MAX_PARTS:,} parts, or "
        "hold themselves: no provider could be sent them. Pass plain messages."
    )
