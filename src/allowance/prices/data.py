"""The catalogue's data: names, and what their prices say, as the package ships it or a file holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Entry", "PriceData", "read_data", "shipped_data"]

Entry: TypeAlias = "dict[str, Any] | str"
"""The arguments of `Price`; or another name, which stands for the same price."""

VERSION = 1
"""Of the format; the figures' is their date."""


@dataclass(frozen=True)
class PriceData:
    """Names and entries, with where and when they come from.

    Attributes:
        as_of: the day of the newest source, in ISO's form.
        sources: where the figures come from, with their licences.
        entries: by name, as the sources write it.
    """

    as_of: str
    sources: tuple[str, ...]
    entries: Mapping[str, Entry]

    @cached_property
    def names(self) -> dict[str, str]:
        """The names as they are written, by their lower-case form."""
        return {name.lower(): name for name in self.entries}

    def entry(self, name: str) -> tuple[str, dict[str, Any]] | None:
        """The name as it is written, and the arguments of `Price`, for a name in any case.

        For one that stands for another it is the other's; None where the data does not have it.
        """
        written = self.names.get(name.lower())
        if written is None:
            return None
        entry: Entry | None = self.entries[written]
        if isinstance(entry, str):
            written, entry = entry, self.entries.get(entry)
        return (written, entry) if isinstance(entry, dict) else None

    def dump(self) -> str:
        """As compact JSON, one entry a line, so that two versions can be compared."""
        lines = ",\n".join(
            f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'))}"
            for name, entry in sorted(self.entries.items())
        )
        head = json.dumps({"version": VERSION, "as_of": self.as_of, "sources": self.sources})
        return f'{head[:-1]}, "prices": {{\n{lines}\n}}}}\n'


def read_data(text: str | bytes, what: str) -> PriceData:
    """Read what `PriceData.dump` wrote; the entries themselves are read when they are looked up.

    Raises:
        ConfigurationError: where it is not such a text; ``what`` names it.
    """
    try:
        held = json.loads(text)
        if held["version"] != VERSION or not isinstance(held["prices"], dict):
            raise KeyError("version")
        return PriceData(
            as_of=str(held["as_of"]), sources=tuple(map(str, held["sources"])), entries=held["prices"]
        )
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError(
            f"{what} is no price catalogue of version {VERSION}; `allowance prices refresh` writes one"
        ) from None


def shipped_data() -> PriceData:
    """The catalogue that the package ships."""
    file = resources.files("allowance.prices").joinpath("catalogue.json")
    return read_data(file.read_bytes(), "the shipped catalogue")


def load_data(path: Path) -> PriceData:
    """The catalogue in a file."""
    try:
        return read_data(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(f"the price catalogue {path} cannot be read: {error.strerror}") from None
