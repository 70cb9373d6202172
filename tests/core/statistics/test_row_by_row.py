"""Statistics of one experiment after the other: what stands at every look, and at planned ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from expci.core.dataset.unit_paths import Pairs, single_trials, unit_path
from expci.core.model.experiment import PlanRules
from expci.core.statistics.planned_looks import PlannedLooks, planned_looks
from expci.core.statistics.row_by_row import (
    Look,
    RowByRow,
    RowEvidence,
    UnitsRow,
    as_shares,
    one_experiment,
)
from expci.core.statistics.statistic import RowEnds
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample

INF = math.inf
UNITS = Sample(single_trials(np.arange(1.0, 9.0)), single_trials(np.arange(3.0, 11.0)))


def row(looks: int) -> UnitsRow:
    return UnitsRow(UNITS, looks, np.arange(looks), lambda: ())


def test_without_evidence_everything_is_open() -> None:
    nothing = row(3).nothing()
    assert nothing.up.tolist() == nothing.down.tolist() == nothing.low.tolist() == [-INF] * 3
    assert nothing.high.tolist() == [INF] * 3
    assert float(nothing.now) == -INF


def test_what_a_look_brings_stands_until_the_next_one() -> None:
    at = np.array([1, 4])
    sides = np.array([2.0, 1.0]), np.array([-INF, 0.5])
    spread = row(6).spread(at, sides, np.array([-3.0, -2.0]), np.array([5.0, 4.0]))
    assert spread.up.tolist() == [-INF, 2, 2, 2, 2, 2]  # the largest so far
    assert spread.down.tolist() == [-INF, -INF, -INF, -INF, 0.5, 0.5]
    assert spread.low.tolist() == [-INF, -3, -3, -3, -2, -2]
    assert spread.high.tolist() == [INF, 5, 5, 5, 4, 4]
    assert float(spread.now) == 1  # as it stands at the end


@pytest.mark.parametrize(
    ("interval", "control", "expected"),
    [
        ((1.0, 3.0), 10.0, (0.1, 0.3)),
        ((1.0, 3.0), -10.0, (-0.3, -0.1)),
        ((-INF, 3.0), -10.0, (-0.3, INF)),
        ((1.0, 3.0), 0.0, (-INF, INF)),
        ((1.0, 3.0), None, (-INF, INF)),
    ],
)
def test_ends_as_shares(interval: RowEnds, control: float | None, expected: RowEnds) -> None:
    assert as_shares(interval, control) == pytest.approx(expected)


@dataclass(frozen=True)
class GapOfMeans(RowByRow):
    """A statistic that a reader can follow: the difference of means, its size the evidence."""

    def row_evidence(self, row: UnitsRow) -> RowEvidence:
        gap = row.units.difference() or 0.0
        if not gap:
            return row.nothing()
        ends = np.array([gap - 1]), np.array([gap + 1])
        return row.spread(np.array([1]), (np.array([gap]), np.array([-gap])), *ends)

    def row_share(self, row: UnitsRow) -> float | None:
        return row.units.control_mean().mean

    def row_look(self, units: Sample) -> Look | None:
        gap = units.difference()
        if not gap:
            return None
        z = 100 * gap if units.n > 6 else gap

        def ends(critical: float) -> tuple[RowEnds, RowEnds]:
            own = gap - 3 * critical, gap + 3 * critical
            return own, as_shares(own, units.control_mean().mean)

        return Look(z, ends)


def statistic(harm: int, *samples: Sample) -> GapOfMeans:
    rows = [UnitsRow(units, 2, np.arange(2), lambda: ()) for units in samples]
    n = np.array([[1.0, units.n] for units in samples])
    return GapOfMeans(Rules(0.05, harm, 1), n, rows)


ALIKE = Sample(UNITS.control, UNITS.control)
LESS = Sample(UNITS.treatment, UNITS.control)


@pytest.mark.parametrize(("harm", "side"), [(1, [2.0, -2.0, -INF]), (-1, [-2.0, 2.0, -INF])])
def test_the_two_sides_make_one_test(harm: int, side: list[float]) -> None:
    three = statistic(harm, UNITS, LESS, ALIKE)
    # ½ max(E, E'): the log of the larger less log 2
    two = 2 - math.log(2)
    assert three.log_e().tolist() == [[-INF, two], [-INF, two], [-INF, -INF]]
    assert three.log_e_now().tolist() == [two, two, -INF]
    assert three.harm_log_e()[:, 1].tolist() == side
    low, high = three.interval()
    assert low[:, 1].tolist() == [1, -3, -INF]
    assert high[:, 1].tolist() == [3, -1, INF]
    low, high = three.relative()  # of 4.5 and 6.5
    assert low[:, 0] == pytest.approx([1 / 4.5, -3 / 6.5, -INF])
    assert high[:, 0] == pytest.approx([3 / 4.5, -1 / 6.5, INF])


def plan_of(test: GapOfMeans, target: int = 8) -> PlannedLooks:
    n = np.tile(np.arange(1.0, 9.0), (len(test.rows), 1))
    plan = planned_looks(n, PlanRules(inference="group-sequential", looks=2), target, 1)
    assert plan is not None
    return plan


def test_planned_looks_are_made_of_the_units_that_there_were_then() -> None:
    test = statistic(1, UNITS, LESS, ALIKE)
    plan = plan_of(test)
    assert plan.units == (4, 8)
    z = test.planned_z(plan)
    assert z[:2].tolist() == [[2, 37], [-2, -37]]  # a tail beyond 37 is 0 in a float
    assert np.isnan(z[2]).all()
    (low, high), (share_low, share_high) = test.planned_ends(plan)
    first, last = plan.bounds
    assert low[:2] == pytest.approx(
        np.array([[2 - 3 * first, 2 - 3 * last], [-2 - 3 * first, -2 - 3 * last]])
    )
    assert high[0] == pytest.approx([2 + 3 * first, 2 + 3 * last])
    assert share_low[0] == pytest.approx([(2 - 3 * first) / 2.5, (2 - 3 * last) / 4.5])
    assert share_high[1] == pytest.approx([(-2 + 3 * first) / 4.5, (-2 + 3 * last) / 6.5])
    assert low[2].tolist() == share_low[2].tolist() == [-INF, -INF]
    assert high[2].tolist() == share_high[2].tolist() == [INF, INF]


def test_a_planned_look_that_never_was_is_unknown() -> None:
    test = statistic(1, UNITS)
    z = test.planned_z(plan_of(test, 20))  # 10 and 20 of the 8 that there are
    assert np.isnan(z).tolist() == [[True, True]]
    nothing = planned_looks(np.ones((1, 3)), PlanRules(inference="fixed"), None, 1)
    assert nothing is not None
    assert test.planned_z(nothing).shape == (1, 0)


def test_the_error_is_half_of_what_one_deviate_spans() -> None:
    assert Look(0.0, lambda critical: ((-critical, 5 * critical), (0.0, 0.0))).error == 3


def test_a_real_experiment_is_one_row_with_one_look() -> None:
    arm = np.array([0, 0, 0, 1, 0, 1, 0])
    units = Sample(*(unit_path(arm == k, np.arange(7), np.arange(7.0)) for k in (0, 1)))  # type: ignore[arg-type]
    one = one_experiment(units)
    assert one.units is units
    assert (one.looks, one.complete.tolist(), one.bounds, one.sizes) == (1, [0, 0], None, (1, 1))
    assert one.complete.dtype == np.int64
    assert list(one.samples()) == []
    assert one_experiment(units, sizes=(3, 1)).complete.size == 1  # five units make one of three
    assert one_experiment(units, sizes=(2, 1)).complete.size == 2
    assert one_experiment(units, sizes=(3, 1)).sizes == (3, 1)
    rows = np.array([0, 1, 2])
    pairs = Sample(units.control, units.treatment, Pairs(rows, rows + 3, np.zeros(3), 2, 0))
    assert one_experiment(pairs).complete.size == 3
    samples = [(0, np.ones(1), np.ones(1))]
    assert one_experiment(units, lambda: samples).samples() is samples


def test_growing_numbers_of_pairs_come_with_the_look_that_completed_them() -> None:
    rows = np.array([0, 1, 2])
    column = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
    pairs = Sample(UNITS.control, UNITS.treatment, Pairs(rows, rows + 3, np.zeros(3), 0, 0), column)
    for bounds in (None, (0.0,)):
        one = UnitsRow(pairs, 10, np.array([3, 5, 9]), lambda: (), bounds)
        growing = [(look, c.tolist(), t.tolist()) for look, c, t in one.growing_pairs()]
        assert growing == [
            (3, [1], [11]),
            (5, [1, 2], [11, 12]),
            (9, [1, 2, 3], [11, 12, 13]),
        ]
