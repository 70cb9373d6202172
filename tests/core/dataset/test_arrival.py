"""Values that come late stand where they came: what a look once saw, every later one repeats."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from expci.core.model.experiment import Metric
from expci.core.model.trial import Amendment, Trial, amended, parse_timestamp, timestamp
from support.analysis_samples import START, in_pairs, look_at, make_experiment, make_trial

SCORE = Metric("score", "primary", "mean", "increase")


def scored_late(
    trials: list[Trial], delays: np.ndarray, now: timedelta, scores: np.ndarray
) -> list[Trial]:
    """What a look `now` after the start sees: trials so far, with the scores that have come."""
    seen = [t for t in trials if parse_timestamp(t.started) <= START + now]
    late = []
    for index, trial in enumerate(seen):
        at = parse_timestamp(trial.started) + timedelta(minutes=float(delays[index]))
        if at <= START + now:
            name = f"{index:026d}"
            metrics = {"score": float(scores[index])}
            late.append(Amendment(name, trial.id, trial.experiment, timestamp(at), metrics))
    return amended(seen, late)


@pytest.mark.slow
def test_a_later_look_never_takes_back_what_an_earlier_one_saw() -> None:
    rng = np.random.default_rng(4)
    experiment = make_experiment(primary=SCORE, design="paired")
    for _ in range(4):
        pairs = in_pairs(np.ones(40), np.ones(40))
        trials = [
            replace(t, started=timestamp(START + timedelta(minutes=10 * i)))
            for i, t in enumerate(pairs)
        ]
        scores = rng.normal(0, 1, 80) + np.array([t.arm == "treatment" for t in trials])
        delays = rng.exponential(400, 80)
        p_values = []
        for minute in range(0, 2400, 40):
            late = scored_late(trials, delays, timedelta(minutes=minute), scores)
            found = look_at(experiment, late).primary.comparisons[0]
            p_values.append(found.evidence.p_value or 1.0)
        assert p_values == sorted(p_values, reverse=True)
        assert p_values[-1] < 1


def test_a_pair_stands_where_its_second_half_arrived() -> None:
    trials = in_pairs(np.arange(8.0), np.arange(8.0) + 1, "score")
    first = next(t for t in trials if t.arm == "treatment")
    at = timestamp(parse_timestamp(trials[-1].started) + timedelta(minutes=1))
    bare = [replace(t, metrics={}) if t.id == first.id else t for t in trials]
    late = amended(bare, [Amendment("9" * 26, first.id, first.experiment, at, first.metrics)])
    experiment = make_experiment(primary=SCORE, design="paired")
    moved = [t for t in trials if t.id != first.id] + [first]
    found, expected = (look_at(experiment, ts).primary.comparisons[0] for ts in (late, moved))
    assert found.evidence.log_e_value == pytest.approx(expected.evidence.log_e_value)
    assert found.difference_interval == pytest.approx(expected.difference_interval)


def test_a_correction_counts_from_when_it_came_and_the_same_value_again_changes_nothing() -> None:
    trials = [make_trial(i, "control", metrics={"score": 1.0}) for i in range(3)]
    at = timestamp(START + timedelta(days=9))
    ids = [t.id for t in trials]
    again = amended(trials, [Amendment("1" * 26, ids[0], "e", at, {"score": 1.0})])
    assert [dict(t.late) for t in again] == [{}, {}, {}]
    corrected = amended(trials, [Amendment("1" * 26, ids[0], "e", at, {"score": 2.0})])
    assert [dict(t.late) for t in corrected] == [{"score": at}, {}, {}]
    assert "late" not in corrected[0].line()
