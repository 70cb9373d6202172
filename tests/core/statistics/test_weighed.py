"""A statistic in the plan's mode: what stops, and what is not stopped by missing numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.unit_paths import UnitPath
from expci.core.kinds.continuous import planned_scale
from expci.core.model.experiment import Baseline
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t
from expci.core.statistics.terms import Terms
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.weighed import Weighed
from support.analysis_samples import DURATION, make_experiment


def single(values: np.ndarray, arm: int) -> UnitPath:
    index = np.arange(values.size)
    return UnitPath(2 * index + arm, index, values, np.full(values.size, np.nan))


@pytest.mark.parametrize(("spread", "futile"), [(0.0, False), (1.0, True)])
def test_a_look_that_cannot_be_computed_is_no_sign_of_futility(spread: float, futile: bool) -> None:
    rules = replace(
        make_experiment(sample_size=40, inference="group-sequential").plan, futility=True
    )
    values = 5 + spread * np.random.default_rng(1).standard_normal(40)
    looks = Sample(single(values, 0), single(values, 1)).looks()
    assert looks is not None
    statistic = by_t(looks, Rules(0.05, 1, 5))
    plan = planned_looks(statistic.n, rules, 40, 5)
    assert bool(Weighed(statistic, plan).futile[0, -1]) is futile


@pytest.mark.parametrize("mean", [1e300, 1e-300, 1e308])
@pytest.mark.parametrize("sd", [1e300, 1e-300])
def test_a_baseline_at_the_edge_of_a_float_has_a_scale(mean: float, sd: float) -> None:
    metric = replace(DURATION, kind="mean", baseline=Baseline(mean, sd))
    experiment = make_experiment(primary=metric)
    terms = Terms(experiment, experiment.plan, None, 0.05, False, None)
    assert 0.0999 <= planned_scale(metric, terms) <= 2.0001
