"""How variance is divided between groups and within them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from expci.core.statistics.variance_components import share_between, variance_components


def test_the_variances_are_those_of_the_one_way_analysis_of_variance() -> None:
    # scipy's F is the ratio of the mean squares between and within groups.
    rng = np.random.default_rng(1)
    groups = [rng.normal(mean, 2, 5) for mean in rng.normal(0, 3, 8)]
    parts = variance_components(np.concatenate(groups), np.repeat(np.arange(8), 5))
    assert parts is not None
    between, within = parts
    assert within == pytest.approx(np.mean([group.var(ddof=1) for group in groups]))
    f = stats.f_oneway(*groups).statistic
    assert between == pytest.approx(within * (f - 1) / 5)


def test_one_value_of_each_group_tells_nothing() -> None:
    assert variance_components(np.arange(5.0), np.arange(5)) is None
    assert share_between(np.ones(6), np.repeat(np.arange(3), 2)) is None
