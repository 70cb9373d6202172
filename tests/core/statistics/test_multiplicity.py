"""Adjusted p-values against published and independent ones, and where they are used."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expci.core.model.experiment import Metric
from expci.core.model.results import Analysis
from expci.core.model.trial import Trial
from expci.core.statistics.multiplicity import benjamini_hochberg, holm
from support.analysis_samples import SUCCESS, look_at, make_experiment, make_trial

# Benjamini & Hochberg 1995, section 4.1: 15 p-values; at q* = .05 the first four are rejected,
# Bonferroni rejects three.
PUBLISHED = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
PUBLISHED += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_example_of_benjamini_and_hochberg() -> None:
    found = benjamini_hochberg(PUBLISHED)
    assert np.sum(found <= 0.05) == 4
    assert np.sum(holm(PUBLISHED) <= 0.05) == 3


@given(P_VALUES)
def test_they_are_scipys_and_the_definitions(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))
    # Holm: the closure of Bonferroni: the largest of |S| · min over the sets S around it
    order = sorted(p_values)
    steps = [min(1.0, (len(order) - i) * p) for i, p in enumerate(order)]
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert adjusted == pytest.approx(max(steps[: order.index(p) + 1]))


def test_a_missing_p_value_counts_and_stays_missing() -> None:
    for adjusted in (holm([0.01, np.nan]), benjamini_hochberg([0.01, np.nan])):
        assert adjusted == pytest.approx([0.02, np.nan], nan_ok=True)
    assert (holm([]).size, benjamini_hochberg([]).size) == (0, 0)


def three_arms(first: float, second: float, **changes: object) -> Analysis:
    rng = np.random.default_rng(1)
    base = np.exp(rng.normal(2.5, 0.05, 30))
    trials: list[Trial] = []
    for i in range(30):
        for k, (arm, ratio) in enumerate((("control", 1), ("first", first), ("second", second))):
            value = float(base[i] * ratio)
            metrics = {"duration_s": value, "memory": value * 3, "lines": float(rng.normal(9, 1))}
            trials.append(make_trial(3 * i + k, arm, metrics=metrics))
    secondary = [Metric(name, "secondary", "mean", "decrease") for name in ("memory", "lines")]
    experiment = make_experiment(treatments=("first", "second"), others=(SUCCESS, *secondary))
    return look_at(experiment, trials, **changes)


def test_secondary_metrics_are_adjusted_together() -> None:
    analysis = three_arms(0.8, 0.7)
    secondary = [metric for metric in analysis.metrics if metric.role == "secondary"]
    raw = [c.evidence.p_value for metric in secondary for c in metric.comparisons]
    adjusted = [c.false_discovery_p_value for metric in secondary for c in metric.comparisons]
    assert all(p is not None for p in raw)
    assert adjusted == pytest.approx(
        stats.false_discovery_control([p if p is not None else math.nan for p in raw])
    )
    others = [metric for metric in analysis.metrics if metric.role != "secondary"]
    assert all(c.false_discovery_p_value is None for m in others for c in m.comparisons)


def test_of_equal_winners_the_smaller_change_is_promoted() -> None:
    assert three_arms(0.7, 0.7).decision.arm == "first"
    smaller = three_arms(0.7, 0.7, change_sizes={"first": 3, "second": 1})
    assert smaller.decision.arm == "second"
    assert any("same estimate and changes less" in reason for reason in smaller.decision.reasons)
    better = three_arms(0.6, 0.7, change_sizes={"first": 3, "second": 1})
    assert better.decision.arm == "first"
    assert replace(better.decision, arm=None).verdict == "promote"


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_many_experiments_are_adjusted_each_by_itself(adjust: Callable[..., np.ndarray]) -> None:
    p_values = np.random.default_rng(3).random((4, 3, 2))
    p_values[1, 2, 0] = np.nan
    adjusted = adjust(p_values)
    assert adjusted.shape == (4, 3, 2)
    for row in range(3):
        for column in range(2):
            alone = adjust(p_values[:, row, column])
            assert adjusted[:, row, column] == pytest.approx(alone, nan_ok=True)


def test_no_adjusted_p_value_is_above_one() -> None:
    assert benjamini_hochberg([1.0, np.nan]).tolist()[0] == 1
    assert holm([0.9, 0.8, 1.0]).tolist() == [1, 1, 1]
