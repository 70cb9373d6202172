"""The sign test by betting: against exact enumeration, scipy's binomial test, and simulation."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.model.experiment import PlanRules
from expci.core.statistics.bets import USUAL
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.sign_test import SignTest, sign_test
from expci.core.statistics.t_mixture import Rules, p_values
from expci.core.statistics.visit_stages import AGAIN, ONCE

RULES = Rules(alpha=0.05, harm=-1, start=1)


def weighed(gaps: np.ndarray, unit: np.ndarray | None = None, again: bool = False) -> SignTest:
    return sign_test(gaps, unit, RULES, stages=AGAIN if again else ONCE)


def test_the_capital_is_one_on_average_over_all_outcomes() -> None:
    """Each side's E over the 2^n equally likely sequences of a fair coin, ties anywhere."""
    n = 7
    sequences = np.array(list(itertools.product((-0.5, 0.5), repeat=n)))
    for tie in (None, 2, 6):
        gaps = sequences if tie is None else np.insert(sequences, tie, 0.0, axis=1)
        test = weighed(gaps)
        # harm is "control preferred": one side alone, its maximum so far at the first look
        assert np.exp(test.harm_log_e()[:, 0]).mean() == pytest.approx(1.0)
        for side in (test.stages[0].signs, test.stages[0].signs.mirrored()):
            wealth = np.exp(side.log_wealth(np.zeros((len(gaps), 1)))).sum(axis=0)
            assert wealth.mean(axis=0) == pytest.approx(np.ones(gaps.shape[1]))


def test_a_tie_changes_nothing() -> None:
    with_ties = weighed(np.array([[0.5, 0.0, 0.5, 0.0, -0.5, 0.5]]))
    without = weighed(np.array([[0.5, 0.5, -0.5, 0.5]]))
    assert with_ties.log_e()[0, -1] == pytest.approx(without.log_e()[0, -1])
    assert with_ties.difference[0, -1] == pytest.approx(1 / 6)


def test_a_pair_without_an_answer_is_no_pair() -> None:
    test = weighed(np.array([[0.5, np.nan, -0.5, np.nan]]))
    assert test.n[0].tolist() == [1, 1, 2, 2]
    assert test.difference[0].tolist() == [0.5, 0.5, 0.0, 0.0]


@pytest.mark.slow
def test_p_is_at_most_alpha_exactly_when_the_interval_leaves_zero() -> None:
    rng = np.random.default_rng(1)
    for again in (False, True):
        for won in rng.uniform(0.1, 1.0, 60):
            gaps = np.where(rng.random(40) < won, 0.5, -0.5)[None, :]
            unit = (np.arange(40) % 8)[None, :] if again else None
            test = weighed(gaps, unit, again)
            low, high = test.interval()
            excluded = bool(low[0, -1] > 0 or high[0, -1] < 0)
            assert excluded == (p_values(test.log_e())[0, -1] <= 0.05)


@pytest.mark.slow
def test_no_more_than_alpha_of_a_fair_judge_s_experiments_ever_show_a_preference() -> None:
    """4,000 experiments of 200 pairs, a third of them ties, looked at after every pair."""
    rng = np.random.default_rng(2)
    gaps = rng.choice([-0.5, 0.0, 0.5], (4000, 200))
    ever = p_values(weighed(gaps).log_e())[:, -1] <= 0.05
    assert ever.mean() <= 0.05
    assert ever.mean() >= 0.005  # the bound is used


@pytest.mark.slow
@pytest.mark.parametrize(("cases", "visits"), [(6, 20), (12, 10), (30, 5)])
def test_visits_of_a_case_are_one_coin(cases: int, visits: int) -> None:
    """Each case prefers one arm for ever, by a fair coin: visits counted as coins of their own
    show a preference that is not there in more than twice alpha of the experiments."""
    rng = np.random.default_rng(3)
    side = np.where(rng.random((1500, cases)) < 0.5, 0.4, -0.4)
    unit = np.broadcast_to(np.tile(np.arange(cases), visits), (1500, cases * visits))
    chance = 0.5 + np.take_along_axis(side, unit, axis=1)
    gaps = np.where(rng.random(unit.shape) < chance, 0.5, -0.5)
    ever = p_values(weighed(gaps, unit, again=True).log_e())[:, -1] <= 0.05
    naive = p_values(weighed(gaps).log_e())[:, -1] <= 0.05
    assert ever.mean() <= 0.05
    assert naive.mean() > 2 * 0.05


def test_visits_make_a_case_surer() -> None:
    """20 cases, each preferring the treatment in 65 % of its visits."""
    rng = np.random.default_rng(4)
    unit = np.broadcast_to(np.tile(np.arange(20), 27), (400, 540))
    gaps = np.where(rng.random(unit.shape) < 0.65, 0.5, -0.5)
    p_value = p_values(weighed(gaps, unit, again=True).log_e())
    assert (p_value[:, 19] <= 0.05).mean() < 0.3
    assert (p_value[:, -1] <= 0.05).mean() > 0.9


def test_the_planned_look_is_mcnemar_s() -> None:
    """z of the sign test without continuity: (W − L)/√(W + L) (McNemar 1947)."""
    gaps = np.array([[0.5] * 15 + [-0.5] * 5 + [0.0] * 10])
    test = weighed(gaps)
    plan = planned_looks(test.n, PlanRules(inference="fixed"), 30, 1)
    assert plan is not None
    assert test.planned_z(plan)[0, -1] == pytest.approx((15 - 5) / math.sqrt(20))
    (low, high), _ = test.planned_ends(plan)
    assert low[0, -1] > 0
    exact = stats.binomtest(15, 20).pvalue  # the exact test agrees on which side of 0.05
    assert exact < 0.05
    assert high[0, -1] == pytest.approx(1 / 6 + 1.959964 * math.sqrt(20 / 4) / 30, abs=1e-6)


def turning(seed: int, experiments: int, again: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """160 pairs whose preference turns half-way, or two of each of 80 cases: ends cross."""
    rng, pair = np.random.default_rng(seed), np.arange(160)
    early, late = rng.uniform(0.0, 1.0, (2, experiments, 1))
    won = np.where(pair < 80, early, late)
    won[0], won[1] = pair < 80, pair >= 80
    gaps = np.where(rng.random(won.shape) < won, 0.5, -0.5)
    gaps[2:][rng.random(gaps[2:].shape) < 0.1] = 0.0
    gaps[2:][rng.random(gaps[2:].shape) < 0.05] = np.nan
    return gaps, np.tile(pair // 2, (experiments, 1)) if again else None


def looked_at(
    gaps: np.ndarray, unit: np.ndarray | None, look: int, rules: Rules
) -> tuple[float, float]:
    """The interval of one experiment for who has these pairs only."""
    units = None if unit is None else unit[None, : look + 1]
    test = replace(weighed(gaps[None, : look + 1], units, unit is not None), rules=rules)
    low, high = test.interval()
    return float(low[0, -1]), float(high[0, -1])


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("harm", [-1, 1])
def test_on_a_grid_each_look_answers_as_it_would_alone(again: bool, harm: int) -> None:
    """Each bound that a decision asks of lies on the same side of the improvement's ends."""
    (gaps, unit), rules = turning(5, 6, again), replace(RULES, harm=harm)
    bounds, excluded = (0.0, 0.1, -0.2), 0
    test = replace(weighed(gaps, unit, again), bounds=bounds, rules=rules)
    ends = test.interval()
    for row, look in itertools.product(range(len(gaps)), range(15, 160, 16)):
        alone = looked_at(gaps[row], None if unit is None else unit[row], look, rules)
        on_grid = float(ends[0][row, look]), float(ends[1][row, look])
        (low, high), (exact_low, exact_high) = (
            pair if harm < 0 else (-pair[1], -pair[0]) for pair in (on_grid, alone)
        )
        for bound in bounds:
            assert (low >= bound) == (exact_low >= bound), (row, look, bound)
            assert (high < bound) == (exact_high < bound), (row, look, bound)
            excluded += exact_low >= bound or exact_high < bound
    assert excluded > 20


@pytest.mark.parametrize("again", [False, True])
def test_an_interval_is_empty_where_its_ends_have_crossed(again: bool) -> None:
    (gaps, unit), crossed = turning(6, 9, again), 0
    test, rows = weighed(gaps, unit, again), np.arange(9) % 3 != 2
    for look in (79, 127, 159):
        empty = test.crossed(rows, np.full(6, look))
        for row, answer in zip(np.flatnonzero(rows), empty, strict=True):
            low, high = looked_at(gaps[row], None if unit is None else unit[row], look, RULES)
            assert answer == (low > high), (row, look)
            crossed += int(answer)
    assert crossed >= 2


def test_another_level_is_that_of_the_interval() -> None:
    gaps, _ = turning(7, 12, False)
    test, wide = weighed(gaps), weighed(gaps).at_level(0.01)
    assert np.all(wide.interval()[0] <= test.interval()[0])
    assert np.any(wide.interval()[0] < test.interval()[0])
    assert wide.log_e() == pytest.approx(test.log_e())


@pytest.mark.parametrize("row", [[0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.0, 0.5], [0.5, -0.5, -0.5]])
def test_the_evidence_as_it_stands_is_the_mean_of_the_bets_products(row: list[float]) -> None:
    test, signs = weighed(np.array([row])), np.sign(row)
    bets, shares = USUAL.sizes, np.exp(USUAL.log_shares)
    sides = [shares @ np.prod(1 + np.outer(bets, side * signs), axis=1) for side in (1, -1)]
    assert test.log_e_now() == pytest.approx([math.log(max(sides) / 2)])


def test_a_preference_has_no_relative_interval() -> None:
    test = weighed(np.array([[0.5, -0.5, 0.5]]))
    plan = planned_looks(test.n, PlanRules(inference="fixed"), 3, 1)
    assert plan is not None
    for low, high in (test.relative(), test.planned_ends(plan)[1]):
        assert np.isneginf(low).all()
        assert np.isposinf(high).all()
