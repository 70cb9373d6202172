"""Metrics that live in a database: the same report as from records, and whatever is wrong said."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expci.core.model.trial import Amendment, derived_trial_id, timestamp
from expci.flows.arrivals.fold_arrivals import fold_arrivals
from expci.flows.arrivals.read_sources import Sources, read_sources
from expci.flows.auto.auto import auto
from expci.flows.experiment.advance import Pass
from expci.flows.experiment.base import base_of
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.fsck import fsck
from expci.store.inbox import send
from expci.store.ledger import paths
from expci.store.ledger.transaction import LedgerChange
from support.repositories import project
from support.shop import START, Order, Shop, merge, spec
from support.stage import Stage

SOURCE = "name: shop, table: orders, unit: user_id, at: paid_at, window: 1h"
BEYOND = Order("stranger", 1.0, True, 1.0, START + timedelta(hours=9))


def fill(path: Path, orders: Iterable[Order]) -> None:
    rows = [(o.user_id, o.amount, o.paid, o.wait_s, o.paid_at) for o in orders]
    with duckdb.connect(str(path)) as database:
        database.execute(
            "CREATE OR REPLACE TABLE orders"
            "(user_id text, amount double, paid boolean, wait_s double, paid_at timestamptz)"
        )
        if rows:
            database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", rows)


def report(stage: Stage, name: str, at: str | None = None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(analyze(stage.context, name, at=at).render("json"))
    return document


def check_of(stage: Stage, name: str = "read") -> tuple[str, str]:
    [check] = [check for check in report(stage, name)["checks"] if check["name"] == "source"]
    return check["status"], check["detail"]


def values(stage: Stage, name: str = "read", metric: str = "spend") -> dict[str, float]:
    """What the ledger has, by unit."""
    trials = stage.context.store.snapshot(inbox=False).ledger.trials(name)
    return {trial.unit: trial.metrics[metric] for trial in trials if metric in trial.metrics}


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


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The experiment twice on the default branch, once with its metrics in a database."""
    stage = Stage(project(tmp_path_factory.mktemp("shop")), now=START)
    merge(stage, {"read": spec(SOURCE), "told": spec()}, "{shop: $SHOP_URL}")
    return stage


@dataclass
class Scene:
    """The experiment with users who came, and the database as it stands."""

    stage: Stage
    shop: Shop
    database: Path

    def later(self, hours: float, orders: Iterable[Order] | None = None) -> Pass:
        """A pass so many hours after the start, with what the database holds by then."""
        self.stage.now = START + timedelta(hours=hours)
        if orders is not None:
            fill(self.database, orders)
        return auto(self.stage.context)

    @property
    def ledger(self) -> str:
        return self.stage.context.store.snapshot(inbox=False).ledger.commit or ""


@pytest.fixture
def scene(merged: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    stage, shop = merged.copy(tmp_path), Shop()
    monkeypatch.setenv("SHOP_URL", f"duckdb://{tmp_path}/shop.duckdb")
    shop.open(120)
    shop.record(stage, "read", with_values=False)
    return Scene(stage, shop, tmp_path / "shop.duckdb")


def test_read_and_recorded_values_give_the_same_report(scene: Scene) -> None:
    scene.shop.record(scene.stage, "told", with_values=True)
    done = scene.later(10, [*scene.shop.orders, BEYOND])
    assert done.problems == []
    assert ("read", "read 120 values of spend from its source") in done.actions
    read, told = report(scene.stage, "read"), report(scene.stage, "told")
    assert list(differences(read["metrics"], told["metrics"])) == []
    assert [metric["kind"] for metric in read["metrics"]] == [
        "mean", "proportion", "ratio", "count", "duration", "rank", "quantile", "proportion"
    ]  # fmt: skip
    assert read["metrics"][0]["arms"]["treatment"]["n"] == 60
    assert check_of(scene.stage) == ("ok", "every unit that was due has one value")
    assert fsck(scene.stage.context).problems == []


def test_a_replay_needs_no_database(scene: Scene) -> None:
    """Each pass reads what is due by then; what the database says tomorrow changes nothing."""
    ledgers, reports = [], []
    for hours in (2, 3.5):
        newest = replace(BEYOND, paid_at=START + timedelta(hours=hours))
        scene.later(hours, [*scene.shop.orders, newest])
        ledgers.append(scene.ledger)
        reports.append(report(scene.stage, "read", at=ledgers[-1]))
    units = [document["metrics"][0]["arms"]["control"]["n"] for document in reports]
    assert 0 < units[0] < units[1] == 60
    spent = {user: scene.shop.values(user)["spend"] for user in scene.shop.users}
    assert values(scene.stage) == pytest.approx(spent, rel=1e-12)
    changed = [replace(order, amount=order.amount * 100) for order in scene.shop.orders]
    scene.later(4, [*changed, BEYOND])
    scene.database.unlink()
    assert [report(scene.stage, "read", at=ledger) for ledger in ledgers] == reports
    assert report(scene.stage, "read")["metrics"] == reports[-1]["metrics"]


def test_a_database_that_lags_is_waited_for_and_an_idle_pass_asks_nothing(scene: Scene) -> None:
    until = START + timedelta(minutes=100)
    scene.later(10, [order for order in scene.shop.orders if order.paid_at < until])
    came = {user for user, at in scene.shop.users.items() if at + timedelta(hours=1) < until}
    assert values(scene.stage).keys() <= came
    assert len(values(scene.stage)) > 30
    scene.later(40)
    status, detail = check_of(scene.stage)
    assert status == "warning"
    assert "do not reach beyond 2026-11-20" in detail
    scene.later(41, [*scene.shop.orders, BEYOND])
    assert len(values(scene.stage)) == 120
    before = scene.ledger
    scene.database.unlink()  # whoever looked would say so
    done = scene.later(42)
    assert [what for name, what in done.actions if name == "read" and "read" in what] == []
    assert check_of(scene.stage)[0] == "ok"
    log = scene.stage.context.git.text("log", "--format=%B", f"{before}..{scene.ledger}")
    assert "Read the sources" not in log


def test_a_database_in_trouble_is_said_and_decides_nothing(scene: Scene) -> None:
    other_keys = [replace(order, user_id=f"id:{order.user_id}") for order in scene.shop.orders]
    troubles = (
        (None, "there is no file shop.duckdb"),
        ([*other_keys, BEYOND], "none of the 120 units that were asked for has a row"),
    )
    for hours, (orders, words) in enumerate(troubles, 10):
        done = scene.later(hours, orders)
        assert done.problems == []
        assert any(name == "read" and words in what for name, what in done.actions)
        assert values(scene.stage) == {}
        assert words in check_of(scene.stage)[1]
        assert report(scene.stage, "read")["decision"]["verdict"] == "continue"
        assert "source" in scene.stage.life("read").alerts
    before = scene.ledger  # said once: nothing more is written while it stays so
    scene.later(11.1)
    log = scene.stage.context.git.text("log", "--format=%B", f"{before}..{scene.ledger}")
    assert "Read the sources" not in log
    scene.later(12, [*scene.shop.orders, BEYOND])
    assert len(values(scene.stage)) == 120
    assert check_of(scene.stage)[0] == "ok"
    assert "source" not in scene.stage.life("read").alerts


def test_units_without_one_clear_value_are_counted_and_have_none(scene: Scene) -> None:
    orders = [order for order in scene.shop.orders if order.user_id != "user-0"]
    fill(scene.database, [*orders, BEYOND])
    with duckdb.connect(str(scene.database)) as database:
        database.execute("UPDATE orders SET amount = NULL WHERE user_id = 'user-1'")
        database.execute("UPDATE orders SET wait_s = 'inf' WHERE user_id = 'user-2'")
    scene.later(10)
    everyone = set(scene.shop.users)
    assert values(scene.stage, metric="spend").keys() == everyone - {"user-1"}
    assert values(scene.stage, metric="spend")["user-0"] == 0.0  # no order is nothing spent
    assert values(scene.stage, metric="largest").keys() == everyone - {"user-0", "user-1"}
    assert values(scene.stage, metric="wait_s").keys() == everyone - {"user-0", "user-2"}
    status, detail = check_of(scene.stage)
    assert status == "warning"
    assert "spend from shop: 1 unit has NULL or no finite number, and no value" in detail
    assert "largest from shop: 1 unit has no row, and no value" in detail


def test_no_record_may_state_what_a_source_tells(scene: Scene) -> None:
    scene.shop.users = {"forger": START}
    scene.shop.orders = [Order("forger", 1e9, True, 1.0, START)]
    scene.shop.record(scene.stage, "read", with_values=True)
    trial = derived_trial_id("read", "user-0")
    late = Amendment(derived_trial_id("x"), trial, "read", timestamp(START), {"spend": 1e9})
    send.send(scene.stage.context.store.remote, "read", send.encode([late.line()]))
    scene.later(2)
    assert values(scene.stage) == {}
    ledger = scene.stage.context.store.snapshot(inbox=False).ledger
    assert ledger.refused("read") == {"not_from_source": {"control": 1, "": 1}}


def test_what_was_not_merged_connects_nowhere(scene: Scene) -> None:
    """An experiment that was started on its branch, as those of the lab are."""
    stage, repository = scene.stage, scene.stage.repository
    repository.git("switch", "-q", "-C", "try/secret", "origin/main")
    hostile = spec(SOURCE.replace("orders", "salaries"))
    repository.write("experiments/secret/experiment.yml", hostile)
    repository.write("experiments/secret/treatment/work.sh", "exit\n", executable=True)
    repository.commit("Look at this")
    repository.push("try/secret")
    stage.start("secret")
    scene.shop.record(stage, "secret", with_values=False)
    scene.later(10)  # there is no database: whoever looked would say so
    status, detail = check_of(stage, "secret")
    assert status == "warning"
    assert "spend from shop: values are read once the experiment is merged to main" in detail
    assert "there is no file" not in detail


def test_a_ledger_that_names_another_table_than_the_file_is_not_believed(scene: Scene) -> None:
    store = scene.stage.context.store
    snapshot = store.snapshot(inbox=False)
    plan = snapshot.ledger.plan("read")
    assert plan is not None
    path = f"{paths.plan('read', plan.id)}/plan.json"
    forged = (snapshot.ledger.read(path) or b"").replace(b'"orders"', b'"salaries"')
    store.commit(snapshot, LedgerChange.of("Forge", {path: forged}), scene.stage.now)
    scene.later(10)
    assert "values are read once the experiment is merged" in check_of(scene.stage)[1]


def test_of_two_passes_that_read_at_once_one_records(scene: Scene) -> None:
    """The slower one finds what it read on record, and writes nothing twice."""
    stage = scene.stage
    stage.now = START + timedelta(hours=10)
    fill(scene.database, [*scene.shop.orders, BEYOND])
    fold_arrivals(stage.context)
    before = stage.context.store.snapshot(inbox=False).ledger
    base = base_of(stage.context)
    fast, slow = (Sources(stage.context, base) for _ in range(2))
    assert "read 120 values of spend from its source" in read_sources(fast, before, "read")
    once = scene.ledger
    assert read_sources(slow, before, "read") == []
    assert scene.ledger == once
    assert len(values(stage)) == 120
