"""Where a series changed: the place, the means beside it, and when nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from expci.core.statistics import t_mixture
from expci.core.statistics.change_point import change_point


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("jump", [0.0, 3.0])
def test_the_place_is_the_one_with_the_most_weighted_evidence(seed: int, jump: float) -> None:
    x = np.random.default_rng(seed).normal(3, 2, 24)
    x[9 + seed :] += jump
    weighted = {}
    for k in range(5, 20):
        t = stats.ttest_ind(x[k:], x[:k]).statistic
        log_e = float(t_mixture.log_e_value(t, 22, k * (24 - k) / 24))
        weighted[k] = log_e - math.log(k * (k + 1))
    best = max(weighted, key=lambda k: weighted[k])
    change = change_point(x)
    assert change is not None
    assert change.index == best
    assert change.before == pytest.approx(x[:best].mean())
    assert change.after == pytest.approx(x[best:].mean())
    larger = change_point(1e200 * x)
    assert larger is not None
    assert larger.index == best
    assert larger.log_e_value == pytest.approx(change.log_e_value)


def test_too_short_constant_or_vast_series_say_nothing() -> None:
    x = np.random.default_rng(9).normal(size=10)
    assert change_point(x) is not None
    assert change_point(x[:9]) is None
    assert change_point(np.ones(20)) is None
    for low in (9, 10):
        assert change_point(np.repeat([-1.7e308, 1.7e308], [low, 11])) is None


def test_a_step_without_noise_has_finite_evidence() -> None:
    change = change_point(np.repeat([1.0, 2.0], [8, 12]))
    assert change is not None
    assert (change.index, change.before, change.after) == (8, 1.0, 2.0)
    # log E as t grows: −ν/2 log r, less the log of the weight; the other places add a little
    limit = 9 * math.log(1 + t_mixture.SCALE * 4.8) - math.log(72)
    assert limit < change.log_e_value < limit + 0.1
