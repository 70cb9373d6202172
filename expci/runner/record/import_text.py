"""Files of trials as lines: JSON lines, JSON arrays and CSV.

A line is a mapping that `importing` checks; what it may hold stands there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expci.core.model.trial import load_line
from expci.errors import ExpciError, InvalidRecord
from expci.runner import text_encoding

FORM = '{"arm":"control","metrics":{"duration_s":12.3}}'
HELP = (
    f"a file holds one trial a line, as JSON: {FORM}; or CSV whose header names `arm` and the "
    "metrics: arm,duration_s"
)
_NUMBERS = ("seq", "order", "attempt")
_WORDS = ("id", "experiment", "plan", "mode", "arm", "unit", "block", "started", "status")
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Line:
    """One line of a file; `problem` says why it could not be read.

    `identity` tells it from a line of the same content, in another file.
    """

    number: int
    content: Mapping[str, Any]
    problem: str = ""
    identity: str = ""


def lines(data: bytes) -> list[Line]:
    """The lines of a file to import. `ExpciError` where it holds nothing of that form."""
    try:
        text = text_encoding.decode(data)
    except InvalidRecord as error:
        raise ExpciError(f"nothing was imported: {error}; {HELP}") from error
    if not text.strip():
        raise ExpciError(f"nothing to import: the file is empty; {HELP}")
    # A single carriage return ends a line too, as spreadsheets on older systems write it.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (table := _table(text)) is not None:
        return table
    if text.lstrip().startswith("["):
        return _array(text)
    rows = [(number, row) for number, row in enumerate(text.split("\n"), 1) if row.strip()]
    read = [_json_line(number, row) for number, row in rows]
    if not any("arm" in line.content for line in read) and not any(_is_object(r) for _, r in rows):
        raise ExpciError(f"nothing was imported: {_what_it_is(text)}; {HELP}")
    return read


def _is_object(row: str) -> bool:
    """Whether a line looks like a trial, though it may be none."""
    return row.strip().startswith("{") and row.strip().endswith("}") and '"arm"' in row


def _json_line(number: int, text: str) -> Line:
    try:
        return Line(number, load_line(text.strip()))
    except InvalidRecord as error:
        return Line(number, {}, str(error))


def _array(text: str) -> list[Line]:
    """A JSON array of trials; the number of a line is its place in the array."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExpciError(f"nothing was imported: not JSON: {error}; {HELP}") from error
    if not any(isinstance(item, dict) and "arm" in item for item in items):
        raise ExpciError(f"nothing was imported: {_what_it_is(text)}; {HELP}")
    return [_json_line(n, json.dumps(item)) for n, item in enumerate(items, 1)]


def _what_it_is(text: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "no line of the file is a trial"
    results = document.get("results") if isinstance(document, dict) else None
    if isinstance(results, list) and any(isinstance(r, dict) and "times" in r for r in results):
        return (
            "the file is an export of hyperfine, which names commands and no arms: "
            "expci record ID --arm ARM --format hyperfine --from FILE"
        )
    return "the file is one JSON document, not a trial a line"


# --- CSV -------------------------------------------------------------------------------


def _table(text: str) -> list[Line] | None:
    """The lines of a CSV file; `None` for other text."""
    try:
        delimiter = _delimiter(text.lstrip().split("\n", 1)[0])
        table = None if delimiter is None else list(_csv_lines(text, delimiter))
    except csv.Error as error:
        raise ExpciError(f"nothing was imported: not CSV: {error}; {HELP}") from error
    if table == []:
        raise ExpciError(f"nothing to import: no line stands under the header; {HELP}")
    return table


def _delimiter(header: str) -> str | None:
    """The delimiter of a CSV header that has a column `arm`; `None` for other text."""
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        if "arm" in [cell.strip() for cell in cells]:
            return delimiter if header.strip() != "arm" else ","
    return None


def _csv_lines(text: str, delimiter: str) -> Iterator[Line]:
    rows = csv.reader(text.split("\n"), delimiter=delimiter, skipinitialspace=True)
    header = [name.strip() for name in next(row for row in rows if row)]
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ExpciError(f"nothing was imported: two columns are called {twice[0][:60]!r}; {HELP}")
    for row in rows:
        if any(cell.strip() for cell in row):
            yield _csv_line(rows.line_num, header, row)


def _csv_line(number: int, header: list[str], row: list[str]) -> Line:
    if len(row) != len(header):
        return Line(number, {}, f"{len(row)} cells under a header of {len(header)}")
    content: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    try:
        for name, cell in zip(header, map(_unquoted, row), strict=True):
            if cell == "" or (name.startswith("context.") and "id" not in header):
                continue
            if name in _WORDS or name == "excluded":
                content[name] = cell
            elif name in _NUMBERS:
                content[name] = int(cell)
            elif name.startswith("context."):
                content.setdefault("context", {})[name.partition(".")[2]] = cell
            elif name.startswith("covariate."):
                content.setdefault("covariates", {})[name.partition(".")[2]] = _value(cell)
            else:
                metrics[name] = float(cell)
    except ValueError:
        return Line(number, {}, f"column {name[:60]!r}: {cell[:60]!r} is not a number")
    return Line(number, {**content, "metrics": metrics})


def _unquoted(cell: str) -> str:
    """Without the apostrophe that `export` puts before what a spreadsheet would run."""
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and cell[1:2] in tuple("=+-@\t\r") else cell


def _value(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
