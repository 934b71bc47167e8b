"""``allowance watch``: a live view that is drawn anew in place."""

from __future__ import annotations

import heapq
import json
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.commands.budgets import ALIGN, HEADERS, bar_width, part_of, row
from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import add_kind, open_manager
from allowance.cli.lookup import family_of
from allowance.cli.tables import Layout
from allowance.cli.words import cut, span, usd
from allowance.errors import StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from allowance.cli.output import Cell, Console
    from allowance.manager.budget_manager import BudgetManager
    from allowance.manager.records import BudgetStatus

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Show budgets as they change, those that are used up most first, until Ctrl-C ends it. In a
pipe each view is printed below the last one; with --json each is one line."""
EXAMPLES: Final = """
allowance watch
allowance watch alice --every 1
allowance watch --count 1
"""

_BEGIN: Final = "\x1b[?1049h\x1b[?25l"  # the other screen, and no cursor
_END: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"
_GLANCE: Final = 0.2  # seconds after which a resized window is noticed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, how often, how long."""
    parser.add_argument("user", metavar="USER", nargs="?", help="only this user, with the open calls")
    add_kind(parser)
    parser.add_argument("--every", metavar="SECONDS", default="2", help="between two views (default: 2)")
    parser.add_argument("--count", metavar="N", help="end after so many views")


def run(args: argparse.Namespace, console: Console) -> int:
    """Draw until it is interrupted, or --count is reached."""
    every = _read_number(args.every, "--every", least=0.1)
    count = None if args.count is None else round(_read_number(args.count, "--count", least=1))
    manager = open_manager(args, console)
    if args.user is not None:
        args.kind = args.kind or "user"
        family_of(manager, args)
    view = _View(manager, args, console)
    if console.json or not _redraws(console):
        for _ in _ticks(every, count, console):
            view.print()
        return Exit.DONE
    try:
        with _screen(console):
            for _ in _ticks(every, count, console):
                view.draw()
    except KeyboardInterrupt:
        pass  # the way to leave
    return Exit.DONE


class _View:
    """What is seen, and what was seen last, so that changes stand out."""

    def __init__(self, manager: BudgetManager, args: argparse.Namespace, console: Console) -> None:
        self._manager = manager
        self._user = args.user
        self._kind = args.kind
        self._console = console
        self._seen: dict[tuple[str, str, str], Any] = {}

    def print(self) -> None:
        """Below the last one."""
        console = self._console
        if console.json:
            statuses = list(self._statuses())
            now = datetime.now(UTC).isoformat()
            budgets = [status.as_dict() for status in statuses]
            console.stdout.write(json.dumps({"at": now, "budgets": budgets}) + "\n")
        else:
            console.stdout.write("\n".join(self._lines(height=None)) + "\n\n")
        console.flush()

    def draw(self) -> None:
        """In place of the last one, as large as the terminal is now."""
        console = self._console
        _, height = console.size
        try:
            lines = self._lines(height)
        except StoreError as error:  # it may come back: whoever watches wants to see that
            lines = [console.render(console.style(cut(f"No answer: {error}", console.width), "red"))]
        drawn = "".join(f"{line}{_REST_OF_LINE}\r\n" for line in lines[: height - 1])
        console.stdout.write(f"{_HOME}{drawn}{_REST_OF_SCREEN}")
        console.flush()

    def _statuses(self) -> Iterable[BudgetStatus]:
        if self._user is not None:
            return self._manager.status(self._user, kind=self._kind)
        return self._manager.statuses(kind=self._kind)

    def _lines(self, height: int | None) -> list[str]:
        console = self._console
        room = 100 if height is None else max(1, height - 5)
        statuses = list(self._statuses())
        first = heapq.nsmallest(room, statuses, key=_urgency)
        time_now = f"{datetime.now().astimezone():%H:%M:%S}"
        noun = "budget" if len(statuses) == 1 else "budgets"
        head = f"{time_now}  {len(statuses):,} {noun} of project {self._manager.project_name}"
        lines = [console.render(console.style(cut(head, console.width, console.ellipsis), "bold")), ""]
        lines += Layout(HEADERS, ALIGN).page([self._row(status) for status in first], console, first=True)
        self._seen = {
            (status.kind, status.user, status.label): (status.spent, status.held) for status in first
        }
        if len(first) < len(statuses):
            rest = f"and {len(statuses) - len(first):,} more, which are used less"
            lines.append(console.render(console.style(rest, "dim")))
        if self._user is not None:
            lines += self._open_calls()
        return lines

    def _row(self, status: BudgetStatus) -> tuple[Cell, ...]:
        console = self._console
        before = self._seen.get((status.kind, status.user, status.label))
        changed = before is not None and before != (status.spent, status.held)
        return row(status, console, bar_width(console), changed=changed)

    def _open_calls(self) -> list[str]:
        console = self._console
        now = datetime.now(UTC)
        rows: list[tuple[Cell, ...]] = [
            (
                hold.call_id,
                usd(hold.amount),
                span(now - hold.reserved_at),
                hold.model or "-",
                hold.owner or "-",
            )
            for hold in self._manager.holds(self._user, kind=self._kind)
            if not hold.unconfirmed
        ]
        if not rows:
            return ["", "No open calls."]
        layout = Layout(("open call", "held", "age", "model", "owner"), "i.rll")
        return ["", *layout.page(rows, console, first=True)]


def _urgency(status: BudgetStatus) -> tuple[float, str]:
    if status.limit is None:
        return 1.0, status.user
    return -part_of(status.spent + status.held, status.limit), status.user


@contextmanager
def _screen(console: Console) -> Iterator[None]:
    """The terminal's other screen without a cursor, and back whatever happens."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    console.stdout.write(_BEGIN)
    try:
        yield
    finally:
        console.stdout.write(_END)
        console.flush()
        signal.signal(signal.SIGTERM, before)


def _ticks(every: float, count: int | None, console: Console) -> Iterator[int]:
    """One for each view; early where the terminal was resized."""
    done = 0
    while True:
        size = console.size  # before it is drawn: what changes meanwhile is to be seen
        yield done
        done += 1
        if count is not None and done >= count:
            return
        end = time.monotonic() + every
        while (left := end - time.monotonic()) > 0 and (not _redraws(console) or console.size == size):
            time.sleep(min(left, _GLANCE) if _redraws(console) else left)


def _redraws(console: Console) -> bool:
    return console.terminal and console.moves


def _read_number(text: str, what: str, *, least: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number <= 86_400 * 365:
        raise BadInput(f"{what} must be a number, {least:g} at least, not {text[:40]!r}.")
    return number
