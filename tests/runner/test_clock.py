"""A clock that is behind what the job itself has read is corrected, and the record says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from expci.core.model.trial import parse_timestamp, timestamp
from expci.runner.clock import start_time
from support.clones import Clone, make_clone

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("behind", "corrected", "said"),
    [
        (timedelta(hours=-3), False, False),
        (timedelta(0), False, False),
        (timedelta(minutes=3), True, False),
        (timedelta(minutes=10), True, False),
        (timedelta(minutes=11), True, True),
        (timedelta(hours=20), True, True),
        (timedelta(days=1), True, True),
        (timedelta(days=1, seconds=1), False, False),  # whose clock is it?
    ],
)
def test_a_start_before_the_phase_is_moved_to_it(
    behind: timedelta, corrected: bool, said: bool
) -> None:
    start = start_time(NOW, timestamp(NOW + behind))
    assert parse_timestamp(start.started) == (NOW + behind if corrected else NOW)
    assert start.context == ({"clock": f"the machine said {timestamp(NOW)}"} if said else {})
    assert (start.warning is not None) == said


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-22T10:00:00", "9999-99-99"])
def test_what_is_no_time_corrects_nothing(text: str) -> None:
    assert start_time(NOW, text).started == timestamp(NOW)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return make_clone(tmp_path, "slot: review\nrun: sh tool.sh")


def hours_behind(clone: Clone, hours: int, **changes: object) -> str:
    """The phase began when this machine's clock says that it is so many hours to come."""
    began = timestamp(datetime.now(UTC) + timedelta(hours=hours))
    clone.publish(started=began, **changes)
    return began


def test_a_lab_trial(clone: Clone) -> None:
    began = hours_behind(clone, 5)
    done = clone.expci("trial", "faster", "--pairs", "1")
    assert "clock" in done.stderr
    for trial in clone.arrived():
        assert trial.started == began
        assert trial.context["clock"].startswith("the machine said ")


def test_a_live_trial(clone: Clone) -> None:
    live = {"mode": "live", "slot": "review", "design": "randomized", "unit": "custom"}
    began = hours_behind(clone, 5, **live)
    clone.expci("assign", "faster", "--unit", "u-1")
    done = clone.expci("record", "faster", "--metric", "x=1")
    assert "clock is behind" in done.stderr
    [trial] = clone.arrived()
    assert (trial.started, trial.context["clock"][:16]) == (began, "the machine said")
    assert 0 <= trial.metrics["duration_s"] < 60


def test_a_trial_of_work_that_ran_elsewhere(clone: Clone) -> None:
    began = hours_behind(clone, 5, design="randomized")
    done = clone.expci("record", "faster", "--arm", "control", "--metric", "duration_s=1")
    assert "clock" in done.stderr
    assert [trial.started for trial in clone.arrived()] == [began]


def test_a_right_clock_is_left_alone(clone: Clone) -> None:
    hours_behind(clone, -5)
    clone.expci("trial", "faster", "--pairs", "1")
    for trial in clone.arrived():
        assert "clock" not in trial.context
        assert abs(parse_timestamp(trial.started) - datetime.now(UTC)) < timedelta(minutes=5)
