"""Prices and vocabularies: what quotes and costs are made of."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allowance.cli.checks.check import Check
from allowance.errors import BudgetError
from allowance.prices.data import load_data, shipped_data
from allowance.prices.overrides import read_overrides
from allowance.quotes.vocabularies import ENCODINGS, download_wanted, find_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.config import Settings

__all__ = ["price_checks"]

_OLD_DAYS: Final = 90
_NEWER: Final = (
    "Build a newer one from LiteLLM's price map of today: "
    "allowance prices refresh model_prices_and_context_window.json"
)


def price_checks(settings: Settings) -> Iterator[Check]:
    """The catalogue, the user's own prices, and the vocabularies."""
    yield _catalogue(settings)
    yield _own_prices(settings)
    yield from map(_vocabulary, ENCODINGS)


def _catalogue(settings: Settings) -> Check:
    path = settings.catalogue
    try:
        data = shipped_data() if path is None else load_data(Path(path))
    except BudgetError as error:
        return Check(
            "catalogue", "problem", str(error), "Name another file, or unset ALLOWANCE_CATALOGUE for ours."
        )
    where = "shipped with allowance" if path is None else str(path)
    text = f"{where}: {len(data.entries):,} names, as of {data.as_of}, from {'; '.join(data.sources)}"
    return catalogue_check(text, data.as_of, datetime.now(UTC).date())


def catalogue_check(text: str, as_of: str, today: date) -> Check:
    """Whether a catalogue of that day can still be believed."""
    try:
        age = (today - date.fromisoformat(as_of)).days
    except ValueError:
        return Check("catalogue", "note", f"{text}: its date is none, so its age is unknown.", _NEWER)
    if age > _OLD_DAYS:
        return Check("catalogue", "note", f"{text}: {age} days old. Prices change, and models come.", _NEWER)
    return Check("catalogue", "ok", text)


def _own_prices(settings: Settings) -> Check:
    if settings.prices is None:
        return Check("own prices", "ok", "none")
    try:
        own = read_overrides(settings.prices)
    except BudgetError as error:
        return Check("own prices", "problem", str(error), "Mend the file, or unset ALLOWANCE_PRICES.")
    return Check("own prices", "ok", f"{len(own):,} in {settings.prices}; they come before the catalogue's")


def _vocabulary(name: str) -> Check:
    found = find_vocabulary(name)
    if found is not None:
        return Check(name, "ok", f"found, in {found.parent}")
    fetched = (
        "The first call that must count downloads it in the background; until then"
        if download_wanted()
        else "Downloads are switched off (ALLOWANCE_DOWNLOAD_VOCABULARY=0), so"
    )
    return Check(
        name,
        "note",
        f"the vocabulary is not on this machine. {fetched} texts count as their bytes, which is too much.",
        "Install litellm, which carries it, or set TIKTOKEN_CACHE_DIR to a directory that holds it.",
    )
