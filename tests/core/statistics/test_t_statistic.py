"""A difference by t: as a normal deviate, as intervals, and over units and pairs together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from expci.core.model.experiment import PlanRules
from expci.core.statistics import t_statistic
from expci.core.statistics.classical import fieller
from expci.core.statistics.mean_difference import Looks, one_row, two_sample
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.t_mixture import Rules, weighable

RULES = Rules(alpha=0.05, harm=1, start=3)
T = np.array([0.0, 1.5, -3.0, 8.0, -1e4])


def by_t_values(t: np.ndarray, df: float, scale: float = 1.0) -> Looks:
    """Looks with an error of 2, in units of `scale`, and control at 10."""
    ones = np.ones(t.size)
    return one_row(
        scale,
        n=10 * ones,
        difference=2 * t,
        error=2 * ones,
        df=df * ones,
        n_e=5 * ones,
        control=10 * ones,
        control_variance=1.5 * ones,
        covariance=-1.5 * ones,
        valid=np.ones(t.size, dtype=np.bool_),
    )


@pytest.mark.parametrize("df", [1.0, 4.5, 60.0])
def test_a_normal_deviate_has_the_p_value_of_t(df: float) -> None:
    z = t_statistic.z_of(by_t_values(T, df))[0]
    assert np.sign(z).tolist() == np.sign(T).tolist()
    p_values = 2 * stats.t(df).sf(np.abs(T))
    reached = np.maximum(p_values, 2 * stats.norm.sf(37))
    assert 2 * stats.norm.sf(np.abs(z)) == pytest.approx(reached, rel=1e-6)


def test_a_tail_that_no_float_holds_is_a_deviate_of_37() -> None:
    assert t_statistic.z_of(by_t_values(np.array([-1e6, 1e6]), 400.0)).tolist() == [[-37, 37]]


def test_where_nothing_varies_there_is_no_deviate() -> None:
    looks = by_t_values(np.array([1.0, 1.0, 0.0]), 5.0)
    flat = replace(looks, valid=np.array([[True, False, False]]), error=np.array([[2.0, 0.0, 0.0]]))
    z = t_statistic.z_of(flat)[0]
    assert np.isnan(z).tolist() == [False, True, True]


@pytest.mark.parametrize("scale", [1.0, 8.0])
@pytest.mark.parametrize("df", [2.0, 17.0])
def test_the_interval_of_a_critical_deviate_is_that_of_t(df: float, scale: float) -> None:
    looks = by_t_values(T, df, scale)
    interval, relative = t_statistic.ends_of(looks, np.array([1.96]))
    t = stats.t(df).isf(stats.norm.sf(1.96))
    assert interval[0][0] == pytest.approx(scale * (2 * T - 2 * t))
    assert interval[1][0] == pytest.approx(scale * (2 * T + 2 * t))
    for at, value in enumerate(2 * T):
        one = [np.array([x]) for x in (10.0, value, 1.5, 4.0, -1.5, float(t))]
        assert [float(end[0, at]) for end in relative] == pytest.approx(
            [float(end[0]) for end in fieller(*one)]
        )


def test_a_deviate_without_a_tail_bounds_nothing() -> None:
    for ends in t_statistic.ends_of(by_t_values(T, 9.0), np.array([50.0])):
        assert ends[0].tolist() == [[-math.inf] * 5]
        assert ends[1].tolist() == [[math.inf] * 5]


def test_planned_looks_see_the_trials_up_to_them() -> None:
    rng = np.random.default_rng(1)
    value, arm = rng.normal(5, 1, (2, 40)), np.tile([0, 1], (2, 20))
    looks = two_sample(arm, value)
    statistic = t_statistic.by_t(looks, RULES)
    plan = planned_looks(statistic.n, PlanRules(inference="group-sequential", looks=4), 20, 3)
    assert plan is not None
    assert plan.units == (5, 10, 15, 20)
    z, (interval, _) = statistic.planned_z(plan), statistic.planned_ends(plan)
    assert z.shape == (2, 4)
    for row in (0, 1):
        for k, n in enumerate(plan.units):
            control, treatment = (value[row, : 2 * n][arm[row, : 2 * n] == side] for side in (0, 1))
            test = stats.ttest_ind(treatment, control, equal_var=False)
            deviate = -stats.norm.ppf(test.pvalue / 2)
            assert z[row, k] == pytest.approx(deviate * np.sign(test.statistic))
            level = 1 - 2 * stats.norm.sf(plan.bounds[k])
            low, high = test.confidence_interval(level)
            assert (interval[0][row, k], interval[1][row, k]) == pytest.approx((low, high))
    assert statistic.difference.tolist() == looks.difference.tolist()
    assert replace(statistic.looks, scale=4.0).difference is looks.difference
    scaled = t_statistic.by_t(replace(looks, scale=4.0), RULES)
    assert scaled.difference[0, -1] == 4 * looks.difference[0, -1]
    assert scaled.rules is RULES


def test_units_and_pairs_hold_together() -> None:
    """The weaker evidence and the wider interval of the two, whichever it is."""
    rng = np.random.default_rng(2)
    arm = np.tile([0, 1], (2, 30))
    looks = [two_sample(arm, rng.normal(0, 1, (2, 60)) + effect * arm) for effect in (0.4, 0.8)]
    # the second row the other way round, so that each is once the weaker one
    first, second = _crossed(*looks), _crossed(*looks[::-1])
    both = t_statistic.of_units_and_pairs(first, second, RULES)
    one, other = weighable(first, RULES), weighable(second, RULES)
    for name in ("log_e", "log_e_now", "harm_log_e"):
        pair = getattr(one, name)(), getattr(other, name)()
        assert getattr(both, name)().tolist() == np.minimum(*pair).tolist()
        assert pair[0].tolist() != pair[1].tolist()
    for name in ("interval", "relative"):
        (low, high), (under, over) = getattr(one, name)(), getattr(other, name)()
        ends = getattr(both, name)()
        assert ends[0].tolist() == np.minimum(low, under).tolist()
        assert ends[1].tolist() == np.maximum(high, over).tolist()
    assert both.n.tolist() == first.n.tolist()


def _crossed(a: Looks, b: Looks) -> Looks:
    """The first experiment of one and the second of the other."""
    columns: dict[str, Any] = {
        name: np.stack([getattr(a, name)[0], getattr(b, name)[1]])
        for name in Looks.__dataclass_fields__
        if name != "scale"
    }
    return Looks(**columns)


def test_a_snapshot_is_the_last_look() -> None:
    snapshot = t_statistic.t_snapshot(by_t_values(np.array([5.0, 1.5]), 20.0, 4.0))
    assert snapshot is not None
    assert 2 * stats.norm.sf(snapshot.z) == pytest.approx(2 * stats.t(20).sf(1.5))
    # a deviate of 1 is a t whose tail is that of one standard error
    assert snapshot.error == pytest.approx(4 * 2 * stats.t(20).isf(stats.norm.sf(1)))
    assert snapshot.clear


@pytest.mark.parametrize(("control", "clear"), [(2.2, False), (2.7, True), (-2.7, True)])
def test_control_is_clear_where_its_interval_excludes_zero(control: float, clear: bool) -> None:
    # error √1.5 = 1.22 and t(20) at 2.5 % on each side 2.09: from 2.56 on
    looks = replace(by_t_values(np.array([1.5]), 20.0), control=np.array([[control]]))
    snapshot = t_statistic.t_snapshot(looks)
    assert snapshot is not None
    assert snapshot.clear is clear


def test_no_snapshot_where_nothing_varies() -> None:
    assert t_statistic.t_snapshot(None) is None
    looks = by_t_values(np.array([1.5, 1.5]), 20.0)
    assert t_statistic.t_snapshot(replace(looks, valid=np.array([[True, False]]))) is None
    assert t_statistic.t_snapshot(replace(looks, valid=np.array([[False, True]]))) is not None
