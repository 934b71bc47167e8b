"""Tokens of tool definitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from allowance.errors import ConfigurationError

__all__ = ["compact_json", "function_tokens"]


def compact_json(value: object) -> str:
    """A definition as JSON without spaces.

    Raises:
        ConfigurationError: for one that holds itself, or a number that JSON cannot hold.
    """
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_members)
    except (ValueError, RecursionError):
        raise ConfigurationError(
            "A tool or a schema of the call holds itself, or a number that JSON cannot hold: no provider "
            "could be sent it."
        ) from None


def _members(value: object) -> object:
    return getattr(value, "__dict__", None) or type(value).__name__


def function_tokens(tool: object, count: Callable[[str], int], start: int) -> int:
    """Tokens of one tool in OpenAI's format, which writes functions in a form shorter than their JSON.

    The published formula (OpenAI cookbook, "How to count tokens with tiktoken") covers functions whose
    parameters are all plain and described; it is exact there. Any other tool counts as its JSON, or as what
    the formula says of its top level where that is more. ``start`` is the formula's constant for a
    function: 7 with o200k, 10 with cl100k.
    """
    function = _function(tool)
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    properties = properties if isinstance(properties, Mapping) else {}
    flat = all(_is_plain(value) for value in properties.values())
    total = start + count(
        f"{function.get('name', '')}:{str(function.get('description', '')).removesuffix('.')}"
    )
    if properties:
        total += 3
    for key, value in properties.items():
        if isinstance(value, Mapping):
            total += _property(key, value, count)
    if flat and isinstance(function.get("description"), str):
        return total
    return max(total, start + count(compact_json(tool)))


def _function(tool: object) -> Mapping[str, Any]:
    if not isinstance(tool, Mapping):
        return {}
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def _is_plain(value: object) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("description"), str):
        return False
    return isinstance(value.get("type"), str) and set(value) <= {"type", "description", "enum"}


def _property(key: object, value: Mapping[str, Any], count: Callable[[str], int]) -> int:
    described = str(value.get("description", "")).removesuffix(".")
    tokens = 3 + count(f"{key}:{value.get('type', '')}:{described}")
    choices = value.get("enum")
    if isinstance(choices, (list, tuple)) and choices:
        tokens += sum(3 + count(str(choice)) for choice in choices) - 3
    return tokens
