"""The commands, their common options, and help.

Only the module of the command that was named is imported: a command line must answer at once.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Protocol, cast

from allowance.cli.exits import BadInput
from allowance.cli.words import name_in_copies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.cli.output import Console

__all__ = ["COMMANDS", "Command", "CommandModule", "Invocation", "Parser", "parse"]


class Command(NamedTuple):
    """A command: the group it stands in, its module in `allowance.cli.commands`, and what it does."""

    group: str
    module: str
    about: str


COMMANDS: Final = {
    "budgets": Command("Look", "budgets", "all budgets: limit, spent, held, and when they reset"),
    "show": Command("Look", "show", "all about one user"),
    "why": Command("Look", "why", "why was this user's call refused, and what helps"),
    "report": Command("Look", "report", "what was spent, by user, model, day or tag"),
    "watch": Command("Look", "watch", "a live view of the budgets"),
    "set": Command("Change", "set", "make a budget, or change its limit; what was spent stays"),
    "add": Command("Change", "add", "top up a budget"),
    "reset": Command("Change", "reset", "bring what was spent back to zero"),
    "delete": Command("Change", "delete", "take a budget away"),
    "release": Command("Change", "release", "let go of what a call holds, or was charged at its term"),
    "quote": Command("Prices", "quote", "what a call would cost"),
    "prices": Command("Prices", "prices", "what a model costs, and where the price comes from"),
    "prices refresh": Command("Prices", "prices_refresh", "make a catalogue from a newer file of prices"),
    "import": Command("Data", "importing", "take over LiteLLM's user_cost.json"),
    "export": Command("Data", "exporting", "write budgets as LiteLLM's user_cost.json"),
    "serve": Command("Server", "serve", "serve budgets to other machines and programs"),
    "keys": Command("Server", "keys", "who may ask a server"),
    "keys add": Command("Server", "keys_add", "make a key; its token is printed once"),
    "keys list": Command("Server", "keys_list", "a server's keys, without their tokens"),
    "keys rotate": Command("Server", "keys_rotate", "a new token; the old one works for a while"),
    "keys revoke": Command("Server", "keys_revoke", "take a key away, within a second"),
    "sweep": Command("Server", "sweep", "do a server's background job once, from cron"),
    "audit": Command("Health", "audit", "recount every budget from its ledger"),
    "doctor": Command("Health", "doctor", "look for what is wrong with this installation"),
}

_VALUED: Final = ("--store", "--project")
_NEVER_EMPTY: Final = ("store", "project", "kind", "model")  # an empty shell variable, most likely
_INTRODUCTION: Final = "allowance: budgets for calls to language models."


class CommandModule(Protocol):
    """What the module of a command has."""

    ABOUT: str
    """What the command does, in a sentence or two, for its help."""
    EXAMPLES: str
    """Lines to copy."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what the command takes to the common options."""
        ...

    def run(self, args: argparse.Namespace, console: Console) -> int:
        """Do it, and return the exit code."""
        ...


class Invocation(NamedTuple):
    """A command that is to be run, and what was typed for it."""

    command: CommandModule
    args: argparse.Namespace


class Parser(argparse.ArgumentParser):
    """Parses one command; what cannot be parsed is told in our words."""

    words: Sequence[str] = ()
    """What is parsed."""

    def error(self, message: str) -> NoReturn:
        """Raise `BadInput`, where argparse would print its usage and exit."""
        raise BadInput(
            f"{_in_our_words(message)}\n{_of_dashes(self.words, self.prog)}See: {self.prog} --help"
        )


def parse(argv: Sequence[str], console: Console) -> Invocation | None:
    """Read the command line; None where help or the version was asked for, and was printed.

    Raises:
        BadInput: with what to type in its place.
    """
    if any("\udc80" <= character <= "\udcff" for word in argv for character in word):
        raise BadInput("An argument is not text in this terminal's encoding.")
    name, rest = _split(argv)
    if name is None:
        _without_command(rest, console)
        return None
    if name == "help":
        name, rest = _split(rest)
        if name is None:
            _overview(console)
            return None
        rest = ["--help"]
    if name not in COMMANDS:
        raise BadInput(_no_command(name))
    module = _module(COMMANDS[name])
    parser = _parser(name, module, console)
    if {"-h", "--help"} & set(rest[: rest.index("--")] if "--" in rest else rest):
        console.stdout.write(parser.format_help())
        return None
    parser.words = rest
    args = parser.parse_args(rest)
    name_in_copies(store=args.store, project=args.project)
    for option in _NEVER_EMPTY:
        if getattr(args, option, None) == "":
            raise BadInput(f"--{option} is empty: give it a value, or leave it out.")
    return Invocation(module, args)


def _split(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The command's name, and all other words; common options may stand before it."""
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] in _VALUED else 1
    if place >= len(argv):
        return None, list(argv)
    two = " ".join(argv[place : place + 2])
    name = two if two in COMMANDS else argv[place]
    return name, [*argv[:place], *argv[place + len(name.split(" ")) :]]


def _module(command: Command) -> CommandModule:
    return cast("CommandModule", import_module(f"allowance.cli.commands.{command.module}"))


def _parser(name: str, module: CommandModule, console: Console) -> Parser:
    parser = Parser(
        prog=f"allowance {name}",
        description=textwrap.fill(" ".join(module.ABOUT.split()), console.width - 2),
        epilog=f"examples:\n{_indented(module.EXAMPLES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    _add_common(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("options of every command")
    common.add_argument("--store", metavar="URL", help="the store, such as sqlite:////var/lib/allowance.db")
    common.add_argument("--project", metavar="NAME", help="whose users these are")
    common.add_argument("--json", action="store_true", help="print JSON, with exact amounts")
    common.add_argument("--no-color", action="store_true", help="no colours; NO_COLOR=1 does the same")


def _without_command(words: Sequence[str], console: Console) -> None:
    if "--version" in words:
        from allowance import __version__

        console.line(f"allowance {__version__}")
        return
    parser = Parser(prog="allowance", add_help=False, allow_abbrev=False)
    _add_common(parser)
    parser.add_argument("-h", "--help", action="store_true")
    parser.parse_args(list(words))
    _overview(console)


def _overview(console: Console) -> None:
    console.line(_INTRODUCTION)
    longest = max(map(len, COMMANDS))
    groups: dict[str, list[str]] = {}
    for name, command in COMMANDS.items():
        groups.setdefault(command.group, []).append(name)
    for group, names in groups.items():
        console.title(group)
        for name in names:
            console.line("  ", console.style(name.ljust(longest), "cyan"), "  ", COMMANDS[name].about)
    console.line()
    console.line("Begin:      allowance set alice --limit 5 --duration monthly")
    console.line("Look:       allowance budgets")
    console.line("More:       allowance COMMAND --help, with examples")


def _no_command(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1, cutoff=0.6)
    guess = f" Did you mean: allowance {near[0]}" if near else ""
    return f"There is no command {name[:40]!r}.{guess or ' See: allowance --help'}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def _of_dashes(words: Sequence[str], program: str) -> str:
    """A line on names that begin with a dash, if one was typed as if it were an option."""
    if not any(re.match(r"-[^-]", word) for word in words):
        return ""
    return f"A name that begins with - stands last, after --, as in: {program} -- -alice\n"


_TRANSLATIONS: Final = (
    (r"the following arguments are required: (.+)", r"Missing: \1."),
    (r"unrecognized arguments: (.+)", r"Not understood: \1."),
    (r"argument ([^:]+): expected (?:one|at least one) argument", r"\1 needs a value."),
    (r"argument ([^:]+): invalid choice: (.+) \(choose from (.+)\)", r"\1 cannot be \2: choose from \3."),
    (r"argument ([^:]+): invalid \w+ value: (.+)", r"\1 cannot be \2."),
    (r"argument ([^:]+): ignored explicit argument .*", r"\1 takes no value."),
    (r"argument ([^:]+): (.+)", r"\1: \2"),
    (r"one of the arguments (.+) is required", r"Give one of: \1."),
)


def _in_our_words(message: str) -> str:
    for pattern, words in _TRANSLATIONS:
        if match := re.fullmatch(pattern, message, re.DOTALL):
            return match.expand(words)
    return message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")
