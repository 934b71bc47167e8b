"""``allowance why USER``: what stands in the way of a call, when it goes, and what helps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.commands.show import holds_table
from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_user, open_manager, read_text
from allowance.cli.lookup import family_of, of_kind
from allowance.cli.words import budget_name, moment, span, usd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from allowance.cli.output import Cell, Console
    from allowance.manager.records import BudgetAnswer, Explanation

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
    verdict, colour = ("Nothing stands in the way.", "green") if answer.fits else ("It does not fit.", "red")
    console.line(console.style(verdict, "bold", colour))
    console.text(answer.reason)
    console.line()
    console.table(
        ("budget", "limit", "spent", "held", "left", "needs", ""),
        [_row(budget, console) for budget in answer.budgets],
        "l.....l",
    )
    if answer.fits:
        return Exit.DONE
    if answer.holds:
        console.title("Open calls on these budgets")
        holds_table(answer.holds, console)
    helps = list(_helps(answer, args))
    if helps:
        console.title("What helps")
        for words, command in helps:
            console.line(f"  {words}", *([": ", console.style(command, "cyan")] if command else ["."]))
    return Exit.NO


def _row(answer: BudgetAnswer, console: Console) -> tuple[Cell, ...]:
    budget = answer.budget
    if not answer.applies:
        fits: Cell = "for other models"
    elif answer.fits:
        fits = console.style("fits", "green")
    else:
        fits = console.style("not now" if answer.temporary else "too little", "red")
    return (
        budget_name(budget.kind, budget.user, budget.label),
        usd(budget.limit),
        usd(budget.spent),
        usd(budget.held) if budget.held else "-",
        usd(budget.remaining, none="-"),
        usd(answer.needs) if answer.applies else "-",
        fits,
    )


def _helps(answer: Explanation, args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """What to do, and the command for it, the mildest first."""
    now = datetime.now(UTC)
    kind = of_kind(args.kind)
    if not answer.price_known:
        yield (
            "Give the model a price, in a JSON file named in ALLOWANCE_PRICES; see what is known",
            (f"allowance prices --search {args.model.rpartition('/')[2]}"),
        )
    if answer.fits_at is not None:
        when = "when open calls have ended" if answer.temporary else "when the window turns"
        yield f"Wait {span(answer.fits_at - now)}, until {moment(answer.fits_at)}, {when}", ""
    for hold in answer.holds:
        yield "If this call is dead, let its hold go", f"allowance release {hold.call_id}"
        break
    if args.max_tokens or args.model:
        yield "Ask for less output, with a lower max_tokens, or for a cheaper model", ""
    for one in answer.budgets:
        budget = one.budget
        if one.applies and not one.fits and budget.remaining is not None:
            label = f" --label {budget.label}" if budget.label else ""
            short = max(one.needs - budget.remaining, -budget.remaining)
            name = budget_name(budget.kind, budget.user, budget.label)
            if short > 0:
                yield f"Top {name} up", f"allowance add {budget.user} {short:f}{kind}{label}"
            else:
                yield f"Top {name} up", f"allowance add {budget.user} 1{kind}{label}"


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
