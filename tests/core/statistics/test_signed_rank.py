"""Evidence by ranks: exact by enumeration, valid for heavy tails, and its estimates."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.unit_paths import UnitPath, unit_path
from expci.core.model.experiment import Limit, Metric
from expci.core.statistics import cliffs_delta, signed_rank
from expci.core.statistics.row_by_row import one_experiment
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import DURATION, alternating, in_pairs, look_at, make_experiment
from support.evidence import weight

RULES = Rules(alpha=0.05, harm=1, start=5)
SCORE = Metric("score", "primary", "rank", "increase", minimum_effect=Limit(0.3, False))


def path(values: object, start: int = 0) -> UnitPath:
    array = np.asarray(values, dtype=float)
    index = np.arange(array.size)
    return UnitPath(start + 2 * index, index, array, np.full(array.size, np.nan))


def two(control: object, treatment: object) -> Sample:
    return Sample(path(control), path(treatment, 1))


def test_the_evidence_has_mean_one_over_all_signs() -> None:
    """Under exchangeability all 2^n sign patterns of given |d| are equally likely."""
    sizes = np.array([0.3, 2.0, 0.7, 0.7, 11.0, 0.1, 0.0])
    total = np.zeros(sizes.size)
    for signs in itertools.product((-1.0, 1.0), repeat=sizes.size):
        total += np.exp(signed_rank.log_e_exceeds((np.array(signs) * sizes)[:, None], 0.0))
    assert total / 2**sizes.size == pytest.approx(np.ones(sizes.size), abs=1e-12)


def test_a_factor_is_the_likelihood_ratio_of_a_normal_shift() -> None:
    # P(sign | |d|) of N(λ, 1) is 1/(1 + exp(−2 λ d)), by Bayes from scipy's densities
    score, bet = 0.9, signed_rank.BETS[4]
    up, down = stats.norm.pdf(score, bet), stats.norm.pdf(-score, bet)
    assert 2 / (1 + math.exp(-2 * bet * score)) == pytest.approx(2 * up / (up + down))
    scores = signed_rank.signed_scores(np.array([[3.0], [-5.0], [4.0]]))[:, 0]
    # sequential ranks 1 of 1, 2 of 2, 2 of 3
    expected = stats.norm.ppf([(1 + 1 / 2) / 2, (1 + 2 / 3) / 2, (1 + 2 / 4) / 2])
    assert scores == pytest.approx(expected * [1, -1, 1])


def test_the_evidence_falls_with_the_shift_so_its_inversion_is_an_interval() -> None:
    d = np.random.default_rng(1).standard_cauchy((40, 1)) + 1
    found = [float(np.max(signed_rank.log_e_exceeds(d, s)[4:])) for s in np.linspace(-3, 4, 60)]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(found))
    units = Sample(path(np.zeros(d.size)), path(d[:, 0], 1))
    test = signed_rank.RankTest(RULES, np.array([[d.size]]), [one_experiment(units)])
    whole = weight(test)
    assert whole is not None
    low = whole.interval[0]
    assert np.max(signed_rank.log_e_exceeds(d, low)[4:]) >= math.log(40)
    assert np.max(signed_rank.log_e_exceeds(d, low + 1e-6)[4:]) < math.log(40)
    assert (whole.p_value <= 0.05) == (low >= 0 or whole.interval[1] <= 0)


@pytest.mark.slow
@pytest.mark.parametrize("tail", ["normal", "cauchy", "lognormal"])
def test_errors_stay_under_alpha_with_a_look_at_every_block(tail: str) -> None:
    rng, runs, wins = np.random.default_rng(3), 1200, 0
    draw: Callable[[], np.ndarray] = {
        "normal": lambda: rng.normal(size=100) - rng.normal(size=100),
        "cauchy": lambda: rng.standard_cauchy(100),
        "lognormal": lambda: np.exp(rng.normal(0, 2, 100)) - np.exp(rng.normal(0, 2, 100)),
    }[tail]
    for _ in range(runs):
        scores = signed_rank.signed_scores(draw()[:, None])
        sides = [signed_rank.log_e_exceeds(side, 0.0)[4:].max() for side in (scores, -scores)]
        wins += max(sides) - math.log(2) >= math.log(20)
    assert wins / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.slow
def test_it_finds_a_shift_that_a_mean_cannot_see() -> None:
    rng, by_rank, by_mean = np.random.default_rng(4), 0, 0
    for _ in range(25):
        control, treatment = rng.standard_cauchy(80), rng.standard_cauchy(80) + 1.8
        trials = alternating(control + 50, treatment + 50, "score")
        for kind in ("rank", "mean"):
            metric = replace(SCORE, kind=kind)
            found = look_at(make_experiment(primary=metric), trials).primary.comparisons[0]
            shown = (found.evidence.p_value or 1.0) <= 0.05
            by_rank, by_mean = (
                by_rank + shown * (kind == "rank"),
                by_mean + shown * (kind == "mean"),
            )
    assert by_rank >= 20
    assert by_mean <= 10


def test_the_test_of_one_look_is_scipys() -> None:
    rng = np.random.default_rng(5)
    control, treatment = rng.integers(0, 9, 30).astype(float), rng.integers(1, 11, 25).astype(float)
    found = signed_rank.one_look(Sample(path(control), path(treatment, 1)))
    expected = stats.mannwhitneyu(treatment, control, use_continuity=True, method="asymptotic")
    assert found is not None
    assert 2 * stats.norm.sf(abs(found.z)) == pytest.approx(expected.pvalue, rel=1e-9)
    trials = in_pairs(control[:25] + 100, treatment + 100, "score")
    experiment = make_experiment(primary=SCORE, design="paired", inference="fixed", sample_size=25)
    paired = look_at(experiment, trials).primary.comparisons[0].evidence
    signed = stats.wilcoxon(treatment - control[:25], correction=True, method="approx")
    assert paired.p_value == pytest.approx(signed.pvalue, rel=1e-9)
    assert paired.method == "fixed, signed-rank test"


def test_the_shift_of_hollander_and_wolfe() -> None:
    # R, help(wilcox.test): depression data, x − y paired: (pseudo)median 0.46, p = 0.03906 exact
    x = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    y = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    trials = in_pairs(y, x, "score")
    found = look_at(make_experiment(primary=SCORE, design="paired"), trials).primary
    assert found.comparisons[0].difference == pytest.approx(0.46, abs=1e-9)
    # R, help(wilcox.test): permeability at term and at 12-26 weeks; the median of differences
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    gaps = [a - b for a in term for b in early]
    assert signed_rank.shift(two(early, term)) == pytest.approx(float(np.median(gaps)))
    assert signed_rank.shift(two(early, term)) == pytest.approx(0.305)


def test_cliffs_delta_by_counting_and_its_interval_covers() -> None:
    rng = np.random.default_rng(6)
    control, treatment = rng.integers(0, 6, 17).astype(float), rng.integers(1, 7, 23).astype(float)
    pairs = [float(t > c) - float(t < c) for t in treatment for c in control]
    delta = cliffs_delta.cliffs_delta(control, treatment)
    assert delta == pytest.approx(np.mean(pairs))
    misses, truth = 0, 2 * stats.norm.cdf(0.8 / math.sqrt(2)) - 1
    for _ in range(600):
        ends = cliffs_delta.interval(rng.normal(size=30), rng.normal(0.8, 1, 30), 0.95)
        assert ends is not None
        misses += not ends[0] <= truth <= ends[1]
    assert misses / 600 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
    assert misses > 0
    assert cliffs_delta.interval(np.zeros(5), np.ones(5), 0.95) is not None
    assert [cliffs_delta.word(x) for x in (0.1, -0.2, 0.4, -0.9, None)] == [
        "negligible",
        "small",
        "medium",
        "large",
        None,
    ]


def test_two_samples_as_wilcox_test_of_r_prints_them() -> None:
    """R, ?wilcox.test: Ozone in May and in August of `airquality`: W = 127.5, p = 0.0001208."""
    may = [41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32]
    may += [23, 45, 115, 37]
    august = [39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45]
    august += [168, 73, 76, 118, 84, 85]
    z = signed_rank.mann_whitney_z(np.array(may, float), np.array(august, float))
    assert z is not None
    assert 2 * stats.norm.sf(z) == pytest.approx(0.0001208, abs=5e-8)


def test_what_a_unit_reports_later_changes_no_evidence() -> None:
    control = UnitPath(
        np.array([0, 2, 8]),
        np.array([0, 1, 0]),
        np.array([1.0, 5.0, 9.0]),
        np.array([np.nan, np.nan, 1.0]),
    )
    gaps = signed_rank.block_gaps(control, path([4.0, 7.0], 1))
    assert gaps == pytest.approx(np.array([[3.0], [2.0]]))


def test_in_blocks_by_weight_the_evidence_has_mean_one_over_all_places_of_the_single_unit() -> None:
    """Under exchangeability each unit of a block is as likely to be the smaller arm's one."""
    blocks = np.array([[0.3, 2.0, -0.7, 5.0], [0.1, 0.1, 11.0, -3.0], [1.0, 2.0, 3.0, 4.0]])
    for treatment_is_single in (True, False):
        total = np.zeros(len(blocks))
        for places in itertools.product(range(4), repeat=len(blocks)):
            single = [row[place] for row, place in zip(blocks, places, strict=True)]
            others = [np.delete(row, k) for row, k in zip(blocks, places, strict=True)]
            arms = path(np.concatenate(others)), path(single, 1)
            control, treatment = arms if treatment_is_single else arms[::-1]
            sizes = (3, 1) if treatment_is_single else (1, 3)
            gaps = signed_rank.block_gaps(control, treatment, sizes)
            total += np.exp(signed_rank.log_e_exceeds(gaps, 0.0))
        assert total / 4 ** len(blocks) == pytest.approx(np.ones(len(blocks)), abs=1e-12)


@pytest.mark.parametrize("sizes", [(4, 1), (1, 4)])
def test_drift_that_both_arms_feel_is_no_effect_at_unequal_weights(sizes: tuple[int, int]) -> None:
    rng, runs, wins, naive = np.random.default_rng(11), 60, 0, 0
    for _ in range(runs):
        arm = np.concatenate([rng.permutation(np.repeat([0, 1], sizes)) for _ in range(120)])
        value = rng.normal(size=600) + np.linspace(0, 1, 600)
        index = np.arange(600)
        arms = [unit_path(arm == k, index, value) for k in (0, 1)]
        wins += alarm(signed_rank.block_gaps(arms[0], arms[1], sizes))
        naive += alarm(signed_rank.block_gaps(arms[0], arms[1]))
    assert wins <= 6  # of 3 expected at most; the chance of more is under 0.03
    assert naive >= 15  # the k-th unit of each arm: a drift of one sd becomes an effect


def alarm(gaps: np.ndarray) -> bool:
    sides = [signed_rank.running_log_e(side, 0.0, 10)[-1] for side in (gaps, -gaps)]
    return bool(max(sides) - math.log(2) >= math.log(20))


def test_a_rank_metric_decides_and_says_how() -> None:
    rng = np.random.default_rng(7)
    job = np.exp(rng.normal(3, 1, 40))
    trials = in_pairs(job * np.exp(rng.standard_t(2, 40) * 0.1), 0.6 * job, "duration_s")
    metric = replace(DURATION, kind="rank")
    analysis = look_at(make_experiment(primary=metric, design="paired"), trials)
    found = analysis.primary.comparisons[0]
    assert analysis.decision.verdict == "promote"
    assert found.evidence.method == "anytime, signed ranks"
    assert found.cliffs_delta is not None
    assert found.cliffs_delta < 0
    assert found.improvement is not None
    assert found.interval is not None
    assert any("control's median" in note for note in found.notes)
