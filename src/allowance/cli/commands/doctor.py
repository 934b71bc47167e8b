"""``allowance doctor``: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from allowance.cli.checks.machine import machine_checks
from allowance.cli.checks.prices import price_checks
from allowance.cli.checks.sdks import sdk_checks
from allowance.cli.checks.settings import cap_checks, settings_check, settings_in_force
from allowance.cli.checks.store import store_checks
from allowance.cli.exits import Exit
from allowance.cli.words import counted
from allowance.config import Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from allowance.cli.checks.check import Check
    from allowance.cli.checks.settings import Setting
    from allowance.cli.output import Console

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Look for what is wrong: versions, the store, prices, vocabularies, SDKs, settings. It makes and "
    "changes nothing. Exits 1 if there is a problem; notes are worth knowing, and harmless."
)
EXAMPLES: Final = """
allowance doctor
allowance doctor --quick                     without importing the SDKs
allowance doctor --store sqlite:////var/lib/app/budgets.db
allowance doctor --json | jq '.checks[] | select(.state != "ok")'
"""

_SDKS: Final = "SDKs"
_LONGEST_NAME: Final = 13
_COLOURS: Final = {"ok": "green", "note": "yellow", "problem": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How thorough it is."""
    parser.add_argument(
        "--quick",
        action="store_true",
        help="do not import the SDKs, and do not look at the file's every page",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Look, and tell as it goes."""
    given = {name: getattr(args, name) for name in ("store", "project") if getattr(args, name)}
    settings, wrong = settings_check(given)
    known = settings or Settings(**given)
    groups: list[tuple[str, Iterable[Check]]] = [
        ("this machine", machine_checks()),
        ("store", store_checks(known, quick=args.quick)),
        ("prices and vocabularies", price_checks(known)),
        (_SDKS, sdk_checks(quick=args.quick)),
        ("settings", [*wrong, *cap_checks()]),
    ]
    in_force = list(settings_in_force(known, given))
    if console.json:
        return _print_json(groups, in_force, console, quick=args.quick)
    found: list[Check] = []
    for title, checks in groups:
        if found:
            console.line()
        console.line(console.style(title, "bold"))
        for check in _looked_at(checks, title, console, quick=args.quick):
            _print_check(check, console)
            found.append(check)
    console.line()
    console.fields([(setting.name, f"{setting.value}{_origin(setting)}") for setting in in_force])
    return _conclude(found, console)


def _looked_at(checks: Iterable[Check], what: str, console: Console, *, quick: bool) -> list[Check]:
    """The checks, all made before any is printed: what shows how far it is goes away before."""
    console.flush()
    made = []
    slow = what == _SDKS and not quick
    hint = "; --quick leaves them out" if slow else ""
    with console.progress(None, f"Looking at {what}{hint}", patience=0 if slow else None) as progress:
        progress(0)
        for check in checks:
            made.append(check)
            progress.advance()
    return made


def _print_check(check: Check, console: Console) -> None:
    import textwrap

    margin = " " * (len(f"  {check.state:7}  ") + _LONGEST_NAME + 2)
    texts = [check.text, *([f"-> {check.remedy}"] if check.remedy else [])]
    lines = [
        line
        for text in texts
        for line in textwrap.wrap(
            text, console.width - len(margin) - 1, break_long_words=False, break_on_hyphens=False
        )
    ]
    state = console.style(f"{check.state:7}", _COLOURS[check.state])
    console.line("  ", state, f"  {check.name.ljust(_LONGEST_NAME)}  {lines[0]}")
    for line in lines[1:]:
        console.line(margin, line)


def _origin(setting: Setting) -> str:
    return "" if setting.origin == "default" else f"  (from {setting.origin})"


def _conclude(found: list[Check], console: Console) -> int:
    problems = sum(check.state == "problem" for check in found)
    notes = sum(check.state == "note" for check in found)
    told = f"{counted(notes, 'note')}." if notes else "Nothing to note."
    console.line()
    if problems:
        console.line(console.style(f"{counted(problems, 'problem')}", "red"), f" to mend. {told}")
        return Exit.NO
    console.line(console.style("No problems.", "green"), f" {told}")
    return Exit.DONE


def _print_json(
    groups: Iterable[tuple[str, Iterable[Check]]],
    in_force: Iterable[Setting],
    console: Console,
    *,
    quick: bool,
) -> int:
    checks = [
        {"group": group, **check._asdict()}
        for group, found in groups
        for check in _looked_at(found, group, console, quick=quick)
    ]
    problems = sum(check["state"] == "problem" for check in checks)
    answer: dict[str, Any] = {
        "problems": problems,
        "checks": checks,
        "settings": [setting._asdict() for setting in in_force],
    }
    console.data(answer)
    return Exit.NO if problems else Exit.DONE
