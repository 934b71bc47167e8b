"""What people type: stores, amounts, times, durations, files."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from allowance.cli.exits import BadInput
from allowance.cli.words import to_copy
from allowance.errors import ConfigurationError
from allowance.money import to_nanos, to_usd

if TYPE_CHECKING:
    import argparse
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from allowance.cli.output import Console
    from allowance.manager.budget_manager import BudgetManager
    from allowance.stores.base import Store

__all__ = [
    "add_kind",
    "add_user",
    "confirm",
    "open_manager",
    "open_store_of",
    "path_of",
    "project_of",
    "read_amount",
    "read_limit",
    "read_moment",
    "read_text",
    "store_url",
]

_THOUSANDS: Final = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:_\d+)*(\.\d*)?([eE][-+]?\d{1,2})?|\.\d+", re.ASCII)
_AGO: Final = re.compile(r"(\d{1,6})(s|m|h|d|w)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def add_user(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add USER, and ``--kind`` for budgets of teams and the like."""
    parser.add_argument("user", metavar="USER", nargs="?" if optional else None, help="whose budget")
    add_kind(parser, default="user")


def add_kind(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Add ``--kind``."""
    shown = f" (default: {default})" if default else ""
    parser.add_argument("--kind", metavar="KIND", default=default, help=f"user, team, ...{shown}")


def store_url(args: argparse.Namespace) -> str | Store:
    """The store that was named: by an option, by ``ALLOWANCE_STORE``, else the default file."""
    from allowance.stores.open import default_url

    return args.store or os.environ.get("ALLOWANCE_STORE") or default_url()


def project_of(args: argparse.Namespace) -> str:
    """The project that was named: by an option, by ``ALLOWANCE_PROJECT``, else the default."""
    return args.project or os.environ.get("ALLOWANCE_PROJECT") or "default"


def open_store_of(args: argparse.Namespace, console: Console, *, making: bool = False) -> Store:
    """The store that was named. Only with ``making`` a file that is not there is made.

    Raises:
        BadInput: there is no such file.
        ConfigurationError: the URL names no store.
        StoreUnavailableError, StoreCorruptError: it cannot be used.
    """
    from allowance.manager.configuring import configured
    from allowance.stores.open import is_hosted, open_store

    asked = store_url(args)
    if isinstance(asked, str):
        if "://" not in asked:
            path = os.path.abspath(os.path.expanduser(asked))
            raise BadInput(f"{asked!r} is no store's URL. For a file: --store sqlite:///{path}")
        if asked == "memory://":
            console.note("Note: memory:// is a new store that is forgotten when this command ends.")
        path = path_of(asked) or ""
        if "\0" in path:
            raise BadInput(
                "--store names no file: there is a NUL in its path. For example: sqlite:////tmp/a.db"
            )
        if path and not making and _is_missing(path) and _is_missing(path + "-wal"):
            make = to_copy("set", "alice", options=("--limit", "5", "--duration", "monthly"))
            raise BadInput(
                f"There are no budgets yet: the file {path} does not exist.\n"
                f"Make the first: {make}\n"
                "Or name the store that your program uses: --store URL, or ALLOWANCE_STORE."
            )
    insecure = is_hosted(asked) and configured().allow_insecure
    return open_store(asked, allow_insecure=insecure)


def path_of(url: str) -> str | None:
    """The path of a file store; None for any other."""
    rest = url.removeprefix("sqlite:///")
    return None if rest == url or not rest else os.path.expanduser(unquote(rest))


def _is_missing(path: str) -> bool:
    """Whether there is no such file; of one that may not be looked for, the store knows more to say."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def open_manager(args: argparse.Namespace, console: Console, *, making: bool = False) -> BudgetManager:
    """A manager of the store and the project that were named; see `open_store_of`."""
    from allowance.manager.budget_manager import BudgetManager

    return BudgetManager(project_of(args), store=open_store_of(args, console, making=making))


def read_amount(text: str, what: str = "The amount") -> Decimal:
    """An amount of US dollars: ``5``, ``$5``, ``0.25``, ``1,000``.

    Raises:
        BadInput: it is none, is negative, or is more than a billion.
    """
    plain = text.strip().removeprefix("$").strip()
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        if plain.startswith("-") or text.strip().startswith("-"):
            raise BadInput(f"{what} must not be negative: {text!r}.")
        raise BadInput(f"{what} must be US dollars such as 5, 0.25 or 1,000, not {text[:40]!r}.")
    try:
        return to_usd(to_nanos(plain))
    except ConfigurationError:
        raise BadInput(f"{what} must be 0 to 1,000,000,000 US dollars, not {text[:40]!r}.") from None


def read_limit(text: str) -> Decimal | None:
    """A limit: an amount, or ``none`` for a budget that only counts."""
    return None if text.strip().lower() == "none" else read_amount(text, "--limit")


def read_moment(text: str, what: str, *, past: bool = False, zone: ZoneInfo | None = None) -> datetime:
    """A time: an ISO date or date and time, or ``7d`` from now.

    What names no zone is of ``zone``, or of this machine's. With ``past``, ``7d`` is so long ago. A
    date alone is the midnight with which it begins; an hour that the clock leaves out is the one after it.

    Raises:
        BadInput: with examples.
    """
    from allowance.manager.times import to_micros

    now = datetime.now(UTC)
    try:
        if match := _AGO.fullmatch(text.strip()):
            length = timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
            when = now - length if past else now + length
        else:
            when = datetime.fromisoformat(text.strip())
            if when.tzinfo is None:
                # Not astimezone(): it goes wrong by an hour where the clock leaves the hour out.
                when = when.replace(tzinfo=zone) if zone else datetime.fromtimestamp(when.timestamp(), UTC)
        to_micros(when, what=what)
    except (ValueError, OverflowError, OSError, ConfigurationError):
        relative = "7d (seven days ago)" if past else "7d (in seven days)"
        raise BadInput(
            f"{what} must be a date or a time, not {text[:40]!r}. "
            f"For example: {now.year}-12-01, {now.year}-12-01T09:30, {relative}, 12h."
        ) from None
    return when


def read_text(path: str) -> str:
    """The text of a file, or with ``-`` of standard input.

    Raises:
        BadInput: it cannot be read, or is no UTF-8.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read().decode()
        with open(path, "rb") as file:
            return file.read().decode()
    except OSError as error:
        raise BadInput(f"The file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        what = "Standard input" if path == "-" else f"The file {path}"
        raise BadInput(f"{what} is not text in UTF-8.") from None


def confirm(args: argparse.Namespace, console: Console, deed: str) -> bool:
    """Whether it is to be done: ``--yes`` says so, or the terminal is asked. ``deed`` is "reset alice".

    Raises:
        BadInput: there is no terminal to ask, and no ``--yes``.
    """
    if args.yes:
        return True
    if not (sys.stdin.isatty() and console.stderr.isatty()):
        raise BadInput(f"This would {deed}. There is no terminal to confirm it on: add --yes.")
    return console.confirmed(f"{deed[:1].upper()}{deed[1:]}?")
