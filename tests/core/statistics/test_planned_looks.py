"""When planned looks come, and which values stand at each look."""

from __future__ import annotations

import numpy as np
import pytest

from expci.core.model.experiment import PlanRules
from expci.core.statistics.planned_looks import PlannedLooks, planned_looks, schedule

# Two experiments; units of the smaller arm at each of six looks.
N = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 2.0, 2.0, 3.0, 4.0]])
VALUES = np.array([[10.0, 11.0, 12.0, 13.0, 14.0, 15.0], [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]])
GROUPS = PlanRules(inference="group-sequential", looks=2)


def plan_of(rules: PlanRules, target: int | None = 4, extra: int = 0) -> PlannedLooks:
    plan = planned_looks(N, rules, target, 1, extra)
    assert plan is not None
    return plan


def test_a_look_falls_where_both_arms_have_enough_units() -> None:
    plan = plan_of(GROUPS)
    assert (plan.units, plan.fractions) == ((2, 4), (0.5, 1.0))
    assert plan.index.tolist() == [[1, 3], [2, 5]]
    assert plan.reached.tolist() == [[0, 1, 1, 2, 2, 2], [0, 0, 1, 1, 1, 2]]
    assert not plan.extended.any()
    assert plan.at(VALUES).tolist() == [[11, 13], [22, 25]]
    # before the first look the present values, then those of the last look
    assert plan.estimated(VALUES).tolist() == [[10, 11, 11, 13, 13, 13], [20, 21, 22, 22, 22, 25]]
    by_look = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert plan.spread(by_look, 0.0).tolist() == [[0, 1, 1, 2, 2, 2], [0, 0, 3, 3, 3, 4]]


def test_as_it_stands_is_the_last_look_alone() -> None:
    now = plan_of(GROUPS).as_it_stands()
    assert now.reached.tolist() == [[2], [2]]
    assert now.latest.tolist() == [[3], [5]]
    assert now.extended.tolist() == [[False], [False]]
    assert now.estimated(VALUES).tolist() == [[13], [25]]
    assert now.at(VALUES).tolist() == [[11, 13], [22, 25]]


def test_an_extension_with_a_reserve_is_weighed_as_it_stands() -> None:
    kept = PlanRules(inference="group-sequential", looks=2, reserve=0.2)
    plan = plan_of(kept, extra=2)
    assert plan.extended.tolist() == [[False] * 4 + [True] * 2, [False] * 6]
    assert plan.estimated(VALUES)[0].tolist() == [10, 11, 11, 13, 14, 15]
    assert plan.as_it_stands().extended.tolist() == [[True], [False]]
    for rules, extra in ((kept, 0), (GROUPS, 2)):  # nothing added, or nothing kept for it
        assert not plan_of(rules, extra=extra).extended.any()


def test_a_fixed_plan_has_one_look_and_an_unknown_size_none() -> None:
    fixed = plan_of(PlanRules(inference="fixed", alpha=0.05))
    assert (fixed.units, fixed.fractions) == ((4,), (1.0,))
    assert fixed.bounds == pytest.approx((1.959964,))
    assert fixed.reached[0].tolist() == [0, 0, 0, 1, 1, 1]
    for rules in (PlanRules(inference="fixed"), GROUPS):
        unknown = plan_of(rules, target=None, extra=2)
        assert (unknown.units, unknown.fractions, unknown.index.shape) == ((), (), (2, 0))
        assert not unknown.reached.any()
        assert not unknown.extended.any()
        assert unknown.estimated(VALUES).tolist() == VALUES.tolist()
    assert plan_of(GROUPS, target=None).bounds == ()
    assert planned_looks(N, PlanRules(inference="anytime"), 4, 1) is None


def test_looks_come_in_equal_steps_from_the_least_number_on() -> None:
    assert schedule(10, 3, 1).units == (4, 7, 10)
    assert schedule(10, 3, 1).fractions == (0.4, 0.7, 1.0)
    assert schedule(3, 5, 1).units == (1, 2, 3)  # no unit has two looks
    assert schedule(10, 3, 5).units == (7, 10)
    assert schedule(10, 3, 50).units == (10,)
