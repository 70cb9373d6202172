"""Quantiles: exact by enumeration, inverted exactly, and as one look against scipy."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from expci.core.dataset.unit_paths import Pairs, UnitPath
from expci.core.statistics import quantile
from expci.core.statistics.row_by_row import one_experiment
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
    return weight(quantile.QuantileTest(RULES, np.array([[units.n]]), [row], q, strength))


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
    assert list(quantile.look_numbers(260)[:200]) == list(range(200))
    assert set(quantile.look_numbers(250)) <= set(quantile.look_numbers(5000))


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
