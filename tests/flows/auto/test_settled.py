"""What is at rest costs a pass nothing, and nothing rests that has something to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from expci.core.model.trial import Amendment, timestamp
from expci.flows.auto import settled
from expci.flows.auto.auto import auto
from expci.flows.experiment.advance import Pass
from expci.runner.trial_ids import new_trial_id
from expci.store.git import refs
from expci.store.inbox import send
from expci.store.ledger import paths
from expci.store.ledger.settled_experiments import (
    LONGEST,
    TURNS,
    SettledExperiment,
    is_in_turn,
    read_settled,
)
from expci.store.ledger.transaction import LedgerChange
from support.repositories import Repository
from support.stage import Stage

HOUR = timedelta(hours=1)


@pytest.fixture
def stage(repository: Repository) -> Stage:
    """An experiment that two passes left with nothing to do, not in the hour of its turn."""
    stage = Stage(repository)
    stage.begin()
    stage.pairs(3, 1.0)
    while is_in_turn("speed", stage.now) or is_in_turn("speed", stage.now + HOUR):
        stage.now += HOUR
    assert looked_at(stage)
    assert looked_at(stage) in ([], ["speed"])
    assert looked_at(stage) == []
    return stage


def looked_at(stage: Stage) -> list[str]:
    return [gathered.name for gathered in stage.auto().gathered]


def put(stage: Stage, data: bytes | None) -> None:
    """Write the map, as whoever may push refs can."""
    change = LedgerChange.of("By hand", {}, derived={paths.SETTLED: data})
    stage.context.store.transact(stage.now, lambda _: change)


def test_what_is_at_rest_is_left_out_and_told_as_before(stage: Stage) -> None:
    done = auto(stage.context)
    assert done.to_json()["states"] == {"speed": "running"}
    assert done.verdicts == {"speed": "continue"}
    assert not done.failed
    whole = auto(stage.context, dry_run=True)
    assert [gathered.name for gathered in whole.gathered] == ["speed"]


def test_whatever_it_rests_on_brings_it_back(stage: Stage) -> None:
    def new_trials() -> None:
        stage.pairs(1, 1.0)

    def late_score() -> None:
        store = stage.context.store
        trial = store.snapshot(inbox=False).ledger.trials("speed")[0]
        late = Amendment(
            new_trial_id(stage.now), trial.id, "speed", timestamp(stage.now), {"duration_s": 9.0}
        )
        send.send(store.remote, "speed", send.encode([late.line()]))

    def a_commit_on_its_branch() -> None:
        stage.repository.write("other.txt", "more\n")
        stage.repository.commit("More")
        stage.repository.push("HEAD:try/speed")

    def a_commit_on_the_base() -> None:
        stage.repository.git("switch", "-q", "-C", "main", "origin/main")
        stage.repository.write("README", "text\n")
        stage.repository.commit("Text")
        stage.repository.push("main")

    def its_report_is_lost() -> None:
        change = LedgerChange.of("Lost", {}, derived={paths.analysis("speed"): None})
        stage.context.store.transact(stage.now, lambda _: change)

    def all_that_is_derived_is_lost() -> None:
        stage.repository.push(f":{refs.DERIVED}")

    def a_refused_record() -> None:
        send.send(stage.context.store.remote, "speed", b"no record\n")

    happenings: list[Callable[[], None]] = [
        new_trials,
        a_refused_record,
        late_score,
        a_commit_on_its_branch,
        a_commit_on_the_base,
        its_report_is_lost,
        all_that_is_derived_is_lost,
    ]
    for happening in happenings:
        happening()
        assert looked_at(stage) == ["speed"], happening.__name__
        looked_at(stage)
        assert looked_at(stage) == [], happening.__name__


def test_a_refused_record_of_another_experiment_does_not(stage: Stage) -> None:
    send.send(stage.context.store.remote, "other", b"no record\n")
    done = auto(stage.context)
    assert len(done.refused) == 1
    assert done.gathered == []


def test_another_version_of_expci_looks_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "__version__", "99.0")
    assert looked_at(stage) == ["speed"]


def test_what_has_just_started_rests_though_it_will_have_something_to_say(
    repository: Repository,
) -> None:
    stage = Stage(repository)
    while any(is_in_turn("speed", stage.now + hours * HOUR) for hours in (7, 19, 25)):
        stage.now += HOUR
    stage.begin()
    began = stage.now
    stage.now = began + 7 * HOUR
    looked_at(stage)
    looked_at(stage)
    assert looked_at(stage) == []
    stage.now = began + 19 * HOUR  # nothing arrived: in five hours that is an alert
    for _ in range(3):
        assert looked_at(stage) == ["speed"]
    stage.now = began + 25 * HOUR
    assert looked_at(stage) == ["speed"]
    assert [event.word for event in stage.life("speed").events][-1] == "alert_raised"


def test_its_time_comes(stage: Stage) -> None:
    began = stage.now
    stage.now = began + LONGEST
    assert is_in_turn("speed", stage.now) is False
    assert looked_at(stage) == ["speed"]
    stage.now = began + 3 * LONGEST + 2 * HOUR  # nothing came for three days: it is quiet
    words = [event.word for _, event in stage.auto().events]
    assert words == ["alert_raised"]


@pytest.mark.parametrize("days", [0, 30])
def test_a_map_that_is_no_map_is_as_none(stage: Stage, days: int) -> None:
    """Cut off, of another kind, or with a promise of a rest that is too long."""
    ledger = stage.context.store.snapshot(inbox=False).ledger
    data = ledger.derived.read(paths.SETTLED) or b""
    far = json.loads(data)
    far["experiments"]["speed"]["until"] = timestamp(stage.now + timedelta(days=2))
    odd = json.loads(data)
    odd["experiments"]["speed"]["key"] = ["x"]
    stage.now += timedelta(days=days)
    for bad in (
        None,
        data[:40],
        b"[]",
        b"\xff\xfe",
        json.dumps(far).encode(),
        json.dumps(odd).encode(),
    ):
        put(stage, bad)
        assert looked_at(stage) == ["speed"], bad
    assert set(read_settled(stage.context.store.snapshot(inbox=False).ledger)) == {"speed"}


def test_what_arrived_in_this_pass_is_looked_at_whatever_was_written_before(stage: Stage) -> None:
    """The ledger after a fold can be foretold, and so could its key be."""
    stage.pairs(14, 2.0)  # harm
    elsewhere = stage.copy(stage.repository.path.parent / "elsewhere")
    auto(elsewhere.context)
    auto(elsewhere.context)
    foretold = elsewhere.context.store.snapshot(inbox=False).ledger.derived.read(paths.SETTLED)
    put(stage, foretold)
    done = stage.auto()
    assert done.settled == {}
    assert "rolled_back" in [event.word for _, event in done.events]


def test_each_has_one_hour_of_every_day_and_every_hour_in_its_turn() -> None:
    begin = datetime(2026, 11, 22, tzinfo=UTC)
    for name in ("speed", "cost", "a", "b"):
        turns = [
            [hour for hour in range(24) if is_in_turn(name, begin + day * LONGEST + hour * HOUR)]
            for day in range(TURNS)
        ]
        assert sorted(hour for [hour] in turns) == list(range(24))


def test_a_record_holds_until_its_time_and_promises_a_day_at_most() -> None:
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    item = SettledExperiment("key", timestamp(now + LONGEST))
    assert item.rests_at(now)
    assert item.rests_at(now + LONGEST - timedelta(seconds=1))
    assert not item.rests_at(now + LONGEST)
    assert not item.rests_at(now - timedelta(seconds=1))  # it would be more than a day
    assert not replace(item, until="tomorrow").rests_at(now)


def test_a_turn_brings_it_back_though_the_map_says_that_it_rests(stage: Stage) -> None:
    while not is_in_turn("speed", stage.now):
        stage.now += HOUR
        if not is_in_turn("speed", stage.now):
            stage.auto()
    done: Pass = stage.auto()
    assert [gathered.name for gathered in done.gathered] == ["speed"]
