"""Evidence by ranks: exact by enumeration, valid for heavy tails, and its estimates."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.unit_paths import Pairs, UnitPath, unit_path
from expci.core.model.experiment import Limit, Metric
from expci.core.statistics import cliffs_delta, signed_rank
from expci.core.statistics.row_by_row import UnitsRow, one_experiment
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


def test_mann_whitney_at_the_middle_and_half_a_step_beside_it() -> None:
    rng = np.random.default_rng(12)
    for _ in range(60):
        control, treatment = (
            rng.integers(0, 5, 6).astype(float),
            rng.integers(0, 5, 5).astype(float),
        )
        z = signed_rank.mann_whitney_z(control, treatment)
        test = stats.mannwhitneyu(treatment, control, use_continuity=True, method="asymptotic")
        assert z is not None
        assert 2 * stats.norm.sf(abs(z)) == pytest.approx(test.pvalue)  # scipy cuts at 1
        assert np.sign(z) * np.sign(test.statistic - 15) >= 0
    assert signed_rank.mann_whitney_z(np.ones(4), np.ones(4)) is None
    assert signed_rank.mann_whitney_z(np.ones(1), np.arange(4.0)) is None
    assert signed_rank.mann_whitney_z(np.arange(2.0), np.arange(2.0)) == 0


@pytest.mark.parametrize(("single", "sign"), [(1.0, 1), (-1.0, -1)])
def test_a_single_unit_above_the_others_is_larger(single: float, sign: int) -> None:
    """In blocks of one treatment and three controls, treatment beyond all of them each time."""
    others = np.array([[-0.3, 0.1, 0.2]] * 8)
    gaps = single - others
    assert np.sign(signed_rank.log_e_exceeds(gaps, 0.0)[-1]) == sign
    assert np.sign(signed_rank.log_e_exceeds(-gaps, 0.0)[-1]) == -sign
    assert signed_rank.log_e_exceeds(np.empty((0, 1)), 0.0).size == 0


def test_the_factor_of_a_block_by_its_definition() -> None:
    gaps = np.array([[3.0, 1.0], [-1.0, 2.0]])  # treatment at 0, control at −gap
    units = [[0.0, -3.0, -1.0], [0.0, 1.0, -2.0]]
    distances = [[x - np.median(np.delete(row, k)) for k, x in enumerate(row)] for row in units]
    log_e, ranked = np.zeros((2, signed_rank.BETS.size)), list[float]()
    for block, row in enumerate(distances):
        ranked += [abs(d) for d in row]
        ranks = [sum(other <= abs(d) for other in ranked) for d in row]
        tails = stats.norm.ppf((1 + np.array(ranks) / (3 * (block + 2))) / 2)
        scores = np.sign(row) * tails
        for k, bet in enumerate(signed_rank.BETS):
            mean = np.mean([math.exp(bet * score) for score in scores])
            log_e[block, k] = math.log(math.exp(bet * scores[0]) / mean)
    expected = np.log(np.exp(np.cumsum(log_e, axis=0)).mean(axis=1))
    assert signed_rank.log_e_exceeds(gaps, 0.0) == pytest.approx(expected)


@pytest.mark.parametrize(("m", "n"), [(12, 9), (7, 20)])
def test_the_ends_of_two_samples_are_where_the_test_turns(m: int, n: int) -> None:
    """Order statistics of the differences, one step outside of what the test leaves at most."""
    rng = np.random.default_rng(13)
    control, treatment = rng.normal(0, 1, m), rng.normal(1, 1, n)
    look = signed_rank.one_look(two(control, treatment))
    assert look is not None
    differences = np.sort(np.subtract.outer(treatment, control).ravel())
    for critical in (1.0, 1.96):
        (low, high), shares = look.ends(critical)
        assert shares == pytest.approx(sorted(e / np.median(control) for e in (low, high)))
        for end, way in ((low, 1), (high, -1)):
            at = int(np.argmin(np.abs(differences - end)))
            assert differences[at] == end
            outside = signed_rank.mann_whitney_z(control, treatment - end + way * 1e-9)
            inside = signed_rank.mann_whitney_z(control, treatment - differences[at + 2 * way])
            assert outside is not None
            assert inside is not None
            assert way * outside > critical
            assert way * inside <= critical


def pairs_of(control: np.ndarray, treatment: np.ndarray) -> Sample:
    n = control.size
    arms, index = two(control, treatment), np.arange(n)
    pairs = Pairs(index, index + n, np.zeros(n), 0, 0)
    return Sample(arms.control, arms.treatment, pairs, np.concatenate([control, treatment]))


def test_the_ends_of_pairs_are_where_the_test_turns() -> None:
    rng = np.random.default_rng(14)
    control = rng.normal(5, 1, 15)
    gaps = rng.normal(0.5, 1, 15)
    look = signed_rank.one_look(pairs_of(control, control + gaps))
    assert look is not None
    expected = stats.wilcoxon(gaps, correction=True, method="approx")
    assert 2 * stats.norm.sf(abs(look.z)) == pytest.approx(expected.pvalue)
    walsh = np.sort([(gaps[i] + gaps[j]) / 2 for i in range(15) for j in range(i, 15)])
    for critical in (1.0, 1.96):
        low, high = look.ends(critical)[0]
        for end, way in ((low, 1), (high, -1)):
            at = int(np.argmin(np.abs(walsh - end)))
            assert walsh[at] == pytest.approx(end)
            outside = signed_rank.one_look(pairs_of(control, control + gaps - end + way * 1e-9))
            inside = signed_rank.one_look(pairs_of(control, control + gaps - walsh[at + 2 * way]))
            assert outside is not None
            assert inside is not None
            assert way * outside.z > critical
            assert way * inside.z <= critical


def test_too_few_have_open_ends_or_no_look() -> None:
    look = signed_rank.one_look(two([1.0, 2.0], [3.0, 4.0]))
    assert look is not None
    assert look.ends(3.0) == ((-math.inf, math.inf), (-math.inf, math.inf))
    assert signed_rank.one_look(two([1.0], [3.0, 4.0])) is None
    assert signed_rank.one_look(pairs_of(np.array([1.0, 2.0]), np.array([1.0, 3.0]))) is None
    never = np.empty(0)
    assert signed_rank.control_median(two(never, never)) is None
    assert signed_rank.shift(two(never, [1.0])) is None
    assert signed_rank.shift(two([1.0], never)) is None


def test_thinned_values_are_evenly_spaced_order_statistics() -> None:
    values = np.random.default_rng(15).permutation(np.arange(1001.0))
    assert signed_rank.thinned(values, 11).tolist() == [100.0 * k for k in range(11)]
    assert signed_rank.thinned(values, 1001) is values
    assert signed_rank.thinned(values, 1000).size == 1000


@pytest.mark.parametrize("paired", [True, False])
def test_a_shift_of_too_many_values_for_all_pairs(paired: bool) -> None:
    control, treatment = np.random.default_rng(16).normal(size=(2, 3000))
    units = (pairs_of if paired else two)(control, control + 0.25 if paired else treatment + 3)
    found = signed_rank.shift(units)
    assert found == pytest.approx(0.25 if paired else 3, abs=1e-9 if paired else 0.08)
    assert signed_rank.shift_of(*units.arms(), paired) == found


@pytest.mark.parametrize("harm", [1, -1])
@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_on_a_grid_an_interval_is_told_at_every_look(harm: int, shift: float) -> None:
    """An end has passed a bound exactly where the evidence against the bound suffices."""
    rules, n = Rules(0.05, harm, 5), 40
    gaps = np.random.default_rng(17).normal(shift, 1, n)
    units = pairs_of(np.zeros(n), gaps)
    bounds = (-2.5, -1.0, 0.0, 1.0, 2.5)
    row = UnitsRow(units, n, np.arange(n), lambda: (), bounds)
    test = signed_rank.RankTest(rules, np.arange(1.0, n + 1)[None, :], [row])
    low, high = (ends[0] for ends in test.interval())
    better = -harm * gaps[:, None]
    ends = (low, high) if harm < 0 else (-high, -low)  # as improvements, like the bounds
    passed = 0
    for bound in bounds:
        above = signed_rank.running_log_e(better, bound, 5) >= math.log(40)
        below = signed_rank.running_log_e(-better, -bound, 5) >= math.log(40)
        assert ((ends[0] >= bound) == above).all()
        assert ((ends[1] < bound) == below).all()
        passed += int(above[-1]) + int(below[-1])
    assert passed >= 3
    exact = one_experiment(units)
    now = signed_rank.RankTest(rules, np.array([[n]]), [exact]).interval()
    assert low[-1] <= now[0][0, 0] + 1e-6
    assert high[-1] >= now[1][0, 0] - 1e-6


def test_rows_without_evidence() -> None:
    for gaps in (np.zeros(20), np.ones(4)):
        units = pairs_of(np.zeros(gaps.size), gaps)
        test = signed_rank.RankTest(RULES, np.array([[gaps.size]]), [one_experiment(units)])
        assert test.log_e().tolist() == [[-math.inf]]
        assert [ends.tolist() for ends in test.interval()] == [[[-math.inf]], [[math.inf]]]
    row = one_experiment(pairs_of(np.zeros(5), np.ones(5)))
    five = signed_rank.RankTest(RULES, np.array([[5]]), [row])
    assert math.isfinite(five.log_e()[0, 0])  # from the fifth pair on


def test_blocks_are_in_the_order_in_which_they_became_complete() -> None:
    arm = np.array([0, 0, 1, 0, 0, 1, 1, 0])
    value = np.array([1.0, 2.0, 10.0, 4.0, 8.0, 20.0, 40.0, 16.0])
    control, treatment = (unit_path(arm == k, np.arange(8), value) for k in (0, 1))
    assert signed_rank.completion(control, treatment, (1, 1)).tolist() == [2, 5, 6]
    assert signed_rank.completion(control, treatment, (2, 1)).tolist() == [2, 5]
    assert signed_rank.block_gaps(control, treatment).tolist() == [[9], [18], [36]]
    assert signed_rank.block_gaps(control, treatment, (2, 1)).tolist() == [[9, 8], [16, 12]]
    # units that come back: control's second unit is first seen after treatment's second
    units = np.array([0, 0, 1, 2, 3, 2])
    arms, values = np.array([0, 1, 1, 0, 0, 1]), np.arange(1.0, 7.0)
    late = [unit_path(arms == k, units, values) for k in (0, 1)]
    assert signed_rank.completion(late[0], late[1], (1, 1)).tolist() == [1, 3, 5]


def test_no_difference_that_is_just_refuted_is_the_end_itself() -> None:
    """Ties count for nothing at 0 and against any more than that: 0 is the last one refuted."""
    gaps = np.array([5.0, 0.0, 7.0, 6.0, 0.0, 4.0, -1.0, 8.0, 0.0, 3.0, 9.0])[:, None]
    at, beyond = (signed_rank.running_log_e(gaps, shift, 5)[-1] for shift in (0.0, 1e-9))
    assert beyond < at
    rules = replace(RULES, alpha=2 * math.exp(-(at + beyond) / 2))
    assert signed_rank.lower_end(gaps, rules) == 0.0
