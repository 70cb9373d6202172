"""The same rows in DuckDB, Parquet, CSV, PostgreSQL and Spark give the same answers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import duckdb
import psycopg
import pytest

from expci.core.model.source import DueUnit, MetricSource, Rows, SourceAnswer
from expci.store.warehouse.connection import connect
from expci.store.warehouse.query import ask
from expci.store.warehouse.request import SourceRequest, Wanted
from support import databases

# Of Ibis and its drivers, about one another.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

BEGIN = datetime(2026, 11, 20, 9, tzinfo=UTC)
FIRST = int(BEGIN.timestamp())
# What a unit may be called, and what would end a text, a parameter or a statement.
HOSTILE = (
    "ada", "it's", 'say "x"', "back\\slash\\n", "100%s", "'; DROP TABLE orders; --", "\\' or 1=1",
    "$1 {x} :y ?", "/* */", "\u00fcn\u00ef\u2014\u7801", "a|b`c", " spaced ",
)  # fmt: skip
ROWS: tuple[Rows, ...] = ("one", "sum", "mean", "max", "min", "count")
Row = tuple[str, float | None, bool | None, datetime]


def rows() -> Iterator[Row]:
    """One to three rows of each unit in its time, one before, one after, one at either end."""
    for number, unit in enumerate(HOSTILE):
        for repeat in range(1 + number % 3):
            value = round(1.25 * number + repeat / 3, 6)
            yield unit, value, number % 2 == 0, BEGIN + timedelta(seconds=60 * repeat + 1)
        yield unit, 1e6, True, BEGIN - timedelta(seconds=1)
        yield unit, 1e6, True, BEGIN + timedelta(hours=1)
    yield "null", None, None, BEGIN
    yield "null", 3.0, None, BEGIN
    yield "stranger", 5.0, True, BEGIN + timedelta(minutes=5)
    yield "tomorrow", 5.0, True, BEGIN + timedelta(days=1)


def request(directory: Path, address: str = "", table: str = "orders") -> SourceRequest:
    due = [DueUnit(f"t-{unit}", unit, FIRST, FIRST + 3600) for unit in (*HOSTILE, "null", "absent")]
    metrics: dict[str, Wanted] = {
        kind: Wanted(_source(table, None if kind == "count" else "amount", kind), due)
        for kind in ROWS
    }
    metrics["paid"] = Wanted(_source(table, "paid", "max"), due)
    return SourceRequest(address, str(directory), FIRST + 7200, metrics)


def _source(table: str, value: str | None, kind: Rows) -> MetricSource:
    return MetricSource("shop", table, "user_id", "paid_at", 3600.0, value, kind)


def expected(kind: str) -> dict[str, tuple[int, int, float | None]]:
    """Rows, values and the aggregate of each unit, added up here."""
    inside: dict[str, list[float | None]] = defaultdict(list)
    for unit, amount, paid, at in rows():
        if unit in (*HOSTILE, "null") and BEGIN <= at < BEGIN + timedelta(hours=1):
            flag = None if paid is None else float(paid)
            inside[unit].append({"paid": flag, "count": 1.0}.get(kind, amount))
    add_up: dict[str, Callable[[list[float]], float]]
    add_up = {"mean": fmean, "min": min, "sum": math.fsum, "count": len}
    return {
        unit: (len(values), len(there), add_up.get(kind, max)(there) if there else None)
        for unit, values in inside.items()
        if (there := [value for value in values if value is not None]) is not None
    }


def near(value: float | None) -> object:
    return None if value is None else pytest.approx(value, rel=1e-9)


def check(all_answers: dict[str, SourceAnswer]) -> None:
    assert all_answers.keys() == {*ROWS, "paid"}
    for kind, answer in all_answers.items():
        wanted = expected(kind)
        got = {unit.unit: (unit.rows, unit.values, unit.value) for unit in answer.units}
        assert got.keys() == wanted.keys()
        for unit, (count, values, value) in wanted.items():
            assert got[unit] == (count, values, near(value)), (kind, unit)
        assert answer.rows == sum(unit != "tomorrow" for unit, *_ in rows())  # which is not yet
        assert answer.newest == FIRST + 3600
        assert answer.others == 1  # the stranger


@contextmanager
def connected(url: str, root: Path) -> Iterator[Any]:
    connection = connect(url, root)
    try:
        yield connection
    finally:
        connection.disconnect()


def answers(url: str, root: Path, asked: SourceRequest) -> dict[str, SourceAnswer]:
    with connected(url, root) as connection:
        return ask(connection, asked, url)


def duck(path: Path | None = None) -> Any:
    database = duckdb.connect(str(path) if path else ":memory:")
    database.execute("SET TimeZone = 'America/New_York'")
    database.execute(
        "CREATE TABLE orders(user_id text, amount double, paid boolean, paid_at timestamptz)"
    )
    database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", list(rows()))
    return database


@pytest.mark.slow
def test_duckdb(tmp_path: Path) -> None:
    duck(tmp_path / "shop.duckdb").close()
    url = "duckdb://shop.duckdb"  # relative to the repository
    check(answers(url, tmp_path, request(tmp_path)))


@pytest.mark.parametrize("engine", ["parquet", "csv"])
def test_files(tmp_path: Path, engine: str) -> None:
    with duck() as database:
        database.sql("SELECT * FROM orders LIMIT 9").write_parquet(str(tmp_path / "other.parquet"))
        (tmp_path / "parts").mkdir()
        write = {"parquet": "write_parquet", "csv": "write_csv"}[engine]
        everything = database.sql("SELECT * FROM orders")
        getattr(everything, write)(str(tmp_path / f"orders.{engine}"))
        for part in range(2):
            some = database.sql(f"SELECT * FROM orders WHERE hash(paid_at) % 2 = {part}")
            getattr(some, write)(str(tmp_path / "parts" / f"{part}.{engine}"))
    url = f"{engine}://{tmp_path}"
    for table in ("orders", "parts"):
        check(answers(url, tmp_path, request(tmp_path, table=table)))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with databases.postgres() as url:
        with psycopg.connect(url.replace("postgres://", "postgresql://")) as database:
            database.execute("ALTER ROLE reader SET TimeZone = 'America/New_York'")
            database.execute("CREATE SCHEMA shop")
            for table, kind in (("orders", "double precision"), ("shop.orders", "numeric(20, 6)")):
                columns = f"user_id text, amount {kind}, paid boolean, paid_at timestamptz"
                database.execute(f"CREATE TABLE {table}({columns})")
                cursor = database.cursor()
                cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s, %s)", list(rows()))
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("table", ["orders", "shop.orders"])
def test_postgresql(server: str, tmp_path: Path, table: str) -> None:
    check(answers(server, tmp_path, request(tmp_path, table=table)))


def test_postgresql_is_only_read(server: str, tmp_path: Path) -> None:
    with connected(server, tmp_path) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.con.execute("CREATE TABLE mine(a int)")
        [(limit,)] = connection.con.execute("SHOW statement_timeout").fetchall()
    assert limit == "110s"


@pytest.mark.slow
def test_spark(tmp_path: Path) -> None:
    with duck() as database:
        database.sql("SELECT * FROM orders").write_parquet(str(tmp_path / "orders.parquet"))
    check(databases.asked_in_spark(request(tmp_path), tmp_path))


def test_duckdb_is_only_read_and_reads_nothing_else(tmp_path: Path) -> None:
    duck(tmp_path / "shop.duckdb").close()
    with connected("duckdb://shop.duckdb", tmp_path) as connection:
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.con.execute("CREATE TABLE mine(a int)")
        with pytest.raises(duckdb.PermissionException):
            connection.con.execute("SELECT * FROM read_csv('/etc/passwd')")
        with pytest.raises(duckdb.InvalidInputException):
            connection.con.execute("SET enable_external_access = true")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"table": "payments"}, "there is no table payments"),
        ({"table": "web.orders"}, "there is no table web.orders"),
        ({"unit": "user"}, "orders has no column user"),
        ({"value": "amount.net"}, "orders has no column amount.net"),
        ({"value": 'amount") FROM orders; --'}, 'orders has no column amount") FROM orders; --'),
        ({"value": "user_id"}, "orders.user_id is string, not a number"),
        ({"at": "amount"}, "orders.amount is float64, not a time"),
        ({"unit": "amount"}, "orders.amount is float64, not a text or integer"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_rest_is_read(
    tmp_path: Path, change: dict[str, str], refusal: str
) -> None:
    duck(tmp_path / "shop.duckdb").close()
    url, whole = "duckdb://shop.duckdb", request(tmp_path)
    total = whole.metrics["sum"]
    odd = replace(total, source=replace(total.source, **change))  # type: ignore[arg-type]
    got = answers(url, tmp_path, replace(whole, metrics={"odd": odd, "sum": total}))
    assert got["odd"].refusal == refusal
    assert len(got["sum"].units) == len(expected("sum"))


def test_one_query_answers_for_all_metrics(tmp_path: Path) -> None:
    duck(tmp_path / "shop.duckdb").close()
    url = "duckdb://shop.duckdb"
    asked: list[object] = []
    with connected(url, tmp_path) as connection:
        to_pyarrow = connection.to_pyarrow

        def noted(query: object) -> Any:
            asked.append(query)
            return to_pyarrow(query)

        connection.to_pyarrow = noted
        check(ask(connection, request(tmp_path), url))
    assert len(asked) == 1


def test_the_ledgers_own_export_is_a_source(tmp_path: Path) -> None:
    """`metrics.duration_s` is a field of a struct there, and `started` the time."""
    with duckdb.connect() as database:
        trials = (
            "SELECT 'ada' AS unit, TIMESTAMPTZ '2026-11-20 09:00:01+00' AS started, "
            "{'duration_s': 2.5} AS metrics"
        )
        database.sql(trials).write_parquet(str(tmp_path / "trials.parquet"))
    source = MetricSource("x", "trials", "unit", "started", 60.0, "metrics.duration_s")
    wanted = {"wait_s": Wanted(source, [DueUnit("t", "ada", FIRST, FIRST + 60)])}
    url = f"parquet://{tmp_path}"
    asked = SourceRequest(url, str(tmp_path), FIRST + 600, wanted)
    [unit] = answers(url, tmp_path, asked)["wait_s"].units
    assert (unit.unit, unit.value) == ("ada", 2.5)
