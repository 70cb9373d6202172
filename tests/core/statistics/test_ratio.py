"""Ratios of means: the delta method against brute force, and error rates."""

import math
from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.unit_paths import Pairs, UnitPath, unit_path
from expci.core.model.experiment import Limit, Metric
from expci.core.model.trial import Trial
from expci.core.statistics import ratio, t_mixture
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample, Visits, of_pairs, of_visits
from support.analysis_samples import DURATION, look_at, make_experiment, make_trial
from support.evidence import by_looks

COST = Metric(
    "cost", "primary", "ratio", "decrease", minimum_effect=Limit(0.15, True), denominator="tokens"
)


def two(control: np.ndarray, treatment: np.ndarray) -> Sample:
    index, never = np.arange(control.size), np.full(control.size, np.nan)
    return Sample(
        UnitPath(2 * index, index, control, never), UnitPath(2 * index + 1, index, treatment, never)
    )


def paired(control: np.ndarray, treatment: np.ndarray) -> Sample:
    n = control.size
    column, index = np.concatenate([control, treatment]), np.arange(n)
    found = two(control, treatment)
    pairs = Pairs(index, index + n, np.zeros(n), 0, 0)
    return Sample(found.control, found.treatment, pairs, column)


def delta_by_jackknife(y: np.ndarray, x: np.ndarray) -> float:
    """The jackknife's variance of a ratio agrees with the delta method's to O(1/n²)."""
    n = y.size
    left_out = (y.sum() - y) / (x.sum() - x)
    return float((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))


def test_the_delta_method_agrees_with_the_jackknife_at_every_prefix() -> None:
    rng = np.random.default_rng(1)
    x = np.exp(rng.normal(2, 0.3, (2, 120)))
    y = x * np.exp(rng.normal(0, 0.2, (2, 120)))
    looks = ratio.Fractions(two(*y), two(*x)).looks()
    assert looks is not None
    for n in (40, 80, 120):
        at = 2 * n - 1
        expected = [y[arm, :n].sum() / x[arm, :n].sum() for arm in (0, 1)]
        assert looks.control[0, at] == pytest.approx(expected[0])
        assert looks.difference[0, at] == pytest.approx(expected[1] - expected[0])
        variance = sum(delta_by_jackknife(y[arm, :n], x[arm, :n]) for arm in (0, 1))
        assert looks.error[0, at] ** 2 == pytest.approx(variance, rel=0.03)


def test_a_constant_denominator_is_the_plain_mean() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(10, 2, (2, 30))
    ones = np.full(30, 4.0)
    looks = ratio.Fractions(two(*y), two(ones, ones)).looks()
    plain = two(*(y / 4)).looks()
    assert looks is not None
    assert plain is not None
    t = looks.difference[:, 9:] / looks.error[:, 9:]
    assert t == pytest.approx(plain.difference[:, 9:] / plain.error[:, 9:], rel=1e-9)
    assert looks.df[:, 9:] == pytest.approx(plain.df[:, 9:], rel=1e-9)


def test_pairs_share_what_moves_both_arms() -> None:
    rng = np.random.default_rng(3)
    job = np.exp(rng.normal(0, 0.5, 60))
    x = job * np.exp(rng.normal(0, 0.05, (2, 60)))
    y = job**1.5 * np.exp(rng.normal(0, 0.05, (2, 60)))
    together = ratio.Fractions(paired(*y), paired(*x)).looks()
    apart = ratio.Fractions(two(*y), two(*x)).looks()
    assert together is not None
    assert apart is not None
    assert together.difference[0, -1] == pytest.approx(apart.difference[0, -1])
    left_out = [(y[arm].sum() - y[arm]) / (x[arm].sum() - x[arm]) for arm in (0, 1)]
    gap = left_out[1] - left_out[0]
    expected = 59 / 60 * np.sum((gap - gap.mean()) ** 2)
    assert together.error[0, -1] ** 2 == pytest.approx(expected, rel=0.1)
    assert together.error[0, -1] < 0.5 * apart.error[0, -1]


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [False, True])
def test_errors_stay_under_alpha_with_a_look_at_every_trial(pairs: bool) -> None:
    rng, runs, wins, misses = np.random.default_rng(4), 500, 0, 0
    rules = Rules(0.05, 1, ratio.START, ratio.asymptotic_scale(200, 0.05))
    make = paired if pairs else two
    for _ in range(runs):
        x = np.exp(rng.normal(0, 0.8, (2, 100)))
        y = 2 * x * np.exp(rng.normal(0, 0.3, (2, 100)))
        looks = ratio.Fractions(make(*y), make(*x)).looks()
        found = by_looks(looks, rules)
        assert found is not None
        wins += found.p_value <= 0.05
        misses += not found.relative[0] <= 0 <= found.relative[1]
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert wins / runs <= allowed
    assert misses / runs <= allowed


def test_the_scale_of_the_mixture_is_the_published_one() -> None:
    # ρ = sqrt((−2 log α + log(−2 log α) + 1)/N*): .296 at N* = 100, α = .05; g = 4ρ²
    assert ratio.asymptotic_scale(100, 0.05) == pytest.approx(4 * 0.0878180, rel=1e-5)
    assert ratio.asymptotic_scale(None, 0.05) == t_mixture.SCALE


def runs_of(rng: np.random.Generator, n: int, better: float) -> list[Trial]:
    trials = []
    for index in range(2 * n):
        arm = ("control", "treatment")[index % 2]
        tokens = float(np.exp(rng.normal(6, 0.4)))
        price = 0.01 * (better if arm == "treatment" else 1) * float(np.exp(rng.normal(0, 0.1)))
        trials.append(make_trial(index, arm, metrics={"cost": tokens * price, "tokens": tokens}))
    return trials


def test_a_ratio_metric_decides_on_the_ratio() -> None:
    trials = runs_of(np.random.default_rng(5), 40, 0.7)
    analysis = look_at(make_experiment(primary=COST), trials)
    found = analysis.primary.comparisons[0]
    assert analysis.decision.verdict == "promote"
    assert found.evidence.method == "anytime, delta method, asymptotic"
    assert found.improvement == pytest.approx(0.3, abs=0.03)
    assert found.power is not None
    assert found.power > 0.95  # 15 % of .01 at an error of 2 %
    assert any("Fieller" in note for note in found.notes)
    sums = {arm: [0.0, 0.0] for arm in ("control", "treatment")}
    for trial in trials:
        sums[trial.arm][0] += trial.metrics["cost"]
        sums[trial.arm][1] += trial.metrics["tokens"]
    ratios = {arm: top / bottom for arm, (top, bottom) in sums.items()}
    assert found.difference == pytest.approx(ratios["treatment"] - ratios["control"])
    as_mean = look_at(make_experiment(primary=replace(COST, kind="mean", denominator=None)), trials)
    assert (as_mean.primary.comparisons[0].evidence.p_value or 1.0) > 1e-3  # size hides the price


def test_a_denominator_that_nobody_reports_gives_no_number() -> None:
    trials = [replace(t, metrics={"cost": 1.0}) for t in runs_of(np.random.default_rng(6), 30, 1)]
    found = look_at(make_experiment(primary=COST), trials).primary.comparisons[0]
    assert found.difference is None
    assert found.evidence.p_value is None
    zero = [replace(t, metrics={"cost": 1.0, "tokens": 0.0}) for t in trials]
    assert look_at(make_experiment(primary=COST), zero).primary.comparisons[0].difference is None
    assert DURATION.denominator is None


def test_repeated_units_count_by_their_means_at_every_look() -> None:
    """The delta method by its definition: of the units' (y − R x)/x̄ the error of the mean."""
    rng = np.random.default_rng(8)
    unit = np.array([0, 1, 0, 2, 3, 1, 4, 5, 2, 0, 6, 7, 3, 3, 5, 8])
    arm, x = unit % 2, rng.uniform(2, 4, 16)
    y = x * rng.uniform(1, 3, 16)
    parts = [
        Sample(unit_path(arm == 0, unit, column), unit_path(arm == 1, unit, column))
        for column in (y, x)
    ]
    looks = ratio.Fractions(parts[0], parts[1]).looks()
    assert looks is not None
    for rows in range(6, 17):
        ratios, variances, sizes = [], [], []
        for side in (0, 1):
            codes = sorted(set(unit[:rows][arm[:rows] == side].tolist()))
            own = [np.flatnonzero(unit[:rows] == code) for code in codes]
            top, bottom = (np.array([c[at].mean() for at in own]) for c in (y, x))
            ratios.append(top.mean() / bottom.mean())
            rest = top - ratios[-1] * bottom
            variances.append(np.var(rest, ddof=1) / len(own) / bottom.mean() ** 2)
            sizes.append(len(own))
        assert looks.n[0, rows - 1] == min(sizes)
        assert looks.control[0, rows - 1] == pytest.approx(ratios[0])
        assert looks.difference[0, rows - 1] == pytest.approx(ratios[1] - ratios[0])
        # the larger of Welch's and Student's error
        pooled = sum((n - 1) * n * v for n, v in zip(sizes, variances, strict=True))
        student = pooled / (sum(sizes) - 2) * sum(1 / n for n in sizes)
        assert looks.error[0, rows - 1] ** 2 == pytest.approx(max(sum(variances), student))
        assert looks.valid[0, rows - 1]


def test_a_ratio_that_never_varies_has_no_error() -> None:
    x = np.array([[1.1, 2.3, 0.7, 5.9, 3.1, 4.7]])
    arm = np.array([[0, 1, 0, 1, 0, 1]])
    looks = ratio.two_sample(arm, x * np.where(arm == 1, 0.3, 0.1), x)
    assert looks.difference[0, 1:] == pytest.approx(np.full(5, 0.2))
    assert (looks.error[0, 3:] == 0).all()
    assert not looks.valid.any()
    columns = [x[:, ::2], x[:, 1::2]]
    pairs = ratio.paired([0.1 * columns[0], 0.3 * columns[1]], columns)
    assert pairs.difference[0] == pytest.approx(np.full(3, 0.2))
    assert not pairs.valid.any()


@pytest.mark.parametrize(
    ("y", "x", "expected"),
    [
        ([1.0, 2.0, 6.0], [2.0, 2.0, 2.0], (1.5, np.std([0.5, 1.0, 3.0], ddof=1))),
        # R = 9/6: residuals −.5, −1, 1.5 about 0, over a mean of 2
        ([1.0, 2.0, 6.0], [1.0, 2.0, 3.0], (1.5, math.sqrt((0.25 + 1 + 2.25) / 2) / 2)),
        ([1.0], [2.0], None),
        ([1.0, 2.0], [-1.0, 1.0], None),
        ([], [], None),
    ],
)
def test_the_ratio_of_one_arm(
    y: list[float], x: list[float], expected: tuple[float, float] | None
) -> None:
    one = ratio.one_arm(np.array(y), np.array(x))
    assert one == (None if expected is None else pytest.approx(expected))


def test_ratios_near_zero_are_their_own() -> None:
    single = ratio.single_ratios(np.array([1e-9, 2e-9, 3e-10]), np.array([1.0, 1.0, 0.3]))
    assert single.tolist() == [1e-9, 2e-9, 1e-9]  # the third is the first one, but for rounding


def test_a_ratio_beyond_a_float_has_no_finite_spread() -> None:
    one = ratio.one_arm(np.array([1e308, 1e308]), np.array([1e-308, 1e-308]))
    assert one is not None
    assert not math.isfinite(one[1])


def test_the_ratios_of_both_arms() -> None:
    top, bottom = two(np.array([1.0, 5.0]), np.array([2.0, 13.0])), np.ones(2)
    both = ratio.Fractions(top, two(np.array([2.0, 4.0]), 3 * bottom))
    assert both.values() == (1.0, 2.5)
    assert both.n == 2
    first = both.until(1)
    assert (first.values() or (0, 0))[1] == pytest.approx(2 / 3)
    assert ratio.Fractions(top, two(np.array([2.0, -2.0]), bottom)).values() is None
    assert ratio.Fractions(top, two(np.array([2.0, 2.0]), 0 * bottom)).values() is None
    never = np.empty(0)
    nothing = ratio.Fractions(two(never, never), two(never, never))
    assert (nothing.values(), nothing.looks()) == (None, None)
    no_pairs = ratio.Fractions(paired(never, never), paired(never, never))
    assert no_pairs.looks() is None


def test_the_scale_stays_within_what_was_simulated() -> None:
    assert ratio.asymptotic_scale(10, 0.05) == 2.0
    assert ratio.asymptotic_scale(10_000, 0.05) == 0.1
    assert ratio.asymptotic_scale(0, 0.05) == t_mixture.SCALE


def test_many_experiments_are_each_as_if_alone() -> None:
    rng = np.random.default_rng(31)
    arm, top, bottom = (
        rng.integers(0, 2, (3, 40)),
        rng.gamma(4, 1, (3, 40)),
        rng.gamma(9, 1, (3, 40)),
    )
    many = ratio.two_sample(arm, top, bottom)
    for row in range(3):
        own = slice(row, row + 1)
        alone = ratio.two_sample(arm[own], top[own], bottom[own])
        assert many.difference[own] == pytest.approx(alone.difference, nan_ok=True)
        assert many.error[own] == pytest.approx(alone.error, nan_ok=True)
    tiny = ratio.two_sample(arm, 1e-20 * top, bottom)  # in another unit of the numerator
    assert tiny.valid.tolist() == many.valid.tolist()
    assert 1e20 * tiny.error == pytest.approx(many.error, nan_ok=True)


def test_pairs_on_tasks_are_compared_by_the_ratios_of_the_tasks_means() -> None:
    rng, unit = np.random.default_rng(32), np.array([0, 1, 0, 2, 3, 1, 0, 2, 4, 4])
    columns = rng.gamma(4, 1, (4, unit.size))  # control and treatment, above and below

    def on_tasks(control: np.ndarray, treatment: np.ndarray) -> Sample:
        plain = of_pairs(control, treatment)
        assert plain.pairs is not None
        pairs = replace(plain.pairs, unit=unit)
        return of_visits(plain, Visits(pairs, control, treatment))

    fractions = ratio.Fractions(on_tasks(*columns[:2]), on_tasks(*columns[2:]))
    looks, as_pairs = fractions.looks(), fractions.pair_looks()
    assert looks is not None
    assert as_pairs is not None
    for pairs in range(5, 11):
        tasks = np.unique(unit[:pairs])
        means = [
            np.array([[column[:pairs][unit[:pairs] == task].mean() for task in tasks]])
            for column in columns
        ]
        then = ratio.paired(means[:2], means[2:])  # one pair for each task
        assert looks.n[0, pairs - 1] == tasks.size
        assert looks.difference[0, pairs - 1] == pytest.approx(then.difference[0, -1])
        assert looks.error[0, pairs - 1] == pytest.approx(then.error[0, -1])
        rows = [column[None, :pairs] for column in columns]
        each = ratio.paired(rows[:2], rows[2:])
        assert as_pairs.n[0, pairs - 1] == pairs
        assert as_pairs.difference[0, pairs - 1] == pytest.approx(each.difference[0, -1])
        assert as_pairs.error[0, pairs - 1] == pytest.approx(each.error[0, -1])
    alone = ratio.Fractions(of_pairs(*columns[:2]), of_pairs(*columns[2:]))
    assert alone.pair_looks() is None
