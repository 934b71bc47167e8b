"""What commands print: lines, tables, bars and JSON, fitted to the terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO, TypeAlias

from allowance.cli.words import clean, cut, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from allowance.cli.progress import Progress

__all__ = ["Cell", "Console", "Styled"]

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_DUMB: Final = ("", "dumb")
_NARROWEST: Final = 20
_PAGE: Final = 500


class Styled(NamedTuple):
    """A text, and how it looks where there is colour."""

    text: str
    styles: tuple[str, ...]


Cell: TypeAlias = str | Styled
"""A piece of a line. Its control characters are written out when it is shown."""


class Console:
    """Where a command prints.

    Attributes:
        json: whether the answer is to be JSON; a command then prints with `data` or `stream` alone.
        terminal: whether standard output is a terminal.
        width: columns of a line: the terminal's, or ``COLUMNS``, or 80.
        colour: whether texts are coloured: on a terminal that can, and not with ``NO_COLOR`` or JSON.
        unicode: whether the output's encoding can say "█" and "…".
    """

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self.stdout = stdout
        self.stderr = stderr
        for stream in (stdout, stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self.json = False
        self.terminal = stdout.isatty()
        self.unicode = _can_say(stdout, "█▒░…·")
        self.colour = False

    def configure(self, *, json: bool, colour: bool) -> None:
        """Apply the options that every command has."""
        self.json = json
        self.colour = self.terminal and self.moves and colour and not json and not os.environ.get("NO_COLOR")

    @property
    def moves(self) -> bool:
        """Whether a terminal can draw in place of what it shows."""
        return os.environ.get("TERM", "") not in _DUMB

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        columns, lines = shutil.get_terminal_size((80, 24))
        return max(_NARROWEST, columns), max(4, lines)

    @property
    def width(self) -> int:
        """Columns of a line, as they are now."""
        return self.size[0]

    @property
    def cuts(self) -> bool:
        """Whether a text too long for its column is cut: not in a pipe, where the next program reads it."""
        return self.terminal or bool(os.environ.get("COLUMNS"))

    @property
    def ellipsis(self) -> str:
        """The sign that something was cut off."""
        return "…" if self.unicode else "..."

    def style(self, text: str, *styles: str) -> Styled:
        """A text with styles: ``"bold"``, ``"dim"``, ``"red"``, ``"green"``, ``"yellow"``, ``"cyan"``."""
        return Styled(text, styles)

    def render(self, *pieces: Cell) -> str:
        """Pieces as one line of text, for the terminal there is."""
        shown = []
        for piece in pieces:
            text, styles = piece if isinstance(piece, Styled) else (piece, ())
            text = clean(text)
            if self.colour and styles and text:
                text = f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"
            shown.append(text)
        return "".join(shown)

    def line(self, *pieces: Cell) -> None:
        """Print one line of pieces, as long as it is."""
        self.stdout.write(self.render(*pieces).rstrip(" ") + "\n")

    def text(self, *paragraphs: str, indent: str = "", then: str | None = None) -> None:
        """Print paragraphs, wrapped to the width; lines after the first begin with ``then``."""
        import textwrap

        for paragraph in paragraphs:
            wrapped = textwrap.wrap(
                clean(paragraph),
                self.width - 1,
                initial_indent=indent,
                subsequent_indent=indent if then is None else then,
                break_long_words=False,
                break_on_hyphens=False,
            )
            self.stdout.write("\n".join(wrapped or [""]) + "\n")

    def aside(self, text: str) -> None:
        """Print a line of lesser weight, cut where it is too long for the terminal."""
        text = clean(text)
        self.line(self.style(cut(text, self.width, self.ellipsis) if self.cuts else text, "dim"))

    def title(self, text: str) -> None:
        """Print an empty line, and what comes below it."""
        self.line()
        self.line(self.style(text, "bold"))

    def fields(self, pairs: Iterable[tuple[str, Cell]], *, indent: str = "  ") -> None:
        """Print names and values in two columns; a long value goes on below itself."""
        pairs = list(pairs)
        longest = max((width_of(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            head = f"{indent}{name.ljust(longest)}  "
            if isinstance(value, str) and len(head) + width_of(value) > self.width:
                self.text(value, indent=head, then=" " * len(head))
            else:
                self.line(indent, self.style(name.ljust(longest), "dim"), "  ", value)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]], align: str = "") -> int:
        """Print rows under headers; returns how many there were. Rows are taken in pages of 500.

        ``align`` has a letter for each column: ``l`` a text, which is cut where the line would be too long;
        ``i`` an id, to the left, never cut; ``r`` to the right, never cut; ``.`` an amount, aligned at its
        point, never cut; ``b`` a bar, of which only the end is left where there is no room. Where even that
        is too wide, each row is printed as fields.
        """
        from allowance.cli.tables import Layout

        layout = Layout(headers, align or "l" * len(headers))
        rows = iter(rows)
        count = 0
        while page := list(islice(rows, _PAGE)):
            for line in layout.page(page, self, first=count == 0):
                self.stdout.write(line + "\n")
            count += len(page)
        return count

    def bar(self, part: float, width: int = 10, *, held: float = 0) -> Styled:
        """How much of a limit is used up: ``part`` of 1 spent, and ``held`` on top; green, yellow, red."""
        full, more, empty = "█▒░" if self.unicode else "#=."
        whole = max(0.0, part) + max(0.0, held)
        spent_cells = min(width, round(max(0.0, part) * width))
        if not spent_cells and part > 0:
            spent_cells = 1  # something was spent: it shows
        used_cells = max(spent_cells, min(width, round(whole * width)))
        drawn = full * spent_cells + more * (used_cells - spent_cells) + empty * (width - used_cells)
        return Styled(drawn, ("red" if whole >= 1 else "yellow" if whole >= 0.8 else "green",))

    def data(self, value: Any) -> None:
        """Print a value as JSON."""
        import json

        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=not self.unicode) + "\n")

    def stream(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Print a JSON array as its values come, one to a line."""
        import json

        before = "[\n"
        for value in values:
            self.stdout.write(f"{before}  {json.dumps(value, ensure_ascii=not self.unicode)}")
            before = ",\n"
        self.stdout.write("[]\n" if before == "[\n" else "\n]\n")

    def note(self, text: str) -> None:
        """Say something beside the answer, on standard error; a line with a command to copy stays whole."""
        import textwrap

        self.flush()
        lines = [clean(line) for line in text.splitlines()]
        if self.stderr.isatty():
            width = self.width - 1
            lines = [
                line if ": allowance " in line else textwrap.fill(line, width, break_long_words=False)
                for line in lines
            ]
        self.stderr.write("".join(f"{line}\n" for line in lines))

    def error(self, message: str) -> None:
        """Say why the command failed, on standard error."""
        try:
            self.note(f"allowance: {message}")
        except OSError:
            self.abandon(self.stderr)  # nobody can be told: the exit code tells

    def progress(self, total: int | None, what: str, *, patience: float | None = None) -> Progress:
        """A context manager that shows how far a long task is; call it with how much is done.

        It draws on standard error, only on a terminal, and only after ``patience`` seconds, or one.
        """
        from allowance.cli.progress import Progress

        return Progress(self, total, what, patience)

    def confirmed(self, question: str) -> bool:
        """Ask on the terminal; only a plain yes is one."""
        self.flush()
        self.stderr.write(f"{clean(question)} [y/N] ")
        self.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def flush(self) -> None:
        """See that all that was printed is out."""
        self.stdout.flush()

    def abandon(self, stream: TextIO | None = None) -> None:
        """Print nothing more: nobody reads it, and the interpreter's last flush must not complain."""
        stream = stream or self.stdout
        with suppress(OSError, ValueError):  # a stream that is no file has no number
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _can_say(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
