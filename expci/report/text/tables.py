"""Tables as values, set as aligned columns for a terminal or as a Markdown table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from expci.report.text import escape
from expci.report.text.phrases import Code, Words, in_markdown, in_text

# The space between a sign and its number, and between a number and its unit.
_BEFORE_UNIT = re.compile(r"(?<=[≥<]) (?=[\d−])|(?<=;) (?=\d)|(?<=\d) (?=(?!to\b)[A-Za-zµ])")
_NARROWEST = 18  # of a first column that is set in several lines
_NAME_LIMIT = 30  # a metric's name may have 64 characters; a terminal has 100 columns


@dataclass(frozen=True)
class Bar:
    """A chart in a cell; its characters are ours and need a fixed pitch."""

    text: str


Cell = Words | Bar


@dataclass(frozen=True)
class Table:
    """`align` has one letter a column: `l` or `r`.

    The last `together` columns are of use together only: where one does not fit, all go.
    """

    align: str
    header: tuple[Words, ...]
    rows: tuple[tuple[Cell, ...], ...]
    together: int = 1

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

    Of a table wider than `most` characters the charts go first, then the first column's words are
    set in several lines, and only then the last columns are dropped.
    """
    lines = _set(table)
    if most is not None and _width(lines, indent) > most:
        table = _without_charts(table)
        lines = _set(table)
    widths = _widths(lines)
    if most is not None and widths and table.align.startswith("l"):
        words = (word for line in lines for word in line[0].split())
        narrowest = max([_NARROWEST, *map(len, words)])
        widths[0] -= max(0, min(_width(lines, indent) - most, widths[0] - narrowest))
    kept, columns = len(widths), table.together
    while most is not None and kept > 2 and indent + sum(widths[:kept]) + 2 * (kept - 1) > most:
        kept, columns = kept - columns, 1
    broken = [part for line in lines for part in _broken(line, widths[0])]
    return "\n".join(
        " " * indent + _line(line[:kept], widths[:kept], table.align[:kept]) for line in broken
    )


def _set(table: Table) -> list[list[str]]:
    """Each line's cells; without a header where that is empty."""
    header = [in_text(cell) for cell in table.header]
    return [
        *([header] if any(header) else []),
        *([_text_cell(cell) for cell in row] for row in table.rows),
    ]


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(escape.width(cell) for cell in column) for column in zip(*lines, strict=True)]


def _width(lines: Sequence[Sequence[str]], indent: int) -> int:
    widths = _widths(lines)
    return indent + sum(widths) + 2 * (len(widths) - 1)


def _without_charts(table: Table) -> Table:
    charts = {i for row in table.rows for i, cell in enumerate(row) if isinstance(cell, Bar)}
    keep = [index for index in range(len(table.header)) if index not in charts]
    return Table(
        "".join(table.align[index] for index in keep),
        tuple(table.header[index] for index in keep),
        tuple(tuple(row[index] for index in keep) for row in table.rows),
        table.together,
    )


def _broken(line: Sequence[str], width: int) -> list[list[str]]:
    """The line, and further ones with what does not fit into its first cell."""
    first, *rest = textwrap.wrap(line[0], width) if escape.width(line[0]) > width else [line[0]]
    empty = [""] * (len(line) - 1)
    return [[first, *line[1:]], *([part, *empty] for part in rest)]


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
