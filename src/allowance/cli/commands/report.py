"""``allowance report``: what was spent, by user, model, day or tag."""

from __future__ import annotations

import csv
import os
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_kind, open_manager, read_moment
from allowance.cli.words import clean, moment, to_copy, usd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from datetime import datetime

    from allowance.cli.output import Cell, Console
    from allowance.manager.records import ReportRow

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = "Show what was spent: by user, by model, by day or by tag."
EXAMPLES: Final = """
allowance report --by model --since 7d
allowance report --by day --since 2026-11-01 --until 2026-12-01
allowance report --by user --kind team --format csv > teams.csv

In CSV, a name that a spreadsheet would take for a formula, because it begins
with = + - or @, has a ' before it. JSON has all names and amounts exactly.
"""

_COLUMNS: Final = ("calls", "input_tokens", "output_tokens", "spent", "unconfirmed")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NAMELESS: Final = {"user": "(no user)", "model": "(no model)", "day": "(no day)", "tag": "(no tag)"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to sum up, of which time, and how to print it."""
    parser.add_argument("--by", choices=("user", "model", "day", "tag"), default="user", help="default: user")
    parser.add_argument("--since", metavar="TIME", help="calls from then on: 2026-11-01, 7d (seven days ago)")
    parser.add_argument("--until", metavar="TIME", help="calls before then")
    add_kind(parser, default="user")
    parser.add_argument("--timezone", metavar="ZONE", help="of days and dates (default: this machine's)")
    parser.add_argument("--format", choices=("table", "csv", "json"), help="default: table; --json is json")


def run(args: argparse.Namespace, console: Console) -> int:
    """Sum up and print."""
    kind_of_output = "json" if console.json else args.format or "table"
    zone = _zone(args.timezone)
    since = None if args.since is None else read_moment(args.since, "--since", past=True, zone=zone)
    until = None if args.until is None else read_moment(args.until, "--until", past=True, zone=zone)
    if since is not None and until is not None and since >= until:
        raise BadInput(
            f"--since {args.since} is not before --until {args.until}: no time is left between them."
        )
    manager = open_manager(args, console)
    with console.progress(None, "Reading the ledger") as progress:
        rows = manager.report(
            args.by, since=since, until=until, kind=args.kind, timezone=zone.key, progress=progress
        )
    if kind_of_output == "json":
        console.data(_as_dict(args, rows, since, until, zone))
    elif kind_of_output == "csv":
        _print_csv(args.by, rows, console)
    else:
        _print_table(args, rows, console, manager.project_name, _period(since, until, args.by, zone))
    return Exit.DONE


def _zone(name: str | None) -> ZoneInfo:
    if name is None:
        return local_zone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(
            f"--timezone must be an IANA name such as Europe/Berlin or UTC, not {name[:40]!r}."
        ) from None


def local_zone() -> ZoneInfo:
    """This machine's zone by its IANA name; UTC where that cannot be told."""
    named = os.environ.get("TZ", "").removeprefix(":")
    linked = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    for name in (named, linked):
        try:
            if name:
                return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def _print_table(
    args: argparse.Namespace, rows: Sequence[ReportRow], console: Console, project: str, period: str
) -> None:
    if not rows:
        console.text(f"Nothing was spent by budgets of kind {args.kind!r} in project {project!r}, {period}.")
        console.line(f"Which budgets there are: {to_copy('budgets')}")
        return
    unsure = any(row.unconfirmed for row in rows)
    headers = [args.by, "calls", "tokens in", "tokens out", "spent", *(["unconfirmed"] if unsure else [])]
    shown: list[Sequence[Cell]] = [_cells(row.name or _NAMELESS[args.by], row, unsure=unsure) for row in rows]
    if args.by != "tag":
        total = _cells("total", _total(rows), unsure=unsure)
        shown.append([console.style(cell, "bold") for cell in total])
    console.table(headers, shown, "lrrr." + ("." if unsure else ""))
    console.line()
    if args.by == "tag":
        console.text(
            "A call with several tags counts under each, so the rows may add up to more than was spent."
        )
    console.aside(f"project {project}, {period}")


def _cells(name: str, row: ReportRow, *, unsure: bool) -> list[str]:
    tokens = (f"{row.input_tokens:,}", f"{row.output_tokens:,}")
    return [name, f"{row.calls:,}", *tokens, usd(row.spent), *([usd(row.unconfirmed)] if unsure else [])]


def _total(rows: Sequence[ReportRow]) -> ReportRow:
    from allowance.manager.records import ReportRow

    return ReportRow(
        name="",
        spent=sum((row.spent for row in rows), Decimal(0)),
        calls=sum(row.calls for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        unconfirmed=sum((row.unconfirmed for row in rows), Decimal(0)),
    )


def _period(since: datetime | None, until: datetime | None, by: str, zone: ZoneInfo) -> str:
    begin = "since the beginning" if since is None else f"since {moment(since)}"
    end = "" if until is None else f", until {moment(until)}"
    days = f", days in {zone.key}" if by == "day" else ""
    return f"{begin}{end}{days}"


def _print_csv(by: str, rows: Sequence[ReportRow], console: Console) -> None:
    writer = csv.writer(console.stdout, lineterminator="\n")
    writer.writerow([by, *_COLUMNS])
    for row in rows:
        amounts = (f"{row.spent:f}", f"{row.unconfirmed:f}")
        writer.writerow([_no_formula(row.name), row.calls, row.input_tokens, row.output_tokens, *amounts])


def _no_formula(name: str) -> str:
    """A name that no spreadsheet runs: names come from users, and a file from here is trusted."""
    shown = clean(name)
    # Some read the wide forms of = + - and @ as the plain ones.
    begin = unicodedata.normalize("NFKC", name.lstrip()[:1])
    return f"'{shown}" if name.startswith(_FORMULA) or begin.startswith(_FORMULA) else shown


def _as_dict(
    args: argparse.Namespace,
    rows: Sequence[ReportRow],
    since: datetime | None,
    until: datetime | None,
    zone: ZoneInfo,
) -> dict[str, Any]:
    total = _total(rows).as_dict()
    del total["name"]
    return {
        "by": args.by,
        "kind": args.kind,
        "since": None if since is None else since.isoformat(),
        "until": None if until is None else until.isoformat(),
        "timezone": zone.key,
        "rows": [row.as_dict() for row in rows],
        # A call with several tags stands in several rows.
        "total": None if args.by == "tag" else total,
    }
