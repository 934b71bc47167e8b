"""``allowance quote``: what a call would cost. Nothing is sent or held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.price_sheet import as_dict, rule_in_words
from allowance.cli.requests_file import read_request
from allowance.cli.words import usd
from allowance.config import read_settings
from allowance.manager import make_books
from allowance.money import to_usd
from allowance.quotes.vocabularies import downloads_ended
from allowance.requests import Request

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Cell, Console
    from allowance.prices.price import Price
    from allowance.quotes.quote import Quote

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Show what a call would cost. Nothing is sent or held. FILE is a text, taken as one message of the "
    "user; or JSON: a list of messages, or a whole request (model, messages, max_tokens, tools, ...) as "
    "your program would send it."
)
EXAMPLES: Final = """
allowance quote --model gpt-4o --max-tokens 500 prompt.txt
allowance quote request.json
echo "Why is the sky blue?" | allowance quote --model claude-sonnet-4-5 -
allowance quote --model gpt-4o --input-tokens 20000 --max-tokens 500
"""

_PATIENCE: Final = 10.0  # seconds to wait for a vocabulary, which is fetched once
_MOST: Final = 10**9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The call."""
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the text or the JSON; - reads standard input"
    )
    parser.add_argument("--model", metavar="MODEL", help="the model, if the JSON does not name it")
    parser.add_argument("--max-tokens", metavar="N", help="the cap on the output of each reply")
    parser.add_argument("--n", metavar="N", help="how many replies are asked for")
    parser.add_argument("--input-tokens", metavar="N", help="so many tokens of input, in place of FILE")
    parser.add_argument(
        "--text", action="store_true", help="take FILE as a text, even where it looks like JSON"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the quote."""
    request = _request(args)
    books = make_books(read_settings({}))
    price = books.catalogue.find(request.model, provider=request.provider)
    quote = books.quoting.quote(request, price)
    if quote.note and downloads_ended(_PATIENCE):
        quote = books.quoting.quote(request, price)  # now that the vocabulary is there
    if console.json:
        console.data(_as_dict(quote, price, request))
    else:
        _show(quote, price, request, console)
    return Exit.DONE


def _request(args: argparse.Namespace) -> Request:
    tokens = _number(args.input_tokens, "--input-tokens", least=0)
    if (args.file is None) == (tokens is None):
        raise BadInput(
            "Give a FILE (- reads standard input), or --input-tokens N.\n"
            "For example: allowance quote --model gpt-4o --max-tokens 500 prompt.txt"
        )
    if tokens is not None:
        if not args.model:
            raise BadInput("Name the model: --model gpt-4o")
        request = Request("chat", args.model, token_ids=tokens, cap_name="max_tokens")
    else:
        request = read_request(args.file, args.model, as_text=args.text)
    cap, choices = _number(args.max_tokens, "--max-tokens"), _number(args.n, "--n")
    if cap is not None:
        request = request._replace(max_output=cap)
    return request if choices is None else request._replace(choices=choices)


def _number(text: str | None, what: str, *, least: int = 1) -> int | None:
    if text is None:
        return None
    plain = text.replace(",", "").replace("_", "")
    if not (plain.isascii() and plain.isdigit() and len(plain) < 12 and least <= int(plain) <= _MOST):
        raise BadInput(f"{what} must be a whole number from {least} to {_MOST:,}, not {text[:40]!r}.")
    return int(plain)


def _show(quote: Quote, price: Price, request: Request, console: Console) -> None:
    kind = "at most" if quote.bound else "about"
    console.line(console.style(f"{quote.model}: {kind} {usd(quote.projected)}", "bold"))
    console.fields(list(_fields(quote, price, request)))
    if quote.note:
        console.line()
        console.text(quote.note)


def _fields(quote: Quote, price: Price, request: Request) -> list[tuple[str, Cell]]:
    fields: list[tuple[str, Cell]] = [
        ("input", _input(quote, request)),
        ("output", _output(quote, request)),
        ("likely", usd(quote.expected_cost)),
    ]
    if quote.bound:
        fields.append(("at most", f"{usd(quote.projected)}, at the dearest rate that it could hit"))
    else:
        longest = "" if quote.capped else ", with the longest reply that the model gives"
        fields.append(("held", f"{usd(quote.projected)} before it is sent"))
        fields.append(("up to", f"{usd(to_usd(quote.ceiling))}{longest}"))
        fields.append(("no bound", quote.unbounded[0]))
        fields += [("", reason) for reason in quote.unbounded[1:]]
    found = f"{price.model or quote.model}: {rule_in_words(price.rule)}"
    fields.append(("price", found))
    if price.source:
        fields.append(("source", f"{price.source}{f' ({price.as_of})' if price.as_of else ''}"))
    return fields


def _input(quote: Quote, request: Request) -> str:
    if not request.texts:
        return f"{quote.input_tokens:,} tokens, as given"
    counted = "by their bytes" if quote.counted_by == "bytes" else f"with {quote.counted_by}"
    likely = ""
    if quote.likely_input_tokens != quote.input_tokens:
        likely = f" at most, likely {quote.likely_input_tokens:,}"
    return f"{quote.input_tokens:,} tokens{likely}, counted {counted}"


def _output(quote: Quote, request: Request) -> str:
    several = f", in {request.choices:,} replies" if request.choices > 1 else ""
    if quote.capped:
        return f"{quote.output_tokens:,} tokens at most{several}"
    return f"likely {quote.output_tokens:,} tokens, at most {quote.max_output_tokens:,}{several}"


def _as_dict(quote: Quote, price: Price, request: Request) -> dict[str, Any]:
    return {
        "model": quote.model,
        "bound": quote.bound,
        "projected": f"{quote.projected:f}",
        "expected": f"{quote.expected_cost:f}",
        "floor": f"{to_usd(quote.floor):f}",
        "ceiling": f"{to_usd(quote.ceiling):f}",
        "unbounded": list(quote.unbounded),
        "input_tokens": quote.input_tokens,
        "likely_input_tokens": quote.likely_input_tokens,
        "output_tokens": quote.output_tokens,
        "max_output_tokens": quote.max_output_tokens,
        "capped": quote.capped,
        "replies": request.choices,
        "counted_by": quote.counted_by,
        "note": quote.note,
        "price": as_dict(quote.model, price),
    }
