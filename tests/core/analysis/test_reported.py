"""Numbers that are reported and decide nothing, against scipy and by simulation."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from expci.core.model.experiment import Limit, Metric
from expci.core.model.trial import Trial
from expci.core.statistics import posterior, proportion
from expci.core.statistics.classical import Difference
from support.analysis_samples import alternating, look_at, make_experiment

ZERO, ONE = np.zeros, np.ones


def shares(successes: int, n: int) -> np.ndarray:
    return np.concatenate([ONE(successes), ZERO(n - successes)])


@pytest.mark.parametrize(
    ("estimate", "error", "df"), [(1.2, 0.5, 7.3), (-3.0, 2.0, 40.0), (0.0, 1.0, 3.0)]
)
def test_chance_and_loss_of_a_mean(estimate: float, error: float, df: float) -> None:
    found, known = Difference(estimate, error, df), stats.t(df, estimate, error)
    assert posterior.chance_to_beat(found, 1) == pytest.approx(known.sf(0))
    assert posterior.chance_to_beat(found, -1) == pytest.approx(known.cdf(0))
    lost = integrate.quad(lambda d: -d * known.pdf(d), -np.inf, 0)[0]
    assert posterior.expected_loss(found, 1) == pytest.approx(lost, rel=1e-6)
    gained = integrate.quad(lambda d: d * known.pdf(d), 0, np.inf)[0]
    assert posterior.expected_loss(found, -1) == pytest.approx(gained, rel=1e-6)
    assert posterior.expected_loss(Difference(1.0, 1.0, 1.0), 1) is None


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(3, 20, 11, 18), (0, 10, 10, 10), (900, 1000, 930, 1000)]
)
def test_chance_and_loss_of_a_proportion(a: int, n: int, b: int, m: int) -> None:
    control, treatment = stats.beta(1 + a, 1 + n - a), stats.beta(1 + b, 1 + m - b)
    chance = integrate.quad(lambda x: control.pdf(x) * treatment.sf(x), 0, 1, limit=500)[0]
    loss = integrate.quad(lambda x: treatment.cdf(x) * control.sf(x), 0, 1, limit=500)[0]
    found = proportion.flat_prior(shares(a, n), shares(b, m), 1)
    assert found is not None
    assert found[0] == pytest.approx(chance, abs=2e-5)
    assert found[1] == pytest.approx(loss, abs=1e-6)
    other = proportion.flat_prior(shares(a, n), shares(b, m), -1)
    assert other is not None
    assert other[0] == pytest.approx(1 - found[0], abs=1e-9)


def test_log_odds_ratio_with_half_a_case_added() -> None:
    # statsmodels Table2x2 (shift_zeros adds 0.5): log odds and Wald interval, by hand here
    found = proportion.log_odds_ratio(shares(7, 20), shares(14, 21), 0.95)
    value = math.log(14.5 * 13.5 / (7.5 * 7.5))
    error = math.sqrt(1 / 14.5 + 1 / 7.5 + 1 / 7.5 + 1 / 13.5)
    assert found is not None
    assert found[0] == pytest.approx(value)
    assert found[1] == pytest.approx((value - 1.959964 * error, value + 1.959964 * error), abs=1e-6)
    assert proportion.log_odds_ratio(shares(0, 5), shares(5, 5), 0.95) is not None
    assert proportion.log_odds_ratio(ZERO(0), ONE(3), 0.95) is None


def test_agresti_caffo_covers_at_ten_per_arm_by_enumeration() -> None:
    # Agresti & Caffo 2000, section 3: near .95 on average, rarely under .93
    covered = []
    for p, q in [(0.1, 0.3), (0.5, 0.5), (0.05, 0.05), (0.9, 0.4)]:
        total = 0.0
        for a in range(11):
            for b in range(11):
                counts = np.array(10.0), np.array(10.0)
                _, difference, error = proportion.agresti_caffo(counts, (np.array(a), np.array(b)))
                low, high = difference - 1.959964 * error, difference + 1.959964 * error
                weight = stats.binom.pmf(a, 10, p) * stats.binom.pmf(b, 10, q)
                total += weight * (low <= q - p <= high)
        covered.append(total)
    assert min(covered) >= 0.93
    assert np.mean(covered) >= 0.95


def test_the_analysis_reports_them() -> None:
    rng = np.random.default_rng(1)
    metric = Metric("solved", "primary", "proportion", "increase", minimum_effect=Limit(0.2, False))
    draws = (rng.random((2, 50)) < np.array([[0.4], [0.6]])).astype(float)
    trials = alternating(draws[0], draws[1], "solved")
    comparison = look_at(make_experiment(primary=metric), trials).primary.comparisons[0]
    assert comparison.chance_to_beat is not None
    assert comparison.expected_loss is not None
    assert comparison.log_odds_ratio is not None
    assert comparison.log_odds_ratio_interval is not None
    duration = look_at(
        make_experiment(),
        alternating(np.exp(rng.normal(2, 0.2, 30)), np.exp(rng.normal(1.9, 0.2, 30))),
    ).primary.comparisons[0]
    assert duration.chance_to_beat is not None
    assert duration.chance_to_beat > 0.9
    assert duration.expected_loss is not None
    assert 0 <= duration.expected_loss < 0.5
    empty = look_at(make_experiment(), []).primary.comparisons[0]
    assert (empty.chance_to_beat, empty.expected_loss) == (None, None)


def turning(jump: int) -> list[Trial]:
    """Better by half for a while, then worse: no single effect fits."""
    rng = np.random.default_rng(12)
    control, treatment = np.exp(rng.normal(3, 0.1, (2, 120)))
    treatment[:jump] *= 0.5
    treatment[jump:] *= 1.6
    return alternating(control, treatment)


def test_looks_that_contradict_one_another_are_said_to() -> None:
    experiment = make_experiment(sample_size=200)
    empty = look_at(experiment, turning(40))
    found = empty.primary.comparisons[0]
    assert found.interval is None
    assert found.difference_interval is None
    assert any("cannot win any more" in note for note in found.notes)
    assert any(
        n.startswith("duration_s with treatment: the interval is empty") for n in empty.notes
    )
    criterion = next(c for c in empty.decision.criteria if c.rule.endswith("evidence"))
    assert not criterion.met
    assert "not the same over the whole time" in criterion.detail
    steady = look_at(experiment, turning(120))
    assert not any("not the same" in note for note in steady.notes)


@pytest.mark.slow
def test_no_estimate_stands_outside_its_interval_without_a_word() -> None:
    experiment, seen = make_experiment(sample_size=200), 0
    trials = turning(40)
    for n in range(40, 240, 4):
        analysis = look_at(experiment, trials[:n])
        for metric in analysis.metrics:
            for found in metric.comparisons:
                if found.interval is None or found.improvement is None:
                    continue
                low, high = (
                    math.inf * side if end is None else end
                    for side, end in zip((-1, 1), found.interval, strict=True)
                )
                outside = not low <= found.improvement <= high
                seen += outside
                assert outside <= any("outside the interval" in note for note in found.notes)
                assert outside <= any("outside the interval" in note for note in analysis.notes)
    assert seen
