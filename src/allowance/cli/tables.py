"""Tables: columns as wide as they must be, lines no longer than the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.cli.words import clean, cut, pad, width_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from allowance.cli.output import Cell, Console

__all__ = ["Layout"]

_GAP: Final = "  "
_LEAST_TEXT: Final = 8
_WORTHWHILE_TEXT: Final = 16  # bars give way to it
_LEAST_BAR: Final = 5  # what stands at its end: " 80%"


class Layout:
    """The columns of one table, which grow from page to page and never shrink."""

    def __init__(self, headers: Sequence[str], align: str) -> None:
        if len(align) != len(headers) or set(align) - set("lir.b"):
            raise ValueError(f"{align!r} does not align {len(headers)} columns")
        self.headers = tuple(headers)
        self.align = align
        self.widths = [width_of(header) for header in headers]
        self.decimals = [0] * len(headers)

    def page(self, rows: Sequence[Sequence[Cell]], console: Console, *, first: bool) -> Iterator[str]:
        """The lines of some rows, with the headers before the first."""
        texts = [[clean(_text(cell)) for cell in row] for row in rows]
        self._measure(texts)
        widths = self._fitted(console.width)
        if widths is None:
            for row in rows:
                yield from self._as_fields(row, console)
            return
        if first:
            yield self._line([console.style(header, "dim") for header in self.headers], widths, console)
        for row in rows:
            yield self._line(row, widths, console)

    def _measure(self, texts: Sequence[Sequence[str]]) -> None:
        for column, kind in enumerate(self.align):
            cells = [row[column] for row in texts]
            if kind == ".":
                decimals = max((_decimals(cell) for cell in cells), default=0)
                self.decimals[column] = max(self.decimals[column], decimals)
                cells = [self._pointed(cell, column) for cell in cells]
            self.widths[column] = max(self.widths[column], *map(width_of, cells))

    def _fitted(self, room: int) -> list[int] | None:
        """The widths of the columns; None where nothing helps."""
        widths = list(self.widths)
        for column, kind in enumerate(self.align):
            if kind == "b" and self._excess(widths, room, least=_WORTHWHILE_TEXT) > 0:
                widths[column] = min(widths[column], _LEAST_BAR)
        if self._excess(widths, room, least=_LEAST_TEXT) > 0:
            return None
        while (excess := self._excess(widths, room)) > 0:
            texts = sorted((widths[column], column) for column, kind in enumerate(self.align) if kind == "l")
            widest, column = texts[-1]
            next_widest = texts[-2][0] if len(texts) > 1 else 0
            widths[column] = max(_LEAST_TEXT, widest - excess, min(next_widest, widest - 1))
        return widths

    def _excess(self, widths: Sequence[int], room: int, *, least: int | None = None) -> int:
        """By how much a line is too long, if texts are shrunk to the least."""
        shown = [
            width if least is None or kind != "l" else min(width, least)
            for width, kind in zip(widths, self.align, strict=True)
        ]
        return sum(shown) + len(_GAP) * (len(shown) - 1) - room

    def _line(self, row: Sequence[Cell], widths: Sequence[int], console: Console) -> str:
        pieces: list[Cell] = []
        for column, width in enumerate(widths):
            cell, kind = row[column], self.align[column]
            text = clean(_text(cell))
            if kind == ".":
                text = self._pointed(text, column)
            if kind == "l" and console.cuts:
                text = cut(text, width, console.ellipsis)
            if kind == "b":
                text = text[-width:]
            if column < len(widths) - 1 or kind in "r.":
                text = pad(text, width, right=kind in "r.")
            pieces += [_GAP] if pieces else []
            pieces.append(text if isinstance(cell, str) else console.style(text, *cell.styles))
        return console.render(*pieces).rstrip(" ")

    def _pointed(self, text: str, column: int) -> str:
        """An amount with blanks after it, so that its point stands under the others'."""
        decimals = self.decimals[column]
        if not decimals or not any(character.isdigit() for character in text):
            return text
        return text + " " * (decimals - _decimals(text) + ("." not in text))

    def _as_fields(self, row: Sequence[Cell], console: Console) -> Iterator[str]:
        indent = " " * (len(self.headers[0]) - len(self.headers[0].lstrip()))  # all fields have the table's
        headers = [indent + header.strip() for header in self.headers]
        longest = max(map(width_of, headers))
        for header, cell, kind in zip(headers, row, self.align, strict=True):
            if kind != "b":
                text = clean(_text(cell)).strip()
                if kind == "l":
                    text = cut(text, console.width - longest - 2, console.ellipsis)
                value: Cell = text if isinstance(cell, str) else console.style(text, *cell.styles)
                yield console.render(console.style(pad(header, longest), "dim"), _GAP, value).rstrip(" ")
        yield ""


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def _decimals(text: str) -> int:
    return len(text.partition(".")[2]) if text[:1] in "$-+0123456789" else 0
