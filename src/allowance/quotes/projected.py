"""A usage of input and output tokens alone, for the prices of a quote."""

from __future__ import annotations

from dataclasses import fields
from typing import Final, cast

from allowance.replies.usage import Usage

__all__ = ["projected"]


class _Tokens:
    # A full record takes 2 µs to make, and a quote needs three: they would be most of its time. Here
    # only the two totals are set with the object; all else is, once, as in an empty record.
    __slots__ = ("input_tokens", "output_tokens")

    def __init__(self, input_tokens: int, output_tokens: int) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


_EMPTY: Final = Usage()
for _field in fields(Usage):
    if _field.name not in _Tokens.__slots__:
        setattr(_Tokens, _field.name, getattr(_EMPTY, _field.name))


def projected(input_tokens: int, output_tokens: int) -> Usage:
    """What reads as ``Usage(input_tokens=..., output_tokens=...)``, made in a tenth of the time."""
    return cast("Usage", _Tokens(input_tokens, output_tokens))
