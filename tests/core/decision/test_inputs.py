"""From what an analysis reports to the numbers that decide: signs, and what is not there."""

from __future__ import annotations

import math

import pytest

from expci.core.model.experiment import Metric
from support.analysis_samples import DURATION, make_experiment
from support.look_numbers import Effect, LookSample

SCORE = Metric("score", "primary", "mean", "increase")


@pytest.mark.parametrize(
    ("metric", "interval", "expected"),
    [
        # seconds, treatment minus control: 3 fewer, surely 1 to 5 fewer: an improvement of 1 to 5
        (DURATION, (-5.0, -1.0), (3.0, 1.0, 5.0)),
        (DURATION, (-5.0, None), (3.0, math.nan, 5.0)),
        (DURATION, None, (3.0, math.nan, math.nan)),
        (SCORE, (-5.0, -1.0), (-3.0, -5.0, -1.0)),
        (SCORE, (None, -1.0), (-3.0, math.nan, -1.0)),
    ],
)
def test_a_difference_becomes_an_improvement(
    metric: Metric,
    interval: tuple[float | None, float | None] | None,
    expected: tuple[float, float, float],
) -> None:
    effects = {(metric.name, "treatment"): Effect(difference=-3.0, difference_interval=interval)}
    sample = LookSample(make_experiment(primary=metric), effects=effects)
    absolute = sample.input().numbers.evidence[metric.name, "treatment"].absolute
    ends = [x.item() for x in (absolute.estimate, absolute.low, absolute.high)]
    assert ends == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("design", "one", "many"),
    [("paired", "1 pair", "12 pairs"), ("randomized", "1 trial per arm", "12 trials per arm")],
)
def test_units_are_counted_in_the_words_of_the_design(design: str, one: str, many: str) -> None:
    look = LookSample(make_experiment(design=design)).input()
    assert (look.counted(1), look.counted(12)) == (one, many)
