"""One query for all metrics of an experiment that live in one database.

Everything is an Ibis expression: columns and tables of a spec are looked up by their names,
units are the lines of one text literal, and no SQL is written here. The database adds up
the rows of each unit; what comes back is one row a unit, and one for each table as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any

from expci.core.model.source import DueUnit, MetricSource, Rows, SourceAnswer, UnitRows
from expci.store.warehouse.connection import FILES, SourceRefused, file_path, library
from expci.store.warehouse.request import SourceRequest


@dataclass(frozen=True)
class _Columns:
    table: Any
    unit: Any
    at: Any
    value: Any


@dataclass
class _Scan:
    """All metrics that are read from the same rows of the same units: one walk over the table."""

    due: Sequence[DueUnit]
    metrics: dict[str, tuple[_Columns, Rows]] = field(default_factory=dict)

    def parts(self, number: int, width: int, now: int) -> Iterator[Any]:
        """Two tables of one shape: a row for each unit, and one for the source as a whole."""
        ibis, rows = library(), self._rows(now)
        due = _due(ibis, self.due)
        inside = [due["unit"] == rows["key"], rows["at"] >= due["begin"], rows["at"] < due["end"]]
        joined = due.join(rows, inside, how="inner")
        values = {f"values{n}": joined[f"v{n}"].count() for n in range(len(self.metrics))}
        for n, (_, kind) in enumerate(self.metrics.values()):
            values[f"value{n}"] = _aggregate(joined, joined[f"v{n}"], kind)
        units = joined.group_by("unit").aggregate(rows=joined.count(), **values)
        yield _shaped(ibis, units, units["unit"], number, width)
        begin, end = min(unit.begin for unit in self.due), max(unit.end for unit in self.due)
        within = (rows["at"] >= begin) & (rows["at"] < end)
        others = rows["key"].nunique(where=within)
        whole = rows.aggregate(rows=rows.count(), values0=rows["at"].max(), value0=others)
        yield _shaped(ibis, whole, ibis.null("string"), number, width)

    def _rows(self, now: int) -> Any:
        """Every row up to now."""
        columns = [columns for columns, _ in self.metrics.values()]
        first, values = columns[0], {f"v{n}": one.value for n, one in enumerate(columns)}
        rows = first.table.select(key=first.unit, at=first.at, **values)
        return rows.filter(rows["at"] <= now)

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, SourceAnswer]]:
        """What the rows of this walk say of each metric."""
        [whole] = [row for row in rows if row["unit"] is None]
        units = sorted((row for row in rows if row["unit"] is not None), key=lambda r: r["unit"])
        for n, name in enumerate(self.metrics):
            yield (
                name,
                SourceAnswer(
                    rows=whole["rows"],
                    newest=whole["values0"],
                    others=int(whole["value0"] or 0) - len(units),
                    units=[
                        UnitRows(row["unit"], row["rows"], row[f"values{n}"], row[f"value{n}"])
                        for row in units
                    ],
                ),
            )


def _shaped(ibis: Any, part: Any, unit: Any, number: int, width: int) -> Any:
    """The columns that all parts of the query share, what a part does not have empty."""
    columns = {"rows": "int64"}
    for n in range(width):
        columns |= {f"values{n}": "int64", f"value{n}": "float64"}
    there = {
        name: (part[name] if name in part.columns else ibis.null()).cast(kind)
        for name, kind in columns.items()
    }
    return part.select(scan=ibis.literal(number), unit=unit, **there)


def ask(connection: Any, request: SourceRequest, url: str) -> dict[str, SourceAnswer]:
    """The answer for each metric; a metric that cannot be read as its spec says has a refusal."""
    answers: dict[str, SourceAnswer] = {}
    scans: dict[tuple[object, ...], _Scan] = {}
    find = cache(partial(_table, connection, url, Path(request.root)))
    for name, wanted in request.metrics.items():
        source = wanted.source
        try:
            columns = _columns(find(source.table), source)
        except SourceRefused as refused:
            answers[name] = SourceAnswer(refusal=str(refused))
            continue
        place = (source.table, source.unit, source.at, *wanted.due)
        scans.setdefault(place, _Scan(wanted.due)).metrics[name] = (columns, source.rows)
    if scans:
        width = max(len(scan.metrics) for scan in scans.values())
        parts = [
            part
            for number, scan in enumerate(scans.values())
            for part in scan.parts(number, width, request.now)
        ]
        rows = connection.to_pyarrow(reduce(lambda a, b: a.union(b), parts)).to_pylist()
        for number, scan in enumerate(scans.values()):
            answers |= scan.answers([row for row in rows if row["scan"] == number])
    return answers


def _table(connection: Any, url: str, root: Path, name: str) -> Any:
    *schema, table = name.split(".")
    try:
        engine, _, _ = url.partition("://")
        if engine in FILES:
            return _file(connection, engine, name, file_path(url, root))
        place = {0: None, 1: schema[0] if schema else None}.get(len(schema), tuple(schema))
        return connection.table(table, database=place) if place else connection.table(table)
    except library().common.exceptions.TableNotFound as error:
        raise SourceRefused(f"there is no table {name}") from error


def _file(connection: Any, engine: str, name: str, directory: Path) -> Any:
    """A directory of files is a database: `orders` is `orders.parquet`, or all of `orders/`."""
    one, many = directory / f"{name}.{engine}", directory / name
    if not one.is_file() and not many.is_dir():
        raise SourceRefused(f"there is no file {one.name}")
    path = one if one.is_file() else many / f"*.{engine}"
    read = connection.read_parquet if engine == "parquet" else connection.read_csv
    return read(str(path))


def _columns(table: Any, source: MetricSource) -> _Columns:
    """The unit, the time in seconds and the value of every row."""
    unit, at = _column(table, source.unit, source), _column(table, source.at, source)
    if not (unit.type().is_string() or unit.type().is_integer() or unit.type().is_uuid()):
        raise SourceRefused(f"{_of(source.unit, source)} is {unit.type()}, not a text or integer")
    if not at.type().is_timestamp():  # a day does not tell what came before the first trial
        raise SourceRefused(f"{_of(source.at, source)} is {at.type()}, not a time")
    return _Columns(table, unit.cast("string"), at.epoch_seconds(), _value(table, source))


def _value(table: Any, source: MetricSource) -> Any:
    if source.value is None:
        return library().literal(1.0)
    value = _column(table, source.value, source)
    if value.type().is_boolean():
        value = value.cast("int32")
    if not value.type().is_numeric():
        raise SourceRefused(f"{_of(source.value, source)} is {value.type()}, not a number")
    return value.cast("float64")


def _column(table: Any, name: str, source: MetricSource) -> Any:
    """A column, or a field of a struct: `metrics.duration_s`."""
    if name in table.columns:
        return table[name]
    first, *parts = name.split(".")
    if first not in table.columns:
        raise SourceRefused(f"{source.table} has no column {name}")
    column = table[first]
    for part in parts:
        if not column.type().is_struct() or part not in column.type().names:
            raise SourceRefused(f"{source.table} has no column {name}")
        column = column[part]
    return column


def _of(column: str, source: MetricSource) -> str:
    return f"{source.table}.{column}"


def _due(ibis: Any, due: Sequence[DueUnit]) -> Any:
    """The units as a table that is written nowhere: the lines of a text, which none of them has."""
    text = "\n".join(f"{unit.begin}\t{unit.end}\t{unit.unit}" for unit in due)
    lines = ibis.literal(text).split("\n").unnest().name("line").as_table()
    part = lines["line"].split("\t")
    return lines.select(begin=part[0].cast("int64"), end=part[1].cast("int64"), unit=part[2])


def _aggregate(rows: Any, value: Any, by: Rows) -> Any:
    if by == "count":
        return rows.count().cast("float64")
    return value.max() if by == "one" else getattr(value, by)()
