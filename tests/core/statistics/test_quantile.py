"""Quantiles: exact by enumeration, inverted exactly, and as one look against scipy."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from expci.core.dataset.unit_paths import Pairs, UnitPath
from expci.core.statistics import quantile
from expci.core.statistics.row_by_row import look_numbers, one_experiment
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import DURATION, alternating, in_pairs, look_at, make_experiment
from support.evidence import Weight, weight

RULES = Rules(alpha=0.05, harm=1, start=2)


def two(control: np.ndarray, treatment: np.ndarray) -> Sample:
    index, never = np.arange(control.size), np.full(control.size, np.nan)
    return Sample(
        UnitPath(2 * index, index, control, never), UnitPath(2 * index + 1, index, treatment, never)
    )


@pytest.mark.parametrize(("q", "n"), [(0.5, 7), (0.9, 12), (0.1, 3)])
def test_tables_are_the_mixtures_and_have_mean_one(q: float, n: int) -> None:
    found = quantile.tables(n, q, 8.0)
    prior = stats.beta(8 * q, 8 * (1 - q))
    for k in range(n + 1):
        for part, low, high in ((found.few, 0.0, q), (found.many, q, 1.0)):
            mixed = integrate.quad(
                lambda p, k=k: prior.pdf(p) * p**k * (1 - p) ** (n - k), low, high
            )
            share = prior.cdf(high) - prior.cdf(low)
            expected = mixed[0] / share / (q**k * (1 - q) ** (n - k))
            assert math.exp(part[k]) == pytest.approx(expected, rel=1e-5)
    counts = stats.binom(n, q).pmf(np.arange(n + 1))
    assert float(counts @ np.exp(found.few)) == pytest.approx(1.0)
    assert float(counts @ np.exp(found.many)) == pytest.approx(1.0)
    fewer = stats.binom(n, q + 0.05).pmf(np.arange(n + 1))  # more than q at or below: no evidence
    assert float(fewer @ np.exp(found.few)) < 1.0


@pytest.mark.parametrize("paired", [False, True])
def test_the_lower_end_is_where_a_shift_stops_being_refuted(paired: bool) -> None:
    rng, threshold = np.random.default_rng(2), math.log(40)
    for _ in range(20):
        control = np.sort(rng.exponential(size=60)).round(1)
        treatment = np.sort(rng.exponential(size=45) + 1.5).round(1)
        many = quantile.tables(60, 0.6, 9.0).many
        few = quantile.tables(45, 0.6, 9.0).few
        end = quantile.lower_end(control, treatment, many, few, paired, threshold)

        def refuted(shift: float) -> bool:
            args = (control, treatment - shift, many, few, paired)  # noqa: B023
            return quantile.log_e_larger(*args) >= threshold

        if math.isinf(end):
            assert not refuted(-50.0)
        else:
            assert refuted(end - 1e-9)
            assert not refuted(end + 1e-9)


def weighed(units: Sample, q: float, strength: float) -> Weight | None:
    row = one_experiment(units, lambda: quantile.samples_at_looks(units))
    return weight(
        quantile.QuantileTest(RULES, np.array([[units.n]]), [row], q=q, strength=strength)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "ties", "heavy"])
def test_false_alarms_and_misses_with_a_look_at_every_unit(kind: str) -> None:
    rng, runs, wins, misses = np.random.default_rng(3), 120, 0, 0
    for _ in range(runs):
        draws: Callable[[], np.ndarray] = {
            "normal": lambda: rng.normal(size=60),
            "ties": lambda: rng.integers(0, 3, 60).astype(float),
            "heavy": lambda: rng.standard_cauchy(60),
        }[kind]
        control, treatment = draws(), draws()
        found = weighed(two(control, treatment + 1), 0.5, 10)
        same = weighed(two(control, treatment), 0.5, 10)
        assert found is not None
        assert same is not None
        wins += same.p_value <= 0.05
        misses += not found.interval[0] <= 1 <= found.interval[1]
        low, high = found.interval
        assert found.p_value > 0.05 or low >= 0 or high <= 0
        assert found.p_value <= 0.05 or low <= 0 <= high
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert wins / runs <= allowed
    assert misses / runs <= allowed


@pytest.mark.slow
def test_it_sees_a_tail_that_the_mean_hides() -> None:
    rng, shown = np.random.default_rng(4), 0
    metric = replace(DURATION, kind="quantile", quantile=0.9)
    for _ in range(10):
        control, treatment = rng.normal(10, 1, 150), rng.normal(10, 1, 150)
        control[::7] += 30  # the slowest seventh of control
        trials = alternating(control, treatment)
        found = look_at(make_experiment(primary=metric), trials).primary.comparisons[0]
        shown += (found.evidence.p_value or 1.0) <= 0.05
        assert found.evidence.method == "anytime, exact counts"
    assert shown >= 6


def test_more_looks_only_narrow_the_interval() -> None:
    rng = np.random.default_rng(5)
    control, treatment = rng.normal(size=80), rng.normal(1, 1, 80)
    last, ends = 1.0, (-math.inf, math.inf)
    for n in range(2, 81, 6):
        found = weighed(two(control[:n], treatment[:n]), 0.5, 10)
        assert found is not None
        assert found.p_value <= last
        assert found.interval[0] >= ends[0]
        assert found.interval[1] <= ends[1]
        last, ends = found.p_value, found.interval
    assert last <= 0.05
    assert list(look_numbers(260)[:200]) == list(range(200))
    assert set(look_numbers(250)) <= set(look_numbers(5000))


def test_one_look_is_normal_with_order_statistic_errors() -> None:
    rng, runs, wins = np.random.default_rng(6), 600, 0
    errors = []
    for _ in range(runs):
        control, treatment = rng.exponential(size=120), rng.exponential(size=120)
        found = quantile.one_look(two(control, treatment), 0.75)
        assert found is not None
        wins += abs(found.z) >= 1.96
        errors.append(quantile.error(control, 0.75) or math.nan)
    assert wins / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    # asymptotic error of the exponential's upper quartile: sqrt(q(1−q)/n)/f = sqrt(.1875/120)/.25
    assert np.mean(errors) == pytest.approx(math.sqrt(0.1875 / 120) / 0.25, rel=0.06)
    assert quantile.error(np.arange(9.0), 0.9) is None  # the sample does not reach so far


@pytest.mark.parametrize(
    ("order", "squared"),
    [  # the error of treatment, three times control's e, is 3e; correlation capped at .95, and −1
        (slice(None), 1 + 9 - 2 * 0.95 * 3),
        (slice(None, None, -1), (1 + 3) ** 2),
    ],
)
def test_quantiles_of_pairs_covary_as_the_share_below_both(order: slice, squared: float) -> None:
    control = np.arange(1.0, 41.0)
    treatment, pair = 3 * control[order], np.arange(40)
    found = two(control, treatment)
    column = np.concatenate([control, treatment])
    pairs = Pairs(pair, pair + 40, np.zeros(40), 0, 0)
    look = quantile.one_look(Sample(found.control, found.treatment, pairs, column), 0.5)
    assert look is not None
    error = quantile.error(control, 0.5)
    assert error is not None
    assert look.z == pytest.approx((3 - 1) * 20.5 / (error * math.sqrt(squared)))


def test_too_few_for_an_error_have_no_look() -> None:
    many, few = two(np.arange(40.0), np.arange(40.0)), two(np.arange(2.0), np.arange(2.0))
    assert quantile.one_look(Sample(many.control, few.treatment), 0.5) is None
    assert quantile.one_look(Sample(few.control, many.treatment), 0.5) is None


def test_a_quantile_metric_in_every_mode_and_in_pairs() -> None:
    rng = np.random.default_rng(7)
    metric = replace(DURATION, kind="quantile", quantile=0.5)
    control, treatment = rng.gamma(9, 2, 60), 0.5 * rng.gamma(9, 2, 60)
    for mode in ("anytime", "group-sequential", "fixed"):
        experiment = make_experiment(primary=metric, inference=mode, sample_size=60)
        analysis = look_at(experiment, alternating(control, treatment))
        assert analysis.decision.verdict == "promote", mode
        found = analysis.primary.comparisons[0]
        assert found.difference == pytest.approx(np.median(treatment) - np.median(control))
        assert found.improvement == pytest.approx(1 - np.median(treatment) / np.median(control))
    paired = make_experiment(primary=metric, design="paired")
    analysis = look_at(paired, in_pairs(control, treatment))
    assert analysis.primary.comparisons[0].evidence.p_value is not None


@pytest.mark.parametrize(("q", "enough"), [(0.5, 6), (0.9, 45), (0.1, 45)])
def test_an_error_needs_order_statistics_on_both_sides(q: float, enough: int) -> None:
    """1.96 √(q(1 − q)/n) on either side of q must lie within [½, n − ½] of n values."""
    values = np.random.default_rng(8).exponential(size=enough)
    margin = 1.959964 * math.sqrt(q * (1 - q) / enough)
    # Hazen's plotting position: the k-th of n values is the (k − ½)/n quantile
    at = (np.arange(enough) + 0.5) / enough
    ends = np.interp([q - margin, q + margin], at, np.sort(values))
    expected = (ends[1] - ends[0]) / (2 * 1.959964)
    assert quantile.error(values, q) == pytest.approx(expected, rel=1e-6)
    assert quantile.error(values[1:], q) is None


def test_values_that_coincide_have_no_error() -> None:
    assert quantile.error(np.ones(20), 0.5) is None
    assert quantile.error(np.array([1.0]), 0.5) is None
    with np.errstate(over="ignore"):
        assert quantile.error(np.repeat([-1e308, 1e308], 10), 0.5) is None


@pytest.mark.parametrize(
    ("n", "q", "low", "high"),
    [  # the order statistics: nq ± 1.96 √(n q (1 − q)), to the outside and one more above
        (20, 0.5, 5, 16),
        (50, 0.8, 34, 47),
        (4, 0.5, 1, 4),
        (2, 0.5, 1, 2),
    ],
)
def test_a_quantile_is_clear_of_zero_between_two_order_statistics(
    n: int, q: float, low: int, high: int
) -> None:
    values = np.random.default_rng(9).permutation(np.arange(1.0, n + 1))
    assert quantile.excludes_zero(values - (low - 1), q)  # the low-th smallest is 1
    assert not quantile.excludes_zero(values - low, q)
    assert quantile.excludes_zero(values - (high + 1), q)  # the high-th smallest is −1
    assert not quantile.excludes_zero(values - high, q)


def test_one_value_is_clear_of_nothing() -> None:
    assert not quantile.excludes_zero(np.array([5.0]), 0.5)


def test_a_difference_needs_both_arms() -> None:
    never = np.empty(0)
    one = UnitPath(np.array([0]), np.array([0]), np.array([3.0]), np.array([np.nan]))
    none = two(never, never)
    assert quantile.difference(Sample(one, none.treatment), 0.5) is None
    assert quantile.difference(Sample(none.control, one), 0.5) is None
    assert quantile.difference(two(np.arange(5.0), np.arange(5.0) + 2), 0.25) == 2.0


@pytest.mark.parametrize(("n", "m"), [(200, 4), (4, 200), (30, 3), (12, 9), (60, 45), (20, 12)])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_an_end_is_where_the_evidence_turns_at_any_sizes(n: int, m: int, shift: float) -> None:
    rng, threshold = np.random.default_rng(n), math.log(4)
    many, few = quantile.tables(n, 0.5, 6.0).many, quantile.tables(m, 0.5, 6.0).few
    control, treatment = np.sort(rng.normal(size=n)), np.sort(rng.normal(shift, 1, m))
    end = quantile.lower_end(control, treatment, many, few, False, threshold)

    def refuted(shift: float) -> bool:
        return quantile.log_e_larger(control, treatment - shift, many, few, False) >= threshold

    if math.isinf(end):
        assert not refuted(-1e6)
    else:
        assert refuted(end - 1e-9)
        assert not refuted(end + 1e-9)


def test_relative_ends_solve_fiellers_equation() -> None:
    rng = np.random.default_rng(10)
    control, treatment = rng.normal(20, 2, 60), rng.normal(23, 3, 60)
    look = quantile.one_look(two(control, treatment), 0.4)
    errors = [quantile.error(values, 0.4) or math.nan for values in (control, treatment)]
    c, t = (float(np.quantile(values, 0.4)) for values in (control, treatment))
    assert look is not None
    assert look.error == pytest.approx(math.hypot(*errors))
    assert look.z == pytest.approx((t - c) / math.hypot(*errors))
    interval, relative = look.ends(2.1)
    assert interval == pytest.approx((t - c - 2.1 * look.error, t - c + 2.1 * look.error))
    for share in relative:  # (T − (1 + θ)C)² = k² (e_T² + (1 + θ)² e_C²)
        spread = math.hypot(errors[1], (1 + share) * errors[0])
        assert abs(t - (1 + share) * c) == pytest.approx(2.1 * spread)


def test_the_middle_of_an_odd_number_lies_at_the_median() -> None:
    control = np.arange(1.0, 42.0)
    treatment, pair = control[::-1].copy(), np.arange(41)
    arms = two(control, treatment + 5)
    column = np.concatenate([control, treatment + 5])
    pairs = Pairs(pair, pair + 41, np.zeros(41), 0, 0)
    look = quantile.one_look(Sample(arms.control, arms.treatment, pairs, column), 0.5)
    error = quantile.error(control, 0.5)
    assert look is not None
    assert error is not None
    correlation = (1 / 41 - 0.25) / 0.25  # only the middle pair has both at or below
    assert look.z == pytest.approx(5 / (error * math.sqrt(2 - 2 * correlation)))


def test_the_samples_at_the_looks_of_pairs() -> None:
    rng = np.random.default_rng(11)
    control, treatment = rng.normal(size=(2, 230))
    pair, arms = np.arange(230), two(control, treatment)
    column = np.concatenate([control, treatment])
    pairs = Pairs(pair, pair + 230, np.zeros(230), 0, 0)
    samples = quantile.samples_at_looks(Sample(arms.control, arms.treatment, pairs, column))
    sizes = [c.size for _, c, _ in samples]
    assert sizes[:200] == list(range(1, 201))
    assert sizes[200:] == [int(200 * 1.01**k) + 1 for k in range(15)]
    assert samples[-1][1].tolist() == control[: sizes[-1]].tolist()
    assert samples[4][2].tolist() == treatment[:5].tolist()
    assert {look for look, _, _ in samples} == {0}


def test_the_strength_of_the_prior() -> None:
    assert [quantile.strength_for(n) for n in (None, 0, 9, 18, 900)] == pytest.approx(
        [100 / 9, 100 / 9, 2, 2, 100]
    )


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40, 501])
def test_order_statistics_are_those_of_numpy(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n).round(1)  # with ties
    for q in (0.01, 0.25, 0.5, 0.63, 0.9, 0.99):
        assert quantile.value(values, q) == np.quantile(values, q)
        margin = stats.norm.ppf(0.975) * math.sqrt(q * (1 - q) / n)
        ends = np.quantile(values, np.clip([q - margin, q + margin], 0, 1), method="hazen")
        if error := quantile.error(values, q):
            assert error == pytest.approx((ends[1] - ends[0]) / (2 * stats.norm.ppf(0.975)))
