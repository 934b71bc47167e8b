"""One field of a JSON object, read as what it must be, or refused with its name and what stood there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.wire.json import Json

__all__ = [
    "choice",
    "chosen",
    "each",
    "flag",
    "key_of",
    "key_or_none",
    "obj",
    "obj_or_none",
    "sent",
    "sent_texts",
    "text",
    "text_or_none",
    "texts",
    "whole",
    "whole_or_none",
]

T = TypeVar("T")

_LIMIT: Final = 2**63
_DIGITS: Final = 19
_REQUIRED: Final = "\0"


def obj(value: object, what: str) -> Json:
    """The value, which must be an object; ``what`` is its name in the error."""
    if type(value) is dict:
        return cast("Json", value)
    raise _refused(what, "an object", value)


def obj_or_none(data: Json, name: str) -> Json | None:
    """A field that is an object, null or missing."""
    value = data.get(name)
    return None if value is None else obj(value, name)


def whole(data: Json, name: str, missing: int | None = None) -> int:
    """A field that is a whole number of 64 bits; a text of digits is one too."""
    value = data.get(name, missing)
    if type(value) is int and -_LIMIT <= value < _LIMIT:
        return value
    if type(value) is str and value.removeprefix("-").isdecimal() and value.isascii():
        number = int(value) if len(value) <= _DIGITS + 1 else _LIMIT
        if -_LIMIT <= number < _LIMIT:
            return number
    if value is None and missing is not None:
        return missing
    raise _refused(name, "a whole number of 64 bits", value)


def whole_or_none(data: Json, name: str) -> int | None:
    """A field that is a whole number, null or missing."""
    return None if data.get(name) is None else whole(data, name)


def text(data: Json, name: str, missing: str = _REQUIRED) -> str:
    """A field that is a text which every store can keep: without NUL and halves of surrogate pairs."""
    value = data.get(name)
    if value is None and missing is not _REQUIRED:
        return missing
    return _kept(value, name)


def text_or_none(data: Json, name: str) -> str | None:
    """A field that is a text, null or missing."""
    value = data.get(name)
    return None if value is None else _kept(value, name)


def texts(data: Json, name: str) -> tuple[str, ...]:
    """A field that is an array of texts; missing: none."""
    value = data.get(name)
    if value is None:
        return ()
    if type(value) is not list:
        raise _refused(name, "an array of texts", value)
    return tuple([_kept(one, name) for one in value])


def flag(data: Json, name: str, missing: bool = False) -> bool:
    """A field that is true or false."""
    value = data.get(name)
    if type(value) is bool:
        return value
    if value is None:
        return missing
    raise _refused(name, "true or false", value)


def choice(data: Json, name: str, among: Mapping[str, T]) -> T | None:
    """A field that is one of some words, null or missing."""
    value = data.get(name)
    if value is None:
        return None
    if type(value) is str and value in among:
        return among[value]
    raise _refused(name, f"one of {', '.join(among)}", value)


def chosen(data: Json, name: str, among: Mapping[str, T]) -> T:
    """A field that is one of some words."""
    value = choice(data, name, among)
    if value is None:
        raise _refused(name, f"one of {', '.join(among)}", None)
    return value


def key_of(value: object, name: str = "key") -> AccountKey:
    """A budget's key: an array of project, kind, name and, where it has one, label."""
    if type(value) is list and len(value) in (3, 4):
        return AccountKey(*[_kept(part, name) for part in value])
    raise _refused(name, "an array of project, kind, name and label", value)


def key_or_none(data: Json, name: str = "key") -> AccountKey | None:
    """A field that is a budget's key, null or missing."""
    value = data.get(name)
    return None if value is None else key_of(value, name)


def each(data: Json, name: str, load: Callable[[Json], T]) -> tuple[T, ...]:
    """A field that is an array of objects, each read by ``load``; missing: none."""
    values = data.get(name)
    if values is None:
        return ()
    if type(values) is not list:
        raise _refused(name, "an array", values)
    loaded: list[T] = []
    for value in values:
        try:
            loaded.append(load(obj(value, name)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}[{len(loaded)}]: {error}") from None
    return tuple(loaded)


def sent(value: int, name: str) -> int:
    """A whole number on its way out: what is none must not become one on the other side."""
    if type(value) is int:
        return value
    raise _refused(name, "a whole number", value)


def sent_texts(values: tuple[str, ...], name: str) -> list[str]:
    """Some texts on their way out: one text alone must not become its letters."""
    if type(values) is tuple:
        return list(values)
    raise _refused(name, "a tuple of texts", values)


def _kept(value: object, name: str) -> str:
    if type(value) is not str:
        raise _refused(name, "a text", value)
    if "\0" in value or not (value.isascii() or _is_unicode(value)):
        raise ConfigurationError(
            f"The field {name!r} holds NUL or broken Unicode: {value[:60]!a}. Remove it."
        )
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(name: str, wanted: str, value: object) -> ConfigurationError:
    if value is None:
        return ConfigurationError(f"The field {name!r} is missing: it must be {wanted}.")
    plain = isinstance(value, (str, int, float))
    shown = repr(value)[:60] if plain else type(value).__name__
    return ConfigurationError(f"The field {name!r} must be {wanted}, not {shown}.")
