"""Sample sizes against Cohen's tables, R's power.t.test and scipy's noncentral t."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from expci.core.model.experiment import Baseline, Limit, Metric, PlanRules
from expci.core.statistics import classical, group_sequential, sample_size
from expci.core.statistics.sample_size import (
    Spread,
    as_spread,
    detectable_effect,
    fixed_sample_size,
    planned_power,
    required_sample_size,
)
from support.analysis_samples import DURATION, SUCCESS

FIXED = PlanRules(inference="fixed", alpha=0.05, power=0.8)
SCORED = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))


def power(d: float, n: float, groups: int, alpha: float) -> float:
    """Of the two-sided t test on `groups` samples of n."""
    df, shift = groups * (n - 1), d * math.sqrt(n / groups)
    critical = stats.t.isf(alpha / 2, df)
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


@pytest.mark.parametrize(("effect", "sd", "n"), [(3.0, 3.0, 20), (1.0, 2.5, 40), (0.2, 0.1, 6)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_power_is_that_of_the_noncentral_t(effect: float, sd: float, n: int, alpha: float) -> None:
    two = classical.two_sample_power(effect, sd, n, alpha)
    one = classical.one_sample_power(effect, sd, n, alpha)
    assert two == pytest.approx(power(effect / sd, n, 2, alpha), rel=1e-6)
    assert one == pytest.approx(power(effect / sd, n, 1, alpha), rel=1e-6)


def test_power_as_in_the_help_page_of_r() -> None:
    # power.t.test(n = 20, delta = 1, sd = 1): power = 0.8689528
    assert classical.two_sample_power(3.0, 3.0, 20, 0.05) == pytest.approx(0.8689528, abs=1e-6)


@pytest.mark.parametrize(
    ("d", "n"),
    [(0.2, 393), (0.5, 64), (0.8, 26)],  # Cohen (1992, table 2): two means, alpha .05, power .8
)
def test_cohens_sizes(d: float, n: int) -> None:
    assert sample_size.fixed_sample_size(d, 0.05, 0.8) == pytest.approx(n, abs=1)
    metric = replace(SCORED, minimum_effect=Limit(4 * d, False))
    size = sample_size.required_sample_size(metric, FIXED, "randomized", Spread(50.0, 4.0))
    assert size == sample_size.fixed_sample_size(d, 0.05, 0.8)


@pytest.mark.parametrize(("groups", "one_sample"), [(2, False), (1, True)])
@pytest.mark.parametrize("d", [0.3, 0.9, 3.0])
def test_the_size_is_the_smallest_that_has_the_power(
    d: float, groups: int, one_sample: bool
) -> None:
    n = sample_size.fixed_sample_size(d, 0.05, 0.8, one_sample)
    assert n is not None
    assert power(d, n, groups, 0.05) >= 0.8
    assert n == 2 or power(d, n - 1, groups, 0.05) < 0.8


def test_unequal_arms_need_more() -> None:
    # arms 1 : 3 with the variance of 1 : 1 at n: the smaller has n (1 + 3)/(2 · 3)
    even = sample_size.required_sample_size(SCORED, FIXED, "randomized", Spread(9.0, 2.0))
    uneven = sample_size.required_sample_size(
        SCORED, FIXED, "randomized", Spread(9.0, 2.0), (1.0, 3.0)
    )
    pairs = [
        sample_size.required_sample_size(SCORED, FIXED, "paired", Spread(9.0, 2.0), weights)
        for weights in ((1.0, 1.0), (1.0, 3.0))
    ]
    assert even is not None
    assert uneven == math.ceil(even * 4 / 6)
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize(
    ("kind", "limit", "mean", "size"),
    [
        ("proportion", Limit(-0.1, False), 0.5, 0.1),
        ("mean", Limit(0.1, True), 40.0, 4.0),
        ("mean", Limit(-3.0, False), 40.0, 3.0),
        ("duration", Limit(0.2, True), 40.0, -math.log(0.8)),
        ("duration", Limit(8.0, False), 40.0, -math.log(0.8)),
        ("duration", Limit(1.0, True), 40.0, None),  # nothing takes no time
        ("duration", Limit(8.0, False), 0.0, None),
    ],
)
def test_effects_on_the_scale_of_analysis(
    kind: str, limit: Limit, mean: float, size: float | None
) -> None:
    metric = {"proportion": SUCCESS, "mean": SCORED, "duration": DURATION}[kind]
    effect = sample_size.effect_on_scale(metric, limit, Spread(mean, 1.0))
    assert effect == (None if size is None else pytest.approx(size, rel=1e-12))
    if kind == "duration" and mean:
        slower = replace(metric, direction="increase")
        longer = sample_size.effect_on_scale(slower, limit, Spread(mean, 1.0))
        share = limit.value if limit.relative else limit.value / mean
        assert longer == pytest.approx(math.log(1 + share), rel=1e-12)


def test_spreads_on_the_scale_of_analysis() -> None:
    # of a lognormal: sd of the logarithms = sqrt(log(1 + cv²)) (Aitchison & Brown 1957)
    plain = sample_size.scale_sd(DURATION, Spread(10.0, 5.0), "randomized")
    assert plain == pytest.approx(math.sqrt(math.log(1.25)))
    measured = Spread(10.0, 5.0, log_sd=0.3)
    assert sample_size.scale_sd(DURATION, measured, "randomized") == 0.3
    assert sample_size.scale_sd(DURATION, measured, "paired") == pytest.approx(0.3 * math.sqrt(2))
    assert sample_size.scale_sd(DURATION, replace(measured, difference_sd=0.1), "paired") == 0.1
    # of a proportion: the mean of p(1 − p) at 50 % and at 60 %; pairs are not used
    success = replace(SUCCESS, direction="increase", minimum_effect=Limit(0.1, False))
    expected = math.sqrt((0.5 * 0.5 + 0.6 * 0.4) / 2)
    for design in ("randomized", "paired"):
        found = sample_size.scale_sd(success, Spread(0.5, 0.5), design)
        assert found == pytest.approx(expected)
    sure = sample_size.scale_sd(success, Spread(0.95, 0.2), "randomized")
    assert sure == pytest.approx(math.sqrt(0.95 * 0.05 / 2))  # no rate is above 100 %
    aimless = sample_size.scale_sd(
        replace(success, minimum_effect=None), Spread(0.8, 0.4), "randomized"
    )
    assert aimless == pytest.approx(0.4)  # √(.8 · .2) in both arms


def test_a_stated_baseline_is_taken_as_a_spread() -> None:
    # √(.5 · .5)/φ(0) = 1.2533 for the median of a normal distribution (Serfling 1980, 2.3.3)
    median = replace(SCORED, kind="quantile", quantile=0.5)
    assert sample_size.as_spread(median, Baseline(7.0, 2.0)).sd == pytest.approx(2.5066, abs=1e-4)
    assert sample_size.as_spread(SCORED, Baseline(7.0, 2.0)) == Spread(7.0, 2.0)


def test_the_power_of_a_plan() -> None:
    spread = Spread(9.0, 2.5, difference_sd=1.5)
    for design, sd, groups in (("randomized", 2.5, 2), ("paired", 1.5, 1)):
        planned = sample_size.planned_power(SCORED, FIXED, design, spread, 30)
        assert planned == pytest.approx(power(1.0 / sd, 30, groups, 0.05), rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "design", "spread", "groups", "sd"),
    [
        (SCORED, "randomized", Spread(50.0, 4.0), 2, 4.0),
        (SCORED, "paired", Spread(-50.0, 4.0, difference_sd=3.0), 1, 3.0),
        (SCORED, "paired", Spread(50.0, 4.0), 1, 4.0 * math.sqrt(2)),
        (DURATION, "randomized", Spread(40.0, 8.0, log_sd=0.3), 2, 0.3),
    ],
)
@pytest.mark.parametrize("worse", [False, True])
def test_a_detectable_effect_has_the_power(
    metric: Metric, design: str, spread: Spread, groups: int, sd: float, worse: bool
) -> None:
    change = sample_size.detectable_effect(
        metric, design, spread, 60, 0.05, 0.8, factor=1.5, worse=worse
    )
    assert change is not None
    if metric is DURATION:  # less is better: a win is 1 − e^−δ, harm e^δ − 1
        effect = math.log1p(change) if worse else -math.log1p(-change)
    else:
        effect = change * abs(spread.mean)
    assert power(effect / sd, 40, groups, 0.05) == pytest.approx(0.8, abs=1e-6)


def test_what_cannot_be_detected() -> None:
    ask: dict[str, Any] = {"units": 60, "alpha": 0.05, "power": 0.8}
    assert sample_size.detectable_effect(SCORED, "randomized", Spread(50.0, 0.0), **ask) is None
    assert sample_size.detectable_effect(SCORED, "randomized", Spread(0.0, 4.0), **ask) is None
    few = {**ask, "units": 2.5}
    assert sample_size.detectable_effect(SCORED, "randomized", Spread(50.0, 4.0), **few) is None
    four = {**ask, "units": 4}
    share = sample_size.detectable_effect(SUCCESS, "randomized", Spread(0.5, 0.5), **four)
    assert share == 1.0  # a share cannot change by more than all


@pytest.mark.parametrize("mode", ["fixed", "anytime", "group-sequential"])
def test_looking_costs_a_multiple_of_the_fixed_sample(mode: Any) -> None:
    plan = replace(FIXED, inference=mode)
    cost = sample_size.looks_cost(SCORED, plan)
    metric, spread = replace(SCORED, minimum_effect=Limit(2.0, False)), Spread(50.0, 4.0)
    fixed = sample_size.required_sample_size(metric, FIXED, "randomized", spread)
    size = sample_size.required_sample_size(metric, plan, "randomized", spread)
    assert fixed == 64
    assert size == math.ceil(64 * cost - 1e-9)
    assert (cost == 1) is (mode == "fixed")
    planned = sample_size.planned_power(metric, plan, "randomized", spread, 64 * cost)
    assert planned == pytest.approx(power(0.5, 64, 2, 0.05), rel=1e-6)


def test_what_needs_no_size_has_none() -> None:
    spread = Spread(50.0, 4.0)
    aimless = replace(SCORED, minimum_effect=None)
    for metric, given in ((aimless, spread), (SCORED, replace(spread, sd=0.0))):
        assert sample_size.planned_power(metric, FIXED, "randomized", given, 60) is None
        assert sample_size.required_sample_size(metric, FIXED, "randomized", given) is None
    assert sample_size.planned_effect(aimless, spread) is None
    assert sample_size.fixed_sample_size(1e-5, 0.05, 0.8) is None  # beyond ten million
    assert Spread(-8.0, 2.0).cv == 0.25
    assert Spread(0.0, 2.0).cv is None


def test_an_arm_that_gets_nothing_counts_as_an_even_one() -> None:
    sizes = [
        sample_size.required_sample_size(SCORED, FIXED, "randomized", Spread(9.0, 2.0), weights)
        for weights in ((1.0, 1.0), (0.0, 1.0), (3.0, 1.0), (1.0, 3.0))
    ]
    assert sizes[0] == sizes[1]
    assert sizes[2] == sizes[3]


def test_the_cost_of_planned_looks_is_that_of_their_boundaries() -> None:
    plan = replace(FIXED, inference="group-sequential", looks=3, spending="power", rho=1.5)
    for rules in (plan, replace(plan, rho=3.0), replace(plan, reserve=0.2)):
        expected = group_sequential.inflation(3, 0.05, 0.8, "power", rules.rho, rules.reserve)
        assert sample_size.looks_cost(SCORED, rules) == expected
    costs = {sample_size.looks_cost(SCORED, r) for r in (plan, replace(plan, rho=3.0))}
    assert len(costs) == 2


def test_a_stated_baseline_has_the_power_of_its_spread() -> None:
    median = replace(SCORED, kind="quantile", quantile=0.5)
    sd = 2.0 * math.sqrt(math.pi / 2)  # of a normal distribution's median (Serfling 1980, 2.3.3)
    planned = sample_size.planned_power(median, FIXED, "randomized", Baseline(7.0, 2.0), 50)
    assert planned == pytest.approx(power(1.0 / sd, 50, 2, 0.05), rel=1e-6)


ANYTIME = PlanRules()
MEAN = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(0.5, False))


@pytest.mark.parametrize(
    ("d", "power", "n"),
    # Cohen 1988, table 2.4.1, two-tailed .05, power .80; R: power.t.test(delta = 0.5,
    # power = 0.9) gives n = 85.03128
    [(0.2, 0.80, 393), (0.5, 0.80, 64), (0.8, 0.80, 26), (1.2, 0.80, 12), (0.5, 0.90, 86)],
)
def test_fixed_sizes_of_cohens_tables(d: float, power: float, n: int) -> None:
    found = fixed_sample_size(d, 0.05, power)
    assert found is not None
    assert abs(found - n) <= (1 if d == 0.2 else 0)  # the table gives 393, the exact n is 394


def test_required_size_by_kind_and_mode() -> None:
    base = Baseline(mean=5.0, sd=1.0)
    assert required_sample_size(MEAN, FIXED, "randomized", base) == 64
    assert required_sample_size(MEAN, ANYTIME, "randomized", base) == 109  # 64 x 1.7
    relative = replace(MEAN, minimum_effect=Limit(0.1, True))
    assert required_sample_size(relative, FIXED, "randomized", base) == 64
    # 3 : 1 needs two thirds of the balanced size in the small arm
    assert required_sample_size(MEAN, FIXED, "randomized", base, (3, 1)) == 43
    # R: power.prop.test(p1 = .50, p2 = .75, power = .90) → n = 76.7; the t form gives one more
    rate = Metric("ok", "primary", "proportion", "increase", minimum_effect=Limit(0.25, False))
    found = required_sample_size(rate, replace(FIXED, power=0.9), "randomized", Baseline(0.5, 0.5))
    assert found in (75, 76, 77, 78)


def test_durations_are_planned_on_the_log_scale() -> None:
    # −15 % is log 0.1625; a CV of 15 % is a log-sd of 0.1492: d = 1.089
    found = required_sample_size(DURATION, FIXED, "randomized", Baseline(10, 1.5))
    assert found == fixed_sample_size(0.16252 / 0.14917, 0.05, 0.8)
    impossible = replace(DURATION, minimum_effect=Limit(1.0, True))
    assert required_sample_size(impossible, FIXED, "randomized", Baseline(10, 1.5)) is None
    assert (
        required_sample_size(
            replace(DURATION, minimum_effect=None), FIXED, "paired", Baseline(10, 2)
        )
        is None
    )
    assert required_sample_size(DURATION, FIXED, "randomized", Baseline(10, 0)) is None


def test_pairs_are_planned_by_the_sd_of_their_differences() -> None:
    # R: power.t.test(delta = 1, sd = 1, power = .8, type = "paired") → n = 9.937862
    one = replace(MEAN, minimum_effect=Limit(1.0, False))
    measured = Spread(5.0, 3.0, difference_sd=1.0)
    assert required_sample_size(one, FIXED, "paired", measured) == 10
    unmeasured = Spread(5.0, 1.0)
    assert required_sample_size(one, FIXED, "paired", unmeasured) == required_sample_size(
        one, FIXED, "paired", Spread(5.0, 1.0, difference_sd=2**0.5)
    )


def test_power_and_detectable_effect_are_inverses() -> None:
    spread = Spread(10.0, 2.0, 0.2)
    for metric in (DURATION, replace(MEAN, minimum_effect=Limit(0.15, True))):
        n = required_sample_size(metric, ANYTIME, "randomized", spread)
        assert n is not None
        assert planned_power(metric, ANYTIME, "randomized", spread, n) == pytest.approx(
            0.8, abs=0.02
        )
        seen = detectable_effect(metric, "randomized", spread, n, 0.05, 0.8)
        assert seen == pytest.approx(0.15, abs=0.004)
    worse = detectable_effect(DURATION, "randomized", spread, 60, 0.05, 0.8, worse=True)
    better = detectable_effect(DURATION, "randomized", spread, 60, 0.05, 0.8)
    assert worse is not None
    assert better is not None
    assert (1 + worse) * (1 - better) == pytest.approx(1)
    assert detectable_effect(DURATION, "randomized", Spread(1, 0, 0), 60, 0.05, 0.8) is None


def test_a_stated_sd_of_values_is_turned_into_that_of_a_quantile() -> None:
    # the median's asymptotic variance is π/2 of the mean's (Serfling 1980, section 2.3.3)
    median = replace(DURATION, name="score", kind="quantile", quantile=0.5)
    assert as_spread(median, Baseline(5.0, 2.0)).sd == pytest.approx(2 * math.sqrt(math.pi / 2))
    # √(.9 × .1)/φ(1.281552) with φ(1.281552) = .175498
    tail = replace(median, quantile=0.9)
    assert as_spread(tail, Baseline(5.0, 2.0)).sd == pytest.approx(2 * 0.3 / 0.175498, rel=1e-5)
    assert as_spread(DURATION, Baseline(5.0, 2.0)).sd == 2.0
