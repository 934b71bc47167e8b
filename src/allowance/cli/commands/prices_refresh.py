"""``allowance prices refresh``: a catalogue from a newer price list, and what is different in it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.price_sheet import lines
from allowance.cli.writing import write_whole
from allowance.config import read_settings
from allowance.errors import ConfigurationError
from allowance.manager import make_books
from allowance.prices.data import load_data
from allowance.prices.price import Price
from allowance.prices.refresh import refresh

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from allowance.cli.output import Console
    from allowance.prices.data import Entry, PriceData
    from allowance.prices.refresh import RefreshReport

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Make a catalogue of prices from a newer file: LiteLLM's model_prices_and_context_window.json, or "
    "genai-prices' data.json. Nothing is fetched. A price that moved tenfold, or between nothing and "
    "something, is left as it was, and told; so is a figure that cannot be right. Models that the file "
    "does not have any more keep their prices."
)
EXAMPLES: Final = """
allowance prices refresh model_prices_and_context_window.json
allowance prices refresh prices.json --output /etc/allowance/catalogue.json
allowance prices refresh prices.json --dry-run

Then set ALLOWANCE_CATALOGUE to the file that it wrote.
"""

_SHOWN: Final = 10
_FIRST_RATES: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and where the catalogue goes."""
    parser.add_argument("file", metavar="FILE", help="the newer price list, in JSON")
    parser.add_argument(
        "--output", metavar="PATH", default="catalogue.json", help="the catalogue (default: catalogue.json)"
    )
    parser.add_argument("--allow-jumps", action="store_true", help="take prices too that moved tenfold")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would change")
    parser.add_argument(
        "--all", action="store_true", help="list every change, not the first ten of each sort"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, tell, write."""
    settings = read_settings({})
    before = make_books(settings).catalogue.data
    if not args.dry_run:
        _refuse_to_replace(args.output)
    after, report = refresh(args.file, current=before, allow_jumps=args.allow_jumps)
    written = None if args.dry_run else write_whole(args.output, after.dump())
    if console.json:
        console.data(_as_dict(before, after, report, written))
        return Exit.DONE
    over = "the shipped catalogue" if settings.catalogue is None else str(settings.catalogue)
    console.text(f"{args.file}, compared with {over} of {before.as_of}:")
    _tell(before, after, report, console, args)
    if written is None:
        console.text("Nothing was written (--dry-run).")
        return Exit.DONE
    console.line(f"Written: {written} ({len(after.entries):,} names)")
    console.line(f"Use it:  export ALLOWANCE_CATALOGUE={shlex.quote(str(written))}")
    return Exit.DONE


def _refuse_to_replace(path: str) -> None:
    """A file that is no catalogue is somebody's: the price list itself, at worst."""
    file = Path(path).expanduser()
    if not os.path.lexists(file) or file.is_dir():
        return
    try:
        load_data(file)
    except ConfigurationError:
        raise BadInput(
            f"{path} is there, and is no catalogue: it would be lost. Name another file: --output PATH"
        ) from None


def _tell(
    before: PriceData, after: PriceData, report: RefreshReport, console: Console, args: argparse.Namespace
) -> None:
    taken = " (taken: --allow-jumps)" if args.allow_jumps else ", left as they were; --allow-jumps takes them"
    counts = (
        ("added", len(report.added), "new names"),
        ("changed", len(report.changed), "other figures than before"),
        ("kept", len(report.kept), "not in the file any more; their prices stay"),
        ("jumped", len(report.jumped), f"moved tenfold or more, or from or to nothing{taken}"),
        ("refused", len(report.refused), "figures that cannot be right; what was known stays"),
        ("no price", len(report.unpriced), "in the file, but without any price"),
    )
    widest = max(len(f"{count:,}") for _, count, _ in counts)
    for name, count, meaning in counts:
        head = f"  {name.ljust(8)}  {count:>{widest},}  "
        console.text(meaning if count else "-", indent=head, then=" " * len(head))
    moved = [(name, _moved(before.entries[name], after.entries[name])) for name in report.changed]
    added = [(name, _short(after.entries[name])) for name in report.added]
    for title, pairs in (
        ("Jumped", list(report.jumped.items())),
        ("Refused", list(report.refused.items())),
        ("Changed", moved),
        ("Added", added),
    ):
        _list(title, pairs, len(pairs) if args.all else _SHOWN, console)
    console.line()


def _list(title: str, pairs: Sequence[tuple[str, str]], shown: int, console: Console) -> None:
    if not pairs:
        return
    console.title(title)
    for name, words in pairs[:shown]:
        console.text(f"{name}: {words}", indent="  ", then="      ")
    if len(pairs) > shown:
        console.aside(f"  and {len(pairs) - shown:,} more: --all lists them")


def _moved(old: Entry, new: Entry) -> str:
    """What is different, rate by rate: ``"input 2.50 -> 2.00"``."""
    was, now = _figures(old), _figures(new)
    moves = [
        f"{what} {was.get(what, 'none')} -> {now.get(what, 'none')}"
        for what in dict.fromkeys((*was, *now))
        if was.get(what) != now.get(what)
    ]
    return ", ".join(moves) or "the same rates, other facts (limits, provider, kind)"


def _short(entry: Entry) -> str:
    """An entry's first rates: ``"input 2.50, output 10.00"``."""
    return ", ".join(f"{what} {usd}" for what, usd in list(_figures(entry).items())[:_FIRST_RATES])


def _figures(entry: Entry) -> dict[str, str]:
    """The rates of an entry by what they are for."""
    if isinstance(entry, str):
        return {"as": entry}
    price = Price(**entry)
    found = {line.rate if line.ordinary else f"{line.rate} ({line.when})": line.usd for line in lines(price)}
    return found | {f"times {name}": f"{factor:f}" for name, factor in price.multipliers.items()}


def _as_dict(
    before: PriceData, after: PriceData, report: RefreshReport, written: Path | None
) -> dict[str, Any]:
    return {
        "written": None if written is None else str(written),
        "names": len(after.entries),
        "as_of": after.as_of,
        "before": before.as_of,
        "added": report.added,
        "changed": {name: _moved(before.entries[name], after.entries[name]) for name in report.changed},
        "kept": report.kept,
        "jumped": report.jumped,
        "refused": report.refused,
        "unpriced": report.unpriced,
    }
