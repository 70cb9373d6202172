"""One query for all metrics of an experiment that live in one database.

Everything is an Ibis expression: columns and tables of a spec are looked up by their names,
units are the lines of one text literal, and no SQL is written here. The database adds up
the rows of each unit; what comes back is one row a unit, and one for each table as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from expci.core.model.source import DueUnit, MetricSource, SourceAnswer, UnitRows
from expci.store.warehouse.connection import FILES, SourceRefused, file_path, library
from expci.store.warehouse.request import SourceRequest, Wanted


def ask(connection: Any, request: SourceRequest, url: str) -> dict[str, SourceAnswer]:
    """The answer for each metric; a metric that cannot be read as its spec says has a refusal."""
    answers: dict[str, SourceAnswer] = {}
    parts: list[Any] = []
    for name, wanted in request.metrics.items():
        try:
            table = _table(connection, wanted.source.table, url, Path(request.root))
            parts += _parts(name, wanted, _rows(table, wanted.source, request.now))
        except SourceRefused as refused:
            answers[name] = SourceAnswer(refusal=str(refused))
    if parts:
        rows = connection.to_pyarrow(reduce(lambda a, b: a.union(b), parts)).to_pylist()
        answers |= _answers([name for name in request.metrics if name not in answers], rows)
    return answers


def _table(connection: Any, name: str, url: str, root: Path) -> Any:
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


def _rows(table: Any, source: MetricSource, now: int) -> Any:
    """The unit, the time in seconds and the value of every row up to now."""
    unit, at = _column(table, source.unit, source), _column(table, source.at, source)
    if not (unit.type().is_string() or unit.type().is_integer() or unit.type().is_uuid()):
        raise SourceRefused(f"{_of(source.unit, source)} is {unit.type()}, not a text or integer")
    if not at.type().is_timestamp():  # a day does not tell what came before the first trial
        raise SourceRefused(f"{_of(source.at, source)} is {at.type()}, not a time")
    rows = table.select(key=unit.cast("string"), at=at.epoch_seconds(), value=_value(table, source))
    return rows.filter(rows["at"] <= now)


def _value(table: Any, source: MetricSource) -> Any:
    if source.value is None:
        return library().literal(1.0)
    value = _column(table, source.value, source)
    if value.type().is_boolean():
        value = value.cast("int8")
    if not value.type().is_numeric():
        raise SourceRefused(f"{_of(source.value, source)} is {value.type()}, not a number")
    return value.cast("float64")


def _column(table: Any, name: str, source: MetricSource) -> Any:
    """A column, or a field of a struct: `metrics.duration_s`."""
    if name in table.columns:
        return table[name]
    first, *fields = name.split(".")
    if first not in table.columns:
        raise SourceRefused(f"{source.table} has no column {name}")
    column = table[first]
    for field in fields:
        if not column.type().is_struct() or field not in column.type().names:
            raise SourceRefused(f"{source.table} has no column {name}")
        column = column[field]
    return column


def _of(column: str, source: MetricSource) -> str:
    return f"{source.table}.{column}"


def _parts(name: str, wanted: Wanted, rows: Any) -> Iterable[Any]:
    """Two tables of one shape: a row for each unit, and one for the source as a whole."""
    ibis, metric = library(), library().literal(name)
    due = _due(ibis, wanted.due)
    inside = [due["unit"] == rows["key"], rows["at"] >= due["begin"], rows["at"] < due["end"]]
    joined = due.join(rows, inside, how="inner")
    units = joined.group_by("unit").aggregate(
        rows=joined.count(), values=joined["value"].count(), value=_aggregate(joined, wanted.source)
    )
    begin, end = min(unit.begin for unit in wanted.due), max(unit.end for unit in wanted.due)
    within = (rows["at"] >= begin) & (rows["at"] < end)
    whole = rows.aggregate(
        rows=rows.count(),
        values=rows["at"].max(),
        value=rows["key"].nunique(where=within).cast("float64"),
    )
    shape = {"rows": "int64", "values": "int64", "value": "float64"}
    for part, unit in ((units, units["unit"]), (whole, ibis.null("string"))):
        columns = {key: part[key].cast(kind) for key, kind in shape.items()}
        yield part.select(metric=metric, unit=unit, **columns)


def _due(ibis: Any, due: Sequence[DueUnit]) -> Any:
    """The units as a table that is written nowhere: the lines of a text, which none of them has."""
    text = "\n".join(f"{unit.begin}\t{unit.end}\t{unit.unit}" for unit in due)
    lines = ibis.literal(text).split("\n").unnest().name("line").as_table()
    part = lines["line"].split("\t")
    return lines.select(begin=part[0].cast("int64"), end=part[1].cast("int64"), unit=part[2])


def _aggregate(joined: Any, source: MetricSource) -> Any:
    if source.rows == "count":
        return joined.count().cast("float64")
    if source.rows == "one":
        return joined["value"].max()
    return getattr(joined["value"], source.rows)()


def _answers(names: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> dict[str, SourceAnswer]:
    units: dict[str, list[UnitRows]] = {name: [] for name in names}
    whole: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["unit"] is None:
            whole[row["metric"]] = row
        else:
            one = UnitRows(row["unit"], row["rows"], row["values"], row["value"])
            units[row["metric"]].append(one)
    return {
        name: SourceAnswer(
            rows=whole[name]["rows"],
            newest=whole[name]["values"],
            others=int(whole[name]["value"] or 0) - len(found),
            units=sorted(found, key=lambda unit: unit.unit),
        )
        for name, found in units.items()
    }
