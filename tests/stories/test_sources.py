"""Metrics that live in a database: the same report as from records, and whatever is wrong said."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb

from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.fsck import fsck
from support.repositories import project
from support.shop import START, Order, Shop, merge, spec
from support.stage import Stage

SOURCE = "name: shop, table: orders, unit: user_id, at: paid_at, window: 1h"


def fill(path: Path, orders: Iterable[Order]) -> None:
    with duckdb.connect(str(path)) as database:
        database.execute(
            "create or replace table orders"
            "(user_id text, amount double, paid boolean, wait_s double, paid_at timestamptz)"
        )
        rows = [(o.user_id, o.amount, o.paid, o.wait_s, o.paid_at) for o in orders]
        if rows:
            database.executemany("insert into orders values (?, ?, ?, ?, ?)", rows)


def report(stage: Stage, name: str, at: str | None = None) -> dict[str, object]:
    document: dict[str, object] = json.loads(analyze(stage.context, name, at=at).render("json"))
    return document


def differences(left: object, right: object, where: str = "") -> Iterator[str]:
    """Where two documents differ, numbers by more than 1e-9 of their size."""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        for key in left:
            yield from differences(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, pair in enumerate(zip(left, right, strict=True)):
            yield from differences(*pair, f"{where}[{number}]")
    elif isinstance(left, float) and isinstance(right, float):
        if not math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{where}: {left} {right}"
    elif left != right:
        yield f"{where}: {left} {right}"


def test_read_and_recorded_values_give_the_same_report(tmp_path: Path) -> None:
    stage = Stage(project(tmp_path), now=START)
    shop = Shop()
    shop.open(120)
    last = Order("stranger", 1.0, True, 1.0, START + timedelta(hours=9))
    fill(tmp_path / "shop.duckdb", [*shop.orders, last])
    sources = f"{{shop: duckdb://{tmp_path}/shop.duckdb}}"
    merge(stage, {"read": spec(SOURCE), "told": spec()}, sources)
    stage.now = START + timedelta(hours=10)
    shop.record(stage, "read", with_values=False)
    shop.record(stage, "told", with_values=True)
    stage.auto()
    read, told = report(stage, "read"), report(stage, "told")
    assert list(differences(read["metrics"], told["metrics"])) == []
    assert fsck(stage.context).problems == []
