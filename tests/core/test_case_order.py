"""Visits of cases are balanced, and so is the order of the arms."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from expci.core.assignment import Rule
from expci.core.case_order import case_pair_order, lap, next_visits, part_of, visits_from

RULE = Rule("a" * 64, "salt", "paired", {"control": 1.0, "treatment": 1.0})
CASES = tuple(f"case {number}" for number in range(7))


def test_the_least_visited_case_comes_first_and_none_gets_ahead() -> None:
    counts = Counter({"case 0": 3, "case 1": 1})
    for visit in islice(next_visits(RULE, CASES, dict(counts)), 40):
        assert visit.number == counts[visit.case] == min(counts[case] for case in CASES)
        counts[visit.case] += 1
    assert max(counts.values()) - min(counts[case] for case in CASES) <= 1


def test_ties_are_drawn_by_the_plan_and_anew_in_every_lap() -> None:
    laps = [lap(RULE, CASES, number) for number in range(20)]
    assert all(sorted(one) == sorted(CASES) for one in laps)
    assert len({one[0] for one in laps}) > 3
    other = Rule("b" * 64, "salt", "paired", RULE.weights)
    assert lap(other, CASES, 0) != laps[0]
    assert lap(RULE, CASES, 0) == laps[0]


@pytest.mark.parametrize("pairs", [1, 3, 7, 20])
def test_consecutive_runs_of_the_ci_visit_all_cases_alike(pairs: int) -> None:
    runs = 70
    counts = Counter(
        visit.case
        for run in range(100, 100 + runs)
        for visit in islice(visits_from(RULE, CASES, run * pairs), pairs)
    )
    assert max(counts.values()) - min(counts[case] for case in CASES) <= 2


def test_a_series_with_gaps_leaves_no_case_out() -> None:
    # Every second run is another experiment's: a fixed order would miss half of an even number.
    cases = CASES[:6]
    runs = range(0, 200, 2)
    counts = Counter(next(visits_from(RULE, cases, run)).case for run in runs)
    assert len(counts) == 6
    assert min(counts.values()) >= 5


def test_parts_split_the_cases_and_share_none() -> None:
    parts = [part_of(RULE, CASES, (index, 3)) for index in (1, 2, 3)]
    assert sorted(case for part in parts for case in part) == sorted(CASES)
    assert sorted(map(len, parts)) == [2, 2, 3]


def test_the_order_of_the_arms_is_balanced_in_a_lap_and_within_a_case() -> None:
    for pair in range(4):
        first = [case_pair_order(RULE, rank, pair)[0] for rank in range(8)]
        assert Counter(first) == {"control": 4, "treatment": 4}
    for rank in range(8):
        first = [case_pair_order(RULE, rank, pair)[0] for pair in range(4)]
        assert Counter(first) == {"control": 2, "treatment": 2}


def test_three_arms_stand_at_each_place_once() -> None:
    rule = Rule("a" * 64, "salt", "paired", {"control": 1.0, "a": 1.0, "b": 1.0})
    orders = [case_pair_order(rule, rank, 0) for rank in range(3)]
    for place in range(3):
        assert {order[place] for order in orders} == {"control", "a", "b"}
