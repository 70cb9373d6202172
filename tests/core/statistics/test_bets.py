"""Bets on the planned effect: where they grow fastest, and what they show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from expci.core.statistics import betting
from expci.core.statistics.bets import USUAL, Bets, planned_bets
from expci.core.statistics.betting import Blocks

ALPHA = 0.05


def sd(control: float, treatment: float) -> float:
    return math.sqrt((control * (1 - control) + treatment * (1 - treatment)) / 2)


def test_the_planned_bet_grows_fastest_at_the_planned_effect() -> None:
    """By maximising the expected logarithm: .80 → .90, D = +1 in .18 and −1 in .08 of blocks."""

    def loss(size: float) -> float:
        return -(0.18 * math.log1p(size) + 0.08 * math.log1p(-size))

    best = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded").x
    planned = planned_bets(0.1, sd(0.8, 0.9), (1, 1), None, ALPHA)
    assert planned.sizes[0] == pytest.approx(best, abs=1e-4)
    assert np.exp(planned.log_shares).sum() == pytest.approx(1.0)
    assert np.exp(planned.log_shares[0]) == pytest.approx(0.9)


def test_a_block_of_several_units_varies_less() -> None:
    """Three units of control for one: the mean logarithm over all outcomes is largest there."""
    outcomes = [
        (treatment - wins / 3, stats.binom.pmf(wins, 3, 0.5) * stats.bernoulli.pmf(treatment, 0.6))
        for wins in range(4)
        for treatment in (0, 1)
    ]

    def loss(size: float) -> float:
        return -math.fsum(chance * math.log1p(size * gap) for gap, chance in outcomes)

    best = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded").x
    planned = planned_bets(0.1, sd(0.5, 0.6), (3, 1), None, ALPHA).sizes[0]
    assert planned == pytest.approx(best, rel=0.05)  # by the first two moments


def test_a_small_sample_takes_a_larger_bet_and_no_bet_is_all() -> None:
    small = planned_bets(0.1, sd(0.8, 0.9), (1, 1), 100, ALPHA)
    large = planned_bets(0.1, sd(0.8, 0.9), (1, 1), 1000, ALPHA)
    assert small.sizes[0] > large.sizes[0] == pytest.approx(0.3846, abs=1e-3)
    assert planned_bets(0.9, sd(0.05, 0.95), (1, 1), 5, ALPHA).sizes[0] == 0.95


def shown(control: float, treatment: float, bets: Bets) -> float:
    """How often 100 pairs show a difference, in either direction."""
    rng = np.random.default_rng(5)
    shape = (6000, 100)
    success = [(rng.random(shape) < rate).astype(np.float64) for rate in (control, treatment)]
    difference = success[1] - success[0]
    blocks = Blocks(difference, np.full((6000, 1), 100), bets=bets)
    sides = betting.exceeds(blocks, 0.0), betting.exceeds(blocks.mirrored(), 0.0)
    return float((np.maximum(*sides) >= math.log(2 / ALPHA)).mean())


@pytest.mark.slow
def test_a_hundred_pairs_show_more_of_a_tenth_than_before() -> None:
    """A betting gate shows .80 → .90 in .31 of experiments of 100 pairs; the usual bets in .21."""
    planned = planned_bets(0.1, sd(0.8, 0.9), (1, 1), 100, ALPHA)
    assert shown(0.8, 0.9, USUAL) < 0.24
    assert shown(0.8, 0.9, planned) >= 0.31 - 2 * math.sqrt(0.31 * 0.69 / 6000)
    assert shown(0.8, 0.8, planned) <= ALPHA
    assert shown(0.05, 0.05, planned) <= ALPHA
