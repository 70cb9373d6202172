"""The sizes of a plan without a pilot, against the power of the two-sample t test (scipy)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from expci.core.model.experiment import Limit
from expci.core.planning.size_by_variation import VARIATIONS, sizes_by_variation
from support.report_samples import experiment


def power(n: int, effect: float, alpha: float) -> float:
    """Of the two-sided two-sample t test, by the noncentral t distribution."""
    df, shift = 2 * n - 2, effect * math.sqrt(n / 2)
    bound = stats.t.ppf(1 - alpha / 2, df)
    return float(stats.nct.sf(bound, df, shift) + stats.nct.cdf(-bound, df, shift))


def one_look(variation: float, alpha: float = 0.05) -> int:
    """The least n per arm for a fall by 15 % of a log-normal duration, 80 % power."""
    effect = -math.log(0.85) / math.sqrt(math.log(1 + variation**2))
    return next(n for n in range(2, 2000) if power(n, effect, alpha) >= 0.8)


def planned(**changes: object) -> dict[float, int]:
    base = experiment()
    plan = replace(base.plan, min_trials=2, sample_size=None)
    assignment = replace(base.assignment, design="randomized")
    changed = replace(base, plan=plan, assignment=assignment, **changes)  # type: ignore[arg-type]
    return {row.variation: row.per_arm for row in sizes_by_variation(changed, None)}


def test_each_size_is_that_of_one_look_and_what_looking_costs() -> None:
    sizes = planned()
    assert tuple(sizes) == VARIATIONS
    for variation in (0.2, 0.4):
        fixed = one_look(variation)
        assert fixed <= sizes[variation] <= 2 * fixed
    assert sizes[0.4] / sizes[0.2] == pytest.approx(one_look(0.4) / one_look(0.2), rel=0.1)


def test_a_rate_makes_days_of_sizes() -> None:
    rows = list(sizes_by_variation(experiment(), 10.0))
    arms = len(experiment().arms)
    assert [row.expected_days for row in rows] == [row.per_arm * arms / 10 for row in rows]


def test_an_effect_in_the_metric_s_own_unit_has_no_such_table() -> None:
    first, *rest = experiment().metrics
    absolute = replace(first, minimum_effect=Limit(0.3, relative=False))
    assert planned(metrics=(absolute, *rest)) == {}
