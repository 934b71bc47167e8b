"""Building a catalogue from a price list: LiteLLM's map, or genai-prices' data.

Both are published under the MIT licence. A refresh reads files only; it fetches nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import ConfigurationError
from allowance.prices.data import PriceData
from allowance.prices.figures import Refused
from allowance.prices.genai_prices import is_genai_prices, read_genai_prices
from allowance.prices.litellm_map import is_litellm_map, read_litellm_map
from allowance.prices.rates import RATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allowance.prices.data import Entry

__all__ = ["RefreshReport", "refresh"]

_JUMP: Final = 10


@dataclass
class RefreshReport:
    """What a refresh did, by the models' names.

    Attributes:
        added, changed: entries that are new, or say something else than before.
        kept: entries that the file does not have any more, and that stay: retired models.
        jumped: prices that moved at least tenfold, or between nothing and something, with both figures;
            the present entry stays unless jumps were allowed.
        refused: entries with a figure that is not to be believed, and why; the present entry stays.
        unpriced: models without any price in the file, which stay unknown.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    jumped: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unpriced: list[str] = field(default_factory=list)


def refresh(
    path: Path | str,
    *,
    current: PriceData | None,
    allow_jumps: bool = False,
    source: str | None = None,
    as_of: str | None = None,
) -> tuple[PriceData, RefreshReport]:
    """Read a price list over the current catalogue.

    LiteLLM's map replaces what the catalogue says of its models. genai-prices' data adds the models
    that the catalogue lacks: those that LiteLLM dropped when they were retired, and other providers.

    Args:
        path: the file, in JSON.
        current: the catalogue that it is compared with and written over; None to begin a new one.
        allow_jumps: take prices too that moved tenfold.
        source, as_of: what to call the file, and the day of its figures; its name, and today.

    Raises:
        ConfigurationError: the file cannot be read, or is neither of the two lists.
    """
    held = _load(Path(path))
    entries: Sequence[tuple[str, Entry | Refused | None]]
    if is_litellm_map(held):
        entries, replace = [*read_litellm_map(held)], True
    elif is_genai_prices(held):
        entries, replace = [*read_genai_prices(held)], False
    else:
        raise ConfigurationError(f"{path} is neither LiteLLM's price map nor genai-prices' data.json")
    before = dict(current.entries) if current else {}
    report = RefreshReport()
    after = _merge(before, entries, report, replace=replace, allow_jumps=allow_jumps)
    sources = dict.fromkeys((*(current.sources if current else ()), source or Path(path).name))
    day = as_of or datetime.now(UTC).date().isoformat()
    return PriceData(
        as_of=max(day, current.as_of if current else ""), sources=tuple(sources), entries=after
    ), report


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the price list {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"the price list {path} is not JSON: {error}") from None


def _merge(
    before: dict[str, Entry],
    entries: Iterable[tuple[str, Entry | Refused | None]],
    report: RefreshReport,
    *,
    replace: bool,
    allow_jumps: bool,
) -> dict[str, Entry]:
    after = dict(before)
    written = {name.lower(): name for name in before}
    seen = set()
    for name, entry in entries:
        held = written.get(name.lower())
        seen.add(held or name)
        if entry is None:
            report.unpriced.append(name)
        elif isinstance(entry, Refused):
            report.refused[name] = str(entry)
        elif held is None:
            report.added.append(name)
            after[name] = entry
            written[name.lower()] = name
        elif replace and before.get(held) != entry:
            _change(after, held, entry, report, allow_jumps=allow_jumps)
    if replace:
        report.kept = [name for name in before if name not in seen]
    return after


def _change(
    after: dict[str, Entry], name: str, entry: Entry, report: RefreshReport, *, allow_jumps: bool
) -> None:
    jump = _jump(after[name], entry)
    if jump:
        report.jumped[name] = jump
    if not jump or allow_jumps:
        report.changed.append(name)
        after[name] = entry


def _jump(old: Entry, new: Entry) -> str:
    if isinstance(old, str) or isinstance(new, str):
        return ""
    moved = []
    for rate in sorted(RATES & old.keys() & new.keys()):
        was, now = Decimal(old[rate]), Decimal(new[rate])
        if was != now and (not was or not now or not was / _JUMP < now < was * _JUMP):
            moved.append(f"{rate} {was:f} -> {now:f}")
    return ", ".join(moved)
