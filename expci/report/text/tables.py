"""Tables as values, set as aligned columns for a terminal or as a Markdown table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from expci.report.text import escape
from expci.report.text.phrases import Code, Words, in_markdown, in_text

# The space between a sign and its number, and between a number and its unit.
_BEFORE_UNIT = re.compile(r"(?<=[≥<]) (?=[\d−])|(?<=;) (?=\d)|(?<=\d) (?=(?!to\b)[A-Za-zµ])")
_NAME_LIMIT = 30  # a metric's name may have 64 characters; a terminal has 100 columns


@dataclass(frozen=True)
class Bar:
    """A chart in a cell; its characters are ours and need a fixed pitch."""

    text: str


Cell = Words | Bar


@dataclass(frozen=True)
class Table:
    """`align` has one letter a column: `l` or `r`."""

    align: str
    header: tuple[Words, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.rows)


def markdown_table(table: Table) -> str:
    """A GitHub table; every cell is one line, and pipes in it are entities."""
    rule = ["---:" if side == "r" else "---" for side in table.align]
    lines = [[in_markdown(cell) for cell in table.header], rule]
    lines += [
        [_markdown_cell(cell, side) for cell, side in zip(row, table.align, strict=True)]
        for row in table.rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _markdown_cell(cell: Cell, side: str) -> str:
    if isinstance(cell, Bar):
        return f"`{cell.text}`" if cell.text else ""
    text = in_markdown(cell)
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text) if side == "r" else text


def text_table(table: Table, indent: int = 2, most: int | None = None) -> str:
    """Columns two spaces apart, numbers flush right, no trailing spaces.

    Of a table wider than `most` characters the last columns are dropped.
    """
    lines = [[in_text(cell) for cell in table.header]]
    lines += [[_text_cell(cell) for cell in row] for row in table.rows]
    if not any(lines[0]):
        lines = lines[1:]
    widths = [max(escape.width(cell) for cell in column) for column in zip(*lines, strict=True)]
    kept = len(widths)
    while most is not None and kept > 2 and indent + sum(widths[:kept]) + 2 * (kept - 1) > most:
        kept -= 1
    return "\n".join(
        " " * indent + _line(line[:kept], widths[:kept], table.align[:kept]) for line in lines
    )


def _text_cell(cell: Cell) -> str:
    match cell:
        case Bar(text):
            return text
        case Code(text):
            return escape.clipped(text, _NAME_LIMIT)
    return in_text(cell)


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    padded = []
    for cell, columns, side in zip(cells, widths, align, strict=True):
        space = " " * (columns - escape.width(cell))
        padded.append(space + cell if side == "r" else cell + space)
    return "  ".join(padded).rstrip()
