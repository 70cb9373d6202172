"""Which units a source is asked for, and when."""

from __future__ import annotations

import pytest

from expci.core.dataset import due_units as module
from expci.core.dataset.due_units import Due, due_units
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.model.experiment import Metric
from expci.core.model.source import MetricSource, SourceReading
from expci.core.model.trial import Arrival, Trial
from support.analysis_samples import PLAN, START, make_trial

HOUR = 3600
T0 = int(START.timestamp())  # make_trial: trial n starts n hours later
USD = Metric(
    "usd",
    "primary",
    "mean",
    "increase",
    source=MetricSource("shop", "orders", "user_id", "paid_at", 2 * HOUR, "amount"),
)


def due(trials: list[Trial], hour: float, reading: SourceReading | None = None) -> Due:
    selection = select(trial_columns(trials), PLAN, ("control", "treatment"))
    return due_units(USD, selection, int(T0 + hour * HOUR), reading or SourceReading())


def named(found: Due) -> list[str]:
    return [unit.unit for unit in found.units]


def test_a_unit_is_due_once_its_time_is_over_and_counts_from_its_first_trial() -> None:
    trials = [
        make_trial(0, "control", unit="ada"),
        make_trial(1, "control", unit="ada"),
        make_trial(1, "treatment", unit="bob"),
    ]
    assert named(due(trials, 1.99)) == []
    [ada] = due(trials, 2).units
    assert (ada.trial, ada.begin, ada.end) == (trials[0].id, T0, T0 + 2 * HOUR)
    assert named(due(trials, 3)) == ["ada", "bob"]


def test_what_does_not_count_and_what_has_a_value_is_not_asked_for() -> None:
    late = {"usd": Arrival("2026-11-02T00:00:00Z", 1, 3)}
    trials = [
        make_trial(0, "control", unit="has", metrics={"usd": 1.0}, late=late),
        make_trial(0, "control", unit="gone", status="cancelled"),
        make_trial(0, "control", unit="fork", excluded="untrusted"),
        make_trial(0, "control", unit="other", plan="b" * 64),
        make_trial(0, "control", unit="due", status="failed"),
    ]
    assert named(due(trials, 9)) == ["due"]


def test_a_unit_of_two_arms_is_none_to_ask_for() -> None:
    trials = [make_trial(n, arm, unit="both") for n, arm in enumerate(("control", "treatment"))]
    found = due([*trials, make_trial(3, "control", unit="ada")], 9)
    assert named(found) == ["ada"]
    assert found.both_arms == 1


def test_a_unit_is_asked_for_once_unless_it_came_later() -> None:
    trials = [make_trial(0, "control", unit="ada"), make_trial(5, "control", unit="bob")]
    read = SourceReading(through=T0 + 3 * HOUR, trials=2)
    assert named(due(trials, 9, read)) == ["bob"]
    spooled = make_trial(0, "treatment", unit="late")  # that job was offline
    assert named(due([*trials, spooled], 9, read)) == ["late", "bob"]


def test_the_first_due_go_first_where_there_is_no_room_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = [make_trial(n, "control", unit=f"u{n}") for n in (3, 1, 2, 0)]
    monkeypatch.setattr(module, "UNITS", 2)
    found = due(trials, 99)
    assert named(found) == ["u0", "u1"]
    assert found.beyond == T0 + 4 * HOUR
    monkeypatch.setattr(module, "UNITS", 20)
    monkeypatch.setattr(module, "BYTES", 3 * (2 + 24))
    assert named(due(trials, 99)) == ["u0", "u1", "u2"]
