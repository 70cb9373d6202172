"""Files of trials as lines: JSON lines, JSON arrays and CSV.

A line is a mapping that `importing` checks; what it may hold stands there.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TextIO

from expci.core.model.trial import load_line
from expci.core.value_class import dataclass
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
_HEAD = 65_536  # characters that are read at once
_EXAMINED = 50_000_000  # characters of a file without trials that are read to tell what it is


@dataclass(frozen=True)
class Line:
    """One line of a file; `problem` says why it could not be read.

    `identity` tells it from a line of the same content, in another file.
    """

    number: int
    content: Mapping[str, Any]
    problem: str = ""
    identity: str = ""


def lines(source: BinaryIO) -> Iterator[Line]:
    """The lines of a file to import, one after the other.

    `ExpciError` where it holds nothing of that form: at the end, if none of them is a trial.
    """
    try:
        with text_encoding.opened_text(source) as text:
            first = _first_line(text)
        if not first:
            raise ExpciError(f"nothing to import: the file is empty; {HELP}")
        delimiter = _delimiter(first)
        if delimiter is not None:
            with text_encoding.opened_text(source) as text:
                yield from _table(text, delimiter)
            return
        with text_encoding.opened_text(source) as text:
            read = _array(text) if first.startswith("[") else _json_lines(text)
            yield from _with_an_arm(read, text)
    except InvalidRecord as error:
        raise ExpciError(f"nothing was imported: {error}; {HELP}") from error


def rows_as_lines(rows: Iterable[str]) -> Iterator[Line]:
    """The same of rows that were read from a file of another format, as JSON."""
    is_empty, any_trial = True, False
    for line, is_trial in _json_lines(rows):
        is_empty, any_trial = False, any_trial or is_trial
        yield line
    if is_empty:
        raise ExpciError(f"nothing to import: the file is empty; {HELP}")
    if not any_trial:
        raise ExpciError(f"nothing was imported: no line of the file is a trial; {HELP}")


def _first_line(text: TextIO) -> str:
    """The beginning of the first line that is not blank; "" where all are."""
    while part := text.readline(_HEAD):
        if part.strip():
            return part.lstrip()
    return ""


def _with_an_arm(read: Iterable[tuple[Line, bool]], text: TextIO) -> Iterator[Line]:
    any_trial = False
    for line, is_trial in read:
        any_trial = any_trial or is_trial
        yield line
    if not any_trial:
        text.seek(0)
        whole = text.read(_EXAMINED).removeprefix("\ufeff")
        raise ExpciError(f"nothing was imported: {_what_it_is(whole)}; {HELP}")


def _json_lines(rows: Iterable[str]) -> Iterator[tuple[Line, bool]]:
    """Each line, and whether it looks like a trial."""
    for number, row in enumerate(rows, 1):
        if row.strip():
            line = _json_line(number, row)
            yield line, "arm" in line.content or _is_object(row)


def _is_object(row: str) -> bool:
    """Whether a line looks like a trial, though it may be none."""
    return row.strip().startswith("{") and row.strip().endswith("}") and '"arm"' in row


def _json_line(number: int, text: str) -> Line:
    try:
        return Line(number, load_line(text.strip()))
    except InvalidRecord as error:
        return Line(number, {}, str(error))


def _array(text: TextIO) -> Iterator[tuple[Line, bool]]:
    """The same of a JSON array of trials; the number of a line is its place in the array."""
    number = 0
    try:
        for number, item in enumerate(_items(text), 1):
            line = _json_line(number, json.dumps(item))
            yield line, "arm" in line.content
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        what = f"not JSON after item {number} of the array: {error}"
        raise ExpciError(f"nothing was imported: {what}; {HELP}") from error


def _items(text: TextIO) -> Iterator[Any]:
    """The items of an array, each decoded as soon as all of it has been read."""
    decoder, size = json.JSONDecoder(), _HEAD
    rest = ""
    while not rest:
        rest = text.read(size).lstrip()
    rest = rest[1:].lstrip()
    if rest.startswith("]"):
        rest = rest[1:]
    else:
        while True:
            try:
                item, end = decoder.raw_decode(rest)
                after = rest[end:].lstrip()
                if not after:  # a number may go on
                    raise json.JSONDecodeError("expected , or ]", rest, end)
            except json.JSONDecodeError:
                more = text.read(size)
                if not more:
                    raise
                rest, size = rest + more, 2 * size
                continue
            yield item
            size = _HEAD
            rest = after[1:].lstrip()
            if after[0] == "]":
                break
            if after[0] != ",":
                raise ValueError(f"expected , or ], not {after[:20]!r}")
            if not rest:
                rest = text.read(size).lstrip()
    if rest.strip() or text.read().strip():
        raise ValueError("more text follows the array")


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


def _table(text: TextIO, delimiter: str) -> Iterator[Line]:
    """The lines of a CSV file."""
    is_empty = True
    try:
        for line in _csv_lines(text, delimiter):
            is_empty = False
            yield line
    except csv.Error as error:
        raise ExpciError(f"nothing was imported: not CSV: {error}; {HELP}") from error
    if is_empty:
        raise ExpciError(f"nothing to import: there is no line below the header; {HELP}")


def _delimiter(header: str) -> str | None:
    """The delimiter of a CSV header that has a column `arm`; `None` for other text."""
    for delimiter in _DELIMITERS:
        cells = _header(header, delimiter)
        if "arm" in cells:
            return delimiter if header.strip() != "arm" else ","
    return None


def _header(line: str, delimiter: str) -> list[str]:
    """The names of the columns; [] for text that is no line of CSV."""
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [name.strip() for name in row]


def _csv_lines(text: TextIO, delimiter: str) -> Iterator[Line]:
    filled = (line for line in text if line.strip())
    first = next(filled)
    header = _header(first, delimiter)
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ExpciError(f"nothing was imported: two columns are called {twice[0][:60]!r}; {HELP}")
    text.seek(0)
    # A cell of what `export` wrote is exact; by hand one writes spaces after the delimiter.
    rows = csv.reader(text, delimiter=delimiter, skipinitialspace="id" not in header)
    is_header = True
    for row in rows:
        if any(cell.strip() for cell in row):
            if not is_header:
                yield _csv_line(rows.line_num, header, row)
            is_header = False


def _csv_line(number: int, header: list[str], row: list[str]) -> Line:
    if len(row) != len(header):
        return Line(number, {}, f"{len(row)} cells under a header of {len(header)}")
    content: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    try:
        is_ours = "id" in header
        cells = map(_unquoted, row if is_ours else map(str.strip, row))
        for name, cell in zip(header, cells, strict=True):
            if cell == "" or (name.startswith("context.") and not is_ours):
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
        why = f"column {name[:60]!r}: {cell[:60]!r} is not a number{_decimal_point(cell)}"
        return Line(number, {"arm": dict(zip(header, row, strict=True)).get("arm")}, why)
    return Line(number, {**content, "metrics": metrics})


def _decimal_point(cell: str) -> str:
    """What to write in place of a decimal comma; "" for other cells."""
    has_comma = re.fullmatch(r"[+-]?\d+,\d+", cell.strip())
    return f"; write {cell.strip().replace(',', '.')}" if has_comma else ""


def _unquoted(cell: str) -> str:
    """Without the apostrophe that `export` puts before what a spreadsheet would run."""
    is_marked = cell[:1] == "'" and cell.lstrip("'")[:1] in tuple("=+-@\t\r")
    return cell[1:] if is_marked else cell


def _value(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
