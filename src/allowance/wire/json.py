"""JSON as the wire has it: strict to read, small to write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias

from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_DEPTH", "Json", "dumps", "loads"]

Json: TypeAlias = "dict[str, object]"
"""A JSON object."""

MAX_DEPTH: Final = 16
"""How deep arrays and objects may lie in one another."""


def loads(data: bytes | bytearray | str, *, max_depth: int = MAX_DEPTH) -> object:
    """What the text says, of which nothing may be taken in two ways.

    Raises:
        ConfigurationError: for what is not UTF-8 or not JSON, a name that stands twice in one object, NaN
            and infinities (a number too large for a float among them), or more than ``max_depth`` levels.
    """
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise ConfigurationError("The body is not UTF-8. Send JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"The body is not JSON: {error.msg} at character {error.pos} of {len(error.doc)}."
        ) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ConfigurationError:
        raise
    except ValueError as error:  # a whole number of more than 4300 digits
        raise ConfigurationError(f"The body holds a number that cannot be read: {error!s:.100}") from None
    # The brackets in all are a bound of the depth, and one that is found at once.
    if text.count("[") + text.count("{") > max_depth and _depth_over(value, max_depth):
        raise _too_deep(max_depth)
    return value


def dumps(value: object) -> bytes:
    """The value in as few bytes as can be, all ASCII.

    Raises:
        ConfigurationError: for a value that JSON has no form for.
    """
    try:
        return _ENCODER.encode(value).encode("ascii")
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"This cannot be sent to a hosted store: {error!s:.200}") from None


def _no_twins(pairs: Sequence[tuple[str, object]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"The name {twice!r:.60} stands twice in one object of the body.")
    return found


def _no_constants(constant: str) -> object:
    raise ConfigurationError(f"The body holds {constant}, which is no number of JSON's.")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ConfigurationError(f"The body holds a number that is too large: {text:.40}")
    return number


def _depth_over(value: object, most: int) -> bool:
    level = [value]
    for _ in range(most):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += [inner for inner in one.values() if isinstance(inner, (dict, list))]
            elif isinstance(one, list):
                below += [inner for inner in one if isinstance(inner, (dict, list))]
        if not below:
            return False
        level = below
    return True


def _too_deep(most: int) -> ConfigurationError:
    return ConfigurationError(f"The body's arrays and objects lie more than {most} deep in one another.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_no_twins, parse_constant=_no_constants, parse_float=_finite
)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
