"""Proportions: both arms' units as evidence, at planned looks, and what is reported beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from expci.core.dataset.unit_paths import single_trials, unit_path
from expci.core.model.experiment import Limit, PlanRules
from expci.core.statistics import betting, proportion
from expci.core.statistics.bets import USUAL, planned_bets
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.proportion import SafeTest
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.terms import Terms
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import SUCCESS, make_experiment

RULES = Rules(alpha=0.05, harm=1, start=5)
SUCCEEDED = replace(SUCCESS, minimum_effect=Limit(0.1, False))


def values(successes: int, units: int) -> np.ndarray:
    return (np.arange(units) < successes).astype(float)


def safe(units: Sample, rules: Rules = RULES, sizes: tuple[int, int] = (1, 1)) -> SafeTest:
    test = proportion.safe_test(units, sizes, rules)
    assert test is not None
    return test


def test_units_count_once_and_by_their_mean_at_every_look() -> None:
    unit = np.array([0, 1, 0, 2, 3, 1, 4, 0, 5])
    arm, value = unit % 2, np.array([1.0, 1, 0, 0, 1, 0, 1, 1, 0])
    units = Sample(unit_path(arm == 0, unit, value), unit_path(arm == 1, unit, value))
    test = safe(units)
    for rows in range(1, 10):
        for side in (0, 1):
            own = [value[:rows][unit[:rows] == code] for code in range(side, 6, 2)]
            means = [float(v.mean()) for v in own if v.size]
            assert test.counts[side][0, rows - 1] == len(means)
            assert test.totals[side][0, rows - 1] == pytest.approx(sum(means))
    assert test.n[0].tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 3]
    assert np.isnan(test.difference[0, 0])
    assert test.difference[0, -1] == pytest.approx((0.5 + 1 + 0) / 3 - (2 / 3 + 0 + 1) / 3)
    plain = safe(Sample(single_trials(values(1, 3)), single_trials(values(2, 3))))
    assert plain.counts[1][0, -1] == 3
    assert plain.totals[1][0, -1] == 2
    never = single_trials(np.empty(0))
    assert proportion.safe_test(Sample(never, never), (1, 1), RULES) is None


def rows_of(harm: int, bounds: tuple[float, ...] | None, n: int = 60) -> SafeTest:
    rng = np.random.default_rng(1)
    arm = np.tile([0, 1], (3, n))
    rates = np.array([[0.2, 0.9], [0.9, 0.1], [0.5, 0.5]])
    value = (rng.random(arm.shape) < rates[np.arange(3)[:, None], arm]).astype(float)
    counts = [np.cumsum(arm == k, axis=1).astype(float) for k in (0, 1)]
    totals = [np.cumsum(np.where(arm == k, value, 0.0), axis=1) for k in (0, 1)]
    blocks = betting.blocks(arm, value)
    rules = Rules(0.05, harm, 5)
    return SafeTest(rules, (counts[0], counts[1]), (totals[0], totals[1]), blocks, bounds)


@pytest.mark.parametrize("harm", [1, -1])
def test_both_sides_make_one_test(harm: int) -> None:
    test = rows_of(harm, None)
    up, down = (betting.exceeds(b, 0.0) for b in (test.blocks, test.blocks.mirrored()))
    now = [betting.exceeds_now(b, 0.0)[:, -1] for b in (test.blocks, test.blocks.mirrored())]
    assert test.log_e() == pytest.approx(np.maximum(up, down) - math.log(2))
    assert test.log_e_now() == pytest.approx(np.maximum(*now) - math.log(2))
    assert test.harm_log_e() == pytest.approx(up if harm > 0 else down)
    tuned = replace(test.blocks, bets=planned_bets(0.1, 0.4, (1, 1), 60, 0.05))
    beside = replace(test, blocks=tuned)  # no bet on harm is tuned to the hoped-for effect
    assert beside.harm_log_e() == pytest.approx(up if harm > 0 else down)
    assert (beside.log_e() != test.log_e())[:, -1].all()
    (low, high), (share_low, share_high) = test.interval(), test.relative()
    assert low.shape == high.shape == (3, 1)
    excludes = (low[:, 0] > 0) | (high[:, 0] < 0)
    assert excludes.tolist() == (test.log_e()[:, -1] >= math.log(20)).tolist()
    assert excludes.tolist() == [True, True, False]
    assert high[:, 0].tolist() == (-betting.lower_ends(test.blocks.mirrored(), 0.025)).tolist()
    assert np.isneginf(share_low).all()
    assert np.isposinf(share_high).all()
    tighter = test.at_level(0.2).interval()
    assert (tighter[0] >= low).all()
    assert (tighter[1] <= high).all()


@pytest.mark.parametrize("harm", [1, -1])
def test_on_a_grid_the_interval_is_told_at_every_look(harm: int) -> None:
    bounds = (0.4, -0.1, 0.0, 0.2)
    test = rows_of(harm, bounds)
    low, high = test.interval()
    ends = (low, high) if harm < 0 else (-high, -low)  # as improvements, like the bounds
    for at in range(1, 120, 7):
        until = test.blocks.upto(test.blocks.count[:, : at + 1])
        lows = betting.lower_ends(until, 0.025), -betting.lower_ends(until.mirrored(), 0.025)
        exact = lows if harm < 0 else (-lows[1], -lows[0])
        for bound in bounds:
            told = (ends[0][:, at] >= bound).tolist(), (ends[1][:, at] < bound).tolist()
            near = np.abs(exact[0] - bound) < 2e-4, np.abs(exact[1] - bound) < 2e-4
            assert ((ends[0][:, at] >= bound) == (exact[0] >= bound))[~near[0]].all(), told
            assert ((ends[1][:, at] < bound) == (exact[1] < bound))[~near[1]].all(), told
    assert (ends[0][:, 0].tolist(), ends[1][:, 0].tolist()) == ([-1, -1, -1], [1, 1, 1])


def test_planned_looks_are_agresti_and_caffos() -> None:
    test = rows_of(1, None)
    plan = planned_looks(test.n, PlanRules(inference="group-sequential", looks=3), 60, 5)
    assert plan is not None
    z, (interval, relative) = test.planned_z(plan), test.planned_ends(plan)
    for row in range(3):
        for k, n in enumerate(plan.units):
            at = int(np.argmax(test.n[row] >= n))
            rates = [(test.totals[a][row, at] + 1) / (test.counts[a][row, at] + 2) for a in (0, 1)]
            variance = sum(r * (1 - r) / (test.counts[a][row, at] + 2) for a, r in enumerate(rates))
            gap, error = rates[1] - rates[0], math.sqrt(variance)
            assert z[row, k] == pytest.approx(gap / error)
            assert interval[0][row, k] == pytest.approx(max(gap - plan.bounds[k] * error, -1))
            assert interval[1][row, k] == pytest.approx(min(gap + plan.bounds[k] * error, 1))
    assert interval[1].max() <= 1
    assert np.isneginf(relative[0]).all()
    assert np.isposinf(relative[1]).all()
    for rules in (PlanRules(inference="fixed"), PlanRules(inference="group-sequential")):
        empty = planned_looks(test.n, rules, None, 5)
        assert empty is not None
        assert test.planned_ends(empty)[0][0].shape == (3, 0)


def test_ends_of_a_share_stay_within_one() -> None:
    counts, totals = np.array([[2.0]]), (np.array([[0.0]]), np.array([[2.0]]))
    blocks = betting.Blocks(np.ones((1, 2)), counts.astype(np.int64))
    test = SafeTest(RULES, (counts, counts), totals, blocks)
    plan = planned_looks(counts, PlanRules(inference="fixed", alpha=1e-9), 2, 1)
    assert plan is not None
    (low, high), _ = test.planned_ends(plan)
    assert (low[0, 0], high[0, 0]) == (-1, 1)  # .5 ± 6.1 · .31


@pytest.mark.parametrize(
    ("control", "treatment", "better"),
    [((3, 10), (7, 12), 1), ((3, 10), (7, 12), -1), ((20, 20), (15, 20), 1), ((0, 5), (1, 1), 1)],
)
def test_the_flat_prior_by_quadrature(
    control: tuple[int, int], treatment: tuple[int, int], better: int
) -> None:
    beta = [stats.beta(1 + k, 1 + n - k) for k, n in (control, treatment)]
    above = integrate.quad(lambda p: beta[1].pdf(p) * beta[0].cdf(p), 0, 1)[0]
    # E[max(0, lost)]: of the one that is given up over the other's distribution function
    other, own = (beta[0], beta[1]) if better > 0 else (beta[1], beta[0])
    lost = integrate.quad(lambda p: own.cdf(p) * other.sf(p), 0, 1)[0]
    found = proportion.flat_prior(values(*control), values(*treatment), better)
    assert found == pytest.approx((above if better > 0 else 1 - above, lost), abs=2e-6)


def test_without_units_there_is_nothing_to_report() -> None:
    some, none = values(1, 2), np.empty(0)
    for control, treatment in ((some, none), (none, some), (none, none)):
        assert proportion.flat_prior(control, treatment, 1) is None
        assert proportion.log_odds_ratio(control, treatment, 0.95) is None
        paths = single_trials(control), single_trials(treatment)
        assert proportion.power(SUCCEEDED, *paths, 0.05) is None


def test_the_log_odds_ratio_has_woolfs_interval_of_corrected_counts() -> None:
    value, (low, high) = proportion.log_odds_ratio(values(3, 10), values(7, 12), 0.9) or (0, (0, 0))
    cells = [7.5, 5.5, 3.5, 7.5]
    expected = math.log(7.5 * 7.5 / (5.5 * 3.5))
    half = stats.norm.isf(0.05) * math.sqrt(sum(1 / c for c in cells))
    assert (value, low, high) == pytest.approx((expected, expected - half, expected + half))


@pytest.mark.parametrize(("n", "m"), [(100, 100), (60, 240)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_power_at_the_planned_effect(n: int, m: int, alpha: float) -> None:
    control, treatment = single_trials(values(n // 2, n)), single_trials(values(3, m))
    # the mean variance of rates .5 and .6, the harmonic mean of the sizes, the noncentral t
    sd, size = math.sqrt((0.25 + 0.24) / 2), 2 * n * m / (n + m)
    shift, df = 0.1 / sd * math.sqrt(size / 2), 2 * size - 2
    critical = stats.t.isf(alpha / 2, df)
    expected = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert proportion.power(SUCCEEDED, control, treatment, alpha) == pytest.approx(expected)
    planless = replace(SUCCEEDED, minimum_effect=None)
    assert proportion.power(planless, control, treatment, alpha) is None


def test_rates_that_cannot_vary_have_no_power() -> None:
    sure = single_trials(np.ones(20))
    assert proportion.power(SUCCEEDED, sure, sure, 0.05) is None  # nothing is above 100 %


def test_agresti_and_caffos_error_is_of_each_arms_own_size() -> None:
    counts = np.array([18.0, 0.0]), np.array([8.0, 3.0])
    totals = np.array([9.0, 0.0]), np.array([7.0, 1.0])
    z, difference, error = proportion.agresti_caffo(counts, totals)
    assert difference[0] == pytest.approx(8 / 10 - 10 / 20)
    assert error[0] == pytest.approx(math.sqrt(0.8 * 0.2 / 10 + 0.5 * 0.5 / 20))
    assert z[0] == pytest.approx(difference[0] / error[0])
    assert math.isnan(z[1])  # nobody in control


def test_the_bets_follow_the_planned_effect_of_the_primary() -> None:
    plan = PlanRules(planned_effect=0.25, sample_size=400, alpha=0.05)
    experiment = replace(make_experiment(), plan=plan)
    terms = Terms(experiment, plan, 400, 0.05, False, None)
    primary = replace(SUCCEEDED, role="primary")
    bets = proportion.bets_of(primary, terms, (1, 1))
    # 10 points at a standardised .25 are an sd of .4; 400 blocks of one and one
    expected = planned_bets(0.1, 0.4, (1, 1), 400, 0.05)
    assert bets.sizes.tolist() == expected.sizes.tolist()
    assert bets.log_shares.tolist() == expected.log_shares.tolist()
    three = proportion.bets_of(primary, terms, (3, 1))
    assert three.sizes.tolist() == planned_bets(0.1, 0.4, (3, 1), 400, 0.05).sizes.tolist()
    for other in (SUCCEEDED, replace(primary, minimum_effect=None)):
        assert proportion.bets_of(other, terms, (1, 1)) is USUAL
