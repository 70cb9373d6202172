"""Trials as a Parquet file, which `export` writes and `record --from` reads.

A row is a trial with the keys of its record; `metrics`, `covariates` and `context` are structs,
so that DuckDB and Spark read `metrics.duration_s`. Through pyarrow, the extra `expci[parquet]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from expci.core.model.trial import Trial, dump_line, parse_timestamp, timestamp
from expci.errors import ExpciError

if TYPE_CHECKING:
    import pyarrow

_GROUP = 10_000  # rows; what is in memory as Arrow columns at once
_WORDS = ("id", "experiment", "plan", "mode", "arm", "unit", "block", "status", "excluded")
_COUNTS = ("seq", "order", "attempt")
_GROUPS = ("metrics", "covariates", "context")


def write_trials(trials: Callable[[], Iterable[Trial]], target: BinaryIO) -> None:
    """Write trials in their order; `started` is a time in UTC, to the millisecond.

    They are gone through twice, first for the names that they use.
    """
    arrow, parquet = _library()
    schema = _schema(arrow, trials())
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        rest = iter(trials())
        while rows := [_row(trial, schema) for trial in islice(rest, _GROUP)]:
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def json_lines(source: BinaryIO) -> Iterator[str]:
    """The rows as lines of JSON, without what is empty. `ExpciError` where it is not Parquet."""
    arrow, parquet = _library()
    try:
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(_GROUP, use_threads=False):
                yield from map(_line, batch.to_pylist())
    except (arrow.ArrowException, OSError, TypeError, ValueError) as error:
        raise ExpciError(
            f"nothing was imported: the Parquet file cannot be read: {error}"
        ) from error


def _library() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExpciError("Parquet needs pyarrow: pip install pyarrow") from error
    return pyarrow, pyarrow.parquet


def _schema(arrow: Any, trials: Iterable[Trial]) -> pyarrow.Schema:
    """One column a key; a struct has a field for each name that any trial has."""
    types: dict[str, dict[str, Any]] = {group: {} for group in _GROUPS}
    for trial in trials:
        for group in _GROUPS:
            for name, value in getattr(trial, group).items():
                if types[group].get(name) != arrow.string():  # a text among numbers makes all text
                    is_text = isinstance(value, str)
                    types[group][name] = arrow.string() if is_text else arrow.float64()
    fields = [arrow.field(name, arrow.string()) for name in _WORDS]
    fields += [arrow.field(name, arrow.int32()) for name in _COUNTS]
    fields += [arrow.field("started", arrow.timestamp("ms", tz="UTC"))]
    fields += [
        arrow.field(group, arrow.struct(sorted(names.items())))
        for group, names in types.items()
        if names  # Parquet has no struct without fields
    ]
    return arrow.schema(fields)


def _row(trial: Trial, schema: pyarrow.Schema) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(trial, name) for name in (*_WORDS, *_COUNTS)}
    row["started"] = parse_timestamp(trial.started)
    for group in _GROUPS:
        if group in schema.names:
            fields = schema.field(group).type
            row[group] = {
                name: str(value) if str(fields.field(name).type) == "string" else value
                for name, value in getattr(trial, group).items()
            }
    return row


def _line(row: Mapping[str, Any]) -> str:
    content: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            content[name] = timestamp(value)
        elif isinstance(value, dict):
            content[name] = {key: item for key, item in value.items() if not _is_missing(item)}
        elif not _is_missing(value):
            content[name] = value
    return dump_line(content)


def _is_missing(value: object) -> bool:
    """Whether a cell is empty, or NaN as data frames write what is missing."""
    return value is None or value != value
