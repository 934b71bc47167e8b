"""``allowance why USER``: what stands in the way of a call, when it goes, and what helps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.commands.show import holds_table
from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_user, open_manager, read_text
from allowance.cli.lookup import family_of, of_kind, of_label
from allowance.cli.words import about_usd, budget_name, moment, span, to_copy, usd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from allowance.cli.output import Cell, Console
    from allowance.manager.records import BudgetAnswer, Explanation, HoldStatus

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Say why a user's call is refused now, when that ends, and what helps. Nothing is sent or
held. Without --model the question is whether anything is left at all. Exits 0 if nothing stands in
the way, 1 if something does."""
EXAMPLES: Final = """
allowance why alice
allowance why alice --model gpt-4o --max-tokens 500
allowance why alice --model gpt-4o --input prompt.txt
some-program | allowance why alice --model gpt-4o --input -
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose call, and which."""
    add_user(parser)
    parser.add_argument("--model", metavar="M", help="the model that the call names")
    parser.add_argument("--max-tokens", metavar="N", help="the call's output cap")
    parser.add_argument(
        "--input",
        metavar="FILE",
        help="what is sent: a text, or JSON messages; - reads standard input",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Explain."""
    if not args.model and (args.max_tokens or args.input):
        raise BadInput(
            "--max-tokens and --input are of a call: name its --model too, such as --model gpt-4o."
        )
    cap = _read_cap(args.max_tokens)
    messages = None if args.input is None else _read_messages(args.input)
    manager = open_manager(args, console)
    family_of(manager, args)
    answer = manager.explain(args.user, model=args.model, messages=messages, max_tokens=cap, kind=args.kind)
    if console.json:
        console.data(answer.as_dict())
        return Exit.DONE if answer.fits else Exit.NO
    if not answer.fits:
        console.line(console.style(_headline(answer), "bold", "red"))
    console.text(answer.reason)
    console.line()
    _show_budgets(answer, console)
    if answer.fits:
        return Exit.DONE
    if answer.holds:
        console.title("Open calls on these budgets")
        holds_table(answer.holds, console)
    console.title("What helps")
    expired = [hold for hold in manager.holds(args.user, kind=args.kind) if hold.unconfirmed]
    for words, command in _helps(answer, expired):
        console.text(f"{words}{':' if command else '.'}", indent="  ")
        if command:
            console.line("    ", console.style(command, "cyan"))
    return Exit.NO


def _headline(answer: Explanation) -> str:
    if answer.temporary:
        return "Not now: open calls hold what is left."
    return "This call does not fit." if answer.model else "Nothing is left."


def _show_budgets(answer: Explanation, console: Console) -> None:
    headers, align = ["budget", "limit", "spent", "held", "left", "needs", ""], "l.....i"
    rows = [_row(budget, console, priced=answer.price_known) for budget in answer.budgets]
    if answer.model is None:  # then nothing is needed but that something is left
        headers, align = [*headers[:5], headers[6]], "l....i"
        rows = [[*row[:5], row[6]] for row in rows]
    console.table(headers, rows, align)


def _row(answer: BudgetAnswer, console: Console, *, priced: bool) -> list[Cell]:
    budget = answer.budget
    if not answer.applies:
        fits: Cell = "other models"
    elif answer.fits:
        fits = console.style("fits", "green")
    else:
        why = "not now" if answer.temporary else "too little" if priced else "no price"
        fits = console.style(why, "red")
    return [
        budget_name(budget.kind, budget.user, budget.label),
        about_usd(budget.limit),
        about_usd(budget.spent),
        about_usd(budget.held) if budget.held else "-",
        about_usd(budget.remaining, none="-"),
        about_usd(answer.needs) if answer.applies else "-",
        fits,
    ]


def _helps(answer: Explanation, expired: Sequence[HoldStatus]) -> Iterator[tuple[str, str]]:
    """What to do, and the command for it, the mildest first."""
    if not answer.price_known:
        model = (answer.model or "").rpartition("/")[2].partition("-")[0]
        yield "See under which names prices are known", to_copy("prices", options=("--search", model))
        yield "Or give the model a price, in a JSON file that ALLOWANCE_PRICES names", ""
        return
    if answer.fits_at is not None:
        when = "when open calls have ended" if answer.temporary else "when the window turns"
        wait = span(answer.fits_at - datetime.now(UTC))
        yield f"Wait {wait}, until {moment(answer.fits_at)}, {when}", ""
    if answer.model is not None:
        yield "Let the call have a lower max_tokens, or a cheaper model", ""
    if answer.temporary and answer.holds:
        hold = answer.holds[0]
        owner = f" ({hold.owner})" if hold.owner else ""
        yield f"If the process{owner} of an open call is dead", to_copy("release", hold.call_id)
    if expired:
        charged = usd(sum((hold.charged for hold in expired), Decimal(0)))
        known = f"{charged} were charged for calls of which no word came; if one was never sent"
        yield known, to_copy("release", expired[-1].call_id)
    for one in answer.budgets:
        if one.applies and not one.fits:
            yield _more(one)


def _more(answer: BudgetAnswer) -> tuple[str, str]:
    budget = answer.budget
    of = (*of_kind(budget.kind), *of_label(budget.label))
    if not budget.limit:
        name = budget_name(budget.kind, budget.user, budget.label)
        return f"Give {name} a limit", to_copy("set", budget.user, options=("--limit", "5", *of))
    short = answer.needs - (budget.remaining or Decimal(0))
    name = budget_name(budget.kind, budget.user, budget.label)
    # To the next cent: who tops up a nano-dollar will be back at once.
    cents = short.quantize(Decimal("0.01"), rounding=ROUND_CEILING)
    return f"Let {name} spend more", to_copy("add", budget.user, f"{cents:f}", options=of)


def _read_cap(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) < 10**9):
        raise BadInput(f"--max-tokens must be a whole number above zero such as 500, not {text[:40]!r}.")
    return int(text)


def _read_messages(path: str) -> Any:
    """A JSON array of messages as it is; anything else is the text of one."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass  # a text that begins with a bracket
    return [{"role": "user", "content": text}]
