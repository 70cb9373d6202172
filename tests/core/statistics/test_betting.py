"""Bets on blocks: intervals against the evidence itself, point by point."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from expci.core.dataset.unit_paths import single_trials, unit_path
from expci.core.statistics import betting
from expci.core.statistics.bets import USUAL
from expci.core.statistics.betting import Blocks

STEP = 2.0**-13  # of the grid that ends lie on


def of_rates(control: float, treatment: float, n: int, seed: int = 1) -> Blocks:
    """Three experiments of n blocks of one unit each, a look after every block."""
    rng = np.random.default_rng(seed)
    arms = [(rng.random((3, n)) < rate).astype(float) for rate in (control, treatment)]
    return Blocks(arms[1] - arms[0], np.tile(np.arange(n + 1), (3, 1)))


@pytest.mark.parametrize("delta", [0.0, -0.3, 0.25])
def test_the_evidence_is_the_mean_of_the_bets_products(delta: float) -> None:
    blocks = of_rates(0.4, 0.6, 12)
    bets, shares = blocks.bets.sizes, np.exp(blocks.bets.log_shares)
    now, most = betting.exceeds_now(blocks, delta), betting.exceeds(blocks, delta)
    assert (now[:, 0] == -math.inf).all()
    for row in range(3):
        products = np.cumprod(1 + np.outer((blocks.new[row] - delta) / (1 + delta), bets), axis=0)
        expected = np.log(products @ shares)
        assert now[row, 1:] == pytest.approx(expected)
        assert most[row, 1:] == pytest.approx(np.maximum.accumulate(expected))
    each = betting.exceeds_now(blocks, np.array([delta, 0.1, 0.2]))  # one for each experiment
    assert each[0] == pytest.approx(now[0])
    assert each[1] == pytest.approx(betting.exceeds_now(blocks, 0.1)[1])


@pytest.mark.parametrize(("control", "treatment"), [(0.2, 0.9), (0.5, 0.5), (0.9, 0.3), (0.0, 1.0)])
@pytest.mark.parametrize("alpha", [0.05, 0.4])
def test_an_end_is_the_last_grid_point_that_is_refuted(
    control: float, treatment: float, alpha: float
) -> None:
    blocks = of_rates(control, treatment, 40)
    ends, needed = betting.lower_ends(blocks, alpha), -math.log(alpha)
    for row, end in enumerate(ends.tolist()):
        one = Blocks(blocks.new[row : row + 1], np.array([[40]]))
        assert (end + 1) % STEP == 0
        assert betting.exceeds(one, end + STEP)[0, 0] < needed
        assert end == -1 or betting.exceeds(one, end)[0, 0] >= needed
        for at in (5, 25, 40):
            until = Blocks(blocks.new[row : row + 1], np.array([[at]]))
            then = betting.lower_ends(until, alpha)[0]
            for bound in (-1.0, -0.5, 0.0, 0.2, 0.7, 1.0):
                above = betting.lower_end_above(blocks, bound, alpha)
                assert bool(above[row, at]) is bool(then > bound)
    assert not betting.lower_end_above(blocks, 0.2, alpha)[:, 0].any()


def test_below_minus_one_everything_is_above() -> None:
    blocks = of_rates(0.5, 0.5, 3)
    for bound in (-1.1, -1 - STEP / 2):
        assert betting.lower_end_above(blocks, bound, 0.05).all()
    assert not betting.lower_end_above(blocks, 1.5, 0.05).any()
    assert betting.lower_ends(Blocks(np.empty((2, 0)), np.zeros((2, 1), int)), 0.05).tolist() == [
        -1,
        -1,
    ]


def test_an_interval_is_empty_where_its_ends_cross() -> None:
    turned = np.repeat([[1.0, -1.0]], 60, axis=1)
    steady = np.tile([1.0, -1.0], (1, 60))
    late = np.repeat([[0.0, 0.0]], 60, axis=1)
    changes = np.concatenate([turned, steady, late, -turned, np.ones((1, 120))])
    blocks = Blocks(changes, np.tile(np.arange(1, 121), (5, 1)))
    for look in (59, 119):
        ends = [
            betting.lower_ends(Blocks(side, np.full((5, 1), look + 1)), 0.025)
            for side in (changes, -changes)
        ]
        empty = betting.crossed(blocks, np.full(5, look), 0.05)
        assert empty.tolist() == (ends[0] + ends[1] > 0).tolist()
        assert empty.tolist() == [look > 60, False, False, look > 60, False]
    assert (
        betting.crossed(blocks, np.array([119, 59, 3, 59, 0]), 0.05).tolist()
        == [True] + [False] * 4
    )


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1), (1, 3)])
def test_blocks_of_trials_are_those_of_units_of_one_trial(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    arm = rng.integers(0, 2, (4, 30))
    arm[3] = 0  # an experiment without a treatment
    value = rng.random((4, 30)).round(2)
    value[0, [3, 7]] = np.nan
    made = betting.blocks(arm, value, 1, sizes)
    for row in range(4):
        paths = [unit_path(arm[row] == k, np.arange(30), value[row]) for k in (0, 1)]
        count = min(p.unit.size // size for p, size in zip(paths, sizes, strict=True))
        assert made.count[row, -1] == count
        means = [
            p.final[: count * size].reshape(count, size).mean(axis=1)
            for p, size in zip(paths, sizes, strict=True)
        ]
        assert made.new[row, :count] == pytest.approx(means[1] - means[0])
        one = betting.blocks_of_units(paths[0], paths[1], sizes)
        assert one.count.tolist() == [[count]]
        assert sorted(one.new[0].tolist()) == pytest.approx(sorted((means[1] - means[0]).tolist()))
    for n in range(1, 30):
        part = betting.blocks(arm[:, :n], value[:, :n], 1, sizes)
        assert part.count[:, -1].tolist() == made.count[:, n - 1].tolist()


def test_the_arms_of_a_block_follow_the_weights() -> None:
    assert betting.block_sizes(0.75, 0.25) == (3, 1)
    assert betting.block_sizes(0.2, 0.5) == (1, 2)  # 2.5, rounded to even
    assert betting.block_sizes(0.0, 1.0) == (1, 1)
    assert betting.block_sizes(1.0, 30.0) == (1, 20)


def test_rates_that_differ_have_a_small_p_value() -> None:
    control, treatment = single_trials(np.zeros(40)), single_trials(np.ones(40))
    bets, shares = USUAL.sizes, np.exp(USUAL.log_shares)
    expected = 2 / float(shares @ (1 + bets) ** 40)
    for arms in ((control, treatment), (treatment, control)):
        assert betting.differing_rates(*arms) == pytest.approx(expected)
    assert betting.differing_rates(control, control) == 1


@pytest.mark.parametrize(("sizes", "least"), [((1, 1), 1), ((2, 1), 2)])
def test_two_rates_of_0_differ_in_no_complete_block(sizes: tuple[int, int], least: int) -> None:
    """No bet wins or loses where no block's shares differ: the capital stays 1."""
    for n in range(4):
        zeros, one = single_trials(np.zeros(n)), single_trials(np.zeros(1))
        assert betting.differing_rates(zeros, one, sizes) == (1.0 if n >= least else None)
        if n >= least:
            blocks = betting.blocks_of_units(zeros, one, sizes)
            assert betting.exceeds(blocks, 0.0)[0, 0] == pytest.approx(0.0)


@pytest.mark.parametrize("delta", [0.0, -0.4, 0.3])
def test_values_between_0_and_1_are_bet_on_by_their_size(delta: float) -> None:
    rng = np.random.default_rng(7)
    new = rng.uniform(-1, 1, (2, 15)) * np.array([[1.0], [0.01]])
    blocks = Blocks(new, np.tile(np.arange(1, 16), (2, 1)))
    bets, shares = blocks.bets.sizes, np.exp(blocks.bets.log_shares)
    now = betting.exceeds_now(blocks, delta)
    for row in range(2):
        products = np.cumprod(1 + np.outer((new[row] - delta) / (1 + delta), bets), axis=0)
        assert now[row] == pytest.approx(np.log(products @ shares))


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1)])
def test_units_that_report_again_move_their_blocks_at_every_moment(sizes: tuple[int, int]) -> None:
    """The capital after every report is that of the blocks as they stand then."""
    rng = np.random.default_rng(8)
    unit = rng.integers(0, 12, 40)
    arm, value = unit % 2, rng.integers(0, 2, 40).astype(float)
    paths = [unit_path(arm == k, unit, value) for k in (0, 1)]
    made = betting.blocks_of_units(paths[0], paths[1], sizes)
    wealth = made.log_wealth(np.full((1, 1), 0.1))[:, 0, -1]
    means = [path.final for path in paths]
    count = min(m.size // size for m, size in zip(means, sizes, strict=True))
    differences = np.array(
        [
            means[1][k * sizes[1] : (k + 1) * sizes[1]].mean()
            - means[0][k * sizes[0] : (k + 1) * sizes[0]].mean()
            for k in range(count)
        ]
    )
    expected = np.log1p(np.outer(made.bets.sizes, (differences - 0.1) / 1.1)).sum(axis=1)
    assert wealth == pytest.approx(expected + made.bets.log_shares)
    other = made.mirrored().log_wealth(np.full((1, 1), 0.1))[:, 0, -1]
    expected = np.log1p(np.outer(made.bets.sizes, (-differences - 0.1) / 1.1)).sum(axis=1)
    assert other == pytest.approx(expected + made.bets.log_shares)
    assert made.old is not None
    assert int(np.isnan(made.old).sum()) == count  # each block is completed once


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1)])
def test_repeats_in_many_experiments_are_those_of_each_alone(sizes: tuple[int, int]) -> None:
    """At every look, also where values are missing and where an arm has no trial."""
    rng = np.random.default_rng(9)
    arm, unit = rng.integers(0, 2, (4, 40)), rng.integers(0, 9, (4, 40))
    value = rng.integers(0, 2, (4, 40)).astype(float)
    value[1, ::7], arm[3] = np.nan, 0
    many = betting.blocks_of_repeats(arm, unit, value, 1, sizes)
    assert many.old is not None
    for row, look in itertools.product(range(4), range(40)):
        first = slice(look + 1)
        paths = [
            unit_path(arm[row, first] == k, unit[row, first], value[row, first]) for k in (0, 1)
        ]
        one = betting.blocks_of_units(paths[0], paths[1], sizes)
        count = int(many.count[row, look])
        assert count == one.count[0, 0]
        assert many.new[row, :count].tolist() == one.new[0].tolist()
        old = np.full((1, count), np.nan) if one.old is None else one.old
        assert np.array_equal(many.old[row, :count], old[0], equal_nan=True)


def test_ends_that_meet_are_no_empty_interval() -> None:
    nothing = Blocks(np.zeros((1, 4)), np.array([[4]]))
    assert betting.crossed(nothing, np.array([0]), 0.05).tolist() == [False]


def test_ends_that_just_cross_are_an_empty_interval() -> None:
    wins = np.arange(60, 70)[:, None]  # of 80 blocks, then as many losses as are left
    changes = np.where(np.arange(80) < wins, 1.0, -1.0)
    count = np.full((10, 1), 80)
    ends = [betting.lower_ends(Blocks(side, count), 0.025) for side in (changes, -changes)]
    expected = (ends[0] + ends[1] > 0).tolist()
    assert expected == [True] * 5 + [False] * 5  # by 0.002 at 64 wins
    crossed = betting.crossed(Blocks(changes, count), np.zeros(10, np.int64), 0.05)
    assert crossed.tolist() == expected


def test_repeats_without_a_complete_block_are_none() -> None:
    alone = np.zeros((2, 6), np.int64)  # control only, two visits of each case
    blocks = betting.blocks_of_repeats(alone, np.tile([0, 1, 2], (2, 2)), np.ones((2, 6)))
    assert (blocks.new.shape, blocks.count.tolist()) == ((2, 0), [[0] * 6] * 2)
