"""Values that come late stand where they came: what a look once saw, every later one repeats."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from expci.core.dataset.arrival import by_arrival
from expci.core.dataset.dataset import dataset
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.dataset.trials_table import trials_table
from expci.core.model.experiment import Metric
from expci.core.model.trial import Amendment, Arrival, Trial, amended, timestamp
from support.analysis_samples import PLAN, START, in_pairs, look_at, make_experiment, make_trial

SCORE = Metric("score", "primary", "mean", "increase")


def late_score(
    number: int, trial: Trial, value: float, before: int, written: str = ""
) -> Amendment:
    """A score that the ledger took after `before` trials; the sender wrote any time."""
    at = written or trial.started
    metrics = {"score": value}
    arrival = Arrival(at, number, before)
    return Amendment(f"{number:026d}", trial.id, trial.experiment, at, metrics, arrival)


@pytest.mark.slow
@pytest.mark.parametrize("inference", ["anytime", "group-sequential"])
@pytest.mark.parametrize("design", ["paired", "randomized"])
def test_a_later_look_never_takes_back_what_an_earlier_one_saw(design: str, inference: str) -> None:
    """Whatever the senders' clocks say."""
    rng = np.random.default_rng(4)
    experiment = make_experiment(primary=SCORE, design=design, sample_size=40, inference=inference)
    for _ in range(2):
        trials = in_pairs(np.ones(40), np.ones(40))
        scores = rng.normal(0, 1, 80) + np.array([t.arm == "treatment" for t in trials])
        arrival = np.arange(80) + rng.exponential(40, 80)
        order = np.argsort(arrival)
        clocks = [timestamp(START + timedelta(hours=int(h))) for h in rng.permutation(80)]
        p_values = []
        for now in range(0, 320, 8):
            came = [i for i in order.tolist() if arrival[i] <= now and i < now]
            late = [
                late_score(n, trials[i], float(scores[i]), min(80, int(arrival[i]) + 1), clocks[i])
                for n, i in enumerate(came)
            ]
            compared = look_at(experiment, amended(trials[:now], late)).primary.comparisons[0]
            p_values.append(compared.evidence.p_value or 1.0)
        assert p_values == sorted(p_values, reverse=True)
        assert p_values[-1] < 1


def test_runs_stay_in_their_pairs_whatever_order_their_scores_take() -> None:
    """Two pairs in one block: the scores of the second control and the first treatment meet."""
    block = [
        make_trial(i, arm, block="b", order=i + 1, unit=f"unit-{i // 2}")
        for i, arm in enumerate(("control", "treatment", "control", "treatment"))
    ]
    came = [late_score(n, block[i], [1.0, 5.0, 3.0, 4.0][i], 4) for n, i in enumerate((2, 1, 3, 0))]
    experiment = make_experiment(primary=SCORE, design="paired")
    differences = [
        look_at(experiment, amended(block, came[:scores])).primary.comparisons[0].difference
        for scores in range(1, 5)
    ]
    assert differences == [None, None, 1.0, 2.5]


def test_a_ledger_without_notes_reads_as_it_did_by_the_senders_clocks() -> None:
    """A value written at 2:30 stands before the trial that started at 3 o'clock."""
    trials = [make_trial(i, "control", metrics={"score": float(i)}) for i in range(6)]
    at = timestamp(START + timedelta(hours=2, minutes=30))
    late = Amendment("1" * 26, trials[0].id, "faster", at, {"score": 9.0})
    columns = trial_columns(amended(trials, [late]))
    table = trials_table(columns, ("control", "treatment"), False)
    data = dataset(make_experiment(primary=SCORE), select(columns, PLAN, ()), table)
    assert by_arrival(data, SCORE).path("score", 0).mean.tolist() == [1, 2, 9, 3, 4, 5]


def test_a_pair_stands_where_its_second_half_arrived() -> None:
    trials = in_pairs(np.arange(8.0), np.arange(8.0) + 1, "score")
    first = next(t for t in trials if t.arm == "treatment")
    bare = [replace(t, metrics={}) if t.id == first.id else t for t in trials]
    late = amended(bare, [late_score(0, first, first.metrics["score"], len(trials))])
    experiment = make_experiment(primary=SCORE, design="paired")
    moved = [t for t in trials if t.id != first.id] + [first]
    found, expected = (look_at(experiment, ts).primary.comparisons[0] for ts in (late, moved))
    assert found.evidence.log_e_value == pytest.approx(expected.evidence.log_e_value)
    assert found.difference_interval == pytest.approx(expected.difference_interval)


def test_a_correction_counts_from_when_it_came_and_the_same_value_again_changes_nothing() -> None:
    trials = [make_trial(i, "control", metrics={"score": 1.0}) for i in range(3)]
    again = amended(trials, [late_score(0, trials[0], 1.0, 2)])
    assert [dict(t.late) for t in again] == [{}, {}, {}]
    correction = late_score(0, trials[0], 2.0, 2)
    corrected = amended(trials, [correction])
    assert [dict(t.late) for t in corrected] == [{"score": correction.arrival}, {}, {}]
    assert "late" not in corrected[0].line()


def test_of_two_corrections_the_one_written_later_counts_whichever_came_first() -> None:
    trial = make_trial(0, "control", metrics={"score": 1.0})
    noon, one = (timestamp(START + timedelta(hours=h)) for h in (12, 13))
    later, earlier = late_score(0, trial, 3.0, 1, one), late_score(1, trial, 2.0, 5, noon)
    [corrected] = amended([trial], [earlier, later])
    assert corrected.metrics == {"score": 3.0}
    assert corrected.late == {"score": later.arrival}
