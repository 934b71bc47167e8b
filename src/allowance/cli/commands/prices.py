"""``allowance prices``: what models cost, by which rule a name was found, and where the figures come from."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.price_sheet import as_dict, fallbacks, figure, is_own, lines, pointed, rule_in_words
from allowance.cli.words import counted
from allowance.config import read_settings
from allowance.manager import make_books
from allowance.prices.overrides import read_overrides
from allowance.prices.rates import PER_UNIT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from allowance.cli.output import Console
    from allowance.config import Settings
    from allowance.prices.catalogue import Catalogue
    from allowance.prices.price import Price

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Show what a model costs: every rate, every situation that has rates of its own, which rule found "
    "the name, and where the figures come from. Nothing is fetched."
)
EXAMPLES: Final = """
allowance prices                            which prices there are
allowance prices gpt-4o claude-sonnet-4-5
allowance prices --search haiku             which names there are
allowance prices refresh model_prices_and_context_window.json

Prices of your own come first. Put them into a JSON file, in US dollars per
million tokens, and set ALLOWANCE_PRICES to its path:
  {"my-model": {"input": "2.50", "output": "10.00"}, "local/*": {"input": 0}}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which models."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help="a model, as your program names it")
    parser.add_argument("--search", metavar="TEXT", help="list the names that have TEXT in them")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print them."""
    settings = read_settings({})
    catalogue = make_books(settings).catalogue
    if args.search is not None:
        if args.models:
            raise BadInput("--search lists names; a MODEL shows one. Give one or the other.")
        return _search(args.search, catalogue, settings, console)
    if not args.models:
        return _summary(catalogue, settings, console)
    found = [(name, catalogue.find(name)) for name in args.models]
    if console.json:
        console.data([as_dict(name, price) for name, price in found])
        return Exit.DONE
    for place, (name, price) in enumerate(found):
        if place:
            console.line()
        _show(name, price, console)
    return Exit.DONE


def _show(asked: str, price: Price, console: Console) -> None:
    console.line(console.style(asked, "bold"))
    limits = [
        f"{tokens:,} tokens {way}"
        for tokens, way in ((price.max_input_tokens, "in"), (price.max_output_tokens, "out"))
        if tokens
    ]
    known = {
        "found as": f"{price.model or asked}: {rule_in_words(price.rule)}",
        "provider": price.provider,
        "kind": price.mode and price.mode.replace("_", " "),
        "at most": ", ".join(limits),
        "source": "your own prices" if is_own(price) and price.source == "override" else price.source,
        "as of": price.as_of,
    }
    console.fields([(name, value) for name, value in known.items() if value])
    _rates(price, console)


def _rates(price: Price, console: Console) -> None:
    found = list(lines(price))
    longest = max(len(line.rate) for line in found)
    amounts = pointed([f"${line.usd}" for line in found])
    when = None
    for line, amount in zip(found, amounts, strict=True):
        if line.when != when:
            when = line.when
            console.line()
            console.text(when, indent="  ", then="    ")
        console.line(f"    {line.rate.ljust(longest)}  {amount}  per {line.per}")
    if price.multipliers:
        console.line()
        console.line("  times, for all tokens")
        for name, factor in price.multipliers.items():
            console.line(f"    {name.ljust(longest)}  x {factor:f}")
    if more := fallbacks(price):
        console.line()
        console.text(f"What has no rate of its own: {more}.", indent="  ")


def _summary(catalogue: Catalogue, settings: Settings, console: Console) -> int:
    data = catalogue.data
    own = read_overrides(settings.prices) if settings.prices is not None else {}
    where = "shipped with allowance" if settings.catalogue is None else str(settings.catalogue)
    if console.json:
        console.data(
            {
                "names": len(data.entries), "as_of": data.as_of, "sources": list(data.sources),
                "catalogue": None if settings.catalogue is None else str(settings.catalogue),
                "own": {"file": settings.prices, "names": sorted(own)},
            }
        )  # fmt: skip
        return Exit.DONE
    console.line(f"Prices of {len(data.entries):,} names of models are known.")
    console.fields(
        [
            ("catalogue", where),
            ("as of", f"{data.as_of}{_age(data.as_of)}"),
            *[("source" if not place else "", source) for place, source in enumerate(data.sources)],
            ("your own", f"{len(own):,}, in {settings.prices}" if own else "none (ALLOWANCE_PRICES)"),
        ]
    )
    console.line()
    console.line("One model:       allowance prices gpt-4o")
    console.line("Find a name:     allowance prices --search haiku")
    console.line("Newer prices:    allowance prices refresh --help")
    return Exit.DONE


def _age(as_of: str) -> str:
    try:
        days = (datetime.now(UTC).date() - date.fromisoformat(as_of)).days
    except ValueError:
        return ""
    return " (today)" if days == 0 else f" ({days:,} days ago)" if days > 0 else ""


def _search(text: str, catalogue: Catalogue, settings: Settings, console: Console) -> int:
    words = text.lower().split()
    if not words:
        raise BadInput("--search needs a text, such as: allowance prices --search haiku")
    own = read_overrides(settings.prices) if settings.prices is not None else {}
    every = sorted({**dict.fromkeys(own), **catalogue.data.entries}, key=str.lower)
    names = [name for name in every if all(word in name.lower() for word in words)]
    if not names:
        near = catalogue.near(text)
        hint = f" The nearest: {', '.join(near)}." if near else ""
        raise BadInput(
            f"No name has {text[:80]!r} in it.{hint}\nTry less of it, such as: allowance prices --search gpt"
        )
    prices = ((name, own.get(name) or catalogue.find(name)) for name in names)
    if console.json:
        console.stream(as_dict(name, price) for name, price in prices)
        return Exit.DONE
    _print_names(list(prices), console)
    console.line()
    console.aside(
        f"{counted(len(names), 'name')}; US dollars per million tokens. More: allowance prices MODEL"
    )
    return Exit.DONE


def _print_names(prices: Sequence[tuple[str, Price]], console: Console) -> None:
    # The names come last, and are never cut: they are there to be copied.
    inputs = pointed(["-" if price.input is None else figure(price.input) for _, price in prices])
    outputs = pointed(["-" if price.output is None else figure(price.output) for _, price in prices])
    others = [_by_unit(price) for _, price in prices]
    wide, wider, widest = (max(map(len, cells), default=0) for cells in (inputs, outputs, others))
    wide, wider = max(wide, len("input")), max(wider, len("output"))
    head = f"{'input':>{wide}}  {'output':>{wider}}  {'otherwise' if widest else '':{widest}}"
    console.line(console.style(f"{head.rstrip()}  model", "dim"))
    for (name, _), into, out, other in zip(prices, inputs, outputs, others, strict=True):
        console.line(f"{into:>{wide}}  {out:>{wider}}  {f'{other:{widest}}  ' if widest else ''}{name}")


def _by_unit(price: Price) -> str:
    """What a model costs that is not billed by tokens."""
    if price.input is not None or price.output is not None:
        return ""
    return next((f"{line.usd} per {line.per}" for line in lines(price) if line.rate in PER_UNIT), "")
